import type { CompactTables } from './CompactTables.ts';

/** the tables hold weights of questions in 1/16 and of the predictor in 1/256, models both in 1/65536 */
export const QUESTION_SCALE = 1 << 12;
const INPUT_SCALE = 1 << 8;

/** The weights that a model begins with: of questions (CONTEXTS × 8), of the predictor's inputs (ROW_COUNT × 17). */
export function startWeights(tables: CompactTables): { weights: Int32Array; inputs: Int32Array } {
  return {
    weights: Int32Array.from(tables.questions, (weight) => weight * QUESTION_SCALE),
    inputs: Int32Array.from(tables.weights, (weight) => weight * INPUT_SCALE),
  };
}
