import type {
  FrameCodec,
  MotionSample,
  ParticipantInfo,
  ReceivedMotion,
  Role,
  ServerControl,
  View,
} from '@facewire/proto';
import type { Participant, Peer, Stream } from '../contracts.ts';

/** A stream that the room changes; Stream's view of it is what the scheduler reads. */
export interface LiveStream extends Stream {
  readonly peer: Peer;
  readonly codec: FrameCodec;
  readonly participant: Member;
  view: View;
}

/** A participant, connected by a peer, living in this process, or on another server of the cluster. */
export class Member implements Participant {
  readonly id: string;
  readonly room: string;
  readonly name: string;
  readonly role: Role;
  readonly bot: boolean;
  /** undefined for those who live in this process, or are on another server */
  readonly peer: Peer | undefined;
  /** the server of the cluster that it is on; undefined: this one */
  readonly server: string | undefined;
  avatar: string | undefined;
  latest: MotionSample | undefined = undefined;
  latestAtMs = 0;
  received: ReceivedMotion | undefined = undefined;
  /** streams that show this participant to somebody */
  readonly watchers = new Set<LiveStream>();

  constructor(
    fields: Pick<Member, 'id' | 'room' | 'name' | 'role' | 'bot' | 'avatar'> & Partial<Pick<Member, 'peer' | 'server'>>,
  ) {
    this.id = fields.id;
    this.room = fields.room;
    this.name = fields.name;
    this.role = fields.role;
    this.bot = fields.bot;
    this.peer = fields.peer;
    this.server = fields.server;
    this.avatar = fields.avatar;
  }

  info(): ParticipantInfo {
    const { id, name, role, bot, avatar } = this;
    return avatar === undefined ? { id, name, role, bot } : { id, name, role, bot, avatar };
  }
}

/** The members of one room, and what they tell each other. */
export class Room {
  readonly name: string;
  /** stays when the last member has left */
  readonly permanent: boolean;
  readonly members = new Map<string, Member>();

  constructor(name: string, permanent: boolean) {
    this.name = name;
    this.permanent = permanent;
  }

  /** members that are connected by a peer, to whatever server: bots take nobody's place */
  get people(): number {
    return this.count(({ peer, server, bot }) => peer !== undefined || (server !== undefined && !bot));
  }

  count(which: (member: Member) => boolean): number {
    let count = 0;
    for (const member of this.members.values()) if (which(member)) count++;
    return count;
  }

  add(member: Member): void {
    this.tell({ type: 'participantJoined', participant: member.info() });
    this.members.set(member.id, member);
  }

  remove(member: Member): void {
    if (this.members.delete(member.id)) this.tell({ type: 'participantLeft', participant: member.id });
  }

  /** Sends to every peer of the room but `except`. */
  tell(message: ServerControl, except?: Member): void {
    for (const member of this.members.values()) {
      if (member !== except && member.peer) sendSafely(member.peer, message);
    }
  }
}

/** A peer whose transport fails costs nobody else a message; the transport itself reports and closes it. */
export function sendSafely(peer: Peer, message: ServerControl): void {
  try {
    peer.sendControl(message);
  } catch {
    // closed by its transport, whose handleClose() follows
  }
}
