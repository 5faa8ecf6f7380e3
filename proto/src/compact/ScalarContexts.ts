import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import {
  type CompactTables,
  DRIFT_BASE,
  PAST_BASE,
  PREDICTION_BASE,
  QUESTION_SHIFT as TABLE_QUESTION_SHIFT,
} from './CompactTables.ts';
import { MEMORY, FOUND_SHIFT as MODEL_FOUND_SHIFT, PLACE_LIMIT } from './modelMemory.ts';
import { Predictor } from './Predictor.ts';
import { PLACES_SHIFT as PLAN_PLACES_SHIFT, type ScalarPlan } from './ScalarPlan.ts';

// V8 folds a module's own constants into the code of its functions, but reads imported ones from memory, checks their
// type at each use and every sum with them for overflow. In this folder's inner loops that counts: hence copies like these.
const { VALUE, CHANGE, CHANGE_BEFORE, LIVELY, LIVELY_LONG, MEAN, MEAN_SHORT, STRIDE_SHIFT } = SCALAR_FIELDS;
const QUESTION_SHIFT = TABLE_QUESTION_SHIFT;
const PAST_FIRST = PAST_BASE << QUESTION_SHIFT;
const PREDICTION_FIRST = (PREDICTION_BASE + 32) << QUESTION_SHIFT;
const DRIFT_FIRST = DRIFT_BASE << QUESTION_SHIFT;

const PLACE_MASK = PLACE_LIMIT - 1;
const FOUND_SHIFT = MODEL_FOUND_SHIFT;
const PLACES_SHIFT = PLAN_PLACES_SHIFT;
const { FOUND } = MEMORY;
/** where the scalar's numbers begin in the state; above FOUND_AT_BITS its value there */
export const FOUND_OWN = 6;
export const FOUND_AT_BITS = 12;
const OWN = FOUND_OWN;
const AT_BITS = FOUND_AT_BITS;
const AT_MASK = (1 << AT_BITS) - 1;
/** how much the scalars before it were expected to change, 1/256; above FORESEEN_BITS how much it is */
const FOUND_FORESEEN = 7;
const FORESEEN_BITS = 20;
const FORESEEN_MASK = (1 << FORESEEN_BITS) - 1;
/** what changed and what was expected to, 1/256, are this much larger than they are */
export const CHANGED_START = 512;
const START = CHANGED_START;
/** changes count as at most this many steps there */
export const CHANGE_COUNTED = 8;
/** predicted changes are told apart in 1/8 step up to this many */
const PACE_LIMIT = 31;
/** paces from which on a predicted change counts as some and as much */
const LEANING = 3;
const LEANING_MUCH = 10;

/** twice the position of the highest bit, plus the bit below it: about 2·log2 x */
const halfOctave = (x: number): number => {
  if (x < 2) return 0;
  const top = 31 - Math.clz32(x);
  return 2 * top + ((x >> (top - 1)) & 1);
};
/** 0…14: a distance in 1/256 step in quarters of a step, 7 where there is next to none. */
const driftClass = (drift: number): number => {
  const low = ((drift + 32) >> 6) + 7;
  const aboveZero = low & ~(low >> 31);
  const over = aboveZero - 14;
  return (14 + (over & (over >> 31))) | 0;
};
/** −1, 0, 1 */
const sign = (change: number): number => (change >> 31) | ((0 - change) >>> 31);
const within = (value: number, top: number): number => Math.min(top, Math.max(0, value));
const leanOf = (pace: number): number => {
  const size = Math.abs(pace);
  return 2 + Math.sign(pace) * (size < LEANING ? 0 : size < LEANING_MUCH ? 1 : 2);
};
/**
 * Three tables in one, which engines reach sooner. From SIZE on: size of the change expected, 1/256 step, 16 classes
 * from 1/16 step to 8. From FRAME on: liveliness against expectation, 1/256, 8 classes from 1/4 to 3. Around LEAN: one
 * of five for each pace. The latter two as distances between weights.
 */
const SIZE = 0;
const SIZE_TOP = 2048;
const FRAME = SIZE + SIZE_TOP + 1;
const FRAME_TOP = 1024;
const LEAN = FRAME + FRAME_TOP + 1 + PACE_LIMIT;
const CLASSES = Uint8Array.from({ length: LEAN + PACE_LIMIT + 1 }, (_, index) => {
  if (index < FRAME) return within(halfOctave(index - SIZE) - 7, 15);
  if (index < LEAN - PACE_LIMIT) return within(halfOctave(index - FRAME) - 12, 7) << QUESTION_SHIFT;
  return leanOf(index - LEAN) << QUESTION_SHIFT;
});

/**
 * The six contexts that see each question about a scalar (docs/protocol-compact.md, section 6), as the index of their
 * weight of question 0. What they rest on is the state before the packet, the scalars coded so far and the predictor.
 */
export class ScalarContexts {
  readonly predictor: Predictor;
  private readonly memory: Int32Array;
  private predicting = 0;

  /** `memory`: the model's, MEMORY */
  constructor(tables: CompactTables, memory: Int32Array) {
    this.predictor = new Predictor(tables, memory);
    this.memory = memory;
  }

  /** Before the first scalar of a packet: finds what of the contexts rests on the state alone. */
  begin(state: CompactState, plan: ScalarPlan, selfContained: boolean): void {
    const { memory, predictor } = this;
    const { places, count } = plan;
    const { scalars } = state;
    const levels = (count & PLACE_MASK) << PLACES_SHIFT;
    let foreseen = START;
    this.predicting = selfContained ? 0 : 1;
    predictor.begin(state.scalarCount);
    // without branches: which changes are zero, and which way the others went, is what nobody can foresee
    for (let place = 0; place < count; place++) {
      const field = (place & PLACE_MASK) << PLACES_SHIFT;
      const scalar = places[field]! & PLACE_MASK;
      const kind = places[field + 1]!;
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
      predictor.expect(scalar, places[field + 4]!, change, changeBefore, drift, atZero);
      const past = (Math.imul(sign(change), 3) + sign(changeBefore) + 4) | 0;
      const far = driftClass(drift);
      const near = driftClass((now - scalars[at + MEAN_SHORT]!) | 0);
      const expected = (scalars[at + LIVELY]! + (scalars[at + LIVELY_LONG]! >> 4)) >> 1;
      const to = FOUND + ((place & PLACE_MASK) << FOUND_SHIFT);
      memory[to] = zone << (QUESTION_SHIFT + 7);
      memory[to + 1] = places[field + 2]!;
      memory[to + 2] = places[field + 3]! + places[(levels + (value & isCoefficient)) | 0]!;
      memory[to + 3] = PAST_FIRST + ((Math.imul(zone, 9) + past) << (QUESTION_SHIFT + 4));
      memory[to + 4] = PREDICTION_FIRST + (zone << (QUESTION_SHIFT + 6));
      memory[to + 5] = DRIFT_FIRST + ((Math.imul(zone, 225) + Math.imul(far, 15) + near) << QUESTION_SHIFT);
      memory[to + OWN] = (value << AT_BITS) | at;
      memory[to + FOUND_FORESEEN] = (expected << FORESEEN_BITS) | foreseen;
      foreseen = (foreseen + expected) | 0;
    }
  }

  /**
   * Completes the contexts of one place by what the packet has told so far; places come in order. `changed`: START and
   * the sizes of the changes before it, limited to CHANGE_COUNTED, 1/256.
   */
  find(place: number, changed: number): void {
    const { memory } = this;
    const to = FOUND + ((place & PLACE_MASK) << FOUND_SHIFT);
    const own = memory[to + OWN]!;
    const scalar = (own & AT_MASK) >> STRIDE_SHIFT;
    const predicted = this.predicting === 0 ? 0 : this.predictor.predict(scalar, own >> AT_BITS);
    const pace = Math.max(-PACE_LIMIT, Math.min(PACE_LIMIT, (predicted + 16) >> 5));
    const foreseen = memory[to + FOUND_FORESEEN]!;
    const expected = foreseen >>> FORESEEN_BITS;
    const ratio = ((changed << 8) / (foreseen & FORESEEN_MASK)) | 0;
    const size = CLASSES[SIZE + Math.min(Math.imul(expected, ratio) >> 8, SIZE_TOP)]!;
    memory[to] = memory[to]! + (size << (QUESTION_SHIFT + 3)) + CLASSES[FRAME + Math.min(ratio, FRAME_TOP)]!;
    memory[to + 1] = memory[to + 1]! + CLASSES[LEAN + pace]!;
    memory[to + 3] = memory[to + 3]! + (size << QUESTION_SHIFT);
    memory[to + 4] = memory[to + 4]! + (pace << QUESTION_SHIFT);
  }
}
