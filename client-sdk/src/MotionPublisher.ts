import {
  type CompactQuality,
  EXPRESSION_COUNT,
  FacewireError,
  MAX_KEYPOINTS,
  type Motion,
  type MotionSample,
  neutralMotion,
} from '@facewire/proto';
import { MotionBudget } from './motion/MotionBudget.ts';
import { motionEncoder } from './motion/motionEncoder.ts';

/** Above so many bytes waiting in the socket a new packet would only queue behind stale ones. */
const CONGESTED_BYTES = 2_048;

/** A packet lost on its way is known of by the errors that its successors cause: these come in a bunch, ms. */
const RESET_PAUSE_MS = 250;
/** Dates travel modulo 65.5 s: what waited for longer than half of that would be taken for one of the future, ms. */
const MAX_AGE_MS = 30_000;
/** Of motions left out for the budget the last one is sent after so many intervals: it may be the last for long. */
const TRAILING_INTERVALS = 4;

export interface MotionEncoder {
  /** every packet that is encoded is sent; the sample's arrays are overwritten later and not to be kept */
  encode(sample: MotionSample): Uint8Array;
  /** the next packet must stand on its own */
  reset(): void;
  /** from the next packet on; an encoder without it sends at one precision and cannot keep a budget */
  configure?(quality: CompactQuality): void;
  /** whether packets arrive in order and without loss; default true */
  setOrdered?(ordered: boolean): void;
}

export interface MotionPublisherOptions {
  send(packet: Uint8Array): void;
  bufferedBytes(): number;
  /** estimate of the server's clock, ms */
  serverNow(): number;
  /** packets per second at most */
  rate: number;
  /** default: the fixed layout */
  encoder?: MotionEncoder;
  /** bytes per second, the transport's own per packet included; default: no limit */
  budget?: number | undefined;
}

/** What the publisher wants to know of a connection. */
export interface MotionChannel {
  /** bytes that the transport adds to each packet; default 0 */
  overheadBytes?: number | undefined;
  /** packets arrive in order and without loss; default true */
  ordered?: boolean | undefined;
}

export interface PublishStats {
  packets: number;
  bytes: number;
  /** size of the newest packet, bytes */
  lastPacketBytes: number;
  /** motions that a newer one replaced before they were sent */
  replaced: number;
  /** motions left out to keep the budget */
  skipped: number;
  /** mean distance of the face from the true one at the present precision, mm, as measured on recorded faces */
  expectedErrorMm: number;
}

/**
 * Sends motions: the newest wins, never more often than `rate`, never while the socket is congested, never more than
 * the budget. A motion is dated when it is handed in, not when it is sent, so that waiting counts as latency; and it is
 * copied then, so that its owner may fill the same arrays again.
 */
export class MotionPublisher {
  readonly #options: MotionPublisherOptions;
  readonly #encoder: MotionEncoder;
  readonly #budget: MotionBudget;
  readonly #intervalMs: number;
  /** a copy of the newest motion, filled anew by each; neutral before the first */
  readonly #newest = neutralMotion();
  /** when it was handed in, local clock: what the server's clock says may not be known yet, or be another server's */
  #takenAtMs: number | undefined;
  /** the newest motion is still to be sent */
  #pending = false;
  #sequence = 0;
  #nextAtMs = 0;
  #resetAtMs = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #trailing: ReturnType<typeof setTimeout> | undefined;
  #paused = true;
  #stats = { packets: 0, bytes: 0, lastPacketBytes: 0, replaced: 0, skipped: 0 };

  /** Throws RangeError for a rate or budget that makes no sense, TypeError for a budget that the encoder cannot keep. */
  constructor(options: MotionPublisherOptions) {
    const { rate, budget } = options;
    if (!(rate > 0 && rate <= 120)) {
      throw new RangeError(`motion rate ${rate} per second: expected 1…120`);
    }
    this.#options = options;
    this.#encoder = options.encoder ?? motionEncoder('fixed');
    this.#intervalMs = 1000 / rate;
    this.#checkBudget(budget);
    this.#budget = new MotionBudget({ bytesPerSecond: budget, motionsPerSecond: rate, overheadBytes: 0 });
    this.#configure();
  }

  get stats(): PublishStats {
    return { ...this.#stats, expectedErrorMm: this.#budget.expectedErrorMm };
  }

  /** bytes per second; undefined: no limit */
  get budget(): number | undefined {
    return this.#budget.bytesPerSecond;
  }

  /** From the next motion on. Throws as the constructor does. */
  set budget(bytesPerSecond: number | undefined) {
    this.#checkBudget(bytesPerSecond);
    this.#budget.bytesPerSecond = bytesPerSecond;
    this.#configure();
  }

  /**
   * Throws packet_bad_value at once for numbers that are none (a tracker without a face has nothing to publish) and for
   * arrays of a wrong length.
   */
  publish(motion: Motion): void {
    checkMotion(motion);
    if (this.#pending) this.#stats.replaced++;
    copyMotion(motion, this.#newest);
    clearTimeout(this.#trailing);
    this.#offer();
  }

  /** The connection is open: sends what waits, or else the last motion again, so that a restored player has a face. */
  resume(channel: MotionChannel = {}): void {
    this.#paused = false;
    this.#budget.overheadBytes = channel.overheadBytes ?? 0;
    this.#encoder.setOrdered?.(channel.ordered ?? true);
    this.#configure();
    this.#encoder.reset();
    if (!this.#pending && this.#takenAtMs !== undefined) this.#offer();
    else this.#flush();
  }

  /**
   * The server lost the thread (packet_no_baseline): the next packet stands on its own. What was under way meanwhile is
   * refused as well, and says nothing new.
   */
  handleNoBaseline(): void {
    const nowMs = performance.now();
    if (nowMs - this.#resetAtMs < RESET_PAUSE_MS) return;
    this.#resetAtMs = nowMs;
    this.#encoder.reset();
  }

  /** The connection is gone: keeps only the newest motion. */
  pause(): void {
    this.#paused = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#trailing);
    this.#timer = undefined;
  }

  /** The newest motion is to be sent, dated now. */
  #offer(): void {
    this.#takenAtMs = performance.now();
    this.#pending = true;
    this.#flush();
  }

  #flush(): void {
    if (this.#paused || this.#timer !== undefined || !this.#pending) return;
    const nowMs = performance.now();
    const bufferedBytes = this.#options.bufferedBytes();
    if (this.#budget.handleBuffered(bufferedBytes, nowMs)) this.#configure();
    const congested = bufferedBytes > CONGESTED_BYTES;
    // One millisecond of grace: a source at exactly `rate` with timer jitter must not lose every other motion.
    if (nowMs >= this.#nextAtMs - 1 && !congested) {
      this.#nextAtMs = Math.max(this.#nextAtMs + this.#intervalMs, nowMs + this.#intervalMs / 2);
      if (this.#budget.admit(nowMs)) this.#send();
      else this.#skip();
      return;
    }
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#flush();
      },
      congested ? this.#intervalMs : this.#nextAtMs - nowMs,
    );
  }

  /** Left out: unless another one comes soon, it is sent after all. */
  #skip(): void {
    this.#pending = false;
    this.#stats.skipped++;
    this.#trailing = setTimeout(() => this.#offer(), TRAILING_INTERVALS * this.#intervalMs);
  }

  #send(): void {
    this.#pending = false;
    const ageMs = Math.min(performance.now() - this.#takenAtMs!, MAX_AGE_MS);
    // Rounded down before the wrap: 65535.6 must not become 65536.
    const timeMs = Math.floor(this.#options.serverNow() - ageMs) & 0xffff;
    const packet = this.#encoder.encode({ motion: this.#newest, sequence: this.#sequence, timeMs });
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#stats.packets++;
    this.#stats.bytes += packet.byteLength;
    this.#stats.lastPacketBytes = packet.byteLength;
    if (this.#budget.report(packet.byteLength)) this.#configure();
    this.#options.send(packet);
  }

  #configure(): void {
    this.#encoder.configure?.(this.#budget.quality);
  }

  #checkBudget(bytesPerSecond: number | undefined): void {
    if (bytesPerSecond === undefined || this.#encoder.configure !== undefined) return;
    throw new TypeError("a motion budget needs motionFormat 'compact': the fixed layout has one size");
  }
}

/** Without allocating, unless the number of keypoints changes. */
function copyMotion({ pose, expression, keypoints }: Motion, target: Motion): void {
  Object.assign(target.pose, pose);
  target.expression.set(expression);
  if (keypoints === undefined) delete target.keypoints;
  else if (target.keypoints?.length === keypoints.length) target.keypoints.set(keypoints);
  else target.keypoints = Float32Array.from(keypoints);
}

/** Here and not only when it is encoded, from a timer maybe, where nobody could catch the error. */
function checkMotion({ pose, expression, keypoints }: Motion): void {
  const { pitch, yaw, roll, tx, ty, logScale } = pose;
  if (keypoints !== undefined) checkKeypoints(keypoints);
  const finite =
    Number.isFinite(pitch + yaw + roll + tx + ty + logScale) &&
    expression.every(Number.isFinite) &&
    (keypoints === undefined || keypoints.every(Number.isFinite));
  if (finite && expression.length === EXPRESSION_COUNT) return;
  throw new FacewireError(
    'packet_bad_value',
    finite ? `expression has ${expression.length} coefficients` : 'a number of the motion is not finite',
    {
      received: finite ? expression.length : JSON.stringify(pose),
      remedy: `fill all ${EXPRESSION_COUNT} of EXPRESSION_NAMES; publish nothing while the tracker sees no face`,
    },
  );
}

function checkKeypoints({ length }: Float32Array): void {
  if (length % 3 === 0 && length >= 3 && length <= 3 * MAX_KEYPOINTS) return;
  throw new FacewireError(
    'packet_bad_value',
    `keypoints have ${length} numbers, expected K×3 with K 1…${MAX_KEYPOINTS}`,
    {
      received: length,
      remedy: 'leave `keypoints` out when the model has none',
    },
  );
}
