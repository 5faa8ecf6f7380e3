import { FacewireError } from '../errors.ts';
import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import { type MotionSample, wrappedDifference } from '../motion/Motion.ts';
import { type CompactSettings, DEFAULT_SETTINGS, settingsAreValid } from './CompactSettings.ts';
import { CompactState, quantise } from './CompactState.ts';
import type { CompactTables } from './CompactTables.ts';
import { LEARNED_TABLES } from './learnedTables.ts';
import { PacketBody } from './PacketBody.ts';
import { COUNTER_BITS, codeHeader, DISTANCE_LIMIT } from './packetHeader.ts';
import { PACKET_BYTES, RangeCoder } from './rangeCoder.ts';
import { KEYPOINT_LIMIT } from './scalars.ts';

export interface CompactQuality {
  /** radians, half image widths, natural logarithm; default 1/256 */
  poseStep?: number;
  /** default 1/52 */
  expressionStep?: number;
  /** half image widths; default 1/256 */
  keypointStep?: number;
  /** coefficients that travel, the most important first; default all 52 */
  expressionCount?: number;
  /** keypoints that travel, from the first; default all */
  keypointsSent?: number;
}

export interface CompactEncoderOptions extends CompactQuality {
  /**
   * `ordered` (default): each packet builds on the one before, for transports that lose and reorder nothing.
   * `acknowledged`: each builds on the newest that the receiver has acknowledged, for datagrams.
   */
  delivery?: 'ordered' | 'acknowledged';
  /** what the codec knows from the start; both ends must agree */
  tables?: CompactTables;
}

/** one for all encoders: a packet leaves it at once */
const BUFFER = new Uint8Array(PACKET_BYTES);
const COUNTER_MASK = (1 << COUNTER_BITS) - 1;

/**
 * Writes compact motion packets (docs/protocol-compact.md). Pose and keypoints come back within half a
 * step, coefficients within 33/64. On
 * ordered transports every packet that is encoded must be sent: drop samples before encode(), never after.
 */
export class CompactMotionEncoder {
  private readonly coder = new RangeCoder();
  private readonly body: PacketBody;
  private readonly tables: CompactTables;
  private readonly acknowledging: boolean;
  private settings: CompactSettings;
  private quality: CompactQuality;
  /** ordered: after the last packet; acknowledged: the baseline; undefined: the next packet is self-contained */
  private known: CompactState | undefined;
  private readonly state: CompactState;
  /** acknowledged: states after packets whose acknowledgement may still come, by sequence modulo their number */
  private readonly sent: { state: CompactState; valid: boolean }[] = [];
  private counter = 0;

  /** Throws RangeError on a step or count out of range. */
  constructor(options: CompactEncoderOptions = {}) {
    const { delivery = 'ordered', tables = LEARNED_TABLES, ...quality } = options;
    this.acknowledging = delivery === 'acknowledged';
    this.tables = tables;
    this.state = new CompactState(tables.ranks);
    this.body = new PacketBody(this.coder, tables, !this.acknowledging);
    this.quality = quality;
    this.settings = settingsFor(quality, 0);
  }

  /** From the next packet on; the receiver learns of it in that packet. Throws RangeError. */
  configure(quality: CompactQuality): void {
    const next = { ...this.quality, ...quality };
    this.settings = settingsFor(next, this.settings.keypointCount);
    this.quality = next;
  }

  /** The next packet is self-contained: for a receiver that joins, resumes, or reports packet_no_baseline. */
  reset(): void {
    this.known = undefined;
    for (const entry of this.sent) entry.valid = false;
  }

  /**
   * The receiver has decoded the packet of this sequence: later packets may build on it. Late, repeated and unknown
   * acknowledgements are ignored. Only meaningful with delivery `acknowledged`.
   */
  acknowledge(sequence: number): void {
    const entry = this.sent[sequence % DISTANCE_LIMIT];
    if (entry === undefined || !entry.valid || entry.state.sequence !== sequence) return;
    if (this.known !== undefined && wrappedDifference(sequence, this.known.sequence) <= 0) return;
    this.known ??= new CompactState(this.tables.ranks);
    this.known.copyFrom(entry.state);
  }

  /**
   * One packet. Sequence numbers must rise (modulo 65536) but may skip. Throws packet_bad_value on numbers that are not
   * finite or arrays of the wrong length; the encoder's state is then as before.
   */
  encode(sample: MotionSample): Uint8Array {
    const settings = this.settingsOf(sample);
    const sequence = sample.sequence & 0xffff;
    const timeMs = Math.round(sample.timeMs) & 0xffff;
    const { coder, body, state } = this;
    quantise(sample.motion, settings, this.tables.ranks, body.scalars.values, this.known);
    this.settings = settings;
    const steps = this.known === undefined ? 0 : (sequence - this.known.sequence) & 0xffff;
    const selfContained = this.known === undefined || steps === 0 || (this.acknowledging && steps > DISTANCE_LIMIT);
    coder.startEncoding(BUFFER);
    if (selfContained) {
      this.counter = 0;
      codeHeader(coder, { kind: 'selfContained', sequence, timeMs, adaptive: !this.acknowledging });
      if (!this.acknowledging) body.forget();
      state.reset(body.codeSettings(settings));
      body.startTime(timeMs);
    } else {
      if (this.acknowledging) {
        state.copyFrom(this.known!);
        codeHeader(coder, { kind: 'baseline', sequence, distance: steps });
      } else {
        this.counter = (this.counter + 1) & COUNTER_MASK;
        codeHeader(coder, { kind: 'chained', counter: this.counter, step: steps });
      }
      const next = body.codeSettingsChange(state.settings, settings);
      if (next !== state.settings) state.convert(next);
      body.codeTime(state, timeMs, Math.min(steps, DISTANCE_LIMIT));
    }
    body.scalars.encode(coder, state, selfContained);
    body.commit(state, sequence, selfContained);
    if (this.acknowledging) this.remember(state);
    else this.known = state;
    return BUFFER.slice(0, coder.finishEncoding());
  }

  private settingsOf({ motion }: MotionSample): CompactSettings {
    if (motion.expression.length !== EXPRESSION_COUNT) {
      throw badMotion(`expression has ${motion.expression.length} coefficients, expected ${EXPRESSION_COUNT}`);
    }
    const count = (motion.keypoints?.length ?? 0) / 3;
    if (!Number.isInteger(count) || count > KEYPOINT_LIMIT) {
      throw badMotion(`keypoints have ${motion.keypoints?.length} numbers, expected K×3 with K 1…${KEYPOINT_LIMIT}`);
    }
    return count === this.settings.keypointCount ? this.settings : settingsFor(this.quality, count);
  }

  private remember(state: CompactState): void {
    const slot = state.sequence % DISTANCE_LIMIT;
    this.sent[slot] ??= { state: new CompactState(this.tables.ranks), valid: true };
    this.sent[slot].state.copyFrom(state);
    this.sent[slot].valid = true;
  }
}

/** Steps become 1 / denominator, the nearest. */
export function settingsFor(quality: CompactQuality, keypointCount: number): CompactSettings {
  const steps = (step: number | undefined, fallback: number): number =>
    step === undefined ? fallback : Math.round(1 / step);
  const settings: CompactSettings = {
    poseDenominator: steps(quality.poseStep, DEFAULT_SETTINGS.poseDenominator),
    expressionDenominator: steps(quality.expressionStep, DEFAULT_SETTINGS.expressionDenominator),
    keypointDenominator: steps(quality.keypointStep, DEFAULT_SETTINGS.keypointDenominator),
    expressionCount: quality.expressionCount ?? EXPRESSION_COUNT,
    keypointCount,
    keypointsSent: Math.min(quality.keypointsSent ?? keypointCount, keypointCount),
  };
  if (!settingsAreValid(settings)) {
    throw new RangeError(
      `compact quality ${JSON.stringify(quality)}: steps 1/4095…1 (expression 1/1023…1), expressionCount 0…52`,
    );
  }
  return settings;
}

function badMotion(message: string): FacewireError {
  return new FacewireError('packet_bad_value', message, {
    remedy: 'fill all of EXPRESSION_NAMES; K×3 keypoints or none',
  });
}
