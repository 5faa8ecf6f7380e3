import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import { KEYPOINT_LIMIT } from './scalars.ts';

/** What a packet's numbers mean. Travels in every self-contained packet and wherever it changes. */
export interface CompactSettings {
  /** steps are 1 / denominator: radians, half image widths, natural logarithm; 1…4095 */
  poseDenominator: number;
  /** 1…1023 */
  expressionDenominator: number;
  /** half image widths, 1…4095 */
  keypointDenominator: number;
  /** coefficients that travel, the most important first (EXPRESSION_IMPORTANCE); the others are 0. 0…52 */
  expressionCount: number;
  /** keypoints of the motion, 0…128 */
  keypointCount: number;
  /** keypoints that travel, from the first; the others are 0. 0…keypointCount */
  keypointsSent: number;
}

/**
 * Under the tracker's own jitter (0.01 per coefficient, 0.002 rad): half a step is 0.0096 and 0.00195.
 */
export const DEFAULT_SETTINGS: Readonly<CompactSettings> = {
  poseDenominator: 256,
  expressionDenominator: 52,
  keypointDenominator: 256,
  expressionCount: EXPRESSION_COUNT,
  keypointCount: 0,
  keypointsSent: 0,
};

/** The widths, in bits, in which settings travel. */
export const SETTING_BITS: readonly (readonly [keyof CompactSettings, number])[] = [
  ['poseDenominator', 12],
  ['expressionDenominator', 10],
  ['keypointDenominator', 12],
  ['expressionCount', 6],
  ['keypointCount', 8],
  ['keypointsSent', 8],
];

export function settingsAreValid(settings: CompactSettings): boolean {
  const { poseDenominator, expressionDenominator, keypointDenominator } = settings;
  return (
    inRange(poseDenominator, 1, 4095) &&
    inRange(expressionDenominator, 1, 1023) &&
    inRange(keypointDenominator, 1, 4095) &&
    inRange(settings.expressionCount, 0, EXPRESSION_COUNT) &&
    inRange(settings.keypointCount, 0, KEYPOINT_LIMIT) &&
    inRange(settings.keypointsSent, 0, settings.keypointCount)
  );
}

export function sameSettings(a: CompactSettings, b: CompactSettings): boolean {
  return a === b || SETTING_BITS.every(([name]) => a[name] === b[name]);
}

const inRange = (value: number, low: number, high: number): boolean =>
  Number.isInteger(value) && value >= low && value <= high;
