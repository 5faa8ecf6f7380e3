import type { CompactTables } from './CompactTables.ts';

/** the tables hold weights of questions in 1/16 and of the predictor in 1/256, models both in 1/65536 */
export const QUESTION_SCALE = 1 << 12;
const INPUT_SCALE = 1 << 8;

/** What a model begins with; read only. */
export interface StartWeights {
  /** of questions: CONTEXTS × QUESTION_COUNT */
  weights: Int32Array;
  /** of the predictor's inputs: ROW_COUNT × WEIGHT_COUNT */
  inputs: Int32Array;
}

const STARTS = new WeakMap<CompactTables, StartWeights>();

/** Derived once for each set of tables. */
export function startWeights(tables: CompactTables): StartWeights {
  let start = STARTS.get(tables);
  if (start === undefined) {
    start = {
      weights: Int32Array.from(tables.questions, (weight) => weight * QUESTION_SCALE),
      inputs: Int32Array.from(tables.weights, (weight) => weight * INPUT_SCALE),
    };
    STARTS.set(tables, start);
  }
  return start;
}
