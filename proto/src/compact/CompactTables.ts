import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import { FACE_COUNT, ROW_COUNT } from './scalars.ts';

/** Questions asked of a changed scalar, in this order. */
export const DECISION = { changed: 0, negative: 1, beyondOne: 2, beyondTwo: 3 } as const;
export const DECISION_COUNT = 4;
/** from this magnitude on a decision has one context: zone, size expected, magnitude (at most 15) */
export const FAR = 4;

/** Scalars that behave alike: 0 pose, 1 keypoints, 2 coefficients above zero, 3 coefficients at zero. */
export const ZONE_COUNT = 4;

/** Four contexts see each decision; each is a block of `size` probabilities inside the block of its decision. */
const OWN_SIZE = ROW_COUNT * 4 * 3; // row, size expected, sign of the last change
const FRAME_SIZE = ZONE_COUNT * 8 * 8; // zone, size expected, how lively this packet is
const PREDICTION_SIZE = ZONE_COUNT * 16 * 8; // zone, change predicted, size expected
const SIGN_SIZE = ROW_COUNT * 5 * 2; // row, change predicted (coarse), sign of this change
export const FRAME_BASE = OWN_SIZE;
export const PREDICTION_BASE = FRAME_BASE + FRAME_SIZE;
export const SIGN_BASE = PREDICTION_BASE + PREDICTION_SIZE;
export const DECISION_SIZE = SIGN_BASE + SIGN_SIZE;

export const FAR_BASE = DECISION_COUNT * DECISION_SIZE;
export const TIME_BASE = FAR_BASE + ZONE_COUNT * 8 * 16;
/** changed, negative, then beyond 1, 2 … 6 */
export const TIME_SIZE = 8;
export const PROBABILITY_COUNT = TIME_BASE + TIME_SIZE;

/** One input for each context: the mean of its slow and its fast probability. */
export const INPUT_COUNT = 4;
export const MIXER_COUNT = ZONE_COUNT * DECISION_COUNT * INPUT_COUNT;

export const PREDECESSOR_COUNT = 8;
/** predecessors, last change, the one before, distance from the running mean, whether a coefficient is at zero, 1 */
export const WEIGHT_COUNT = PREDECESSOR_COUNT + 5;

/** What a codec knows before its first packet; learned by proto/scripts/trainCompactTables.ts, equal on both ends. */
export interface CompactTables {
  /** FACE_COUNT × 8: scalars coded earlier in the packet whose changes predict this one's */
  predecessors: Uint8Array;
  /** ROW_COUNT × 13, in 1/256 */
  weights: Int16Array;
  /** PROBABILITY_COUNT probabilities of a 1, out of 65536 */
  probabilities: Uint16Array;
  /** zone × decision × 4 inputs, in 1/16384 */
  mixer: Int32Array;
  /** for each of EXPRESSION_NAMES its place, 0…51, when packets keep only the most important coefficients */
  ranks: Uint8Array;
}

/** Tables that know nothing: where training starts. */
export function blankTables(): CompactTables {
  return {
    predecessors: new Uint8Array(FACE_COUNT * PREDECESSOR_COUNT),
    weights: new Int16Array(ROW_COUNT * WEIGHT_COUNT),
    probabilities: new Uint16Array(PROBABILITY_COUNT).fill(32768),
    mixer: new Int32Array(MIXER_COUNT).fill(8192),
    ranks: Uint8Array.from({ length: EXPRESSION_COUNT }, (_, index) => index),
  };
}
