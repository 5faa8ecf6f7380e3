import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import { QUESTION } from './CompactTables.ts';
import { SQUASH } from './logistic.ts';
import { MEMORY, FOUND_SHIFT as MODEL_FOUND_SHIFT, PLACE_LIMIT } from './modelMemory.ts';
import { type RangeCoder, RENORMALISE_BELOW } from './rangeCoder.ts';
import { CHANGE_COUNTED, CHANGED_START, FOUND_AT_BITS, FOUND_OWN } from './ScalarContexts.ts';
import { JOURNAL, type ScalarModel } from './ScalarModel.ts';

// this module's own constants are folded into its code, imported ones are not: see ScalarContexts.ts
const CHANGED = QUESTION.changed;
const NEGATIVE = QUESTION.negative;
const BEYOND_ONE = QUESTION.beyondOne;
const BEYOND_TWO = QUESTION.beyondTwo;
const BEYOND_MORE = QUESTION.beyondMore;
const { INDEX_MASK } = JOURNAL;
const PROBABILITIES = SQUASH;
const NARROW = RENORMALISE_BELOW;
const PLACE_MASK = PLACE_LIMIT - 1;
/** what a context's index is below: as PLACE_MASK */
const CONTEXT_MASK = 0x7fff;
const FOUND_SHIFT = MODEL_FOUND_SHIFT;
const OWN = FOUND_OWN;
const AT_BITS = FOUND_AT_BITS;
const AT_MASK = (1 << AT_BITS) - 1;
const COUNTED = CHANGE_COUNTED;
const START = CHANGED_START;
const { FOUND, VALUES } = MEMORY;
const { STRIDE_SHIFT } = SCALAR_FIELDS;
/** a context's index begins with its zone: 2 for coefficients, 3 for those at 0 */
const ZONE_SHIFT = 10;
/** changes beyond this are escaped */
const UNARY_LIMIT = 14;
/** weights move by 1/32 of the error */
const RATE_SHIFT = 5;
const HALF = 1 << (RATE_SHIFT - 1);
/** errors smaller than this, out of 65536, teach nothing: a third of the answers are that sure */
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
  // V8 folds a constant array's address and length into the code only when the constant is read before the loop
  const probabilities = PROBABILITIES;
  // as an unsigned number, error + ignored is at most twice ignored when error is small, of either sign
  const ignored = model.adaptive ? IGNORED : 65536;
  const top = state.settings.expressionDenominator | 0;
  let low = coder.low | 0;
  let range = coder.range | 0;

  let changed: number = START;
  for (let place = 0; place < count; place++) {
    contexts.find(place, changed);
    const first = FOUND + ((place & PLACE_MASK) << FOUND_SHIFT);
    const own = memory[first + OWN]!;
    const scalar = (own & AT_MASK) >> STRIDE_SHIFT;
    const before = own >> AT_BITS;
    let a = memory[first]! & CONTEXT_MASK;
    const b = memory[first + 1]! & CONTEXT_MASK;
    const c = memory[first + 2]! & CONTEXT_MASK;
    const d = memory[first + 3]! & CONTEXT_MASK;
    const e = memory[first + 4]! & CONTEXT_MASK;
    const f = memory[first + 5]! & CONTEXT_MASK;

    const change = (memory[VALUES + scalar]! - before) | 0;
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
      const wf = memory[f + question]!;
      const sum = (((((wb + wc) | 0) + ((wd + wf) | 0)) | 0) + ((wa + we) | 0)) >> 8;
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
        memory[a + question] = wa + moved;
        memory[b + question] = wb + moved;
        memory[c + question] = wc + moved;
        memory[d + question] = wd + moved;
        memory[e + question] = we + moved;
        memory[f + question] = wf + moved;
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
    if (magnitude === 0) continue;

    if (magnitude > 2) {
      // From here on five of the six contexts stay: the sum of their weights is kept, and what they learn put back once.
      question = BEYOND_MORE + negative;
      const base = (a & ~INDEX_MASK) + question;
      let rest =
        (((((((memory[b + question]! + memory[c + question]!) | 0) + memory[d + question]!) | 0) +
          memory[e + question]!) |
          0) +
          memory[f + question]!) |
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
          memory[a] = wa + moved;
          rest = (rest + Math.imul(moved, 5)) | 0;
          learned = (learned + moved) | 0;
        }
        if (bit === 0) break;
        magnitude = (magnitude + 1) | 0;
        if (magnitude > UNARY_LIMIT) break;
      }
      if (learned !== 0) {
        memory[b + question] = memory[b + question]! + learned;
        memory[c + question] = memory[c + question]! + learned;
        memory[d + question] = memory[d + question]! + learned;
        memory[e + question] = memory[e + question]! + learned;
        memory[f + question] = memory[f + question]! + learned;
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
    predictor.tell(scalar, change);
  }
  coder.low = low;
  coder.range = range;
}
