import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import {
  type CompactTables,
  LEAN_BASE,
  LEVEL_BASE,
  PAST_BASE,
  PREDICTION_BASE,
  QUESTION_SHIFT as TABLE_QUESTION_SHIFT,
} from './CompactTables.ts';
import { FOUND_SHIFT as MODEL_FOUND_SHIFT, PLACE_LIMIT, SCRATCH } from './modelMemory.ts';
import { Predictor } from './Predictor.ts';
import { PLACE, type ScalarPlan } from './ScalarPlan.ts';

// V8 folds a module's own constants into the code of its functions, but reads imported ones from memory, checks their
// type at each use and every sum with them for overflow. In this folder's inner loops that counts: hence copies like these.
const { VALUE, CHANGE, CHANGE_BEFORE, LIVELY, LIVELY_LONG, MEAN, STRIDE_SHIFT } = SCALAR_FIELDS;
const QUESTION_SHIFT = TABLE_QUESTION_SHIFT;
const LEAN_FIRST = LEAN_BASE << QUESTION_SHIFT;
const LEAN_ROW = 5 << QUESTION_SHIFT;
const LEVEL_FIRST = LEVEL_BASE << QUESTION_SHIFT;
const LEVEL_ROW_SHIFT = QUESTION_SHIFT + 3;
const PAST_FIRST = PAST_BASE << QUESTION_SHIFT;
const PREDICTION_FIRST = (PREDICTION_BASE + 32) << QUESTION_SHIFT;

const PLACE_MASK = PLACE_LIMIT - 1;
const FOUND_SHIFT = MODEL_FOUND_SHIFT;
const { ZONE_SHIFT, ROW_SHIFT, SCALAR_MASK, ZONE_MASK } = PLACE;
const { FOUND } = SCRATCH;
/** where the scalar's numbers begin in the state; above FOUND_AT_BITS its value there */
export const FOUND_OWN = 5;
export const FOUND_AT_BITS = 12;
const OWN = FOUND_OWN;
const AT_BITS = FOUND_AT_BITS;
/** eighths() of how much the scalars before it were expected to change; above FORESEEN_BITS that of how much it is */
export const FOUND_FORESEEN = 6;
export const FORESEEN_BITS = 8;
const FORESEEN = FOUND_FORESEEN;
const EXPECTED_SHIFT = FORESEEN_BITS;
/** what changed and what was expected to, 1/256, are this much larger than they are */
export const CHANGED_START = 512;
const START = CHANGED_START;
/** changes count as at most this many steps there */
export const CHANGE_COUNTED = 8;
/** predicted changes are told apart in 1/8 step up to this many */
export const PACE_LIMIT = 31;
/** paces from which on a predicted change counts as some and as much */
const LEANING = 3;
const LEANING_MUCH = 10;

/** log2 x in eighths, linear between the powers of two; x from 1 on */
export const eighths = (x: number): number => {
  const top = 31 - Math.clz32(x);
  return (top << 3) + (((x << 3) >> top) & 7);
};
/** −1, 0, 1 */
const sign = (change: number): number => (change >> 31) | ((0 - change) >>> 31);
const within = (value: number, top: number): number => Math.min(top, Math.max(0, value));
const leanOf = (pace: number): number => {
  const size = Math.abs(pace);
  return 2 + Math.sign(pace) * (size < LEANING ? 0 : size < LEANING_MUCH ? 1 : 2);
};
/**
 * Three tables in one, which engines reach sooner. From SIZE on, by eighths(): size of the change expected, 16 classes
 * from 1/16 step to 8. Around FRAME, by the difference of eighths(): liveliness against expectation, 8 classes from 1/4
 * to 3. Around LEAN: one of five for each pace. As distances between weights.
 */
const RATIO_LIMIT = 160;
export const SIZE = RATIO_LIMIT;
export const FRAME = SIZE + 2 * RATIO_LIMIT;
export const LEAN = FRAME + RATIO_LIMIT + PACE_LIMIT;
export const CLASSES = Uint8Array.from({ length: LEAN + PACE_LIMIT + 1 }, (_, index) => {
  if (index < FRAME - RATIO_LIMIT) return within(((index - SIZE + 1) >> 2) - 7, 15) << QUESTION_SHIFT;
  if (index < LEAN - PACE_LIMIT) return within(((index - FRAME) >> 2) + 4, 7) << QUESTION_SHIFT;
  return leanOf(index - LEAN) << QUESTION_SHIFT;
});

/**
 * The five contexts that see each question about a scalar (docs/protocol-compact.md, section 6), as the index of their
 * weight of question 0. What they rest on is the state before the packet, the scalars coded so far and the predictor.
 */
export class ScalarContexts {
  readonly predictor: Predictor;
  /** 0 in self-contained packets: no change is predicted there */
  predicting = 0;

  /** `memory`: the model's, MEMORY */
  constructor(tables: CompactTables, memory: Int32Array) {
    this.predictor = new Predictor(tables, memory);
  }

  /** Before the first scalar of a packet: finds what of the contexts rests on the state alone. */
  begin(state: CompactState, plan: ScalarPlan, selfContained: boolean): void {
    const { predictor } = this;
    const found = FOUND;
    const { places, levels, count } = plan;
    const { scalars } = state;
    let foreseen = START;
    this.predicting = selfContained ? 0 : 1;
    predictor.begin(state.scalarCount);
    // without branches: which changes are zero, and which way the others went, is what nobody can foresee
    for (let place = 0; place < count; place++) {
      const parts = places[place]!;
      const scalar = parts & SCALAR_MASK;
      const kind = (parts >> ZONE_SHIFT) & ZONE_MASK;
      const row = parts >> ROW_SHIFT;
      const at = scalar << STRIDE_SHIFT;
      const value = scalars[at + VALUE]!;
      const now = value << 8;
      // all bits set for a coefficient, whose kind is 2
      const isCoefficient = (0 - (kind >> 1)) | 0;
      const atZero = isCoefficient & ((value - 1) >> 31);
      const zone = kind - atZero;
      const change = scalars[at + CHANGE]!;
      const changeBefore = scalars[at + CHANGE_BEFORE]!;
      const drift = (now - scalars[at + MEAN]!) | 0;
      predictor.expect(scalar, row, change, changeBefore, drift, atZero);
      const past = (Math.imul(sign(change), 3) + sign(changeBefore) + 4) | 0;
      const expected = (scalars[at + LIVELY]! + (scalars[at + LIVELY_LONG]! >> 4)) >> 1;
      const to = (place & PLACE_MASK) << FOUND_SHIFT;
      found[to] = zone << (QUESTION_SHIFT + 7);
      found[to + 1] = LEAN_FIRST + Math.imul(row, LEAN_ROW);
      found[to + 2] = LEVEL_FIRST + (row << LEVEL_ROW_SHIFT) + levels[value & isCoefficient]!;
      found[to + 3] = PAST_FIRST + ((Math.imul(zone, 9) + past) << (QUESTION_SHIFT + 4));
      found[to + 4] = PREDICTION_FIRST + (zone << (QUESTION_SHIFT + 6));
      found[to + OWN] = (value << AT_BITS) | at;
      found[to + FORESEEN] = (eighths(Math.max(expected, 1)) << EXPECTED_SHIFT) | eighths(foreseen);
      foreseen = (foreseen + expected) | 0;
    }
  }
}
