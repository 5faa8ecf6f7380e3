import {
  type ClientControl,
  CONTROL_LIMITS,
  type FacewireError,
  type FrameCodec,
  type FrameHeader,
  type View,
} from '@facewire/proto';
import { Emitter } from './Emitter.ts';
import { StreamMeter, type StreamStats } from './StreamMeter.ts';

/** Changes of view, size and rate are gathered for so long, ms. */
const UPDATE_INTERVAL_MS = 66;
/** The server is asked for a key frame at most so often, ms. */
const KEY_FRAME_INTERVAL_MS = 250;
/** Smaller turns of the view are not worth a message, radians. */
const VIEW_STEP = 0.004;

export interface SubscribeOptions {
  /** pixels, square, 16…1024; one of the sizes in `welcome` (128, 256, 512) */
  size: number;
  /** 1…60; 0: none, as long as nobody sees it */
  framesPerSecond: number;
  /** radians, R ← R_view · R; what is beyond ±π/2 counts as ±π/2; default no turn */
  view?: View;
}

/** An encoded frame as it came, and how long it took. */
export interface AvatarFrame {
  header: FrameHeader;
  payload: Uint8Array;
  /** motion sent → frame received, ms; undefined when the motion is the same as in the frame before */
  latencyMs: number | undefined;
}

export interface AvatarStreamEvents {
  frame: [frame: AvatarFrame];
  /** the server granted it, also again after a reconnect */
  subscribed: [codec: FrameCodec];
  /** refused by the server, which ends it, or `decoder_failed`, after which it goes on */
  error: [error: FacewireError];
  /** no more frames will come: closed here, or the participant left, or the server refused it */
  ended: [reason: string];
}

/** How a stream speaks to its client. */
export interface StreamLink {
  send(message: ClientControl): void;
  now(): number;
  serverNow(): number;
  handleClosed(stream: AvatarStream): void;
}

/** What one viewer sees of one participant. Made by `AvatarClient.subscribe`; lives on across reconnects. */
export class AvatarStream extends Emitter<AvatarStreamEvents> {
  readonly participant: string;
  readonly #link: StreamLink;
  readonly #meter = new StreamMeter();
  #wanted: Required<SubscribeOptions>;
  #changes: Partial<SubscribeOptions> = {};
  #id: number | undefined;
  #codec: FrameCodec | undefined;
  #closed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #keyFrameAskedAtMs = -Infinity;

  /** @internal */
  constructor(participant: string, options: SubscribeOptions, link: StreamLink) {
    super();
    this.participant = participant;
    this.#link = link;
    const { size, framesPerSecond, view = { yaw: 0, pitch: 0 } } = options;
    checkSize(size);
    checkRate(framesPerSecond);
    this.#wanted = { size, framesPerSecond, view: withinLimits(view) };
  }

  /** the server's number of this stream; undefined while it is not granted */
  get id(): number | undefined {
    return this.#id;
  }

  /** of the frames, by the newest grant; undefined before the first */
  get codec(): FrameCodec | undefined {
    return this.#codec;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** what is asked for at present */
  get wanted(): Readonly<Required<SubscribeOptions>> {
    return this.#wanted;
  }

  get stats(): StreamStats {
    return this.#meter.stats(this.#link.now());
  }

  /**
   * Turns the head for this viewer only, radians. What is beyond ±π/2 counts as ±π/2: a camera may walk behind a head.
   * Throws RangeError for what is not finite.
   */
  setView(view: View): void {
    const { yaw, pitch } = withinLimits(view);
    const before = this.#wanted.view;
    if (Math.abs(yaw - before.yaw) < VIEW_STEP && Math.abs(pitch - before.pitch) < VIEW_STEP) return;
    this.#change({ view: { yaw, pitch } });
  }

  /** Throws RangeError unless whole and within 16…1024 pixels. */
  setSize(size: number): void {
    checkSize(size);
    if (size !== this.#wanted.size) this.#change({ size });
  }

  /** Throws RangeError unless 1…60, or 0. */
  setRate(framesPerSecond: number): void {
    checkRate(framesPerSecond);
    if (framesPerSecond !== this.#wanted.framesPerSecond) this.#change({ framesPerSecond });
  }

  /** The decoder lost its state: asks for a key frame, but not more often than four times a second. */
  requestKeyFrame(): void {
    const nowMs = this.#link.now();
    if (this.#id === undefined || nowMs - this.#keyFrameAskedAtMs < KEY_FRAME_INTERVAL_MS) return;
    this.#keyFrameAskedAtMs = nowMs;
    this.#link.send({ type: 'keyFrame', stream: this.#id });
  }

  /** A decoder reports frames that it could not show. */
  reportDropped(count = 1): void {
    this.#meter.handleDropped(count);
  }

  /** Ends the stream, here and at the server; emits `ended`. May be called twice. */
  close(): void {
    if (this.#closed) return;
    if (this.#id !== undefined) this.#link.send({ type: 'unsubscribe', stream: this.#id });
    this.handleEnded('closed');
  }

  /** @internal */
  handleSubscribed(id: number, codec: FrameCodec): void {
    this.#id = id;
    this.#codec = codec;
    this.emit('subscribed', codec);
    this.#scheduleUpdate();
  }

  /** @internal The connection is gone; the client will subscribe again. */
  handleDisconnected(): void {
    this.#id = undefined;
    this.#changes = {};
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** @internal */
  handleFrame(header: FrameHeader, payload: Uint8Array, packetBytes: number): void {
    if (this.#closed) return;
    const latencyMs = this.#meter.handleFrame(header, packetBytes, this.#link.now(), this.#link.serverNow());
    this.emit('frame', { header, payload, latencyMs });
  }

  /** @internal The server or a decoder has trouble with it. */
  handleError(error: FacewireError): void {
    this.emit('error', error);
  }

  /** @internal */
  handleEnded(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.handleDisconnected();
    this.#link.handleClosed(this);
    this.emit('ended', reason);
    this.removeAllListeners();
  }

  #change(changes: Partial<SubscribeOptions>): void {
    if (this.#closed) return;
    this.#wanted = { ...this.#wanted, ...changes };
    this.#changes = { ...this.#changes, ...changes };
    this.#scheduleUpdate();
  }

  /** The first change leaves at once, those that follow within the interval together at its end. */
  #scheduleUpdate(): void {
    if (this.#id === undefined || this.#timer !== undefined || Object.keys(this.#changes).length === 0) return;
    this.#link.send({ type: 'update', stream: this.#id, ...this.#changes });
    this.#changes = {};
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#scheduleUpdate();
    }, UPDATE_INTERVAL_MS);
  }
}

/** What the server would refuse as malformed is refused here: three such messages in a row cost the connection. */
function checkSize(size: number): void {
  const [least, most] = CONTROL_LIMITS.size;
  if (!Number.isInteger(size) || size < least || size > most) {
    throw new RangeError(
      `size ${size}: expected a whole number of pixels, ${least}…${most}, one of the sizes the server announces`,
    );
  }
}

function checkRate(framesPerSecond: number): void {
  if (framesPerSecond !== 0 && !(framesPerSecond >= 1 && framesPerSecond <= 60)) {
    throw new RangeError(`framesPerSecond ${framesPerSecond}: expected 1…60, or 0`);
  }
}

/** The nearest view that a server takes. Throws RangeError for what is not finite. */
function withinLimits(view: View): View {
  const { yaw, pitch } = view;
  if (!Number.isFinite(yaw) || !Number.isFinite(pitch)) {
    throw new RangeError(`view {yaw: ${yaw}, pitch: ${pitch}}: expected finite yaw and pitch in radians`);
  }
  return { yaw: clampAngle(yaw), pitch: clampAngle(pitch) };
}

function clampAngle(radians: number): number {
  return Math.min(CONTROL_LIMITS.viewAngle, Math.max(-CONTROL_LIMITS.viewAngle, radians));
}
