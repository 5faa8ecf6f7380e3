import {
  type CompactQuality,
  CompactRateController,
  DEFAULT_SETTINGS,
  ladderFrom,
  MEASURED_LADDER,
  type Rung,
} from '@facewire/proto';

export interface MotionBudgetOptions {
  /** with each message's `overheadBytes`; undefined: the default precision, whatever it costs */
  bytesPerSecond: number | undefined;
  /** how often motions are expected to be offered; what comes is measured */
  motionsPerSecond: number;
  /** bytes that the transport adds to each packet */
  overheadBytes: number;
}

/** The codec's own default, under a tracker's tremble (docs/protocol-compact.md). */
const DEFAULT_QUALITY = {
  poseStep: 1 / DEFAULT_SETTINGS.poseDenominator,
  expressionStep: 1 / DEFAULT_SETTINGS.expressionDenominator,
  expressionCount: DEFAULT_SETTINGS.expressionCount,
} as const;
/** Its mean distance from the true face, mm (`npm run bench -- codec`, vertexMm). */
const DEFAULT_ERROR_MM = 0.44;
/** So many bytes that wait in the socket are no accident. */
const BACKED_UP_BYTES = 512;
/** While they wait, a rung lower after each of these, ms */
const FALL_PAUSE_MS = 250;
/** and a rung higher again after each of these without, ms. */
const CLIMB_PAUSE_MS = 2_000;
/** The rate at which motions are offered is measured over so long, ms */
const RATE_WINDOW_MS = 2_000;
/** and believed when it differs by more than this share from what was assumed. */
const RATE_TOLERANCE = 0.25;
/** Rungs that leave motions out need so many sent a second at least. */
const LEAST_PACKETS = 8;
/**
 * What sending every n-th motion makes of a rung of the measured ladder: share of its bytes, and the error of the
 * motions between, mm, which adds up in squares. Measured on the motion tracks at four precisions (0.69–0.79 and 0.50–0.58
 * of the bytes, 0.79–0.95 and 1.23–1.41 mm). The ladder itself has few of these rungs, as it counts no transport.
 */
const THINNED = [
  { stride: 2, bytes: 0.74, errorMm: 0.87 },
  { stride: 3, bytes: 0.54, errorMm: 1.3 },
];
/**
 * Fewer motions also come later: 30 ms and 60 ms (`npm run bench -- receive`), in which a face moves by 2.8 and 4.3 mm.
 * A late face looks like the right one all the same, so less is counted, by stride.
 */
const LATE_MM = [0, 0, 1.1, 1.8];
/** A budget that every rung fits. */
const PLENTY = 1e9;

/**
 * Decides how precisely motion is sent, and which motions are left out, so that a budget of bytes a second is kept
 * (proto's measured ladder) and a socket that backs up gets less. Tell it of every motion, packet and look at the
 * socket; when `quality` changes, the encoder is to be configured.
 */
export class MotionBudget {
  readonly #options: MotionBudgetOptions;
  #bytesPerSecond: number | undefined;
  #motionsPerSecond: number;
  #overheadBytes: number;
  #controller: CompactRateController | undefined;
  /** rungs given up because the socket was backed up */
  #fallen = 0;
  #changedAtMs = Number.NEGATIVE_INFINITY;
  #window: { startMs: number; motions: number } | undefined;

  /** Throws RangeError unless bytesPerSecond is above 0. */
  constructor(options: MotionBudgetOptions) {
    this.#options = options;
    this.#bytesPerSecond = checked(options.bytesPerSecond);
    this.#motionsPerSecond = options.motionsPerSecond;
    this.#overheadBytes = options.overheadBytes;
    this.#renew();
  }

  get bytesPerSecond(): number | undefined {
    return this.#bytesPerSecond;
  }

  /** Throws RangeError unless undefined or above 0. */
  set bytesPerSecond(value: number | undefined) {
    this.#bytesPerSecond = checked(value);
    this.#fallen = 0;
    this.#renew();
  }

  set overheadBytes(value: number) {
    if (value === this.#overheadBytes) return;
    this.#overheadBytes = value;
    this.#renew();
  }

  /** What packets are to be encoded with. */
  get quality(): CompactQuality {
    return this.#controller?.quality ?? DEFAULT_QUALITY;
  }

  /** Distance from the true face at this quality, mm, as measured on recorded faces; fewer motions count for more. */
  get expectedErrorMm(): number {
    return this.#controller?.expectedErrorMm ?? DEFAULT_ERROR_MM;
  }

  /** Whether this motion travels. Call once for each that could be sent. */
  admit(nowMs: number): boolean {
    this.#measureRate(nowMs);
    return this.#controller?.shouldSend() ?? true;
  }

  /** A packet was sent. Returns whether `quality` changed. */
  report(bytes: number): boolean {
    return this.#controller?.report(bytes + this.#overheadBytes) ?? false;
  }

  /** So many bytes wait in the socket. Returns whether `quality` changed. */
  handleBuffered(bytes: number, nowMs: number): boolean {
    const sinceMs = nowMs - this.#changedAtMs;
    const before = this.quality;
    if (bytes > BACKED_UP_BYTES && sinceMs >= FALL_PAUSE_MS) {
      this.#changedAtMs = nowMs;
      const ladder = this.#ladder();
      const current = ladder.findIndex(({ errorMm }) => errorMm === this.#controller?.expectedErrorMm);
      this.#fallen = Math.min(
        ladder.length - 1 + this.#hasDefault,
        Math.max(this.#fallen, current + this.#hasDefault) + 1,
      );
      this.#renew();
    } else if (bytes <= BACKED_UP_BYTES && this.#fallen > 0 && sinceMs >= CLIMB_PAUSE_MS) {
      this.#changedAtMs = nowMs;
      this.#fallen--;
      this.#renew();
    }
    return this.quality !== before;
  }

  /** Without a budget the default precision stands above the ladder, as its first rung. */
  get #hasDefault(): number {
    return this.#bytesPerSecond === undefined ? 1 : 0;
  }

  #renew(): void {
    const bytesPerSecond = this.#bytesPerSecond ?? PLENTY;
    const rungs = this.#ladder().slice(Math.max(0, this.#fallen - this.#hasDefault));
    const plain = this.#bytesPerSecond === undefined && this.#fallen === 0;
    this.#controller = plain
      ? undefined
      : new CompactRateController({ bytesPerSecond, framesPerSecond: this.#motionsPerSecond, ladder: rungs });
  }

  /** The measured ladder with the transport's bytes counted in, which makes fewer packets worth more. */
  #ladder(): Rung[] {
    const lowest = this.#bytesPerSecond === undefined ? DEFAULT_ERROR_MM : 0;
    const longest = Math.max(1, Math.floor(this.#motionsPerSecond / LEAST_PACKETS));
    const measured = MEASURED_LADDER.filter(({ errorMm }) => errorMm > lowest);
    const every = measured.filter(({ stride }) => stride === 1);
    const thinned = THINNED.flatMap(({ stride, bytes, errorMm }) =>
      every.map((rung) => ({
        quality: rung.quality,
        stride,
        bytes: rung.bytes * bytes,
        errorMm: Math.hypot(rung.errorMm, errorMm),
      })),
    );
    const rungs = [...measured, ...thinned]
      .filter(({ stride }) => stride <= longest)
      .map((rung) => ({
        ...rung,
        bytes: rung.bytes + this.#overheadBytes / rung.stride,
        errorMm: Math.hypot(rung.errorMm, LATE_MM[rung.stride] ?? LATE_MM.at(-1)!),
      }));
    return ladderFrom(rungs);
  }

  #measureRate(nowMs: number): void {
    const window = this.#window;
    if (window === undefined || nowMs - window.startMs > 2 * RATE_WINDOW_MS) {
      this.#window = { startMs: nowMs, motions: 0 };
      return;
    }
    window.motions++;
    const passedMs = nowMs - window.startMs;
    if (passedMs < RATE_WINDOW_MS) return;
    const rate = Math.min(this.#options.motionsPerSecond, (window.motions * 1000) / passedMs);
    this.#window = { startMs: nowMs, motions: 0 };
    if (Math.abs(rate / this.#motionsPerSecond - 1) <= RATE_TOLERANCE) return;
    this.#motionsPerSecond = rate;
    this.#renew();
  }
}

function checked(bytesPerSecond: number | undefined): number | undefined {
  if (bytesPerSecond !== undefined && !(bytesPerSecond > 0)) {
    throw new RangeError(`motion budget ${bytesPerSecond}: expected bytes per second above 0, or undefined`);
  }
  return bytesPerSecond;
}
