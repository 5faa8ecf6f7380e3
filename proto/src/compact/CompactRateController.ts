import type { CompactQuality } from './CompactMotionEncoder.ts';
import { MEASURED_LADDER } from './measuredLadder.ts';
import { chooseRung, type Rung } from './rateLadder.ts';

export interface RateControllerOptions {
  /** payload bytes a second, headers of the transport not included */
  bytesPerSecond: number;
  /** how often motion is captured; default 30 */
  framesPerSecond?: number;
  ladder?: readonly Rung[];
}

/** captured motions over which the cost of a face is averaged */
const MEMORY = 30;
/** a better rung is taken only when it fits this well, and not before so many captured motions */
const CLIMB_MARGIN = 0.92;
const CLIMB_AFTER = 30;
/** budget saved up for a livelier moment, in captured motions */
const SAVINGS = 15;

/**
 * Meets a byte budget by moving along a measured rate-distortion ladder: coarser steps, fewer coefficients, fewer
 * packets (face-vid2vid's adaptive keypoints, for semantic motion). Ask `shouldSend()` once for each captured motion,
 * encode with `quality`, and report the packet's size.
 */
export class CompactRateController {
  private readonly ladder: readonly Rung[];
  private readonly budget: number;
  private rung: number;
  private scale = 1;
  private captured = 0;
  private sinceChange = 0;
  private savings = 0;

  /** Throws RangeError unless budget and rate are above 0. */
  constructor({ bytesPerSecond, framesPerSecond = 30, ladder = MEASURED_LADDER }: RateControllerOptions) {
    if (!(bytesPerSecond > 0 && framesPerSecond > 0)) {
      throw new RangeError(`budget ${bytesPerSecond} B/s at ${framesPerSecond}/s: both must be above 0`);
    }
    this.ladder = ladder;
    this.budget = bytesPerSecond / framesPerSecond;
    this.rung = chooseRung(ladder, this.budget, 1);
  }

  /** For CompactMotionEncoder.configure(). */
  get quality(): CompactQuality {
    return this.ladder[this.rung]!.quality;
  }

  get expectedErrorMm(): number {
    return this.ladder[this.rung]!.errorMm;
  }

  /** Whether this captured motion travels. Call once for each. */
  shouldSend(): boolean {
    const { stride } = this.ladder[this.rung]!;
    const due = this.captured % stride === 0;
    this.captured++;
    this.sinceChange++;
    this.savings = Math.min(SAVINGS * this.budget, this.savings + this.budget);
    // below zero the budget is spent: better one motion fewer than a backlog
    return due && this.savings > 0;
  }

  /** The packet that was sent. Returns whether the quality changed, so that the encoder needs to be configured. */
  report(bytes: number): boolean {
    const { stride, bytes: expected } = this.ladder[this.rung]!;
    this.savings -= bytes;
    this.scale += ((bytes / stride / expected - this.scale) * stride) / MEMORY;
    const best = chooseRung(this.ladder, this.budget, this.scale);
    const climb = chooseRung(this.ladder, this.budget * CLIMB_MARGIN, this.scale);
    let next = this.rung;
    if (best > this.rung) next = best;
    else if (climb < this.rung && this.sinceChange >= CLIMB_AFTER) next = this.rung - 1;
    if (next === this.rung) return false;
    this.rung = next;
    this.sinceChange = 0;
    return true;
  }
}
