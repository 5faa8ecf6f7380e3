import type { AddressInfo } from 'node:net';
import {
  type ClientControl,
  CompactMotionDecoder,
  decodeClientControl,
  decodeMotion,
  encodeControl,
  encodeFrame,
  type FacewireError,
  type FrameHeader,
  isCompactMotion,
  type MotionSample,
  PACKET_KIND,
  type ParticipantInfo,
  type ServerControl,
} from '@facewire/proto';
import { type WebSocket, WebSocketServer } from 'ws';

/** The other end of the SDK's tests: speaks the real protocol on a real socket and writes down what it hears. */
export class FakeServer {
  participants: ParticipantInfo[] = [
    { id: 'p1', name: 'Ada', role: 'player', avatar: 'ada', bot: true },
    { id: 'p2', name: 'Ben', role: 'player', avatar: 'ben', bot: true },
  ];
  /** answers every join with this instead of a welcome */
  refusal: Extract<ServerControl, { type: 'error' }> | undefined;
  /** reads and says nothing any more, as a host that lost its network does */
  silent = false;
  /** avatars that joins and setAvatar are refused for */
  readonly unknownAvatars = new Set<string>();
  /** added to the server's clock, ms */
  clockOffsetMs = 100_000;
  readonly controls: ClientControl[] = [];
  readonly motions: MotionSample[] = [];
  /** of all motion packets, with the WebSocket's own header of 6 bytes each */
  motionBytes = 0;
  /** what motion packets were refused with; the sender is told, as the real server does */
  readonly motionErrors: string[] = [];
  readonly #decoders = new WeakMap<WebSocket, CompactMotionDecoder>();
  readonly port: number;
  readonly #server: WebSocketServer;
  #nextStream = 1;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => this.#handle(socket, new Uint8Array(data)));
    });
  }

  /** @param port 0 = a free one */
  static async listen(port = 0): Promise<FakeServer> {
    const server = new WebSocketServer({ host: '127.0.0.1', port });
    await new Promise<void>((resolve, reject) => server.on('listening', resolve).on('error', reject));
    return new FakeServer(server);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/connect`;
  }

  get connections(): number {
    return this.#server.clients.size;
  }

  now(): number {
    return performance.now() + this.clockOffsetMs;
  }

  heard<Type extends ClientControl['type']>(type: Type): Extract<ClientControl, { type: Type }>[] {
    return this.controls.filter((each): each is Extract<ClientControl, { type: Type }> => each.type === type);
  }

  send(message: ServerControl): void {
    this.sendRaw(encodeControl(message));
  }

  sendRaw(data: Uint8Array | string): void {
    for (const socket of this.#server.clients) socket.send(data);
  }

  sendFrame(header: Partial<FrameHeader> & { stream: number }, payload = new Uint8Array(500)): void {
    this.sendRaw(
      encodeFrame(
        {
          keyFrame: true,
          codec: 'jpeg',
          motionSequence: 1,
          motionTimeMs: Math.floor(this.now()) & 0xffff,
          serverTimeMs: this.now(),
          width: 256,
          height: 256,
          ...header,
        },
        payload,
      ),
    );
  }

  /** Cuts every connection, as a lost network does. */
  cut(): void {
    for (const socket of this.#server.clients) socket.terminate();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle(socket: WebSocket, packet: Uint8Array): void {
    if (packet[0] === PACKET_KIND.motion || isCompactMotion(packet[0]!)) {
      this.#handleMotion(socket, packet);
      return;
    }
    const message = decodeClientControl(packet);
    this.controls.push(message);
    const answer = this.silent ? undefined : this.#answer(message);
    if (answer) socket.send(encodeControl(answer));
  }

  #handleMotion(socket: WebSocket, packet: Uint8Array): void {
    this.motionBytes += packet.length + 6;
    if (packet[0] === PACKET_KIND.motion) {
      this.motions.push(decodeMotion(packet));
      return;
    }
    const decoder = this.#decoders.get(socket) ?? new CompactMotionDecoder();
    this.#decoders.set(socket, decoder);
    try {
      this.motions.push(decoder.decode(packet));
    } catch (error) {
      const { code, message } = error as FacewireError;
      this.motionErrors.push(code);
      socket.send(encodeControl({ type: 'error', code, message }));
    }
  }

  #unknown(avatar = ''): ServerControl | undefined {
    if (!this.unknownAvatars.has(avatar)) return undefined;
    return { type: 'error', code: 'avatar_unknown', message: `no avatar ${avatar}`, received: avatar };
  }

  #answer(message: ClientControl): ServerControl | undefined {
    switch (message.type) {
      case 'join':
        return (
          this.refusal ??
          this.#unknown(message.avatar) ?? {
            type: 'welcome',
            version: 1,
            participant: 'me',
            room: message.room,
            serverTimeMs: this.now(),
            codec: 'jpeg',
            sizes: [128, 256, 512],
            participants: this.participants,
          }
        );
      case 'subscribe': {
        const { request, participant, size } = message;
        return this.participants.some((each) => each.id === participant)
          ? { type: 'subscribed', request, stream: this.#nextStream++, participant, size, codec: 'jpeg' }
          : { type: 'error', code: 'participant_unknown', message: `no ${participant} here`, request };
      }
      case 'setAvatar':
        return this.#unknown(message.avatar);
      case 'ping':
        return { type: 'pong', clientTimeMs: message.clientTimeMs, serverTimeMs: this.now() };
      default:
        return undefined;
    }
  }
}

/** The machine's own, also for tests that hold the clock or the timers. */
const [realSetTimeout, realNow] = [setTimeout, performance.now.bind(performance)];

/** Resolves as soon as `check` holds; fails the test after half a minute. */
export async function until(check: () => boolean, what: string): Promise<void> {
  const deadline = realNow() + 30_000;
  while (!check()) {
    if (realNow() > deadline) throw new Error(`waited half a minute for: ${what}`);
    await new Promise((resolve) => realSetTimeout(resolve, 5));
  }
}
