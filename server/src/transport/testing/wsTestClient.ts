import { decodeServerControl, encodeControl, PACKET_KIND } from '@facewire/proto';
import { WebSocket } from 'ws';
import { Inbox, type TestClient } from './TestClient.ts';

export interface WsTestClient extends TestClient {
  readonly socket: WebSocket;
}

/** Resolves when the connection is open. */
export async function connectWs(
  port: number,
  options: { path?: string; autoPong?: boolean } = {},
): Promise<WsTestClient> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${options.path ?? '/connect'}`, {
    autoPong: options.autoPong ?? true,
  } as object);
  const inbox = new Inbox();
  socket.binaryType = 'nodebuffer';
  socket.on('message', (data: Buffer) => {
    if (data[0] === PACKET_KIND.frame) inbox.push({ type: 'frame', packet: data });
    else inbox.push(decodeServerControl(data));
  });
  const closed = new Promise<string>((resolve) => {
    socket.on('close', (code, reason) => resolve(`${code} ${reason.toString()}`));
  });
  await new Promise<void>((resolve, reject) => {
    socket.on('open', resolve);
    socket.on('error', reject);
  });
  return {
    socket,
    inbox,
    closed,
    sendControl: (message) => socket.send(encodeControl(message)),
    sendPacket: (packet) => socket.send(packet),
    sendMalformedControl: () => socket.send(Uint8Array.of(PACKET_KIND.control, 0xc1)),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    leave: () => socket.close(),
  };
}
