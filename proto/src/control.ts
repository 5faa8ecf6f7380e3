/**
 * Control messages: reliable and ordered. On WebSocket each is one binary message: the byte 0x00 followed by the
 * msgpack map below. On gRPC the same fields travel in ClientEnvelope / ServerEnvelope (facewire.proto), where `type`
 * is the name of the oneof field.
 */
export const PROTOCOL_VERSION = 1;

export type Role = 'player' | 'viewer';
export type FrameCodec = 'vp8' | 'vp9' | 'jpeg';

/** The viewer's rotation of a head, applied on the left of the head's own: R ← R_view · R. Radians. */
export interface View {
  yaw: number;
  pitch: number;
}

export interface ParticipantInfo {
  id: string;
  name: string;
  role: Role;
  /** the avatar that this participant drives; absent for viewers */
  avatar?: string;
  /** one of the server's own bots */
  bot: boolean;
}

export type ClientControl =
  | {
      type: 'join';
      /** the highest protocol version that the client speaks; the server answers with the one to use */
      version: number;
      room: string;
      role: Role;
      name: string;
      /** required for players */
      avatar?: string;
      /** what the client can decode, most wanted first; the server picks the first that it can encode */
      codecs: FrameCodec[];
    }
  /** size in pixels (square), framesPerSecond 1…60 (0: none for now); `request` comes back in `subscribed` or `error` */
  | { type: 'subscribe'; request: number; participant: string; size: number; framesPerSecond: number; view?: View }
  /** change size, rate or view of a stream at any time */
  | { type: 'update'; stream: number; size?: number; framesPerSecond?: number; view?: View }
  | { type: 'unsubscribe'; stream: number }
  /** the decoder lost its state (error, dropped frame): send a key frame */
  | { type: 'keyFrame'; stream: number }
  | { type: 'setAvatar'; avatar: string }
  | { type: 'ping'; clientTimeMs: number }
  | { type: 'leave' };

export type ServerControl =
  | {
      type: 'welcome';
      version: number;
      participant: string;
      room: string;
      serverTimeMs: number;
      codec: FrameCodec;
      sizes: number[];
      /** everyone else in the room */
      participants: ParticipantInfo[];
    }
  | { type: 'participantJoined'; participant: ParticipantInfo }
  | { type: 'participantUpdated'; participant: ParticipantInfo }
  | { type: 'participantLeft'; participant: string }
  | { type: 'subscribed'; request: number; stream: number; participant: string; size: number; codec: FrameCodec }
  /** the stream ended because its participant left */
  | { type: 'ended'; stream: number }
  | { type: 'pong'; clientTimeMs: number; serverTimeMs: number }
  | { type: 'error'; code: string; message: string; received?: string; remedy?: string; request?: number };
