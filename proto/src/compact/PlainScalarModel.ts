import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import {
  CONTEXT_COUNT,
  type CompactTables,
  FRAME_BASE,
  LEAN_BASE,
  LEVEL_BASE,
  PAST_BASE,
  PREDECESSOR_COUNT,
  PREDICTION_BASE,
  QUESTION,
  QUESTION_COUNT,
  QUESTION_WEIGHT_COUNT,
  WEIGHT_COUNT,
} from './CompactTables.ts';
import { badValue } from './compactErrors.ts';
import { squash } from './logistic.ts';
import { QUESTION_SCALE, startWeights } from './modelWeights.ts';
import type { RangeCoder } from './rangeCoder.ts';
import type { ScalarModel } from './ScalarModel.ts';
import { planScalars, type ScalarPlan } from './ScalarPlan.ts';
import { FACE_COUNT, POSE_COUNT, ROW_COUNT, rowOf, SCALAR_LIMIT } from './scalars.ts';

const { VALUE, CHANGE, CHANGE_BEFORE, LIVELY, LIVELY_LONG, MEAN } = SCALAR_FIELDS;
/** zones of scalars: their kinds, but for coefficients at 0 */
const COEFFICIENT = 2;
const AT_ZERO = 3;
/** what changed and what was expected to, 1/256, are this much larger than they are */
const CHANGED_START = 512;
/** changes count as at most this many steps there */
const CHANGE_COUNTED = 8;
/** changes beyond this are escaped */
const UNARY_LIMIT = 14;
/** predicted changes are told apart in 1/8 step up to this many */
const PACE_LIMIT = 31;
/** weights move by 1/32 of the error, but not at all for errors below this, out of 65536: sure ones would grow for ever */
const RATE_SHIFT = 5;
const ERROR_IGNORED = 1024;
/** the predictor learns from mistakes of a step and more, as if of 6 steps at most; 1/256 */
const MISTAKE_IGNORED = 256;
const MISTAKE_LIMIT = 1536;
const LEARNING_RATE = 1024;
const CHANGE_LIMIT = 63;
const DRIFT_LIMIT = 4096; // 16 steps
/** keypoints are predicted from the same and the other axes of those coded just before */
const KEYPOINT_OFFSETS = [3, 6, 1, 2] as const;

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(high, value));
/** log2 of x in eighths, linear between the powers of two; x from 1 on */
const eighths = (x: number): number => {
  const top = 31 - Math.clz32(x);
  return (top << 3) + (((x << 3) >> top) & 7);
};

/** The scalars in plain code, as docs/protocol-compact.md has them: one walk for both directions. */
export class PlainScalarModel implements ScalarModel {
  readonly values = new Int32Array(SCALAR_LIMIT);
  private readonly tables: CompactTables;
  private readonly adaptive: boolean;
  /** of questions, for each context QUESTION_COUNT; of the predictor's inputs, for each row WEIGHT_COUNT; 1/65536 */
  private readonly weights = new Int32Array(QUESTION_WEIGHT_COUNT);
  private readonly inputs = new Int32Array(ROW_COUNT * WEIGHT_COUNT);
  private plan: ScalarPlan | undefined;
  /** the fields of the state that the packet builds on, as SCALAR_FIELDS has them */
  private past: Int32Array[] = [];
  /** of the packet: changes so far, limited, and those predicted, 1/256, by scalar */
  private readonly changes = new Int32Array(SCALAR_LIMIT);
  private readonly predictions = new Int32Array(SCALAR_LIMIT);
  /** what the predictor of a scalar has seen: its predecessors' changes and its own last two */
  private readonly seen = new Int32Array(PREDECESSOR_COUNT + 2);
  /** the contexts of the scalar that is coded */
  private readonly contexts = new Int32Array(CONTEXT_COUNT);
  /** weights that decode() has moved since mark(), and how far, one after the other */
  private readonly journal: number[] = [];

  /** `adaptive` false: nothing is learned, as packets need that may get lost. */
  constructor(tables: CompactTables, adaptive: boolean) {
    this.tables = tables;
    this.adaptive = adaptive;
    this.forget();
  }

  encode(coder: RangeCoder, state: CompactState, selfContained: boolean): void {
    this.code(coder, state, selfContained);
  }

  decode(coder: RangeCoder, state: CompactState, selfContained: boolean): void {
    this.values.fill(0, 0, state.scalarCount);
    this.code(coder, state, selfContained);
  }

  mark(): void {
    this.journal.length = 0;
  }

  undo(): void {
    const { journal, weights } = this;
    for (let at = 0; at < journal.length; at += 2) {
      weights[journal[at]!] = weights[journal[at]!]! - journal[at + 1]!;
    }
    this.mark();
  }

  advance(state: CompactState, selfContained: boolean): void {
    if (this.adaptive && !selfContained) {
      for (const scalar of this.planFor(state).places) if (scalar < FACE_COUNT) this.learn(scalar);
    }
    state.advance(this.values, selfContained);
  }

  forget(): void {
    const { weights, inputs } = startWeights(this.tables);
    this.weights.set(weights);
    this.inputs.set(inputs);
  }

  /** What was learned about this face alone goes: training meets a new one. */
  forgetFace(): void {
    this.inputs.set(startWeights(this.tables).inputs);
  }

  /** Adds the present weights to `sums`, in the tables' 1/16: training averages them. */
  addTo(sums: Float64Array): void {
    for (let index = 0; index < sums.length; index++)
      sums[index] = sums[index]! + this.weights[index]! / QUESTION_SCALE;
  }

  private code(coder: RangeCoder, state: CompactState, selfContained: boolean): void {
    const { values, changes, predictions } = this;
    const { places, lowest, highest } = this.planFor(state);
    this.past = Object.values(SCALAR_FIELDS).map((field) => state.field(field));
    const [before, lively, livelyLong] = [this.past[VALUE]!, this.past[LIVELY]!, this.past[LIVELY_LONG]!];
    let changed = CHANGED_START;
    let foreseen = CHANGED_START;
    const top = state.settings.expressionDenominator;
    changes.fill(0, 0, state.scalarCount);
    for (let index = 0; index < places.length; index++) {
      const scalar = places[index]!;
      const expected = (lively[scalar]! + (livelyLong[scalar]! >> 4)) >> 1;
      const predicted = selfContained ? 0 : this.predict(scalar);
      this.findContexts(scalar, top, predicted, expected, eighths(changed) - eighths(foreseen));
      const change = this.codeChange(coder, scalar, top, values[scalar]! - before[scalar]!);
      const value = before[scalar]! + change;
      if (change !== 0 && (value < lowest[index]! || value > highest[index]!)) {
        throw badValue(`scalar ${scalar}`, String(value));
      }
      values[scalar] = value;
      changes[scalar] = clamp(change, -CHANGE_LIMIT, CHANGE_LIMIT);
      predictions[scalar] = predicted;
      changed += Math.min(Math.abs(change), CHANGE_COUNTED) << 8;
      foreseen += expected;
    }
  }

  /** The change expected of a scalar, 1/256 step: linear in changes earlier in the packet and in its own past. */
  private predict(scalar: number): number {
    const { inputs, changes, tables, past } = this;
    const value = past[VALUE]![scalar]!;
    const own = rowOf(scalar) * WEIGHT_COUNT;
    const last = own + PREDECESSOR_COUNT;
    const isCoefficient = kindOf(scalar) === COEFFICIENT;
    let sum = inputs[last + 4]! + (Math.imul(inputs[last + 2]!, this.driftOf(scalar)) >> 8);
    sum += Math.imul(inputs[last]!, past[CHANGE]![scalar]!);
    sum += Math.imul(inputs[last + 1]!, past[CHANGE_BEFORE]![scalar]!);
    if (isCoefficient && value === 0) sum += inputs[last + 3]!;
    if (scalar < FACE_COUNT) {
      for (let index = 0; index < PREDECESSOR_COUNT; index++) {
        sum += Math.imul(inputs[own + index]!, changes[tables.predecessors[scalar * PREDECESSOR_COUNT + index]!]!);
      }
    } else {
      for (let index = 0; index < KEYPOINT_OFFSETS.length; index++) {
        const other = scalar - KEYPOINT_OFFSETS[index]!;
        if (other >= FACE_COUNT) sum += Math.imul(inputs[own + index]!, changes[other]!);
      }
    }
    // `sum` is a whole number far below 2^53: wrapped to 32 bits only here
    const predicted = (sum | 0) >> 8;
    return isCoefficient ? Math.max(predicted, -(value << 8)) : predicted;
  }

  private findContexts(scalar: number, top: number, predicted: number, expected: number, ratio: number): void {
    const { contexts, past } = this;
    const kind = kindOf(scalar);
    const row = rowOf(scalar);
    const value = past[VALUE]![scalar]!;
    const zone = kind === COEFFICIENT && value === 0 ? AT_ZERO : kind;
    const size = clamp(((eighths(Math.max(expected, 1)) + ratio + 1) >> 2) - 7, 0, 15);
    const alive = clamp((ratio >> 2) + 4, 0, 7);
    const pace = clamp((predicted + 16) >> 5, -PACE_LIMIT, PACE_LIMIT);
    const signs = 3 * Math.sign(past[CHANGE]![scalar]!) + Math.sign(past[CHANGE_BEFORE]![scalar]!) + 4;
    const level = kind === COEFFICIENT ? levelOf(value, top) : 0;
    contexts[0] = FRAME_BASE + (zone * 16 + size) * 8 + alive;
    contexts[1] = LEAN_BASE + row * 5 + leanOf(pace);
    contexts[2] = LEVEL_BASE + row * 8 + level;
    contexts[3] = PAST_BASE + (zone * 9 + signs) * 16 + size;
    contexts[4] = PREDICTION_BASE + zone * 64 + 32 + pace;
  }

  /** Codes `change` (encoding) or finds it (decoding, where `change` is of no account). Throws packet_bad_value, packet_truncated. */
  private codeChange(coder: RangeCoder, scalar: number, top: number, change: number): number {
    const target = Math.abs(change);
    if (this.ask(coder, QUESTION.changed, target > 0) === 0) return 0;
    const negative = this.codeDirection(coder, scalar, top, change < 0);
    if (this.ask(coder, QUESTION.beyondOne + negative, target > 1) === 0) return negative === 1 ? -1 : 1;
    if (this.ask(coder, QUESTION.beyondTwo + negative, target > 2) === 0) return negative === 1 ? -2 : 2;
    const frame = this.contexts[0]! & ~7;
    let size = 3;
    for (; size <= UNARY_LIMIT; size++) {
      this.contexts[0] = frame + Math.min(size - 3, 7);
      if (this.ask(coder, QUESTION.beyondMore + negative, target > size) === 0) break;
    }
    if (size > UNARY_LIMIT) size += coder.codeEscape(target - size);
    return negative === 1 ? -size : size;
  }

  /** 1: downwards. A coefficient at an end of its range can only go one way. */
  private codeDirection(coder: RangeCoder, scalar: number, top: number, down: boolean): number {
    if (kindOf(scalar) === COEFFICIENT) {
      const value = this.past[VALUE]![scalar]!;
      if (value === 0) return 0;
      if (value === top) return 1;
    }
    return this.ask(coder, QUESTION.negative, down);
  }

  private ask(coder: RangeCoder, question: number, yes: boolean): number {
    const { contexts, weights, journal } = this;
    let sum = 0;
    for (let each = 0; each < CONTEXT_COUNT; each++) sum += weights[contexts[each]! * QUESTION_COUNT + question]!;
    const probability = squash(sum | 0);
    const bit = coder.code(yes ? 1 : 0, probability);
    const error = (bit << 16) - probability;
    if (this.adaptive && Math.abs(error) >= ERROR_IGNORED) {
      const moved = (error + (1 << (RATE_SHIFT - 1))) >> RATE_SHIFT;
      for (let each = 0; each < CONTEXT_COUNT; each++) {
        const index = contexts[each]! * QUESTION_COUNT + question;
        weights[index]! += moved;
        if (!coder.encoding) journal.push(index, moved);
      }
    }
    return bit;
  }

  /** Moves a predictor's weights towards what would have been right: normalised least mean squares. */
  private learn(scalar: number): void {
    const { inputs, changes, tables, past } = this;
    const mistake = ((this.values[scalar]! - past[VALUE]![scalar]!) << 8) - this.predictions[scalar]!;
    if (Math.abs(mistake) < MISTAKE_IGNORED) return;
    const drift = this.driftOf(scalar);
    const seen = this.seen;
    for (let index = 0; index < PREDECESSOR_COUNT; index++) {
      seen[index] = changes[tables.predecessors[scalar * PREDECESSOR_COUNT + index]!]!;
    }
    seen[PREDECESSOR_COUNT] = past[CHANGE]![scalar]!;
    seen[PREDECESSOR_COUNT + 1] = past[CHANGE_BEFORE]![scalar]!;
    let energy = 4 + ((drift * drift) >> 16);
    for (let index = 0; index < seen.length; index++) energy += seen[index]! * seen[index]!;
    const gain = Math.trunc((clamp(mistake, -MISTAKE_LIMIT, MISTAKE_LIMIT) * LEARNING_RATE) / energy);
    const own = scalar * WEIGHT_COUNT;
    for (let index = 0; index < seen.length; index++) inputs[own + index]! += (gain * seen[index]! + 32) >> 6;
    inputs[own + PREDECESSOR_COUNT + 2]! += (gain * drift + 8192) >> 14;
  }

  /** How far a scalar is from its running mean, 1/256, limited. */
  private driftOf(scalar: number): number {
    const { past } = this;
    return clamp((past[VALUE]![scalar]! << 8) - past[MEAN]![scalar]!, -DRIFT_LIMIT, DRIFT_LIMIT);
  }

  private planFor({ settings, ranks }: CompactState): ScalarPlan {
    if (this.plan?.settings !== settings) this.plan = planScalars(settings, ranks);
    return this.plan;
  }
}

/** 0 pose, 1 keypoints, 2 coefficients. */
function kindOf(scalar: number): number {
  if (scalar < POSE_COUNT) return 0;
  return scalar < FACE_COUNT ? COEFFICIENT : 1;
}

/** Which way a pace leans: much down, down, neither, up, much up. */
function leanOf(pace: number): number {
  const size = Math.abs(pace);
  return 2 + Math.sign(pace) * (size < 3 ? 0 : size < 10 ? 1 : 2);
}

/** Class of a coefficient's value; `top`: its highest. */
function levelOf(value: number, top: number): number {
  if (value < 4) return value;
  if (value < 8) return 4;
  if (value < 16) return 5;
  return value === top ? 7 : 6;
}
