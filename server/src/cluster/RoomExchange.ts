import { decodeMotion, encodeMotion, FacewireError, type MotionSample, type ParticipantInfo } from '@facewire/proto';
import type { ClusterBus, ExchangedRooms, Metrics } from '../contracts.ts';
import {
  decodeMotionMessage,
  decodeServerMessage,
  encodeMessage,
  type MotionMessage,
  type Rosters,
  type ServerMessage,
  sizeOf,
} from './messages.ts';
import { OtherServer } from './OtherServer.ts';

export interface RoomExchangeOptions {
  bus: ClusterBus;
  rooms: ExchangedRooms;
  /** what the others call this server: another name at every start, in the order of their starts */
  server: string;
  /** servers with the same one share their rooms */
  cluster: string;
  metrics: Metrics;
  warn?: (message: string) => void;
  /** server clock in ms, default performance.now */
  now?: () => number;
}

/** A server says that often that it is alive, ms. */
const ALIVE_MS = 1000;
/** A server that was not heard for so long is gone, and its participants with it, ms. */
export const GONE_MS = 4000;
/** Everything is asked of one server, and told to those who ask, at most so often, ms. */
const ASK_MS = 250;
/** Of everything a message holds so much, encoded: a sixteenth of what NATS takes unless it is told to take less. */
const PART_BYTES = 64 * 1024;
/** Of messages that cannot be read one is reported in this time, ms; all are counted. */
const WARN_MS = 60_000;

/**
 * Makes the servers of a cluster one: everybody in a room is in it on all servers, and motion goes where people watch.
 * Frames never travel between servers. Each renders what its own viewers see, of motions of 70 bytes.
 *
 * Rosters are state: every server knows those of all others, changes are numbered, and who misses one asks for
 * everything. Motion is only published when people of another server are in the room, and only read by servers whose
 * own people are.
 */
export class RoomExchange {
  readonly #options: RoomExchangeOptions;
  readonly #now: () => number;
  readonly #others = new Map<string, OtherServer>();
  readonly #listeners = new Set<() => void>();
  /** own rosters as they were last published */
  readonly #published = new Map<string, readonly ParticipantInfo[]>();
  /** by room: what ends reading its motions */
  readonly #read = new Map<string, () => void>();
  /** own motions of this turn of the event loop, by room and participant */
  readonly #motions = new Map<string, Map<string, Uint8Array>>();
  readonly #askedAtMs = new Map<string, number>();
  readonly #ends: (() => void)[] = [];
  #sequence = 0;
  #toldAtMs = -Infinity;
  #tellTimer: ReturnType<typeof setTimeout> | undefined;
  #warnedAtMs = -Infinity;
  #lookedAtMs = 0;
  #sending = false;

  constructor(options: RoomExchangeOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Shares the rooms from now on. The others answer within a moment: who is with them is not known when it returns. */
  start(): void {
    const { bus, rooms } = this.#options;
    const timer = setInterval(() => this.#look(), ALIVE_MS);
    this.#lookedAtMs = this.#now();
    this.#serversChanged();
    this.#ends.push(
      () => clearInterval(timer),
      bus.subscribe(this.#serversSubject(), (data) => this.#take(() => this.#handle(decodeServerMessage(data)), data)),
      bus.onReconnected(() => this.#hello()),
      rooms.onRosterChanged((room) => this.#handleRoster(room)),
      rooms.onMotion((room, participant, sample) => this.#handleMotion(room, participant, sample)),
    );
    for (const room of rooms.names()) this.#handleRoster(room);
    this.#hello();
  }

  /** Tells the others that nobody is here any more. May be called twice. */
  close(): void {
    if (this.#ends.length === 0) return;
    this.#publish({ type: 'bye', server: this.#options.server });
    for (const end of [...this.#ends.splice(0), ...this.#read.values()]) end();
    this.#read.clear();
    clearTimeout(this.#tellTimer);
    for (const server of [...this.#others.keys()]) this.#forget(server);
  }

  /** other servers that are there, as far as is known */
  get others(): number {
    return this.#others.size;
  }

  /** One server of the cluster is, the one that was started first: for what is done once, like filling rooms with bots. */
  get isFirst(): boolean {
    for (const server of this.#others.keys()) if (server < this.#options.server) return false;
    return true;
  }

  /** Calls `listener` after a server came or went. Returns what ends it. */
  onServersChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // ── what happens here ────────────────────────────────────────────────────────────────────────────────────────────

  #handleRoster(room: string): void {
    const { rooms, server } = this.#options;
    const participants = rooms.ownRoster(room);
    if (!isSame(participants, this.#published.get(room) ?? [])) {
      if (participants.length > 0) this.#published.set(room, participants);
      else this.#published.delete(room);
      this.#publish({ type: 'roster', server, sequence: ++this.#sequence, room, participants });
    }
    this.#readWhereNeeded(room, participants.some(isPerson));
  }

  #readWhereNeeded(room: string, needed: boolean): void {
    const end = this.#read.get(room);
    if (needed === (end !== undefined)) return;
    if (end) {
      end();
      this.#read.delete(room);
      return;
    }
    const subject = this.#motionSubject(room);
    const read = (data: Uint8Array) => this.#take(() => this.#handleMotions(decodeMotionMessage(data)), data);
    this.#read.set(room, this.#options.bus.subscribe(subject, read));
  }

  /** Sent at the end of this turn: under load many packets come in one. */
  #handleMotion(room: string, participant: string, sample: MotionSample): void {
    if (!this.#isWatchedElsewhere(room)) return;
    const motions = this.#motions.get(room) ?? new Map<string, Uint8Array>();
    this.#motions.set(room, motions.set(participant, encodeMotion(sample)));
    if (this.#sending) return;
    this.#sending = true;
    setImmediate(() => {
      this.#sending = false;
      for (const [name, packets] of this.#motions) {
        const { server } = this.#options;
        const message: MotionMessage = { server, room: name, sentAtMs: this.#now(), motions: [...packets] };
        this.#send(this.#motionSubject(name), encodeMessage(message));
      }
      this.#motions.clear();
    });
  }

  #isWatchedElsewhere(room: string): boolean {
    for (const { rosters } of this.#others.values()) if (rosters.get(room)?.some(isPerson)) return true;
    return false;
  }

  // ── what the others say ──────────────────────────────────────────────────────────────────────────────────────────

  #handle(message: ServerMessage): void {
    const { server } = message;
    if (server === this.#options.server) return;
    if (message.type === 'bye') {
      this.#forget(server);
      return;
    }
    const other = this.#other(server);
    switch (message.type) {
      case 'hello':
        this.#tellEverything();
        break;
      case 'roster':
        if (other.takeRoster(message)) this.#show(server, [message.room]);
        else this.#ask(server);
        break;
      case 'rosters':
        this.#show(server, other.takeRosters(message) ?? []);
        break;
      case 'alive':
        if (!other.isAt(message.sequence)) this.#ask(server);
        break;
      case 'ask':
        if (message.of === this.#options.server) this.#tellSoon();
    }
  }

  #handleMotions({ server, room, sentAtMs, motions }: MotionMessage): void {
    if (server === this.#options.server) return;
    const other = this.#others.get(server);
    // Who is not known yet is asked for: see 'alive'.
    if (!other) return;
    other.clock.handleArrival(sentAtMs, this.#now());
    for (const [participant, packet] of motions) {
      const sample = decodeMotion(packet);
      const timeMs = other.clock.translate(sample.timeMs);
      this.#options.rooms.setRemoteMotion(server, room, participant, { ...sample, timeMs });
    }
  }

  #show(server: string, changed: readonly string[]): void {
    const rosters = this.#others.get(server)?.rosters;
    for (const room of changed) this.#options.rooms.setRemote(server, room, rosters?.get(room) ?? []);
  }

  #other(server: string): OtherServer {
    let other = this.#others.get(server);
    if (!other) {
      other = new OtherServer(this.#now());
      this.#others.set(server, other);
      this.#serversChanged();
    }
    other.heardAtMs = this.#now();
    return other;
  }

  #forget(server: string): void {
    const other = this.#others.get(server);
    if (!other) return;
    this.#others.delete(server);
    this.#askedAtMs.delete(server);
    this.#show(server, [...other.rosters.keys()]);
    this.#serversChanged();
  }

  #serversChanged(): void {
    this.#options.metrics.gauge('cluster_servers', this.#others.size + 1);
    for (const listener of this.#listeners) listener();
  }

  // ── now and then ─────────────────────────────────────────────────────────────────────────────────────────────────

  #look(): void {
    const nowMs = this.#now();
    // Whoever was not heard while this server itself stood still may well be there: what it said waits to be read.
    const stoodStillMs = Math.max(0, nowMs - this.#lookedAtMs - 2 * ALIVE_MS);
    this.#lookedAtMs = nowMs;
    for (const [server, other] of this.#others) {
      other.heardAtMs += stoodStillMs;
      if (nowMs - other.heardAtMs > GONE_MS) this.#forget(server);
    }
    this.#publish({ type: 'alive', server: this.#options.server, sequence: this.#sequence });
  }

  #hello(): void {
    this.#publish({ type: 'hello', server: this.#options.server });
    this.#tellEverything();
  }

  #tellEverything(): void {
    this.#toldAtMs = this.#now();
    const { server } = this.#options;
    const all = inParts([...this.#published]);
    for (const [part, rosters] of all.entries()) {
      this.#publish({ type: 'rosters', server, sequence: this.#sequence, part, parts: all.length, rosters });
    }
  }

  /** Many may ask at the same time, and all hear the answer. */
  #tellSoon(): void {
    this.#tellTimer ??= setTimeout(
      () => {
        this.#tellTimer = undefined;
        this.#tellEverything();
      },
      Math.max(0, this.#toldAtMs + ASK_MS - this.#now()),
    );
  }

  #ask(server: string): void {
    const nowMs = this.#now();
    if (nowMs - (this.#askedAtMs.get(server) ?? -Infinity) < ASK_MS) return;
    this.#askedAtMs.set(server, nowMs);
    this.#publish({ type: 'ask', server: this.#options.server, of: server });
  }

  #publish(message: ServerMessage): void {
    this.#send(this.#serversSubject(), encodeMessage(message));
  }

  #send(subject: string, data: Uint8Array): void {
    const { bus, metrics } = this.#options;
    if (!bus.connected) return;
    bus.publish(subject, data);
    metrics.count('cluster_messages_sent_total');
    metrics.count('cluster_bytes_sent_total', data.length);
  }

  /** What cannot be read costs nothing but itself. */
  #take(handle: () => void, { length }: Uint8Array): void {
    const { metrics, warn } = this.#options;
    metrics.count('cluster_messages_received_total');
    metrics.count('cluster_bytes_received_total', length);
    try {
      handle();
    } catch (error) {
      if (!(error instanceof FacewireError)) throw error;
      metrics.count('cluster_messages_malformed_total');
      if (this.#now() - this.#warnedAtMs < WARN_MS) return;
      this.#warnedAtMs = this.#now();
      warn?.(`${error.message} (${error.received}; ${error.remedy})`);
    }
  }

  #serversSubject(): string {
    return `${this.#options.cluster}.servers`;
  }

  /** Room names may hold what NATS gives a meaning to. */
  #motionSubject(room: string): string {
    return `${this.#options.cluster}.motion.${Buffer.from(room).toString('base64url')}`;
  }
}

/** Bots do not watch. */
function isPerson({ bot }: ParticipantInfo): boolean {
  return !bot;
}

function isSame(a: readonly ParticipantInfo[], b: readonly ParticipantInfo[]): boolean {
  return (
    a.length === b.length && a.every((each, index) => each.id === b[index]!.id && each.avatar === b[index]!.avatar)
  );
}

/** At least one part, however few there are; a room with more than fits is a part of its own. */
function inParts(rosters: Rosters): Rosters[] {
  const parts: (typeof rosters)[number][][] = [[]];
  let bytes = 0;
  for (const each of rosters) {
    const more = sizeOf(each);
    if (bytes > 0 && bytes + more > PART_BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(each);
    bytes += more;
  }
  return parts;
}
