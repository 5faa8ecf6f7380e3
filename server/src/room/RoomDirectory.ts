import {
  FacewireError,
  type MotionSample,
  type ParticipantInfo,
  type Role,
  receiveMotion,
  wrappedDifference,
} from '@facewire/proto';
import type { ExchangedRooms, Metrics, Peer } from '../contracts.ts';
import { Member, Room } from './Room.ts';

export interface RoomDirectoryOptions {
  metrics: Metrics;
  /** rooms that exist from the start and stay */
  rooms: readonly string[];
  /** false: entering a room that is not there is an error */
  createRooms: boolean;
  /** what the ids of this server's participants begin with */
  idPrefix: string;
  /** server clock in ms */
  now: () => number;
  /** somebody leaves a room, and is still in it */
  handleLeaving: (member: Member) => void;
}

/** Rooms, who is in them, here or on other servers, and how they move. */
export class RoomDirectory implements ExchangedRooms {
  readonly #options: RoomDirectoryOptions;
  readonly #rooms = new Map<string, Room>();
  readonly #rosterListeners = new Set<(room: string) => void>();
  readonly #motionListeners = new Set<(room: string, participant: string, sample: MotionSample) => void>();
  readonly #counts = { participants: 0, bots: 0, elsewhere: 0 };
  #nextParticipant = 1;

  constructor(options: RoomDirectoryOptions) {
    this.#options = options;
    for (const name of options.rooms) this.#rooms.set(name, new Room(name, true));
  }

  names(): string[] {
    return [...this.#rooms.keys()];
  }

  /** Everybody in a room, in the order they came; empty for an unknown room. */
  roster(room: string): ParticipantInfo[] {
    return this.#members(room).map((member) => member.info());
  }

  ownRoster(room: string): ParticipantInfo[] {
    return this.#members(room)
      .filter(({ server }) => server === undefined)
      .map((member) => member.info());
  }

  onRosterChanged(listener: (room: string) => void): () => void {
    this.#rosterListeners.add(listener);
    return () => this.#rosterListeners.delete(listener);
  }

  onMotion(listener: (room: string, participant: string, sample: MotionSample) => void): () => void {
    this.#motionListeners.add(listener);
    return () => this.#motionListeners.delete(listener);
  }

  /** Of this server, but for `elsewhere`: participants on other servers, bots among them. */
  count(): { rooms: number; participants: number; bots: number; elsewhere: number } {
    return { rooms: this.#rooms.size, ...this.#counts };
  }

  /** A new room is only kept once somebody is in it. Throws room_unknown. */
  roomToEnter(name: string): Room {
    const room = this.#rooms.get(name);
    if (room) return room;
    if (this.#options.createRooms) return new Room(name, false);
    throw new FacewireError('room_unknown', 'there is no such room, and this server does not make new ones', {
      received: name,
      remedy: `join one of ${this.names().join(', ') || '(this server has no rooms)'}`,
    });
  }

  /** A participant of this server, who is not in the room yet: see enter(). */
  newMember(
    room: Room,
    fields: { name: string; role: Role; avatar: string | undefined; peer: Peer | undefined; bot: boolean },
  ): Member {
    const id = `${this.#options.idPrefix}${fields.bot ? 'bot' : 'p'}${this.#nextParticipant++}`;
    return new Member({ ...fields, id, room: room.name });
  }

  enter(room: Room, member: Member): void {
    this.#rooms.set(room.name, room);
    room.add(member);
    this.#counts[kindOf(member)]++;
    this.#rosterChanged(room);
  }

  /** May be called twice. */
  leave(room: Room, member: Member): void {
    if (room.members.get(member.id) !== member) return;
    this.#options.handleLeaving(member);
    room.remove(member);
    this.#counts[kindOf(member)]--;
    if (room.members.size === 0 && !room.permanent) this.#rooms.delete(room.name);
    this.#rosterChanged(room);
  }

  setAvatar(room: Room, member: Member, avatar: string): void {
    member.avatar = avatar;
    room.tell({ type: 'participantUpdated', participant: member.info() }, member);
    this.#rosterChanged(room);
  }

  /** Newest wins: what is not newer than what is known is dropped and counted. */
  setMotion(member: Member, sample: MotionSample): void {
    if (member.latest && wrappedDifference(sample.sequence, member.latest.sequence) <= 0) {
      this.#options.metrics.count('motion_stale_total');
      return;
    }
    this.#take(member, sample);
    for (const listener of this.#motionListeners) listener(member.room, member.id, sample);
  }

  /** Of another server nothing older comes, and nothing at all while nobody here watches: however long that was. */
  setRemoteMotion(server: string, room: string, participant: string, sample: MotionSample): void {
    const member = this.#rooms.get(room)?.members.get(participant);
    if (member?.server === server) this.#take(member, sample);
  }

  #take(member: Member, sample: MotionSample): void {
    const { metrics, now } = this.#options;
    member.latest = sample;
    member.latestAtMs = now();
    member.received = receiveMotion(member.received, sample, member.latestAtMs);
    metrics.count('motion_packets_total');
    metrics.observe('motion_delay_ms', member.received.delayMs);
  }

  /** A room that this server does not make itself is there as long as others have somebody in it. */
  setRemote(server: string, name: string, participants: readonly ParticipantInfo[]): void {
    const room = this.#rooms.get(name) ?? new Room(name, false);
    const staying = new Set(participants.map(({ id }) => id));
    for (const member of room.members.values()) {
      if (member.server === server && !staying.has(member.id)) this.leave(room, member);
    }
    for (const info of participants) {
      const known = room.members.get(info.id);
      if (!known) this.enter(room, new Member({ ...info, avatar: info.avatar, room: name, server }));
      else if (known.server === server && known.avatar !== info.avatar) this.setAvatar(room, known, info.avatar!);
    }
  }

  #members(room: string): Member[] {
    return [...(this.#rooms.get(room)?.members.values() ?? [])];
  }

  #rosterChanged(room: Room): void {
    for (const [name, value] of Object.entries(this.count())) this.#options.metrics.gauge(name, value);
    for (const listener of this.#rosterListeners) listener(room.name);
  }
}

function kindOf({ bot, server }: Member): 'participants' | 'bots' | 'elsewhere' {
  if (server !== undefined) return 'elsewhere';
  return bot ? 'bots' : 'participants';
}
