import {
  decodeFrame,
  type ErrorCode,
  FacewireError,
  type FrameCodec,
  type Motion,
  type ParticipantInfo,
  PROTOCOL_VERSION,
  type ServerControl,
  validateClientControl,
} from '@facewire/proto';
import { AvatarChoice } from './AvatarChoice.ts';
import type { AvatarClientEvents, AvatarClientOptions, Session } from './AvatarClientOptions.ts';
import type { AvatarStream, SubscribeOptions } from './AvatarStream.ts';
import { backoffDelay, DEFAULT_RECONNECT, type ReconnectOptions } from './backoff.ts';
import { ClockSync } from './ClockSync.ts';
import { detectCodecs } from './decoding/detectCodecs.ts';
import { Emitter } from './Emitter.ts';
import { Heartbeat } from './Heartbeat.ts';
import { MotionPublisher, type PublishStats } from './MotionPublisher.ts';
import { motionEncoder } from './motion/motionEncoder.ts';
import { patientTimeout } from './patientTimeout.ts';
import { StreamTable } from './StreamTable.ts';
import type { Transport, TransportFactory } from './transport/Transport.ts';
import { WebSocketTransport } from './transport/WebSocketTransport.ts';
import { webSocketAddress } from './transport/webSocketAddress.ts';

/** A server that grants no welcome within this is given up, ms. */
const JOIN_TIMEOUT_MS = 10_000;
/** A connection that held for less counts as a failed attempt: what ends it at once would end the next one, ms. */
const HELD_MS = 5_000;
/** A change of avatar that came too soon after others is sent again after this, ms. */
const AVATAR_AGAIN_MS = 1_000;
/** Refusals that trying again will not change. */
const FINAL_REFUSALS: ReadonlySet<string> = new Set<ErrorCode>([
  'version_unsupported',
  'codec_unsupported',
  'avatar_unknown',
  'room_unknown',
  'role_forbidden',
]);

type State = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'closed';
type Welcome = Extract<ServerControl, { type: 'welcome' }>;

/** One participant of one room: publishes a face, sees others. Survives lost connections. */
export class AvatarClient extends Emitter<AvatarClientEvents> {
  readonly clock = new ClockSync();
  readonly #options: AvatarClientOptions;
  readonly #makeTransport: TransportFactory;
  readonly #reconnect: ReconnectOptions | undefined;
  readonly #avatar: AvatarChoice;
  readonly #streams: StreamTable;
  readonly #publisher: MotionPublisher;
  readonly #heartbeat = new Heartbeat({
    ping: () => this.#transport?.sendControl({ type: 'ping', clientTimeMs: this.clock.now() }),
    handleSilence: () => this.#handleLost('the server went silent'),
  });
  #participants = new Map<string, ParticipantInfo>();
  #state: State = 'idle';
  #session: Session | undefined;
  #transport: Transport | undefined;
  #codecs: readonly FrameCodec[] | undefined;
  #abortAttempt: (() => void) | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #avatarTimer: ReturnType<typeof setTimeout> | undefined;
  /** of the last welcome, local clock */
  #openedAtMs = 0;
  /** attempts to reconnect since a connection held */
  #attempts = 0;
  #received = { frames: 0, bytes: 0 };

  /** Throws TypeError for options that contradict each other, RangeError for numbers out of their range. */
  constructor(options: AvatarClientOptions) {
    super();
    const { url, transport, reconnect = true } = options;
    if ((url === undefined) === (transport === undefined)) throw new TypeError('give either url or transport');
    if (options.role === 'player' && !options.avatar) throw new TypeError('a player needs an avatar');
    this.#options = options;
    this.#avatar = new AvatarChoice(options.avatar);
    const address = url === undefined ? '' : webSocketAddress(url);
    this.#makeTransport = transport ?? (() => new WebSocketTransport({ url: address, WebSocket: options.WebSocket }));
    this.#reconnect = reconnect ? { ...DEFAULT_RECONNECT, ...(reconnect === true ? {} : reconnect) } : undefined;
    this.#streams = new StreamTable({
      send: (message) => this.#transport?.sendControl(message),
      now: () => this.clock.now(),
      serverNow: () => this.clock.serverNow(),
    });
    this.#publisher = new MotionPublisher({
      send: (packet) => this.#transport?.sendMotion(packet),
      bufferedBytes: () => this.#transport?.bufferedBytes() ?? 0,
      serverNow: () => this.clock.serverNow(),
      rate: options.motionRate ?? 30,
      encoder: motionEncoder(options.motionFormat ?? 'compact'),
      budget: options.motionBudget,
    });
  }

  get state(): State {
    return this.#state;
  }

  /** present while joined */
  get session(): Session | undefined {
    return this.#session;
  }

  /** everybody in the room, by id */
  get participants(): ReadonlyMap<string, ParticipantInfo> {
    return this.#participants;
  }

  /** bytes per second that motion may cost; undefined: no limit */
  get motionBudget(): number | undefined {
    return this.#publisher.budget;
  }

  get streams(): readonly AvatarStream[] {
    return this.#streams.list();
  }

  get stats(): {
    published: PublishStats;
    received: { frames: number; bytes: number };
    roundTripMs: number | undefined;
  } {
    return {
      published: this.#publisher.stats,
      received: { ...this.#received },
      roundTripMs: this.clock.roundTripMs,
    };
  }

  /**
   * Connects and joins the room. Rejects with FacewireError when the first attempt fails (`connection_failed`, or what
   * the server answered, e.g. `avatar_unknown`) and may then be called again; connections lost later come back.
   */
  async connect(): Promise<Session> {
    if (this.#state !== 'idle') {
      throw new FacewireError('already_joined', `connect() was called on a client that is ${this.#state}`, {
        remedy: 'make a new AvatarClient',
      });
    }
    this.#state = 'connecting';
    try {
      return await this.#attempt();
    } catch (error) {
      if (this.#state === 'connecting') {
        this.#state = 'idle';
        this.#drop();
      }
      throw error;
    }
  }

  /**
   * Publishes the newest motion. Older motions that were not sent yet are forgotten; the motion is dated now and copied.
   * May be called at any time, also while reconnecting. Throws `role_forbidden` for viewers, `packet_bad_value` for
   * numbers that are not finite, for other than 52 coefficients and for other than K×3 keypoints, K 1…128.
   */
  publishMotion(motion: Motion): void {
    if (this.#options.role !== 'player') {
      throw new FacewireError('role_forbidden', 'viewers publish no motion', { remedy: "join with role 'player'" });
    }
    if (this.#state !== 'closed') this.#publisher.publish(motion);
  }

  /**
   * From now on motion costs so many bytes per second at most (see AvatarClientOptions); undefined lifts the limit.
   * Throws RangeError unless above 0, TypeError with motionFormat 'fixed'.
   */
  setMotionBudget(bytesPerSecond: number | undefined): void {
    this.#publisher.budget = bytesPerSecond;
  }

  /** Asks for a participant's frames; may be called before the connection is open. Throws `not_joined` after close(). */
  subscribe(participant: string, options: SubscribeOptions): AvatarStream {
    if (this.#state === 'closed') throw new FacewireError('not_joined', 'this client is closed');
    return this.#streams.open(participant, options, this.#state === 'open');
  }

  /**
   * Drives another avatar from now on. When the server does not know it, `error` is emitted and the last one that it did
   * know stays. More than 20 at once or 2 a second are too many (`error` with `rate_limited`): the last one is then sent
   * again a second later. Throws message_malformed for what can be no avatar: empty, too long.
   */
  setAvatar(avatar: string): void {
    const message = validateClientControl({ type: 'setAvatar', avatar });
    this.#avatar.ask(avatar, this.clock.now());
    if (this.#state === 'open') this.#transport?.sendControl(message);
  }

  /** Leaves the room; ends all streams and the connection. May be called twice. */
  close(): void {
    if (this.#state === 'open') this.#transport?.sendControl({ type: 'leave' });
    this.#finish('closed by this client');
  }

  /** One transport, one join. Resolves with the welcome in effect. */
  async #attempt(): Promise<Session> {
    this.#codecs ??= this.#options.codecs ?? (await detectCodecs());
    if (this.#state === 'closed') throw closedWhileConnecting();
    const transport = this.#makeTransport();
    this.#transport = transport;
    const current = () => this.#transport === transport;
    let joined = false;
    return new Promise<Session>((resolve, reject) => {
      const fail = (error: unknown): void => {
        cancelTimeout();
        this.#abortAttempt = undefined;
        if (current()) this.#transport = undefined;
        transport.close();
        reject(error);
      };
      this.#abortAttempt = () => fail(closedWhileConnecting());
      const cancelTimeout = patientTimeout(
        () => fail(new FacewireError('connection_failed', `no welcome within ${JOIN_TIMEOUT_MS} ms`)),
        JOIN_TIMEOUT_MS,
      );
      const handlers = {
        handleControl: (message: ServerControl) => {
          if (!current()) return;
          this.#heartbeat.handleSign();
          if (joined) return this.#handleControl(message);
          if (message.type === 'error') return fail(toError(message));
          if (message.type !== 'welcome') return;
          joined = true;
          cancelTimeout();
          this.#abortAttempt = undefined;
          resolve(this.#handleWelcome(message));
        },
        handleFrame: (packet: Uint8Array) => {
          this.#heartbeat.handleSign();
          if (current() && joined) this.#handleFrame(packet);
        },
        handleError: (error: FacewireError) => {
          if (current()) this.emit('error', error);
        },
        handleClose: (reason: string) => {
          if (!current()) return;
          if (joined) this.#handleLost(reason);
          else fail(new FacewireError('connection_failed', `the server ended the connection: ${reason}`));
        },
      };
      transport.open(handlers).then(() => {
        if (!current()) return;
        const avatar = this.#avatar.join();
        transport.sendControl({
          type: 'join',
          version: PROTOCOL_VERSION,
          room: this.#options.room,
          role: this.#options.role,
          name: this.#options.name,
          ...(avatar === undefined ? {} : { avatar }),
          codecs: [...this.#codecs!],
        });
      }, fail);
    });
  }

  #handleWelcome(welcome: Welcome): Session {
    const { participant, room, version, codec, sizes } = welcome;
    this.#session = { participant, room, version, codec, sizes };
    this.#state = 'open';
    this.#openedAtMs = this.clock.now();
    this.clock.handleServerTime(welcome.serverTimeMs);
    this.#heartbeat.start();
    const before = this.#participants;
    this.#participants = new Map(welcome.participants.map((each) => [each.id, each]));
    const after = [...welcome.participants];
    const session = this.#session;
    const wanted = this.#avatar.handleWelcome(this.clock.now());
    if (wanted !== undefined) this.#transport?.sendControl({ type: 'setAvatar', avatar: wanted });
    if (this.#options.role === 'player') this.#publisher.resume(this.#transport);
    // Streams are restored before any listener runs, which may open new ones. Applications hear of the session first,
    // then of who is gone, then of who changed, then of who is new.
    this.#streams.handleConnected(this.#participants);
    this.emit('open', session);
    for (const each of before.values()) if (!this.#participants.has(each.id)) this.emit('participantLeft', each);
    for (const each of after) {
      const known = before.get(each.id);
      if (known && !isSame(known, each)) this.emit('participantUpdated', each);
    }
    for (const each of after) if (!before.has(each.id)) this.emit('participantJoined', each);
    return session;
  }

  #handleControl(message: ServerControl): void {
    switch (message.type) {
      case 'participantJoined':
        this.#participants.set(message.participant.id, message.participant);
        this.emit('participantJoined', message.participant);
        break;
      case 'participantUpdated':
        this.#participants.set(message.participant.id, message.participant);
        this.emit('participantUpdated', message.participant);
        break;
      case 'participantLeft': {
        const participant = this.#participants.get(message.participant);
        this.#participants.delete(message.participant);
        if (participant) this.emit('participantLeft', participant);
        break;
      }
      case 'subscribed':
        this.#streams.handleSubscribed(message);
        break;
      case 'ended':
        this.#streams.handleEnded(message.stream);
        break;
      case 'pong':
        this.clock.handlePong(message.clientTimeMs, message.serverTimeMs);
        this.#avatar.handlePong(message.clientTimeMs);
        break;
      case 'error': {
        const error = toError(message);
        // Whatever it is that the server could not read of a packet, it can read one that stands alone.
        if (error.code.startsWith('packet_') && message.request === undefined) this.#publisher.handleNoBaseline();
        if (error.code === 'packet_no_baseline') break;
        if (error.code === 'avatar_unknown' && message.request === undefined) {
          this.#avatar.handleRefused(error.received);
        }
        if (error.code === 'rate_limited' && error.received === 'setAvatar') this.#sendAvatarAgain();
        if (!this.#streams.handleRefused(message.request, error)) this.emit('error', error);
        break;
      }
      case 'welcome':
        this.emit('error', new FacewireError('message_unexpected', 'a second welcome came'));
    }
  }

  /** The server dropped a change, which of them it does not say: the last one is what counts. */
  #sendAvatarAgain(): void {
    this.#avatarTimer ??= setTimeout(() => {
      this.#avatarTimer = undefined;
      const { current } = this.#avatar;
      if (current !== undefined) this.setAvatar(current);
    }, AVATAR_AGAIN_MS);
  }

  #handleFrame(packet: Uint8Array): void {
    this.#received.frames++;
    this.#received.bytes += packet.byteLength;
    const { header, payload } = decodeFrame(packet);
    this.#streams.handleFrame(header, payload, packet.byteLength);
  }

  /** The connection broke after the join: everything waits for the next one. */
  #handleLost(reason: string): void {
    this.#drop();
    if (!this.#reconnect) {
      this.#finish(reason, lostError(reason));
      return;
    }
    this.#state = 'reconnecting';
    if (this.clock.now() - this.#openedAtMs >= HELD_MS) this.#attempts = 0;
    this.#retry(reason, this.#reconnect);
  }

  #retry(cause: string, options: ReconnectOptions): void {
    const attempt = ++this.#attempts;
    if (attempt > options.maxAttempts) {
      const reason = `gave up after ${options.maxAttempts} attempts: ${cause}`;
      this.#finish(reason, lostError(reason));
      return;
    }
    const delayMs = backoffDelay(attempt, options, Math.random());
    this.emit('reconnecting', attempt, delayMs, cause);
    this.#retryTimer = setTimeout(() => {
      this.#attempt().catch((error: unknown) => {
        if (this.#state !== 'reconnecting') return;
        if (error instanceof FacewireError && FINAL_REFUSALS.has(error.code)) {
          if (error.code !== 'avatar_unknown' || !this.#avatar.handleJoinRefused()) {
            this.#finish(`the server refused: ${error.message}`, error);
            return;
          }
          this.emit('error', error);
        }
        this.#retry(error instanceof Error ? error.message : String(error), options);
      });
    }, delayMs);
  }

  /** Forgets the connection, keeps what is to be restored. */
  #drop(): void {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#avatarTimer);
    this.#avatarTimer = undefined;
    this.#heartbeat.stop();
    this.#publisher.pause();
    this.#streams.handleDisconnected();
    this.#session = undefined;
    this.#abortAttempt?.();
    const transport = this.#transport;
    this.#transport = undefined;
    transport?.close();
  }

  #finish(reason: string, error?: FacewireError): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#drop();
    this.#streams.close(reason);
    this.emit('close', reason, error);
    this.removeAllListeners();
  }
}

function isSame(a: ParticipantInfo, b: ParticipantInfo): boolean {
  return a.name === b.name && a.role === b.role && a.avatar === b.avatar && a.bot === b.bot;
}

function toError(message: Extract<ServerControl, { type: 'error' }>): FacewireError {
  return new FacewireError(message.code as FacewireError['code'], message.message, {
    ...(message.received === undefined ? {} : { received: message.received }),
    ...(message.remedy === undefined ? {} : { remedy: message.remedy }),
  });
}

function lostError(reason: string): FacewireError {
  return new FacewireError('connection_failed', reason);
}

function closedWhileConnecting(): FacewireError {
  return new FacewireError('connection_failed', 'the client was closed before it was connected');
}
