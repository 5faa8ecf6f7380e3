import type { FacewireError, FrameCodec, ParticipantInfo, Role } from '@facewire/proto';
import type { ReconnectOptions } from './backoff.ts';
import type { MotionFormat } from './motion/motionEncoder.ts';
import type { TransportFactory } from './transport/Transport.ts';
import type { WebSocketConstructor } from './transport/WebSocketTransport.ts';

export interface AvatarClientOptions {
  /** `ws://` or `wss://` (or http, https) address of the server's /connect; or give `transport` */
  url?: string;
  /** makes one transport per attempt, e.g. `() => new GrpcTransport({ address })` */
  transport?: TransportFactory;
  room: string;
  role: Role;
  name: string;
  /** the avatar to drive; players need one */
  avatar?: string;
  /** what this end can decode, most wanted first; default: what the browser can decode, `['jpeg']` in Node */
  codecs?: readonly FrameCodec[];
  /** WebSocket class for Node (package `ws`) */
  WebSocket?: WebSocketConstructor;
  /** default true: retry with growing delays for ever. `false` closes the client when the connection is lost */
  reconnect?: boolean | Partial<ReconnectOptions>;
  /** motion packets per second at most, 1…120; default 30 */
  motionRate?: number;
  /** default 'compact' */
  motionFormat?: MotionFormat;
  /**
   * bytes per second that motion may cost, the transport's own bytes per message included (TCP's and IP's are not):
   * coefficients, precision and packets are left out, what matters least first. Default: no limit, the default precision
   */
  motionBudget?: number | undefined;
}

export interface AvatarClientEvents {
  /** joined, for the first time or again */
  open: [session: Session];
  /** the client is closed for good; the error says why when it was no decision of the application's */
  close: [reason: string, error?: FacewireError];
  /** the connection is lost; attempt 1, 2, … since the last one that held for five seconds follows after `delayMs` */
  reconnecting: [attempt: number, delayMs: number, cause: string];
  /** somebody is in the room: fired for those who are there at the join, too */
  participantJoined: [participant: ParticipantInfo];
  /** another avatar; also fired after a reconnect for who changed meanwhile */
  participantUpdated: [participant: ParticipantInfo];
  participantLeft: [participant: ParticipantInfo];
  /** what the server refused or what could not be read; the connection goes on */
  error: [error: FacewireError];
}

/** What the server granted at the join. */
export interface Session {
  participant: string;
  room: string;
  version: number;
  codec: FrameCodec;
  /** pixels, ascending */
  sizes: readonly number[];
}
