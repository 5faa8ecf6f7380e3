import { FacewireError } from '../errors.ts';
import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import type { Motion } from '../motion/Motion.ts';
import { type CompactSettings, DEFAULT_SETTINGS } from './CompactSettings.ts';
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

/**
 * All that prediction rests on: the last quantised motion and its short history. Both ends hold equal copies. Arrays
 * have one entry for each scalar (pose, 52 coefficients, 3K keypoints).
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
  /** quantised values */
  values = new Int32Array(FACE_COUNT);
  /** the last change and the one before */
  change = new Int32Array(FACE_COUNT);
  changeBefore = new Int32Array(FACE_COUNT);
  /** running means of the size of changes (at most 8): over about 4 packets in 1/256, over about 32 in 1/4096 */
  lively = new Int32Array(FACE_COUNT);
  livelyLong = new Int32Array(FACE_COUNT);
  /** running mean of the value over about 16 packets, 1/256 */
  mean = new Int32Array(FACE_COUNT);

  constructor(ranks: Uint8Array) {
    this.ranks = ranks;
  }

  get scalarCount(): number {
    return this.values.length;
  }

  /** The state before a self-contained packet. */
  reset(settings: CompactSettings): void {
    this.settings = settings;
    this.resize(FACE_COUNT + 3 * settings.keypointCount);
    this.values.fill(0);
    this.change.fill(0);
    this.changeBefore.fill(0);
    this.lively.fill(FIRST_EXPECTATION);
    this.livelyLong.fill(FIRST_EXPECTATION << 4);
    this.mean.fill(0);
  }

  copyFrom(other: CompactState): void {
    this.settings = other.settings;
    this.sequence = other.sequence;
    this.timeMs = other.timeMs;
    this.clock = other.clock;
    this.interval = other.interval;
    this.resize(other.scalarCount);
    this.values.set(other.values);
    this.change.set(other.change);
    this.changeBefore.set(other.changeBefore);
    this.lively.set(other.lively);
    this.livelyLong.set(other.livelyLong);
    this.mean.set(other.mean);
  }

  /** Takes the scalars over into other steps and counts: round(value · new / old), halves upwards. */
  convert(settings: CompactSettings): void {
    const before = this.settings;
    const kept = Math.min(this.scalarCount, FACE_COUNT + 3 * settings.keypointCount);
    const values = this.values.slice(0, kept);
    const lively = this.lively.slice(0, kept);
    const livelyLong = this.livelyLong.slice(0, kept);
    this.reset(settings);
    this.lively.set(lively);
    this.livelyLong.set(livelyLong);
    for (let scalar = 0; scalar < kept; scalar++) {
      if (!this.travels(scalar)) continue;
      const old = denominator(before, scalar);
      const next = denominator(settings, scalar);
      const value = Math.floor((2 * values[scalar]! * next + old) / (2 * old));
      this.values[scalar] = clamp(value, lowest(settings, scalar), highest(settings, scalar));
    }
    for (let scalar = 0; scalar < this.scalarCount; scalar++) this.mean[scalar] = this.values[scalar]! << 8;
  }

  /** Moves on to the values that a packet carried. */
  advance(values: Int32Array, selfContained: boolean): void {
    const count = this.scalarCount;
    const { change, changeBefore, lively, livelyLong, mean } = this;
    if (selfContained) {
      for (let scalar = 0; scalar < count; scalar++) {
        this.values[scalar] = values[scalar]!;
        mean[scalar] = values[scalar]! << 8;
        lively[scalar] = SETTLED_EXPECTATION;
        livelyLong[scalar] = SETTLED_EXPECTATION << 4;
      }
      return;
    }
    for (let scalar = 0; scalar < count; scalar++) {
      const value = values[scalar]!;
      const difference = value - this.values[scalar]!;
      const size = difference < 0 ? -difference : difference;
      const magnitude = Math.min(size, MAGNITUDE_LIMIT);
      changeBefore[scalar] = change[scalar]!;
      change[scalar] = difference;
      lively[scalar] = lively[scalar]! + (((magnitude << 8) - lively[scalar]!) >> 2);
      livelyLong[scalar] = livelyLong[scalar]! + (((magnitude << 12) - livelyLong[scalar]!) >> 5);
      mean[scalar] = mean[scalar]! + (((value << 8) - mean[scalar]!) >> 4);
      this.values[scalar] = value;
    }
  }

  /** Whether a scalar is in packets at the state's settings. */
  travels(scalar: number): boolean {
    if (scalar < POSE_COUNT) return true;
    if (scalar < FACE_COUNT) return this.ranks[scalar - POSE_COUNT]! < this.settings.expressionCount;
    return scalar < FACE_COUNT + 3 * this.settings.keypointsSent;
  }

  private resize(count: number): void {
    if (count === this.scalarCount) return;
    this.values = new Int32Array(count);
    this.change = new Int32Array(count);
    this.changeBefore = new Int32Array(count);
    this.lively = new Int32Array(count);
    this.livelyLong = new Int32Array(count);
    this.mean = new Int32Array(count);
  }
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
 * for each scalar. Angles are wrapped to ±π first. Throws packet_bad_value on a number that is not finite.
 */
export function quantise(motion: Motion, settings: CompactSettings, ranks: Uint8Array, values: Int32Array): void {
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
  for (let index = 0; index < EXPRESSION_COUNT; index++) {
    values[POSE_COUNT + index] =
      ranks[index]! < settings.expressionCount
        ? clamp(inSteps(expression[index]!, expressionDenominator), 0, expressionDenominator)
        : 0;
  }
  const limit = keypointDenominator * LENGTH_LIMIT;
  for (let index = 0; index < 3 * settings.keypointCount; index++) {
    values[FACE_COUNT + index] =
      index < 3 * settings.keypointsSent ? clamp(inSteps(keypoints![index]!, keypointDenominator), -limit, limit) : 0;
  }
}

export function dequantise(state: CompactState): Motion {
  const { values, settings } = state;
  const { poseDenominator, expressionDenominator, keypointDenominator } = settings;
  const expression = new Float32Array(EXPRESSION_COUNT);
  for (let index = 0; index < EXPRESSION_COUNT; index++) {
    expression[index] = values[POSE_COUNT + index]! / expressionDenominator;
  }
  const motion: Motion = {
    pose: {
      pitch: values[0]! / poseDenominator,
      yaw: values[1]! / poseDenominator,
      roll: values[2]! / poseDenominator,
      tx: values[3]! / poseDenominator,
      ty: values[4]! / poseDenominator,
      logScale: values[5]! / poseDenominator,
    },
    expression,
  };
  if (settings.keypointCount > 0) {
    const keypoints = new Float32Array(3 * settings.keypointCount);
    for (let index = 0; index < keypoints.length; index++) {
      keypoints[index] = values[FACE_COUNT + index]! / keypointDenominator;
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
