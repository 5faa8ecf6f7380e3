import { FacewireError } from '../errors.ts';
import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import type { Motion } from '../motion/Motion.ts';
import { type CompactSettings, DEFAULT_SETTINGS, sameSettings } from './CompactSettings.ts';
import { FACE_COUNT, POSE_COUNT } from './scalars.ts';

/** π in 1/1024, rounded down */
const ANGLE_LIMIT = 3216;
const ANGLE_COUNT = 3;
const LENGTH_LIMIT = 4;
/** 30 packets a second, in 1/256 ms: what a sender is assumed to keep until it shows otherwise */
export const FIRST_INTERVAL = 8533;
const FIRST_EXPECTATION = 512;
const SETTLED_EXPECTATION = 128;
const MAGNITUDE_LIMIT = 8;

/** What a state keeps of each scalar: `scalars` holds one of these of all scalars, roomFor(count) numbers, then the next. */
export const SCALAR_FIELDS = {
  /** quantised value */
  VALUE: 0,
  /** the last change and the one before, limited to ±63: more is of no use to anyone */
  CHANGE: 1,
  CHANGE_BEFORE: 2,
  /** running means of the size of changes (at most 8): over about 4 packets in 1/256, over about 32 in 1/4096 */
  LIVELY: 3,
  LIVELY_LONG: 4,
  /** running mean of the value over about 16 packets, 1/256 */
  MEAN: 5,
} as const;
const { VALUE, CHANGE, CHANGE_BEFORE, LIVELY, LIVELY_LONG, MEAN } = SCALAR_FIELDS;
const FIELD_COUNT = 6;
/** whole fours, as proto/wasm/scalars.c takes them */
export const roomFor = (scalarCount: number): number => (scalarCount + 3) & ~3;
const CHANGE_LIMIT = 63;
// V8 folds a module's own constants into the code of its functions, but reads imported ones from memory
const COEFFICIENTS = EXPRESSION_COUNT;
const POSE = POSE_COUNT;
/** how far a coefficient may be from its last value, in steps, and keep it: 0.0099 at the default step */
export const STAY = 33 / 64;

const NOTHING = new Int32Array(FACE_COUNT);

/**
 * All that prediction rests on: the last quantised motion and its short history, for each scalar (pose, 52
 * coefficients, 3K keypoints). Both ends hold equal copies.
 */
export class CompactState {
  /** CompactTables.ranks */
  readonly ranks: Uint8Array;
  settings: CompactSettings = { ...DEFAULT_SETTINGS };
  sequence = 0;
  timeMs = 0;
  /** the sender's clock as the packets show it, 1/256 ms modulo 2^24, and the interval between its packets, 1/256 ms */
  clock = 0;
  interval = FIRST_INTERVAL;
  scalarCount = FACE_COUNT;
  /** SCALAR_FIELDS; the values come first */
  scalars = new Int32Array(FIELD_COUNT * roomFor(FACE_COUNT));

  constructor(ranks: Uint8Array) {
    this.ranks = ranks;
  }

  /** The state before a self-contained packet. */
  reset(settings: CompactSettings): void {
    this.settings = settings;
    this.resize(FACE_COUNT + 3 * settings.keypointCount);
    this.scalars.fill(0);
    this.field(LIVELY).fill(FIRST_EXPECTATION);
    this.field(LIVELY_LONG).fill(FIRST_EXPECTATION << 4);
  }

  /** One of SCALAR_FIELDS, of each scalar: a part of `scalars`. */
  field(which: number): Int32Array {
    const room = roomFor(this.scalarCount);
    return this.scalars.subarray(which * room, which * room + this.scalarCount);
  }

  copyFrom(other: CompactState): void {
    this.settings = other.settings;
    this.sequence = other.sequence;
    this.timeMs = other.timeMs;
    this.clock = other.clock;
    this.interval = other.interval;
    this.resize(other.scalarCount);
    this.scalars.set(other.scalars);
  }

  /** Takes the scalars over into other steps and counts: round(value · new / old), halves upwards. */
  convert(settings: CompactSettings): void {
    const before = this.settings;
    const [values, lively, livelyLong] = [VALUE, LIVELY, LIVELY_LONG].map((each) => this.field(each).slice());
    this.reset(settings);
    const kept = Math.min(values!.length, this.scalarCount);
    this.field(LIVELY).set(lively!.subarray(0, kept));
    this.field(LIVELY_LONG).set(livelyLong!.subarray(0, kept));
    const means = this.field(MEAN);
    for (let scalar = 0; scalar < kept; scalar++) {
      if (!travels(settings, this.ranks, scalar)) continue;
      const old = denominator(before, scalar);
      const next = denominator(settings, scalar);
      const value = Math.floor((2 * values![scalar]! * next + old) / (2 * old));
      this.scalars[scalar] = clamp(value, lowest(settings, scalar), highest(settings, scalar));
      means[scalar] = this.scalars[scalar]! << 8;
    }
  }

  /** Moves on to the values that a packet carried. */
  advance(values: Int32Array, selfContained: boolean): void {
    if (selfContained) this.settle(values);
    else this.follow(values);
  }

  private settle(values: Int32Array): void {
    this.scalars.fill(0);
    this.field(LIVELY).fill(SETTLED_EXPECTATION);
    this.field(LIVELY_LONG).fill(SETTLED_EXPECTATION << 4);
    const means = this.field(MEAN);
    for (let scalar = 0; scalar < means.length; scalar++) {
      this.scalars[scalar] = values[scalar]!;
      means[scalar] = values[scalar]! << 8;
    }
  }

  private follow(values: Int32Array): void {
    const { scalars, scalarCount } = this;
    const room = roomFor(scalarCount);
    for (let scalar = 0; scalar < scalarCount; scalar++) {
      const value = values[scalar]!;
      const change = value - scalars[scalar]!;
      const size = Math.min(Math.abs(change), MAGNITUDE_LIMIT);
      scalars[scalar] = value;
      scalars[CHANGE_BEFORE * room + scalar] = scalars[CHANGE * room + scalar]!;
      scalars[CHANGE * room + scalar] = clamp(change, -CHANGE_LIMIT, CHANGE_LIMIT);
      scalars[LIVELY * room + scalar]! += ((size << 8) - scalars[LIVELY * room + scalar]!) >> 2;
      scalars[LIVELY_LONG * room + scalar]! += ((size << 12) - scalars[LIVELY_LONG * room + scalar]!) >> 5;
      scalars[MEAN * room + scalar]! += ((value << 8) - scalars[MEAN * room + scalar]!) >> 4;
    }
  }

  private resize(count: number): void {
    if (count === this.scalarCount) return;
    this.scalarCount = count;
    this.scalars = new Int32Array(FIELD_COUNT * roomFor(count));
  }
}

/** Whether a scalar is in packets. */
export function travels(settings: CompactSettings, ranks: Uint8Array, scalar: number): boolean {
  if (scalar < POSE_COUNT) return true;
  if (scalar < FACE_COUNT) return ranks[scalar - POSE_COUNT]! < settings.expressionCount;
  return scalar < FACE_COUNT + 3 * settings.keypointsSent;
}

export function denominator(settings: CompactSettings, scalar: number): number {
  if (scalar < POSE_COUNT) return settings.poseDenominator;
  return scalar < FACE_COUNT ? settings.expressionDenominator : settings.keypointDenominator;
}

export function highest(settings: CompactSettings, scalar: number): number {
  if (scalar < ANGLE_COUNT) return (settings.poseDenominator * ANGLE_LIMIT) >> 10;
  if (scalar < POSE_COUNT) return settings.poseDenominator * LENGTH_LIMIT;
  return scalar < FACE_COUNT ? settings.expressionDenominator : settings.keypointDenominator * LENGTH_LIMIT;
}

export function lowest(settings: CompactSettings, scalar: number): number {
  return scalar >= POSE_COUNT && scalar < FACE_COUNT ? 0 : -highest(settings, scalar);
}

/**
 * The motion in steps, round(value · denominator) with halves upwards, clamped to its range; `values` has one entry
 * for each scalar. Angles are wrapped to ±π first. Coefficients stay where `known` has them while they are within
 * STAY steps of it: one on the edge between two steps does not flicker. Throws packet_bad_value on a number that is
 * not finite.
 */
export function quantise(
  motion: Motion,
  settings: CompactSettings,
  ranks: Uint8Array,
  values: Int32Array,
  known?: CompactState,
): void {
  const { pose, expression, keypoints } = motion;
  const { poseDenominator, expressionDenominator, keypointDenominator } = settings;
  values[0] = inSteps(wrapAngle(pose.pitch), poseDenominator);
  values[1] = inSteps(wrapAngle(pose.yaw), poseDenominator);
  values[2] = inSteps(wrapAngle(pose.roll), poseDenominator);
  values[3] = inSteps(pose.tx, poseDenominator);
  values[4] = inSteps(pose.ty, poseDenominator);
  values[5] = inSteps(pose.logScale, poseDenominator);
  for (let scalar = 0; scalar < POSE_COUNT; scalar++) {
    const limit = highest(settings, scalar);
    values[scalar] = clamp(values[scalar]!, -limit, limit);
  }
  const stays = known !== undefined && sameSettings(known.settings, settings) ? known.scalars : NOTHING;
  const expressionCount = settings.expressionCount | 0;
  const top = expressionDenominator | 0;
  // where nothing is known no distance is small enough
  const stay = stays === NOTHING ? -1 : STAY;
  let odd = 0;
  for (let index = 0; index < COEFFICIENTS; index++) {
    const scalar = POSE + index;
    const exact = expression[index]! * top;
    // neither a NaN nor an infinity gives 0
    odd += exact - exact;
    const last = stays[scalar]!;
    const near = exact < 0 ? 0 : exact > top ? top : Math.floor(exact + 0.5) | 0;
    const value = Math.abs(exact - last) <= stay ? last : near;
    values[scalar] = ranks[index]! < expressionCount ? value : 0;
  }
  if (odd !== 0) for (const value of expression) inSteps(value, top);
  const limit = keypointDenominator * LENGTH_LIMIT;
  for (let index = 0; index < 3 * settings.keypointCount; index++) {
    values[FACE_COUNT + index] =
      index < 3 * settings.keypointsSent ? clamp(inSteps(keypoints![index]!, keypointDenominator), -limit, limit) : 0;
  }
}

/** coefficients of decoded motions share a buffer, this many motions together: one allocation outside the heap for all */
const SHARED_BY = 32;
let shared = new Float32Array(0);
let sharedUsed = 0;

function freshExpression(): Float32Array {
  if (sharedUsed === shared.length) {
    shared = new Float32Array(SHARED_BY * EXPRESSION_COUNT);
    sharedUsed = 0;
  }
  const from = sharedUsed;
  sharedUsed += EXPRESSION_COUNT;
  return shared.subarray(from, sharedUsed);
}

export function dequantise(state: CompactState): Motion {
  const { scalars, settings } = state;
  const { poseDenominator, expressionDenominator, keypointDenominator } = settings;
  const expression = freshExpression();
  for (let index = 0; index < COEFFICIENTS; index++) {
    expression[index] = scalars[POSE + index]! / expressionDenominator;
  }
  const motion: Motion = {
    pose: {
      pitch: scalars[0]! / poseDenominator,
      yaw: scalars[1]! / poseDenominator,
      roll: scalars[2]! / poseDenominator,
      tx: scalars[3]! / poseDenominator,
      ty: scalars[4]! / poseDenominator,
      logScale: scalars[5]! / poseDenominator,
    },
    expression,
  };
  if (settings.keypointCount > 0) {
    const keypoints = new Float32Array(3 * settings.keypointCount);
    for (let index = 0; index < keypoints.length; index++) {
      keypoints[index] = scalars[FACE_COUNT + index]! / keypointDenominator;
    }
    motion.keypoints = keypoints;
  }
  return motion;
}

function inSteps(value: number, steps: number): number {
  if (!Number.isFinite(value)) {
    throw new FacewireError('packet_bad_value', `motion holds ${value}, expected finite numbers`, {
      received: String(value),
      remedy: 'drop the frame, or send the last motion again',
    });
  }
  // clamped before the conversion to a 32-bit integer
  return Math.floor(clamp(value, -1000, 1000) * steps + 0.5);
}

function wrapAngle(angle: number): number {
  if (angle >= -Math.PI && angle <= Math.PI) return angle;
  return angle - 2 * Math.PI * Math.floor((angle + Math.PI) / (2 * Math.PI));
}

function clamp(value: number, low: number, high: number): number {
  return value < low ? low : Math.min(value, high);
}
