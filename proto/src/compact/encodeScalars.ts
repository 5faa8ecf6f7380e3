import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import { QUESTION, QUESTION_SHIFT } from './CompactTables.ts';
import { SQUASH } from './logistic.ts';
import { FOUND_SHIFT as MODEL_FOUND_SHIFT, PLACE_LIMIT, SCRATCH } from './modelMemory.ts';
import { type RangeCoder, RENORMALISE_BELOW } from './rangeCoder.ts';
import {
  CHANGE_COUNTED,
  CHANGED_START,
  CLASSES,
  eighths,
  FORESEEN_BITS,
  FOUND_AT_BITS,
  FOUND_FORESEEN,
  FOUND_OWN,
  FRAME,
  LEAN,
  PACE_LIMIT,
  SIZE,
} from './ScalarContexts.ts';
import { JOURNAL, type ScalarModel } from './ScalarModel.ts';

// this module's own constants are folded into its code, imported ones are not: see ScalarContexts.ts
const CHANGED = QUESTION.changed;
const NEGATIVE = QUESTION.negative;
const BEYOND_ONE = QUESTION.beyondOne;
const BEYOND_TWO = QUESTION.beyondTwo;
const BEYOND_MORE = QUESTION.beyondMore;
const { INDEX_MASK } = JOURNAL;
const PROBABILITIES = SQUASH;
const CLASS_OF = CLASSES;
const OF_SIZE = SIZE;
const OF_FRAME = FRAME;
const OF_PACE = LEAN;
const PACE_MOST = PACE_LIMIT;
const FORESEEN = FOUND_FORESEEN;
const EXPECTED_SHIFT = FORESEEN_BITS;
const FORESEEN_MASK = (1 << FORESEEN_BITS) - 1;
const QUESTION_BITS = QUESTION_SHIFT;
/** mistakes of predictions below a step teach nothing, 1/256 */
const MISTAKE_IGNORED = 256;
const NARROW = RENORMALISE_BELOW;
const PLACE_MASK = PLACE_LIMIT - 1;
const FOUND_SHIFT = MODEL_FOUND_SHIFT;
const OWN = FOUND_OWN;
const AT_BITS = FOUND_AT_BITS;
const AT_MASK = (1 << AT_BITS) - 1;
const COUNTED = CHANGE_COUNTED;
const START = CHANGED_START;
const { FOUND, VALUES, MISTAKES, FAILED } = SCRATCH;
const { STRIDE_SHIFT } = SCALAR_FIELDS;
/** a context's index begins with its zone: 2 for coefficients, 3 for those at 0 */
const ZONE_SHIFT = 10;
/** changes beyond this are escaped */
const UNARY_LIMIT = 14;
/** weights move by 1/32 of the error */
const RATE_SHIFT = 5;
const HALF = 1 << (RATE_SHIFT - 1);
/** errors smaller than this, out of 65536, teach nothing: sure weights would grow for ever */
const IGNORED = 1023;

/**
 * Writes every scalar that travels at the state's settings, from the model's values (0 where they do not travel). Flat
 * and apart from its twin decodeScalars() for speed.
 */
export function encodeScalars(
  coder: RangeCoder,
  model: ScalarModel,
  state: CompactState,
  selfContained: boolean,
): void {
  const plan = model.begin(state, selfContained);
  const { count } = plan;
  const { contexts, memory } = model;
  const { predictor } = contexts;
  const predicting = contexts.predicting | 0;
  // V8 folds a constant array's address and length into the code only when the constant is read before the loop
  const probabilities = PROBABILITIES;
  const classes = CLASS_OF;
  const found = FOUND;
  const values = VALUES;
  const mistakes = MISTAKES;
  const list = FAILED;
  // as an unsigned number, error + ignored is at most twice ignored when error is small, of either sign
  const ignored = model.adaptive ? IGNORED : 65536;
  const top = state.settings.expressionDenominator | 0;
  let low = coder.low | 0;
  let range = coder.range | 0;

  let changed: number = START;
  let lively = eighths(changed) | 0;
  let failed = 0;
  for (let place = 0; place < count; place++) {
    const first = (place & PLACE_MASK) << FOUND_SHIFT;
    const own = found[first + OWN]!;
    const scalar = (own & AT_MASK) >> STRIDE_SHIFT;
    const before = own >> AT_BITS;
    const foreseen = found[first + FORESEEN]!;
    const predicted = predicting === 0 ? 0 : predictor.predict(scalar, before);
    const pace = Math.max(-PACE_MOST, Math.min(PACE_MOST, (predicted + 16) >> 5));
    const ratio = (lively - (foreseen & FORESEEN_MASK)) | 0;
    const sized = classes[OF_SIZE + ratio + (foreseen >> EXPECTED_SHIFT)]!;
    let a = (found[first]! + (sized << 3) + classes[OF_FRAME + ratio]!) | 0;
    const b = (found[first + 1]! + classes[OF_PACE + pace]!) | 0;
    const c = found[first + 2]!;
    const d = (found[first + 3]! + sized) | 0;
    const e = (found[first + 4]! + (pace << QUESTION_BITS)) | 0;
    const change = (values[scalar]! - before) | 0;
    const negative = change >>> 31;
    const size = negative === 1 ? -change | 0 : change;
    let question: number = CHANGED;
    let magnitude = 0;
    for (;;) {
      const wa = memory[a + question]!;
      const wb = memory[b + question]!;
      const wc = memory[c + question]!;
      const wd = memory[d + question]!;
      const we = memory[e + question]!;
      const sum = (((((wb + wc) | 0) + wd) | 0) + ((wa + we) | 0)) >> 8;
      const probability = probabilities[(sum + 2047) >>> 0 > 4094 ? (sum > 0 ? 4095 : 1) : sum + 2048]!;
      const bound = Math.imul(range >>> 8, probability >>> 1) >>> 7;
      const bit = question === NEGATIVE ? negative : size > magnitude ? 1 : 0;
      let error = -probability | 0;
      if (bit !== 0) {
        error = (error + 65536) | 0;
        range = bound;
      } else {
        low = (low + bound) | 0;
        range = (range - bound) | 0;
      }
      if (range < NARROW) {
        coder.low = low;
        coder.range = range;
        coder.shiftOut();
        low = coder.low | 0;
        range = coder.range | 0;
      }
      if ((error + ignored) >>> 0 > ignored << 1) {
        const moved = (error + HALF) >> RATE_SHIFT;
        memory[a + question] = (wa + moved) | 0;
        memory[b + question] = (wb + moved) | 0;
        memory[c + question] = (wc + moved) | 0;
        memory[d + question] = (wd + moved) | 0;
        memory[e + question] = (we + moved) | 0;
      }

      if (question === CHANGED) {
        if (bit === 0) break;
        magnitude = 1;
        question = NEGATIVE;
        // a coefficient at an end of its range can only go one way
        const zone = a >> ZONE_SHIFT;
        if (zone === 3) question = BEYOND_ONE;
        else if (zone === 2 && before === top) question = BEYOND_ONE + 1;
      } else if (question === NEGATIVE) {
        question = BEYOND_ONE + negative;
      } else {
        if (bit === 0) break;
        magnitude = (magnitude + 1) | 0;
        if (magnitude === 2) question = BEYOND_TWO + negative;
        else break;
      }
    }
    const mistake = ((change << 8) - predicted) | 0;
    const over = (mistake + MISTAKE_IGNORED - 1) | 0;
    mistakes[scalar] = mistake;
    list[failed & PLACE_MASK] = scalar;
    failed = (failed + ((over >>> 31) | ((2 * MISTAKE_IGNORED - 2 - over) >>> 31))) | 0;
    if (magnitude === 0) continue;

    if (magnitude > 2) {
      // From here on four of the five contexts stay: the sum of their weights is kept, and what they learn put back once.
      question = BEYOND_MORE + negative;
      const base = (a & ~INDEX_MASK) + question;
      let rest =
        (((((memory[b + question]! + memory[c + question]!) | 0) + memory[d + question]!) | 0) +
          memory[e + question]!) |
        0;
      let learned = 0;
      for (;;) {
        a = base + ((magnitude > 10 ? 7 : magnitude - 3) << 3);
        const wa = memory[a]!;
        const sum = ((rest + wa) | 0) >> 8;
        const probability = probabilities[(sum + 2047) >>> 0 > 4094 ? (sum > 0 ? 4095 : 1) : sum + 2048]!;
        const bound = Math.imul(range >>> 8, probability >>> 1) >>> 7;
        const bit = size > magnitude ? 1 : 0;
        let error = -probability | 0;
        if (bit !== 0) {
          error = (error + 65536) | 0;
          range = bound;
        } else {
          low = (low + bound) | 0;
          range = (range - bound) | 0;
        }
        if (range < NARROW) {
          coder.low = low;
          coder.range = range;
          coder.shiftOut();
          low = coder.low | 0;
          range = coder.range | 0;
        }
        if ((error + ignored) >>> 0 > ignored << 1) {
          const moved = (error + HALF) >> RATE_SHIFT;
          memory[a] = (wa + moved) | 0;
          rest = (rest + (moved << 2)) | 0;
          learned = (learned + moved) | 0;
        }
        if (bit === 0) break;
        magnitude = (magnitude + 1) | 0;
        if (magnitude > UNARY_LIMIT) break;
      }
      if (learned !== 0) {
        memory[b + question] = (memory[b + question]! + learned) | 0;
        memory[c + question] = (memory[c + question]! + learned) | 0;
        memory[d + question] = (memory[d + question]! + learned) | 0;
        memory[e + question] = (memory[e + question]! + learned) | 0;
      }
      if (magnitude > UNARY_LIMIT) {
        coder.low = low;
        coder.range = range;
        coder.codeEscape(size - magnitude);
        low = coder.low | 0;
        range = coder.range | 0;
      }
    }
    changed = (changed + (Math.min(size, COUNTED) << 8)) | 0;
    lively = eighths(changed) | 0;
    predictor.tell(scalar, change);
  }
  coder.low = low;
  coder.range = range;
  model.failed = failed;
}
