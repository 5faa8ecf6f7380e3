import { QUESTION_WEIGHT_COUNT, WEIGHT_COUNT } from './CompactTables.ts';
import { ROW_COUNT } from './scalars.ts';

/** what a place or scalar is below: said to the engine by a mask, it need not look for overflows */
export const PLACE_LIMIT = 512;
/** numbers found for each place: six contexts, FOUND_OWN and FOUND_EXPECTED */
export const FOUND_SHIFT = 3;
/** questions of one scalar: its change, its direction, and sizes beyond 1 to 14 */
const QUESTIONS_LIMIT = 16;

const WEIGHTS = 0;
const FOUND = (QUESTION_WEIGHT_COUNT + 63) & ~63;
const VALUES = FOUND + (PLACE_LIMIT << FOUND_SHIFT);
const CHANGES = VALUES + PLACE_LIMIT;
const HEARD = CHANGES + PLACE_LIMIT;
const MADE = HEARD + PLACE_LIMIT;
const FAILED = MADE + 64;
const PREDICTOR = FAILED + 64;
const JOURNAL = PREDICTOR + ((ROW_COUNT * WEIGHT_COUNT + 63) & ~63);

/**
 * Where a ScalarModel's numbers lie in its one array. The inner loops touch all of them, and engines check an array's
 * kind, length and address anew at each turn of a loop: one array is checked sooner than seven.
 */
export const MEMORY = {
  /** for each context QUESTION_COUNT weights: logistic domain, 1/65536 */
  WEIGHTS,
  /** for each place of the packet 1 << FOUND_SHIFT numbers: ScalarContexts */
  FOUND,
  /** of the packet being coded, by scalar; those that do not travel are 0 */
  VALUES,
  /** changes in the packet so far, limited, by scalar */
  CHANGES,
  /** for each scalar what its past and those before it say about its change, 1/65536 */
  HEARD,
  /** changes predicted, 1/256; only those of pose and coefficients */
  MADE,
  /** predictions to learn from */
  FAILED,
  /** ROW_COUNT × WEIGHT_COUNT, 1/65536; those of pose and coefficients adapt */
  PREDICTOR,
  /** how far each question of the packet moved its weights, and which */
  JOURNAL,
  LENGTH: JOURNAL + PLACE_LIMIT * QUESTIONS_LIMIT,
} as const;
