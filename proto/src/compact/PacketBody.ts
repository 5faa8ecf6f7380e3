import { FacewireError } from '../errors.ts';
import { BitModel } from './BitModel.ts';
import { type CompactSettings, SETTING_BITS, sameSettings, settingsAreValid } from './CompactSettings.ts';
import { type CompactState, FIRST_INTERVAL, highest, lowest } from './CompactState.ts';
import {
  type CompactTables,
  DECISION,
  DECISION_COUNT,
  DECISION_SIZE,
  FAR,
  FAR_BASE,
  FRAME_BASE,
  INPUT_COUNT,
  PREDECESSOR_COUNT,
  PREDICTION_BASE,
  SIGN_BASE,
  TIME_BASE,
  WEIGHT_COUNT,
} from './CompactTables.ts';
import type { RangeCoder } from './rangeCoder.ts';
import { EXPRESSION_ORDER, FACE_COUNT, POSE_COUNT, rowOf, SCALAR_LIMIT } from './scalars.ts';

const UNARY_LIMIT = 14;
const ESCAPE_BITS = 15;
const CHANGE_LIMIT = 63;
const DRIFT_LIMIT = 4096; // 16 steps
const TIME_UNARY_LIMIT = 6;
/** residuals beyond this are a pause, not a change of pace */
const PAUSE_MS = 100;
const SETTINGS_CHANGED = 64; // probability out of 65536
/** sizes of a predicted change, 1/256 steps, at which the next of 8 classes begins; and the class of each size below 1024 */
const PREDICTION_CLASSES = [18, 51, 102, 179, 307, 512, 896] as const;
const PREDICTION_CLASS = Uint8Array.from(
  { length: 1024 },
  (_, size) => PREDICTION_CLASSES.filter((start) => size >= start).length,
);
/** keypoints are predicted from the same and the other axes of those coded just before */
const KEYPOINT_OFFSETS = [3, 6, 1, 2] as const;

/**
 * The part of a packet that depends on its kind only through the state it predicts from: time, settings, scalars.
 * One walk serves both directions: encoding it returns what it was given, decoding what it read.
 */
export class PacketBody {
  readonly model: BitModel;
  /** values of the packet being coded */
  readonly values = new Int32Array(SCALAR_LIMIT);
  private timeMs = 0;
  private clock = 0;
  private interval = FIRST_INTERVAL;
  private readonly coder: RangeCoder;
  private readonly changes = new Int32Array(SCALAR_LIMIT);
  // contexts of the scalar being coded, and its mixers; fields, as a closure for each scalar would cost more than coding
  private own = 0;
  private frame = 0;
  private prediction = 0;
  private side = 0;
  private mixer = 0;
  /**
   * The tables' predecessors the other way round: for each scalar those that it predicts, weight · 256 + scalar, from
   * followersFrom[scalar] on. Most changes are zero, so handing them on costs less than asking for them.
   */
  private readonly followers: Int32Array;
  private readonly followersFrom: Int32Array;
  /** what the changes so far say about each scalar's, 1/256 */
  private readonly pulls = new Int32Array(FACE_COUNT);
  private readonly weights: Int16Array;

  constructor(coder: RangeCoder, tables: CompactTables, adaptive: boolean, undoable: boolean) {
    this.coder = coder;
    this.model = new BitModel(tables, adaptive, undoable);
    const { followers, from } = followersOf(tables);
    this.followers = followers;
    this.followersFrom = from;
    this.weights = tables.weights;
  }

  /** All 50 bits of the settings, for self-contained packets. Throws packet_bad_value. */
  codeSettings(settings: CompactSettings): CompactSettings {
    const result = { ...settings };
    for (const [name, bits] of SETTING_BITS) result[name] = this.coder.codeRaw(settings[name], bits);
    if (!settingsAreValid(result)) throw badValue('settings', JSON.stringify(result));
    return result;
  }

  /** Whether the settings change with this packet, and the new ones. */
  codeSettingsChange(before: CompactSettings, settings: CompactSettings): CompactSettings {
    const changed = this.coder.encoding && !sameSettings(before, settings) ? 1 : 0;
    return this.coder.code(changed, SETTINGS_CHANGED) === 1 ? this.codeSettings(settings) : before;
  }

  /**
   * The packet's time, predicted from the sender's pace; `timeMs`, `clock` and `interval` hold the result.
   * `steps`: sequence numbers since the state, 1…64.
   */
  codeTime(state: CompactState, timeMs: number, steps: number): void {
    const clock = (state.clock + state.interval * steps) & 0xffffff;
    const predicted = ((clock + 128) >> 8) & 0xffff;
    const residual = this.codeTimeResidual(((timeMs - predicted) << 16) >> 16);
    this.timeMs = (predicted + residual) & 0xffff;
    if (residual < -PAUSE_MS || residual > PAUSE_MS) {
      this.clock = this.timeMs << 8;
      this.interval = state.interval;
    } else {
      this.clock = (clock + (residual << 7)) & 0xffffff;
      const interval = state.interval + Math.floor((residual << 5) / steps);
      this.interval = Math.min(256_000, Math.max(256, interval));
    }
  }

  /** A self-contained packet gives its time in full. */
  startTime(timeMs: number): void {
    this.timeMs = timeMs;
    this.clock = timeMs << 8;
    this.interval = FIRST_INTERVAL;
  }

  /** Moves the state on to the packet that was coded. */
  commit(state: CompactState, sequence: number, selfContained: boolean): void {
    state.advance(this.values, selfContained);
    state.sequence = sequence;
    state.timeMs = this.timeMs;
    state.clock = this.clock;
    state.interval = this.interval;
  }

  /** Every scalar that travels at the state's settings: from and to `values`; the others become 0. */
  codeScalars(state: CompactState, selfContained: boolean): void {
    const { values, changes, pulls, followers, followersFrom } = this;
    const { settings } = state;
    pulls.fill(0);
    const count = state.scalarCount;
    // sums over the scalars so far, in 1/256: how much changed, and how much was expected to
    let liveliness = 512;
    let expectation = 512;
    for (let position = 0; position < count; position++) {
      const scalar =
        position >= POSE_COUNT && position < FACE_COUNT
          ? POSE_COUNT + EXPRESSION_ORDER[position - POSE_COUNT]!
          : position;
      if (!state.travels(scalar)) {
        values[scalar] = 0;
        changes[scalar] = 0;
        continue;
      }
      const before = state.values[scalar]!;
      const expected = (state.lively[scalar]! + (state.livelyLong[scalar]! >> 4)) >> 1;
      const predicted = selfContained ? 0 : this.predict(state, scalar);
      const ratio = ((liveliness << 8) / expectation) | 0;
      const change = this.codeChange(state, scalar, values[scalar]! - before, predicted, expected, ratio);
      const value = before + change;
      if (change !== 0 && (value < lowest(settings, scalar) || value > highest(settings, scalar))) {
        throw badValue(`scalar ${scalar}`, String(value));
      }
      values[scalar] = value;
      changes[scalar] = 0;
      if (change !== 0) {
        const limited = clamp(change, CHANGE_LIMIT);
        changes[scalar] = limited;
        if (scalar < FACE_COUNT) {
          const end = followersFrom[scalar + 1]!;
          for (let index = followersFrom[scalar]!; index < end; index++) {
            const follower = followers[index]!;
            pulls[follower & 255] = pulls[follower & 255]! + (follower >> 8) * limited;
          }
        }
      }
      const size = change < 0 ? -change : change;
      liveliness += Math.min(size, 8) << 8;
      expectation += expected;
    }
  }

  /** The change that the tables' linear predictor expects, in 1/256 steps. */
  private predict(state: CompactState, scalar: number): number {
    const { changes, weights } = this;
    const base = rowOf(scalar) * WEIGHT_COUNT;
    let sum = 0;
    let atZero = 0;
    if (scalar < FACE_COUNT) {
      sum = this.pulls[scalar]!;
      atZero = scalar >= POSE_COUNT && state.values[scalar] === 0 ? 1 : 0;
    } else {
      for (let index = 0; index < KEYPOINT_OFFSETS.length; index++) {
        const other = scalar - KEYPOINT_OFFSETS[index]!;
        if (other >= FACE_COUNT) sum += weights[base + index]! * changes[other]!;
      }
    }
    const drift = clamp((state.values[scalar]! << 8) - state.mean[scalar]!, DRIFT_LIMIT);
    sum += weights[base + PREDECESSOR_COUNT]! * clamp(state.change[scalar]!, CHANGE_LIMIT);
    sum += weights[base + PREDECESSOR_COUNT + 1]! * clamp(state.changeBefore[scalar]!, CHANGE_LIMIT);
    sum += (weights[base + PREDECESSOR_COUNT + 2]! * drift) >> 8;
    sum += weights[base + PREDECESSOR_COUNT + 3]! * atZero;
    sum += weights[base + PREDECESSOR_COUNT + 4]!;
    // a coefficient cannot fall below zero
    if (scalar >= POSE_COUNT && scalar < FACE_COUNT) {
      const floor = -(state.values[scalar]! << 8);
      if (sum < floor) sum = floor;
    }
    return sum;
  }

  /** One change: whether, which way, how far. `ratio`: how lively the packet is so far against expectation, 1/256. */
  private codeChange(
    state: CompactState,
    scalar: number,
    change: number,
    predicted: number,
    expected: number,
    ratio: number,
  ): number {
    const isExpression = scalar >= POSE_COUNT && scalar < FACE_COUNT;
    const value = state.values[scalar]!;
    const zone = isExpression ? (value === 0 ? 3 : 2) : scalar < POSE_COUNT ? 0 : 1;
    const row = rowOf(scalar);
    const size = sizeClass((expected * ratio) >> 8);
    const lively = livelinessClass(ratio);
    const direction = predictionClass(predicted);
    const last = state.change[scalar]!;

    this.own = (row * 4 + (size >> 1)) * 3 + (last > 0 ? 2 : last < 0 ? 0 : 1);
    this.frame = FRAME_BASE + (zone * 8 + size) * 8 + lively;
    this.prediction = PREDICTION_BASE + (zone * 16 + direction) * 8 + size;
    // 15 classes in five: 0–3, 4–6, 7, 8–10, 11–14
    const coarse = direction < 4 ? 0 : direction < 7 ? 1 : direction === 7 ? 2 : direction < 11 ? 3 : 4;
    this.side = SIGN_BASE + (row * 5 + coarse) * 2;
    this.mixer = zone * DECISION_COUNT * INPUT_COUNT;

    if (this.decide(DECISION.changed, change === 0 ? 0 : 1) === 0) return 0;
    let negative = 0;
    // a coefficient at an end of its range can only go one way
    if (isExpression && value === 0) negative = 0;
    else if (isExpression && value === state.settings.expressionDenominator) negative = 1;
    else negative = this.decide(DECISION.negative, change < 0 ? 1 : 0);
    this.side += negative;
    const target = change < 0 ? -change : change;
    let magnitude = 1;
    while (magnitude <= UNARY_LIMIT) {
      const beyond = target > magnitude ? 1 : 0;
      const bit =
        magnitude < FAR
          ? this.decide(magnitude === 1 ? DECISION.beyondOne : DECISION.beyondTwo, beyond)
          : this.model.codeAlone(this.coder, beyond, FAR_BASE + (zone * 8 + size) * 16 + magnitude);
      if (bit === 0) break;
      magnitude++;
    }
    if (magnitude > UNARY_LIMIT) magnitude += this.codeEscape(target - magnitude);
    return negative === 1 ? -magnitude : magnitude;
  }

  private decide(decision: number, bit: number): number {
    const base = decision * DECISION_SIZE;
    return this.model.code(
      this.coder,
      bit,
      base + this.own,
      base + this.frame,
      base + this.prediction,
      base + this.side,
      this.mixer + decision * INPUT_COUNT,
    );
  }

  private codeTimeResidual(residual: number): number {
    const { model, coder } = this;
    if (model.codeAlone(coder, residual === 0 ? 0 : 1, TIME_BASE) === 0) return 0;
    const negative = model.codeAlone(coder, residual < 0 ? 1 : 0, TIME_BASE + 1);
    const target = residual < 0 ? -residual : residual;
    let magnitude = 1;
    while (magnitude <= TIME_UNARY_LIMIT) {
      if (model.codeAlone(coder, target > magnitude ? 1 : 0, TIME_BASE + 1 + magnitude) === 0) break;
      magnitude++;
    }
    if (magnitude > TIME_UNARY_LIMIT) magnitude += this.codeEscape(target - magnitude);
    return negative === 1 ? -magnitude : magnitude;
  }

  /** Elias gamma of rest + 1 in equally likely bits. Throws packet_bad_value beyond 16 bits. */
  private codeEscape(rest: number): number {
    const { coder } = this;
    let bits = 0;
    while (coder.codeRaw((rest + 1) >> (bits + 1) !== 0 ? 1 : 0, 1) === 1) {
      bits++;
      if (bits > ESCAPE_BITS) throw badValue('escape', `${bits} bits`);
    }
    return ((1 << bits) | coder.codeRaw((rest + 1) & ((1 << bits) - 1), bits)) - 1;
  }
}

const FOLLOWERS = new WeakMap<CompactTables, { followers: Int32Array; from: Int32Array }>();

/** Turned round once for each set of tables. */
function followersOf(tables: CompactTables): { followers: Int32Array; from: Int32Array } {
  const known = FOLLOWERS.get(tables);
  if (known !== undefined) return known;
  const lists: number[][] = Array.from({ length: FACE_COUNT }, () => []);
  tables.predecessors.forEach((predecessor, index) => {
    const follower = Math.floor(index / PREDECESSOR_COUNT);
    const weight = tables.weights[follower * WEIGHT_COUNT + (index % PREDECESSOR_COUNT)]!;
    if (weight !== 0) lists[predecessor]!.push(weight * 256 + follower);
  });
  const from = new Int32Array(FACE_COUNT + 1);
  lists.forEach((list, scalar) => {
    from[scalar + 1] = from[scalar]! + list.length;
  });
  const turned = { followers: Int32Array.from(lists.flat()), from };
  FOLLOWERS.set(tables, turned);
  return turned;
}

/** Size of the change expected, 1/256 steps, in half octaves from 1/16 step, two of them to a class: 0…7. */
function sizeClass(size: number): number {
  return clampClass((halfOctave(size) - 8) >> 1, 7);
}

/** Liveliness against expectation, 1/256, in half octaves from 1/4: 0…7. */
function livelinessClass(ratio: number): number {
  return clampClass(halfOctave(ratio) - 12, 7);
}

/** floor(2·log2 x), roughly: twice the position of the highest bit, plus the bit below it. */
function halfOctave(x: number): number {
  if (x < 2) return 0;
  const top = 31 - Math.clz32(x);
  return 2 * top + ((x >> (top - 1)) & 1);
}

/** 0…14, 7 where next to no change is predicted. */
function predictionClass(predicted: number): number {
  const size = predicted < 0 ? -predicted : predicted;
  const count = PREDICTION_CLASS[Math.min(size, 1023)]!;
  return predicted < 0 ? 7 - count : 7 + count;
}

function clampClass(value: number, top: number): number {
  return value < 0 ? 0 : Math.min(value, top);
}

function clamp(value: number, limit: number): number {
  return value > limit ? limit : Math.max(value, -limit);
}

function badValue(what: string, received: string): FacewireError {
  return new FacewireError('packet_bad_value', `compact motion packet: ${what} out of range`, {
    received,
    remedy: 'send exactly the bytes that the encoder returned, from a baseline that the receiver has',
  });
}
