import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import {
  type CompactTables,
  DRIFT_BASE,
  PAST_BASE,
  PREDICTION_BASE,
  QUESTION_SHIFT as TABLE_QUESTION_SHIFT,
} from './CompactTables.ts';
import { Predictor } from './Predictor.ts';
import type { ScalarPlan } from './ScalarPlan.ts';
import { SCALAR_LIMIT } from './scalars.ts';

// V8 folds a module's own constants into the code of its functions, but reads imported ones from memory, checks their
// type at each use and every sum with them for overflow. In this folder's inner loops that counts: hence copies like these.
const { VALUE, CHANGE, CHANGE_BEFORE, LIVELY, LIVELY_LONG, MEAN, MEAN_SHORT, STRIDE_SHIFT } = SCALAR_FIELDS;
const QUESTION_SHIFT = TABLE_QUESTION_SHIFT;
const PAST_FIRST = PAST_BASE << QUESTION_SHIFT;
const PREDICTION_FIRST = (PREDICTION_BASE + 32) << QUESTION_SHIFT;
const DRIFT_FIRST = DRIFT_BASE << QUESTION_SHIFT;

/** numbers in `found` for each place: six contexts, FOUND_AT and EXPECTED */
export const CONTEXTS_SHIFT = 3;
const FOUND_SHIFT = CONTEXTS_SHIFT;
/** where the scalar's numbers begin in the state */
export const FOUND_AT = 6;
const AT = FOUND_AT;
/** how large its change is expected to be, 1/256 */
const EXPECTED = 7;
/** what a place is below: said to the engine by a mask, it need not look for overflows */
export const PLACE_LIMIT = 512;
const PLACE_MASK = PLACE_LIMIT - 1;
const START = 512;
const LIVELY_LIMIT = 8;
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
  /** for each place of the packet, 1 << CONTEXTS_SHIFT apart: the contexts a … f, FOUND_AT, EXPECTED */
  readonly found = new Uint16Array(SCALAR_LIMIT << CONTEXTS_SHIFT);
  private scalars: Int32Array = new Int32Array(0);
  private predicting = 0;
  /** sums over the scalars so far, in 1/256: how much changed, and how much was expected to */
  private changed = START;
  private foreseen = START;

  constructor(tables: CompactTables) {
    this.predictor = new Predictor(tables);
  }

  /** Before the first scalar of a packet: finds what of the contexts rests on the state alone. */
  begin(state: CompactState, plan: ScalarPlan, selfContained: boolean): void {
    const { found } = this;
    const { places, levels, count } = plan;
    const { scalars } = state;
    this.scalars = scalars;
    this.predicting = selfContained ? 0 : 1;
    this.changed = START;
    this.foreseen = START;
    this.predictor.begin(state.scalarCount);
    // without branches: which changes are zero, and which way the others went, is what nobody can foresee
    for (let place = 0; place < count; place++) {
      const field = (place & PLACE_MASK) << 2;
      const kind = places[field + 1]!;
      const at = places[field]! << STRIDE_SHIFT;
      const value = scalars[at + VALUE]!;
      const now = value << 8;
      // all bits set for a coefficient, whose kind is 2
      const isCoefficient = -(kind >> 1);
      const zone = kind - (isCoefficient & ((value - 1) >> 31));
      const past = (sign(scalars[at + CHANGE]!) * 3 + sign(scalars[at + CHANGE_BEFORE]!) + 4) | 0;
      const far = driftClass((now - scalars[at + MEAN]!) | 0);
      const near = driftClass((now - scalars[at + MEAN_SHORT]!) | 0);
      const to = (place & PLACE_MASK) << FOUND_SHIFT;
      found[to] = zone << (QUESTION_SHIFT + 7);
      found[to + 1] = places[field + 2]!;
      found[to + 2] = places[field + 3]! + levels[value & isCoefficient]!;
      found[to + 3] = PAST_FIRST + ((Math.imul(zone, 9) + past) << (QUESTION_SHIFT + 4));
      found[to + 4] = PREDICTION_FIRST + (zone << (QUESTION_SHIFT + 6));
      found[to + 5] = DRIFT_FIRST + ((Math.imul(zone, 225) + Math.imul(far, 15) + near) << QUESTION_SHIFT);
      found[to + AT] = at;
      found[to + EXPECTED] = (scalars[at + LIVELY]! + (scalars[at + LIVELY_LONG]! >> 4)) >> 1;
    }
  }

  /** Completes the contexts of one place by what the packet has told so far; places come in order. */
  find(place: number): void {
    const { found } = this;
    const to = (place & PLACE_MASK) << FOUND_SHIFT;
    const predicted = this.predicting === 0 ? 0 : this.predictor.predict(this.scalars, found[to + AT]!);
    const pace = Math.max(-PACE_LIMIT, Math.min(PACE_LIMIT, (predicted + 16) >> 5));
    const expected = found[to + EXPECTED]!;
    const ratio = ((this.changed << 8) / this.foreseen) | 0;
    this.foreseen = (this.foreseen + expected) | 0;
    const size = CLASSES[SIZE + Math.min(Math.imul(expected, ratio) >> 8, SIZE_TOP)]!;
    found[to] = found[to]! + (size << (QUESTION_SHIFT + 3)) + CLASSES[FRAME + Math.min(ratio, FRAME_TOP)]!;
    found[to + 1] = found[to + 1]! + CLASSES[LEAN + pace]!;
    found[to + 3] = found[to + 3]! + (size << QUESTION_SHIFT);
    found[to + 4] = found[to + 4]! + (pace << QUESTION_SHIFT);
  }

  /** How a scalar changed, before the next is looked for. Only for changes other than 0. */
  tell(scalar: number, change: number): void {
    const size = change < 0 ? -change : change;
    this.changed = (this.changed + (Math.min(size, LIVELY_LIMIT) << 8)) | 0;
    this.predictor.tell(scalar, change);
  }
}

/** 0…14: a distance in 1/256 step in quarters of a step, 7 where there is next to none. */
function driftClass(drift: number): number {
  const low = ((drift + 32) >> 6) + 7;
  const aboveZero = low & ~(low >> 31);
  const over = aboveZero - 14;
  return 14 + (over & (over >> 31));
}

/** −1, 0, 1 */
function sign(change: number): number {
  return (change >> 31) | ((0 - change) >>> 31);
}
