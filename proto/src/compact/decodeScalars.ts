import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import { QUESTION } from './CompactTables.ts';
import { badValue } from './compactErrors.ts';
import { SQUASH } from './logistic.ts';
import { type RangeCoder, RENORMALISE_BELOW } from './rangeCoder.ts';
import { CONTEXTS_SHIFT, FOUND_AT, PLACE_LIMIT } from './ScalarContexts.ts';
import { JOURNAL, type ScalarModel } from './ScalarModel.ts';

// this module's own constants are folded into its code, imported ones are not: see ScalarContexts.ts
const CHANGED = QUESTION.changed;
const NEGATIVE = QUESTION.negative;
const BEYOND_ONE = QUESTION.beyondOne;
const BEYOND_TWO = QUESTION.beyondTwo;
const BEYOND_MORE = QUESTION.beyondMore;
const { PLACE_SHIFT, MOVE_SHIFT, INDEX_MASK } = JOURNAL;
const PROBABILITY = SQUASH;
const NARROW = RENORMALISE_BELOW;
const PLACE_MASK = PLACE_LIMIT - 1;
const FOUND_SHIFT = CONTEXTS_SHIFT;
const AT = FOUND_AT;
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
 * Reads every scalar that travels at the state's settings into the model's values. Most of the decoder's time is spent
 * here: one flat loop over questions on purpose, with the range coder's registers in local variables. encodeScalars()
 * is its twin: one loop for both would ask at every question which way it goes.
 */
export function decodeScalars(
  coder: RangeCoder,
  model: ScalarModel,
  state: CompactState,
  selfContained: boolean,
): void {
  const plan = model.begin(state, selfContained);
  const { count } = plan;
  const { contexts, weights, values, journal } = model;
  const { found } = contexts;
  const { scalars } = state;
  const { bytes } = coder;
  const { length } = bytes;
  const adaptive = model.adaptive ? 1 : 0;
  const undoable = model.undoable ? 1 : 0;
  const top = state.settings.expressionDenominator | 0;
  let range = coder.range | 0;
  let offset = coder.offset | 0;
  let position = coder.position | 0;
  let journalled = 0;
  if (count < state.scalarCount) values.fill(0, 0, state.scalarCount);

  for (let place = 0; place < count; place++) {
    contexts.find(place);
    const first = (place & PLACE_MASK) << FOUND_SHIFT;
    const at = found[first + AT]!;
    const scalar = at >> STRIDE_SHIFT;
    const before = scalars[at]!;
    let a = found[first]!;
    const b = found[first + 1]!;
    const c = found[first + 2]!;
    const d = found[first + 3]!;
    const e = found[first + 4]!;
    const f = found[first + 5]!;

    let question: number = CHANGED;
    let negative = 0;
    let magnitude = 0;
    for (;;) {
      const wa = weights[a + question]!;
      const wb = weights[b + question]!;
      const wc = weights[c + question]!;
      const wd = weights[d + question]!;
      const we = weights[e + question]!;
      const wf = weights[f + question]!;
      const sum = (((((wb + wc) | 0) + ((wd + wf) | 0)) | 0) + ((wa + we) | 0)) >> 8;
      const probability = PROBABILITY[sum > 2047 ? 4095 : sum < -2047 ? 1 : sum + 2048]!;
      const bound = Math.imul(range >>> 8, probability >>> 1) >>> 7;
      let bit = 0;
      let error = -probability | 0;
      if (offset < bound) {
        bit = 1;
        error = (error + 65536) | 0;
        range = bound;
      } else {
        offset = (offset - bound) | 0;
        range = (range - bound) | 0;
      }
      while (range < NARROW) {
        offset = (offset << 8) | (position < length ? bytes[position]! : 0);
        position = (position + 1) | 0;
        range <<= 8;
      }
      if (adaptive !== 0 && (error > IGNORED || error < -IGNORED)) {
        const moved = (error + HALF) >> RATE_SHIFT;
        weights[a + question] = wa + moved;
        weights[b + question] = wb + moved;
        weights[c + question] = wc + moved;
        weights[d + question] = wd + moved;
        weights[e + question] = we + moved;
        weights[f + question] = wf + moved;
        if (undoable !== 0) {
          journal[journalled] = (moved << MOVE_SHIFT) | (place << PLACE_SHIFT) | ((a + question) & INDEX_MASK);
          journalled = (journalled + 1) | 0;
        }
      }

      if (question === CHANGED) {
        if (bit === 0) break;
        magnitude = 1;
        question = NEGATIVE;
        // a coefficient at an end of its range can only go one way
        const zone = a >> ZONE_SHIFT;
        if (zone === 3) question = BEYOND_ONE;
        else if (zone === 2 && before === top) {
          negative = 1;
          question = BEYOND_ONE + 1;
        }
      } else if (question === NEGATIVE) {
        negative = bit;
        question = BEYOND_ONE + bit;
      } else {
        if (bit === 0) break;
        magnitude = (magnitude + 1) | 0;
        if (magnitude === 2) question = BEYOND_TWO + negative;
        else break;
      }
    }
    if (magnitude === 0) {
      values[scalar] = before;
      continue;
    }

    if (magnitude > 2) {
      // From here on five of the six contexts stay: the sum of their weights is kept, and what they learn put back once.
      question = BEYOND_MORE + negative;
      const base = (a & ~INDEX_MASK) + question;
      let rest =
        (((((((weights[b + question]! + weights[c + question]!) | 0) + weights[d + question]!) | 0) +
          weights[e + question]!) |
          0) +
          weights[f + question]!) |
        0;
      let learned = 0;
      for (;;) {
        a = base + ((magnitude > 10 ? 7 : magnitude - 3) << 3);
        const wa = weights[a]!;
        const sum = ((rest + wa) | 0) >> 8;
        const probability = PROBABILITY[sum > 2047 ? 4095 : sum < -2047 ? 1 : sum + 2048]!;
        const bound = Math.imul(range >>> 8, probability >>> 1) >>> 7;
        let bit = 0;
        let error = -probability | 0;
        if (offset < bound) {
          bit = 1;
          error = (error + 65536) | 0;
          range = bound;
        } else {
          offset = (offset - bound) | 0;
          range = (range - bound) | 0;
        }
        while (range < NARROW) {
          offset = (offset << 8) | (position < length ? bytes[position]! : 0);
          position = (position + 1) | 0;
          range <<= 8;
        }
        if (adaptive !== 0 && (error > IGNORED || error < -IGNORED)) {
          const moved = (error + HALF) >> RATE_SHIFT;
          weights[a] = wa + moved;
          rest = (rest + Math.imul(moved, 5)) | 0;
          learned = (learned + moved) | 0;
          if (undoable !== 0) {
            journal[journalled] = (moved << MOVE_SHIFT) | (place << PLACE_SHIFT) | (a & INDEX_MASK);
            journalled = (journalled + 1) | 0;
          }
        }
        if (bit === 0) break;
        magnitude = (magnitude + 1) | 0;
        if (magnitude > UNARY_LIMIT) break;
      }
      if (learned !== 0) {
        weights[b + question] = weights[b + question]! + learned;
        weights[c + question] = weights[c + question]! + learned;
        weights[d + question] = weights[d + question]! + learned;
        weights[e + question] = weights[e + question]! + learned;
        weights[f + question] = weights[f + question]! + learned;
      }
      if (magnitude > UNARY_LIMIT) {
        coder.range = range;
        coder.offset = offset;
        coder.position = position;
        model.journalled = journalled;
        coder.checkEnd();
        magnitude = (magnitude + coder.codeEscape(0)) | 0;
        range = coder.range | 0;
        offset = coder.offset | 0;
        position = coder.position | 0;
      }
    }

    const change = negative === 1 ? -magnitude | 0 : magnitude;
    const value = (before + change) | 0;
    if (value < plan.lowest[place]! || value > plan.highest[place]!) {
      coder.position = position;
      model.journalled = journalled;
      coder.checkEnd();
      throw badValue(`scalar ${scalar}`, String(value));
    }
    values[scalar] = value;
    contexts.tell(scalar, change);
  }
  coder.range = range;
  coder.offset = offset;
  coder.position = position;
  model.journalled = journalled;
  coder.checkEnd();
}
