import { QUESTION_WEIGHT_COUNT, WEIGHT_COUNT } from './CompactTables.ts';
import { ROW_COUNT } from './scalars.ts';

/** what a place or scalar is below: as a mask it tells the engine that an index lies inside SCRATCH, and it need not look */
export const PLACE_LIMIT = 512;
/** numbers found for each place: five contexts, FOUND_OWN and FOUND_FORESEEN */
export const FOUND_SHIFT = 3;
/** questions of one scalar: its change, its direction, and sizes beyond 1 to 14 */
const QUESTIONS_LIMIT = 16;

const WEIGHTS = 0;
const PREDICTOR = (QUESTION_WEIGHT_COUNT + 63) & ~63;

/**
 * Where a ScalarModel's numbers lie in its one array: engines check an array's kind, length and address anew at each
 * turn of a loop, and one array is checked sooner than two.
 */
export const MEMORY = {
  /** for each context QUESTION_COUNT weights: logistic domain, 1/65536 */
  WEIGHTS,
  /** ROW_COUNT × WEIGHT_COUNT, 1/65536; those of pose and coefficients adapt */
  PREDICTOR,
  LENGTH: PREDICTOR + ROW_COUNT * WEIGHT_COUNT,
} as const;

/**
 * What is known of one packet while it is coded, which is never given up in between: one for all models. Engines fold
 * the address and length of arrays that are constants into the code, and drop the checks of indices that are masked.
 */
export const SCRATCH = {
  /** for each place of the packet 1 << FOUND_SHIFT numbers: ScalarContexts */
  FOUND: new Int32Array(PLACE_LIMIT << FOUND_SHIFT),
  /** of the packet being coded, by scalar; those that do not travel are 0 */
  VALUES: new Int32Array(PLACE_LIMIT),
  /** changes in the packet so far, limited, by scalar */
  CHANGES: new Int32Array(PLACE_LIMIT),
  /** for each scalar what its past and those before it say about its change, 1/65536 */
  HEARD: new Int32Array(PLACE_LIMIT),
  /** how far predicted changes were off, 1/256, by scalar */
  MISTAKES: new Int32Array(PLACE_LIMIT),
  /** the scalars with mistakes to learn from */
  FAILED: new Int32Array(PLACE_LIMIT),
  /** how far each question of the packet moved its weights, and which */
  JOURNAL: new Int32Array(PLACE_LIMIT * QUESTIONS_LIMIT),
} as const;
