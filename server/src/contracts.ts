/**
 * The contracts between the stages. A stage knows this file and never another stage; `compose.ts` wires them.
 * One packet's way: transport → room → scheduler → renderer → encoder → fan-out → transport.
 */
import type {
  ClientControl,
  FrameCodec,
  Motion,
  MotionSample,
  ParticipantInfo,
  ReceivedMotion,
  ServerControl,
  View,
} from '@facewire/proto';

// ── transport ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One connected client, whatever it is connected by. */
export interface Peer {
  readonly id: string;
  readonly transport: 'ws' | 'uws' | 'grpc' | 'local';
  /** reliable and ordered; `message` may go to many peers and is encoded once for them: it must not be changed afterwards */
  sendControl(message: ServerControl): void;
  /** hands over one whole frame packet; the transport does not keep a reference after it returns */
  sendFrame(packet: Uint8Array): void;
  /** bytes accepted but not yet on the wire; the fan-out sends only while this is small */
  bufferedBytes(): number;
  /** at most once per peer; sends the reason first where the transport can */
  close(code: string, reason: string): void;
}

/** What a transport calls. A handler that throws FacewireError has the error sent to that peer; three bad messages in a row close it. */
export interface PeerHandler {
  handleOpen(peer: Peer): void;
  handleControl(peer: Peer, message: ClientControl): void;
  /** `packet` is valid only during the call */
  handleMotion(peer: Peer, packet: Uint8Array): void;
  /** bufferedBytes() fell */
  handleDrain(peer: Peer): void;
  handleClose(peer: Peer): void;
}

export interface HttpRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  /** lower-case names */
  headers: Readonly<Record<string, string>>;
  body: Uint8Array;
}

export interface HttpResponse {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array | string;
}

export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

export interface TransportServer {
  readonly port: number;
  /** stops listening and closes every peer with code `server_closing`; may be called twice */
  close(): Promise<void>;
}

// ── renderer ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Names what is drawn: two viewers with the same key share one render. */
export interface Picture {
  avatar: string;
  /** pixels, square; one of Renderer.sizes */
  size: number;
  view: View;
  motion: Motion;
  /** the room that it is drawn for: of several devices one draws all of a room; absent: the avatar is on its own */
  room?: string;
}

export interface RenderedPicture {
  size: number;
  /** planar I420, BT.601 limited range, size·size·3/2 bytes; present when asked for */
  i420?: Uint8Array;
  /** interleaved RGB, full range, size·size·3 bytes; present when asked for */
  rgb?: Uint8Array;
  /**
   * Gives the memory back to the renderer, which then draws other pictures there: when nobody reads it any more. Need not
   * be called; calling twice does nothing.
   */
  release?(): void;
}

export interface RenderWanted {
  i420: boolean;
  rgb: boolean;
}

/** How long one run of so many pictures takes. */
export interface BatchTime {
  pictures: number;
  ms: number;
}

export interface Renderer {
  readonly model: string;
  /** e.g. "cuda:1"; renders in flight on "cpu" have threads of their own, elsewhere they share the device */
  readonly device: string;
  /** ascending, e.g. [128, 256, 512] */
  readonly sizes: readonly number[];
  readonly maxBatch: number;
  /** how many calls of render() should be under way at once, so that copies hide behind computing or all cores are used; default 1 */
  readonly rendersInFlight?: number;
  /** measured on this device for pictures of this size, ascending; empty as long as nothing was measured */
  batchTimes?(size: number): readonly BatchTime[];
  /**
   * Whether this avatar can be drawn without waiting for it to be loaded; where not, loading begins. Absent: always.
   * A render does not ask: it waits, and everybody in its batch with it. `room` as in Picture.
   */
  isReady?(avatar: string, room?: string): boolean;
  /** All pictures of one call have one size. Resolves in the order given; does not block the event loop. Throws FacewireError. */
  render(pictures: readonly Picture[], wanted: RenderWanted): Promise<RenderedPicture[]>;
  close(): Promise<void>;
}

// ── avatars ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type TensorType = 'float32' | 'float16' | 'uint8' | 'int64' | 'int32';

export interface Tensor {
  dtype: TensorType;
  shape: readonly number[];
  data: Uint8Array;
}

/** A personalised avatar: named tensors as the model's manifest lists them, without the slot dimension. */
export interface AvatarData {
  id: string;
  name: string;
  model: string;
  tensors: ReadonlyMap<string, Tensor>;
}

export interface AvatarInfo {
  id: string;
  name: string;
  model: string;
  /** built into the server: cannot be deleted */
  builtIn: boolean;
  createdAt: string;
}

/** Bytes of a portrait's file that are taken at most: by the transports' limits, so that no longer one is read, and by the store. */
export const MAX_PORTRAIT_BYTES = 24 * 1024 * 1024;

/** 68 landmarks (Multi-PIE order, "subject's right first" as in dlib/300-W), pixels of the uploaded image, y down. */
export type Landmarks = ReadonlyArray<readonly [number, number]>;

export interface AvatarStore {
  list(): AvatarInfo[];
  get(id: string): AvatarInfo | undefined;
  /**
   * Throws message_malformed (name or id), avatar_exists, image_unreadable, image_too_large, landmarks_required,
   * landmarks_invalid, face_… (without landmarks: why the picture's face cannot be used), server_full (too many at once),
   * server_closing; also what the model throws (inference_failed). In a cluster: cluster_unavailable.
   */
  create(portrait: Uint8Array, options: { name: string; landmarks?: Landmarks; id?: string }): Promise<AvatarInfo>;
  /** PNG or JPEG thumbnail of the portrait, 256². In a cluster it throws what load() throws. */
  portrait(id: string): Promise<Uint8Array | undefined>;
  /** Throws avatar_unknown, role_forbidden (built in); in a cluster cluster_unavailable, and nothing is deleted. */
  delete(id: string): Promise<void>;
  /** Throws avatar_unknown, avatar_corrupt; in a cluster cluster_unavailable, for one that is not here yet. */
  load(id: string): Promise<AvatarData>;
  /** Refuses portraits that wait in create(), and later ones; resolves when those in work are done. May be called twice. */
  close(): Promise<void>;
}

// ── encoder ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface EncodedFrame {
  codec: FrameCodec;
  keyFrame: boolean;
  data: Uint8Array;
}

/** One stream of pictures of one size in one codec. Calls are made one at a time, in order. */
export interface VideoEncoder {
  readonly codec: FrameCodec;
  encode(picture: RenderedPicture, options: { keyFrame: boolean; timestampMs: number }): Promise<EncodedFrame>;
  close(): void;
}

export interface EncoderFactory {
  /** codecs that can be encoded here, most wanted first; 'jpeg' is always among them */
  readonly codecs: readonly FrameCodec[];
  create(codec: FrameCodec, size: number, framesPerSecond: number): VideoEncoder;
}

// ── rooms → scheduler ────────────────────────────────────────────────────────────────────────────────────────────────

/** What one viewer wants of one participant. Mutable: the room changes it, the scheduler reads it at every tick. */
export interface Stream {
  readonly id: number;
  readonly peer: Peer;
  readonly codec: FrameCodec;
  readonly participant: Participant;
  size: number;
  /** 0: nobody sees it, nothing is drawn for it */
  framesPerSecond: number;
  view: View;
  /** set by anyone, cleared when a key frame has been handed to the peer */
  needsKeyFrame: boolean;
}

export interface Participant {
  readonly id: string;
  readonly room: string;
  /** undefined for viewers */
  avatar: string | undefined;
  /** newest motion; undefined until the first packet */
  latest: MotionSample | undefined;
  /** server clock (performance.now) at which `latest` arrived */
  latestAtMs: number;
  /** what all packets so far amount to: what is drawn comes from here */
  received?: ReceivedMotion | undefined;
}

/** A frame on its way to the viewers that share it. */
export interface FrameDelivery {
  frame: EncodedFrame;
  size: number;
  /** of the motion that it shows */
  motionSequence: number;
  motionTimeMs: number;
  /** the server's clock when the frame was encoded, whole ms modulo 2^32 */
  serverTimeMs: number;
}

export interface FanOut {
  /** Newest wins: replaces what this stream had waiting. */
  deliver(stream: Stream, delivery: FrameDelivery): void;
  handleDrain(peer: Peer): void;
  /** bytes waiting for this peer, so that the scheduler need not render what cannot be sent */
  isCongested(peer: Peer): boolean;
  forgetStream(stream: Stream): void;
  forgetPeer(peer: Peer): void;
}

// ── several servers ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Messages between the servers of a cluster: each arrives at most once, those of one sender in order. */
export interface ClusterBus {
  /** while false, what is published is lost */
  readonly connected: boolean;
  /** `data` may be used again after the call */
  publish(subject: string, data: Uint8Array): void;
  /**
   * Tells a listener what other servers publish under a subject; `data` is valid only during the call.
   * Returns what ends it.
   */
  subscribe(subject: string, listener: (data: Uint8Array) => void): () => void;
  /** Calls `listener` when the connection is back after it was lost. Returns what ends it. */
  onReconnected(listener: () => void): () => void;
}

/** Rooms as the servers of a cluster share them. Room and participant are given by name and id. */
export interface ExchangedRooms {
  names(): string[];
  /** participants of this server, in the order they came; empty for an unknown room */
  ownRoster(room: string): ParticipantInfo[];
  /** Calls `listener` after somebody came, left or changed avatar, here or elsewhere. Returns what ends it. */
  onRosterChanged(listener: (room: string) => void): () => void;
  /** Calls `listener` with every motion of a participant of this server that was taken. Returns what ends it. */
  onMotion(listener: (room: string, participant: string, sample: MotionSample) => void): () => void;
  /** All participants that another server has in a room, in place of those that it had. */
  setRemote(server: string, room: string, participants: readonly ParticipantInfo[]): void;
  /** Of nobody known: dropped. */
  setRemoteMotion(server: string, room: string, participant: string, sample: MotionSample): void;
}

/** What is known of a shared file without reading it. */
export interface SharedFileInfo {
  key: string;
  /** a few short texts that its owner keeps beside it; of a deleted file, those it had */
  about: Readonly<Record<string, string>>;
  /** it was there; its key may be used again */
  deleted: boolean;
  /** when it was written or deleted, ms since 1970 */
  changedAtMs: number;
}

/** Bytes of one shared file at most. */
export const MAX_SHARED_FILE_BYTES = 64 * 1024 * 1024;

export interface SharedFilesListener {
  /** all files, deleted ones too: at first, and again whenever changes may have been missed */
  handleAll(files: readonly SharedFileInfo[]): void;
  /** one was put or deleted, maybe by this server itself */
  handleChange(file: SharedFileInfo): void;
}

/** Files that all servers of a cluster have. Everything throws cluster_unavailable while they cannot be reached. */
export interface SharedFiles {
  /** Replaces what is there under this key. At most MAX_SHARED_FILE_BYTES. When it throws, the file may still arrive. */
  put(key: string, about: Readonly<Record<string, string>>, data: Uint8Array): Promise<void>;
  /** undefined when there is none, or no longer */
  get(key: string): Promise<Uint8Array | undefined>;
  /** No error when there is none. */
  delete(key: string): Promise<void>;
  /**
   * Tells a listener of all files and then of every change, also over a lost connection. Resolves with what ends it, when
   * all has been told the first time.
   */
  watch(listener: SharedFilesListener): Promise<() => void>;
}

// ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Counters and timings, served at /metrics and /health. Names are snake_case with a unit suffix. */
export interface Metrics {
  count(name: string, by?: number): void;
  gauge(name: string, value: number): void;
  observe(name: string, value: number): void;
}
