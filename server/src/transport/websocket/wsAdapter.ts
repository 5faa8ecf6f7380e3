import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { encodeControl, type ServerControl } from '@facewire/proto';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { encodeOnce } from '../encodeOnce.ts';
import { webSocketCloseCode, webSocketCloseReason } from '../errorMessages.ts';
import { upgradeNotFound } from '../http/answer.ts';
import { hardMessageLimit } from '../limits.ts';
import { listenError } from '../listenError.ts';
import type { PeerHub } from '../PeerHub.ts';
import type { PeerSession, Wire } from '../PeerSession.ts';
import { plainBytes } from '../plainBytes.ts';
import { rawHttpAnswer, serveNodeRequest } from './nodeHttp.ts';
import { textRefused } from './textRefused.ts';
import { CONNECT_PATH, type WebAdapter } from './WebServer.ts';

/** A peer that does not answer the close frame is cut off after this. */
const CLOSE_GRACE_MS = 2000;

/** WebSocket by ws, HTTP by node:http, on one port. */
export const createWsServer: WebAdapter = async ({ host, port, http, hub }) => {
  const { limits, log, bodies } = hub;
  const connections = new Set<WsConnection>();
  const encode = encodeOnce<ServerControl, Uint8Array>(encodeControl);
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false, // frames are compressed already, and a deflate context costs memory for each peer
    maxPayload: hardMessageLimit(limits),
  });
  const server = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: 5000,
      maxHeaderSize: 16 * 1024,
      connectionsCheckingInterval: Math.max(100, Math.min(5000, limits.headersTimeoutMs / 2)),
    },
    (request, response) =>
      void serveNodeRequest(request, response, { http, maxBodyBytes: limits.maxBodyBytes, budget: bodies, log }),
  );
  // Room for every peer, as many again that are turned away politely, and the pages they load.
  server.maxConnections = limits.maxPeers * 2 + 256;

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', (error) => log.debug({ err: error }, 'socket failed during upgrade'));
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    if (path !== CONNECT_PATH) {
      // Half-closed is not closed: without this the client could keep the socket.
      socket.once('finish', () => socket.destroy());
      socket.end(rawHttpAnswer(upgradeNotFound(path, CONNECT_PATH)));
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      const connection = new WsConnection(client, hub, encode);
      connections.add(connection);
      client.on('close', () => connections.delete(connection));
      connection.start();
    });
  });

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, { host, port, variable: 'FACEWIRE_PORT' })));
    server.listen(port, host, resolve);
  });
  server.on('error', (error) => log.error({ err: error }, 'HTTP server failed'));

  // Two pings within the idle time, so that one lost turn of the event loop costs nobody the connection.
  const pinger = setInterval(() => {
    for (const connection of connections) connection.pingOrGiveUp(limits.idleTimeoutMs);
  }, limits.idleTimeoutMs / 3);
  pinger.unref();

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    clearInterval(pinger);
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    hub.closeAll();
    server.closeIdleConnections();
    const cutOff = setTimeout(() => {
      for (const connection of connections) connection.abort();
      server.closeAllConnections();
    }, CLOSE_GRACE_MS);
    await stopped;
    clearTimeout(cutOff);
  };

  return {
    adapter: 'ws',
    port: (server.address() as AddressInfo).port,
    get peers() {
      return hub.size;
    },
    close: () => {
      closing ??= close();
      return closing;
    },
  };
};

class WsConnection implements Wire {
  readonly transport = 'ws';
  readonly #socket: WebSocket;
  readonly #hub: PeerHub;
  readonly #encode: (message: ServerControl) => Uint8Array;
  #session: PeerSession | undefined;
  #lastHeardMs = performance.now();
  #congested = false;

  constructor(socket: WebSocket, hub: PeerHub, encode: (message: ServerControl) => Uint8Array) {
    this.#socket = socket;
    this.#hub = hub;
    this.#encode = encode;
  }

  start(): void {
    const socket = this.#socket;
    const heard = () => {
      this.#lastHeardMs = performance.now();
    };
    socket.binaryType = 'nodebuffer';
    socket.on('pong', heard);
    socket.on('ping', heard);
    socket.on('message', (data: RawData, isBinary: boolean) => {
      heard();
      if (isBinary) this.#session?.receive(plainBytes(data as Buffer));
      else this.#session?.refuse(textRefused());
    });
    // Broken framing or a message over the hard limit: ws closes with the right code by itself.
    socket.on('error', (error) => this.#hub.log.debug({ err: error }, 'WebSocket failed'));
    socket.on('close', () => this.#session?.closed());
    this.#session = this.#hub.admit(this);
  }

  sendControl(message: ServerControl): void {
    this.#send(this.#encode(message));
  }

  sendFrame(packet: Uint8Array): void {
    // ws hands the caller's memory to the socket, which keeps it while the kernel's buffer is full.
    this.#send(Buffer.from(packet));
  }

  bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  end(code: string, _reason: string): void {
    this.#socket.close(webSocketCloseCode(code), webSocketCloseReason(code));
    setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref();
  }

  abort(): void {
    this.#socket.terminate();
  }

  pingOrGiveUp(idleTimeoutMs: number): void {
    if (performance.now() - this.#lastHeardMs > idleTimeoutMs) this.#socket.terminate();
    else if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  #send(bytes: Uint8Array): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(bytes, { binary: true, compress: false }, this.#sent);
    if (this.#socket.bufferedAmount > 0) this.#congested = true;
  }

  // The socket's own `drain` event comes only after 16 KiB were waiting; viewers are held back long before that.
  readonly #sent = (): void => {
    if (!this.#congested) return;
    this.#congested = this.#socket.bufferedAmount > 0;
    this.#session?.drained();
  };
}
