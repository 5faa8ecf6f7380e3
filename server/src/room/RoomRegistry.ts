import {
  type ClientControl,
  decodeMotion,
  FacewireError,
  type FrameCodec,
  type MotionSample,
  type ParticipantInfo,
} from '@facewire/proto';
import type { AvatarStore, FanOut, Metrics, Peer, PeerHandler, Stream } from '../contracts.ts';
import { negotiateCodec, negotiateVersion } from './negotiate.ts';
import { type LiveStream, type Member, type Room, sendSafely } from './Room.ts';
import { RoomDirectory } from './RoomDirectory.ts';
import { StreamTable } from './StreamTable.ts';

/** Reads one participant's packets, in the order they came. Throws FacewireError; packet_stale is only counted. */
export type MotionDecoder = (packet: Uint8Array) => MotionSample;

export interface RoomRegistryOptions {
  avatars: Pick<AvatarStore, 'get'>;
  /** EncoderFactory.codecs */
  codecs: readonly FrameCodec[];
  /** Renderer.sizes, ascending */
  sizes: readonly number[];
  fanOut: Pick<FanOut, 'handleDrain' | 'forgetStream' | 'forgetPeer'>;
  metrics: Metrics;
  /** one per player, as compact packets refer to earlier ones; default: the fixed layout only */
  createMotionDecoder?: () => MotionDecoder;
  /** rooms that exist from the start and stay */
  rooms?: readonly string[];
  /** false: joining a room that is not in `rooms` is an error; default true */
  createRooms?: boolean;
  /** connected participants of one room, default 256; bots do not count */
  maxParticipants?: number;
  /** streams of one peer, default 64 */
  maxStreams?: number;
  /** what the ids of this server's participants begin with, so that they differ from other servers'; default '' */
  idPrefix?: string;
  /** server clock in ms, default performance.now */
  now?: () => number;
}

/** A participant that lives in this process. */
export interface LocalParticipant {
  readonly id: string;
  readonly avatar: string;
  /** somebody has a stream of it, or may have one on another server */
  readonly watched: boolean;
  setMotion(sample: MotionSample): void;
  /** may be called twice */
  remove(): void;
}

/** What a peer is while it is in a room. */
interface Membership {
  member: Member;
  room: Room;
  codec: FrameCodec;
  decode: MotionDecoder;
}

/**
 * Rooms, who is in them, and who watches whom. Everything that a peer may do wrong is a FacewireError thrown to its
 * transport, which tells that peer; nobody else notices.
 */
export class RoomRegistry implements PeerHandler {
  readonly #options: RoomRegistryOptions;
  readonly #now: () => number;
  /** what other servers share */
  readonly directory: RoomDirectory;
  readonly #memberships = new Map<Peer, Membership>();
  readonly #streams: StreamTable;

  constructor(options: RoomRegistryOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const { sizes, fanOut, metrics, maxStreams = 64 } = options;
    this.#streams = new StreamTable({ sizes, fanOut, metrics, maxStreams });
    this.directory = new RoomDirectory({
      metrics,
      rooms: options.rooms ?? [],
      createRooms: options.createRooms ?? true,
      idPrefix: options.idPrefix ?? '',
      now: this.#now,
      handleLeaving: (member) => {
        for (const stream of this.#streams.endAllOf(member)) {
          sendSafely(stream.peer, { type: 'ended', stream: stream.id });
        }
      },
    });
  }

  // ── what the scheduler reads ─────────────────────────────────────────────────────────────────────────────────────

  streams(): Iterable<Stream> {
    return this.#streams.values();
  }

  hasStream(id: number): boolean {
    return this.#streams.has(id);
  }

  // ── what /health and the bots read ───────────────────────────────────────────────────────────────────────────────

  /** Everybody in a room, in the order they came; empty for an unknown room. */
  roster(room: string): ParticipantInfo[] {
    return this.directory.roster(room);
  }

  /** Every room and who is in it, for GET /api/rooms. */
  list(): { name: string; participants: ParticipantInfo[] }[] {
    return this.directory.names().map((name) => ({ name, participants: this.roster(name) }));
  }

  /** Calls `listener` with a room's name after somebody came, left or changed avatar. Returns what ends it. */
  onRosterChanged(listener: (room: string) => void): () => void {
    return this.directory.onRosterChanged(listener);
  }

  snapshot(): ReturnType<RoomDirectory['count']> & { streams: number } {
    return { ...this.directory.count(), streams: this.#streams.size };
  }

  // ── participants of this process ─────────────────────────────────────────────────────────────────────────────────

  /** Throws avatar_unknown, and room_unknown like a join. */
  addLocalParticipant(options: { room: string; name: string; avatar: string; bot: boolean }): LocalParticipant {
    const avatar = this.#knownAvatar(options.avatar);
    const room = this.directory.roomToEnter(options.room);
    const member = this.directory.newMember(room, { ...options, avatar, role: 'player', peer: undefined });
    this.directory.enter(room, member);
    return {
      id: member.id,
      avatar,
      get watched() {
        return member.watchers.size > 0 || room.count(({ server, bot }) => server !== undefined && !bot) > 0;
      },
      setMotion: (sample) => this.directory.setMotion(member, sample),
      remove: () => this.directory.leave(room, member),
    };
  }

  // ── what transports call ─────────────────────────────────────────────────────────────────────────────────────────

  handleOpen(_peer: Peer): void {
    this.#options.metrics.count('peers_opened_total');
  }

  handleControl(peer: Peer, message: ClientControl): void {
    if (message.type === 'join') {
      this.#join(peer, message);
      return;
    }
    const membership = this.#membership(peer);
    switch (message.type) {
      case 'subscribe':
        this.#subscribe(peer, membership, message);
        break;
      case 'update':
        this.#streams.update(peer, message);
        break;
      case 'unsubscribe': {
        const stream = this.#streams.own(peer, message.stream);
        if (stream) this.#streams.end(stream);
        break;
      }
      case 'keyFrame': {
        const stream = this.#streams.own(peer, message.stream);
        if (stream) stream.needsKeyFrame = true;
        break;
      }
      case 'setAvatar':
        this.#setAvatar(membership, message.avatar);
        break;
      case 'ping':
        sendSafely(peer, { type: 'pong', clientTimeMs: message.clientTimeMs, serverTimeMs: this.#now() });
        break;
      case 'leave':
        this.#leave(peer);
        break;
    }
  }

  handleMotion(peer: Peer, packet: Uint8Array): void {
    const { member, decode } = this.#membership(peer);
    if (member.role !== 'player') throw playersOnly('send motion');
    let sample: MotionSample;
    try {
      sample = decode(packet);
    } catch (error) {
      if (!(error instanceof FacewireError) || error.code !== 'packet_stale') throw error;
      this.#options.metrics.count('motion_stale_total');
      return;
    }
    this.directory.setMotion(member, sample);
  }

  handleDrain(peer: Peer): void {
    this.#options.fanOut.handleDrain(peer);
  }

  handleClose(peer: Peer): void {
    if (this.#memberships.has(peer)) this.#leave(peer);
    this.#options.fanOut.forgetPeer(peer);
    this.#options.metrics.count('peers_closed_total');
  }

  // ── joining and leaving ──────────────────────────────────────────────────────────────────────────────────────────

  #join(peer: Peer, message: Extract<ClientControl, { type: 'join' }>): void {
    if (this.#memberships.has(peer)) {
      throw new FacewireError('already_joined', 'this connection is in a room already', {
        received: message.room,
        remedy: "send 'leave' first, or open another connection",
      });
    }
    const version = negotiateVersion(message.version);
    const codec = negotiateCodec(message.codecs, this.#options.codecs);
    const avatar = message.role === 'player' ? this.#knownAvatar(message.avatar) : undefined;
    const room = this.directory.roomToEnter(message.room);
    const limit = this.#options.maxParticipants ?? 256;
    if (room.people >= limit) {
      throw new FacewireError('room_full', `the room holds ${limit} participants`, {
        received: message.room,
        remedy: 'join another room, or try again when somebody has left',
      });
    }
    const { name, role } = message;
    const member = this.directory.newMember(room, { name, role, avatar, peer, bot: false });
    const decode = this.#options.createMotionDecoder?.() ?? decodeMotion;
    this.#memberships.set(peer, { member, room, codec, decode });
    const participants = [...room.members.values()].map((other) => other.info());
    sendSafely(peer, {
      type: 'welcome',
      version,
      participant: member.id,
      room: room.name,
      serverTimeMs: this.#now(),
      codec,
      sizes: [...this.#options.sizes],
      // everybody else: what the newcomer is, it knows
      participants,
    });
    this.directory.enter(room, member);
  }

  #leave(peer: Peer): void {
    const { member, room } = this.#membership(peer);
    // Out of the list first: what it caused to be said on the way out is not for itself.
    this.#memberships.delete(peer);
    this.#streams.endAllFor(peer);
    this.directory.leave(room, member);
  }

  // ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A failed subscription is answered with its request number, and is no reason to close: people come and go. */
  #subscribe(peer: Peer, membership: Membership, message: Extract<ClientControl, { type: 'subscribe' }>): void {
    let stream: LiveStream;
    try {
      const participant = membership.room.members.get(message.participant);
      stream = this.#streams.open(peer, membership.codec, participant, message);
    } catch (error) {
      if (!(error instanceof FacewireError)) throw error;
      const { code, received, remedy } = error;
      sendSafely(peer, {
        type: 'error',
        code,
        message: error.message,
        request: message.request,
        ...(received === undefined ? {} : { received }),
        ...(remedy === undefined ? {} : { remedy }),
      });
      return;
    }
    const { id, size, codec, participant } = stream;
    sendSafely(peer, {
      type: 'subscribed',
      request: message.request,
      stream: id,
      participant: participant.id,
      size,
      codec,
    });
  }

  // ── avatars and motion ───────────────────────────────────────────────────────────────────────────────────────────

  #setAvatar({ member, room }: Membership, avatar: string): void {
    if (member.role !== 'player') throw playersOnly('have an avatar');
    this.directory.setAvatar(room, member, this.#knownAvatar(avatar));
  }

  #knownAvatar(avatar: string | undefined): string {
    if (avatar !== undefined && this.#options.avatars.get(avatar)) return avatar;
    throw new FacewireError('avatar_unknown', 'players need an avatar that this server has', {
      received: avatar ?? '(none)',
      remedy: 'choose one of GET /api/avatars, or upload a portrait first',
    });
  }

  #membership(peer: Peer): Membership {
    const membership = this.#memberships.get(peer);
    if (membership) return membership;
    throw new FacewireError('not_joined', 'this connection is in no room yet', { remedy: "send 'join' first" });
  }
}

function playersOnly(what: string): FacewireError {
  return new FacewireError('role_forbidden', `only players ${what}`, {
    received: 'viewer',
    remedy: "join with role 'player' and an avatar",
  });
}
