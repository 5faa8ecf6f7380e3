import {
  type ClientControl,
  decodeMotion,
  FacewireError,
  type FrameCodec,
  type MotionSample,
  type ParticipantInfo,
  receiveMotion,
  wrappedDifference,
} from '@facewire/proto';
import type { AvatarStore, ExchangedRooms, FanOut, Metrics, Peer, PeerHandler, Stream } from '../contracts.ts';
import { negotiateCodec, negotiateVersion } from './negotiate.ts';
import { type LiveStream, Member, Room, sendSafely } from './Room.ts';
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
export class RoomRegistry implements PeerHandler, ExchangedRooms {
  readonly #options: RoomRegistryOptions;
  readonly #now: () => number;
  readonly #rooms = new Map<string, Room>();
  readonly #memberships = new Map<Peer, Membership>();
  readonly #streams: StreamTable;
  readonly #rosterListeners = new Set<(room: string) => void>();
  readonly #motionListeners = new Set<(room: string, participant: string, sample: MotionSample) => void>();
  #nextParticipant = 1;

  constructor(options: RoomRegistryOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const { sizes, fanOut, metrics, maxStreams = 64 } = options;
    this.#streams = new StreamTable({ sizes, fanOut, metrics, maxStreams });
    for (const name of options.rooms ?? []) this.#rooms.set(name, new Room(name, true));
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
    return [...(this.#rooms.get(room)?.members.values() ?? [])].map((member) => member.info());
  }

  /** Every room and who is in it, for GET /api/rooms. */
  list(): { name: string; participants: ParticipantInfo[] }[] {
    return [...this.#rooms.keys()].map((name) => ({ name, participants: this.roster(name) }));
  }

  /** Calls `listener` with a room's name after somebody came, left or changed avatar. Returns what ends it. */
  onRosterChanged(listener: (room: string) => void): () => void {
    this.#rosterListeners.add(listener);
    return () => this.#rosterListeners.delete(listener);
  }

  /** Of this server, but for `elsewhere`: participants on other servers, bots among them. */
  snapshot(): { rooms: number; participants: number; bots: number; elsewhere: number; streams: number } {
    let [participants, bots, elsewhere] = [0, 0, 0];
    for (const room of this.#rooms.values()) {
      for (const { bot, server } of room.members.values()) {
        if (server !== undefined) elsewhere++;
        else if (bot) bots++;
        else participants++;
      }
    }
    return { rooms: this.#rooms.size, participants, bots, elsewhere, streams: this.#streams.size };
  }

  // ── other servers ────────────────────────────────────────────────────────────────────────────────────────────────

  names(): string[] {
    return [...this.#rooms.keys()];
  }

  ownRoster(room: string): ParticipantInfo[] {
    const members = [...(this.#rooms.get(room)?.members.values() ?? [])];
    return members.filter(({ server }) => server === undefined).map((member) => member.info());
  }

  onMotion(listener: (room: string, participant: string, sample: MotionSample) => void): () => void {
    this.#motionListeners.add(listener);
    return () => this.#motionListeners.delete(listener);
  }

  /** A room that this server does not make itself is there as long as others have somebody in it. */
  setRemote(server: string, name: string, participants: readonly ParticipantInfo[]): void {
    const room = this.#rooms.get(name) ?? new Room(name, false);
    const staying = new Set(participants.map(({ id }) => id));
    let changed = false;
    for (const info of participants) {
      const { id, avatar } = info;
      const known = room.members.get(id);
      if (known?.server === server && known.avatar !== avatar) {
        known.avatar = avatar;
        room.tell({ type: 'participantUpdated', participant: info });
        changed = true;
      } else if (!known) {
        this.#rooms.set(name, room);
        room.add(new Member({ ...info, avatar, room: name, server }));
        changed = true;
      }
    }
    for (const member of room.members.values()) {
      if (member.server === server && !staying.has(member.id)) this.#removeMember(room, member);
    }
    if (changed) this.#rosterChanged(room);
  }

  setRemoteMotion(server: string, room: string, participant: string, sample: MotionSample): void {
    const member = this.#rooms.get(room)?.members.get(participant);
    if (member?.server === server) this.#setMotion(member, sample);
  }

  // ── participants of this process ─────────────────────────────────────────────────────────────────────────────────

  /** Throws avatar_unknown, and room_unknown like a join. */
  addLocalParticipant(options: { room: string; name: string; avatar: string; bot: boolean }): LocalParticipant {
    const avatar = this.#knownAvatar(options.avatar);
    const room = this.#roomToEnter(options.room);
    const member = this.#newMember({ ...options, avatar, room, role: 'player', peer: undefined });
    room.add(member);
    this.#rosterChanged(room);
    return {
      id: member.id,
      avatar,
      get watched() {
        return member.watchers.size > 0 || room.count(({ server, bot }) => server !== undefined && !bot) > 0;
      },
      setMotion: (sample) => this.#setMotion(member, sample),
      remove: () => this.#removeMember(room, member),
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
    this.#setMotion(member, sample);
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
    const room = this.#roomToEnter(message.room);
    const limit = this.#options.maxParticipants ?? 256;
    if (room.people >= limit) {
      throw new FacewireError('room_full', `the room holds ${limit} participants`, {
        received: message.room,
        remedy: 'join another room, or try again when somebody has left',
      });
    }
    const member = this.#newMember({ room, name: message.name, role: message.role, avatar, peer, bot: false });
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
    room.add(member);
    this.#rosterChanged(room);
  }

  #leave(peer: Peer): void {
    const { member, room } = this.#membership(peer);
    // Out of the list first: what it caused to be said on the way out is not for itself.
    this.#memberships.delete(peer);
    this.#streams.endAllFor(peer);
    this.#removeMember(room, member);
  }

  #removeMember(room: Room, member: Member): void {
    if (room.members.get(member.id) !== member) return;
    for (const stream of this.#streams.endAllOf(member)) {
      sendSafely(stream.peer, { type: 'ended', stream: stream.id });
    }
    room.remove(member);
    if (room.members.size === 0 && !room.permanent) this.#rooms.delete(room.name);
    this.#rosterChanged(room);
  }

  #newMember(fields: {
    room: Room;
    name: string;
    role: Member['role'];
    avatar: string | undefined;
    peer: Peer | undefined;
    bot: boolean;
  }): Member {
    const id = `${this.#options.idPrefix ?? ''}${fields.bot ? 'bot' : 'p'}${this.#nextParticipant++}`;
    if (!this.#rooms.has(fields.room.name)) this.#rooms.set(fields.room.name, fields.room);
    return new Member({ ...fields, id, room: fields.room.name });
  }

  /** The room is only kept once somebody is in it: see #newMember. */
  #roomToEnter(name: string): Room {
    const room = this.#rooms.get(name);
    if (room) return room;
    if (this.#options.createRooms ?? true) return new Room(name, false);
    throw new FacewireError('room_unknown', 'there is no such room, and this server does not make new ones', {
      received: name,
      remedy: `join one of ${[...this.#rooms.keys()].join(', ') || '(this server has no rooms)'}`,
    });
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
    member.avatar = this.#knownAvatar(avatar);
    room.tell({ type: 'participantUpdated', participant: member.info() }, member);
    this.#rosterChanged(room);
  }

  #knownAvatar(avatar: string | undefined): string {
    if (avatar !== undefined && this.#options.avatars.get(avatar)) return avatar;
    throw new FacewireError('avatar_unknown', 'players need an avatar that this server has', {
      received: avatar ?? '(none)',
      remedy: 'choose one of GET /api/avatars, or upload a portrait first',
    });
  }

  /** Newest wins: what is not newer than what is known is dropped and counted. */
  #setMotion(member: Member, sample: MotionSample): void {
    if (member.latest && wrappedDifference(sample.sequence, member.latest.sequence) <= 0) {
      this.#options.metrics.count('motion_stale_total');
      return;
    }
    member.latest = sample;
    member.latestAtMs = this.#now();
    member.received = receiveMotion(member.received, sample, member.latestAtMs);
    this.#options.metrics.count('motion_packets_total');
    this.#options.metrics.observe('motion_delay_ms', member.received.delayMs);
    if (member.server !== undefined) return;
    for (const listener of this.#motionListeners) listener(member.room, member.id, sample);
  }

  #membership(peer: Peer): Membership {
    const membership = this.#memberships.get(peer);
    if (membership) return membership;
    throw new FacewireError('not_joined', 'this connection is in no room yet', { remedy: "send 'join' first" });
  }

  #rosterChanged(room: Room): void {
    const { streams: _, ...counts } = this.snapshot();
    for (const [name, value] of Object.entries(counts)) this.#options.metrics.gauge(name, value);
    for (const listener of this.#rosterListeners) listener(room.name);
  }
}

function playersOnly(what: string): FacewireError {
  return new FacewireError('role_forbidden', `only players ${what}`, {
    received: 'viewer',
    remedy: "join with role 'player' and an avatar",
  });
}
