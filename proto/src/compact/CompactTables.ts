import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import { FACE_COUNT, ROW_COUNT } from './scalars.ts';

/** Scalars that behave alike: 0 pose, 1 keypoints, 2 coefficients above zero, 3 coefficients at zero. */
export const ZONE_COUNT = 4;

/**
 * Questions asked of a scalar, in this order. From `beyondOne` on there is one for each direction of the change: the
 * number here is for positive ones, the next for negative ones. Every context has a
 * weight for each question.
 */
export const QUESTION = { changed: 0, negative: 1, beyondOne: 2, beyondTwo: 4, beyondMore: 6 } as const;
export const QUESTION_COUNT = 8;

// five contexts see each question: parts of the list of contexts
/** where each of the five begins */
export const FRAME_BASE = 0;
const FRAME_SIZE = ZONE_COUNT * 16 * 8; // zone, size expected, how lively this packet is (beyondMore: how far already)
const LEAN_SIZE = ROW_COUNT * 5; // row, change predicted (coarse)
const LEVEL_SIZE = ROW_COUNT * 8; // row, value
const PAST_SIZE = ZONE_COUNT * 3 * 3 * 16; // zone, signs of the last two changes, size expected
const PREDICTION_SIZE = ZONE_COUNT * 64; // zone, change predicted
export const CONTEXT_COUNT = 5;
export const LEAN_BASE = FRAME_BASE + FRAME_SIZE;
export const LEVEL_BASE = LEAN_BASE + LEAN_SIZE;
export const PAST_BASE = LEVEL_BASE + LEVEL_SIZE;
export const PREDICTION_BASE = PAST_BASE + PAST_SIZE;
export const QUESTION_WEIGHT_COUNT = QUESTION_COUNT * (PREDICTION_BASE + PREDICTION_SIZE);

export const PREDECESSOR_COUNT = 12;
/** predecessors, last change, the one before, distance from the running mean, whether a coefficient is at zero, 1 */
export const WEIGHT_COUNT = PREDECESSOR_COUNT + 5;

/** What a codec knows before its first packet; learned by proto/scripts/trainCompactTables.ts, equal on both ends. */
export interface CompactTables {
  /** FACE_COUNT × 12: scalars coded earlier in the packet whose changes predict this one's */
  predecessors: Uint8Array;
  /** ROW_COUNT × 17, in 1/256 */
  weights: Int16Array;
  /** for each context QUESTION_COUNT weights, logistic domain in 1/16 */
  questions: Int8Array;
  /** for each of EXPRESSION_NAMES its place, 0…51, when packets keep only the most important coefficients */
  ranks: Uint8Array;
}

/** Tables that know nothing: where training starts. */
export function blankTables(): CompactTables {
  return {
    predecessors: new Uint8Array(FACE_COUNT * PREDECESSOR_COUNT),
    weights: new Int16Array(ROW_COUNT * WEIGHT_COUNT),
    questions: new Int8Array(QUESTION_WEIGHT_COUNT),
    ranks: Uint8Array.from({ length: EXPRESSION_COUNT }, (_, index) => index),
  };
}
