import type { CompactSettings } from './CompactSettings.ts';
import {
  CHANGE,
  CHANGE_BEFORE,
  type CompactState,
  highest,
  LIVELY,
  LIVELY_LONG,
  lowest,
  MEAN,
  MEAN_SHORT,
  STRIDE,
  travels,
  VALUE,
} from './CompactState.ts';
import {
  CONTEXT_COUNT,
  type CompactTables,
  DRIFT_BASE,
  LEAN_BASE,
  LEVEL_BASE,
  PAST_BASE,
  PREDICTION_BASE,
  QUESTION,
  QUESTION_SHIFT,
} from './CompactTables.ts';
import { badValue } from './compactErrors.ts';
import { SQUASH } from './logistic.ts';
import { Predictor } from './Predictor.ts';
import { ENTRY, QuestionModel } from './QuestionModel.ts';
import { type RangeCoder, RENORMALISE_BELOW } from './rangeCoder.ts';
import { EXPRESSION_ORDER, FACE_COUNT, POSE_COUNT, rowOf, SCALAR_LIMIT } from './scalars.ts';

/** changes beyond this are escaped */
const UNARY_LIMIT = 14;
const QUESTIONS_LIMIT = UNARY_LIMIT + 2;
const LIVELY_LIMIT = 8;
/** weights move by 1/32 of the error */
const RATE_SHIFT = 5;
/** errors smaller than this, out of 65536, teach nothing: a third of the answers are that sure */
const ERROR_IGNORED = 1024;
/** predicted changes are told apart in 1/8 step up to this many */
const PACE_LIMIT = 31;
/** paces from which on a predicted change counts as some and as much */
const LEANING = 3;
const LEANING_MUCH = 10;
/** for each pace, −31…31 from 1 on, one of five */
const LEAN = Uint8Array.from({ length: 64 }, (_, index) => {
  const pace = Math.abs(index - 32);
  return 2 + Math.sign(index - 32) * (pace < LEANING ? 0 : pace < LEANING_MUCH ? 1 : 2);
});
/** distances from a mean are told apart in 1/4 step up to this many */
const DRIFT_LIMIT = 7;
/** coefficients below this have classes of their own; above: 6, and 7 at the top of their range */
const LEVEL_STARTS = [1, 2, 3, 4, 8, 16] as const;

/** twice the position of the highest bit, plus the bit below it: about 2·log2 x */
const halfOctave = (x: number): number => {
  if (x < 2) return 0;
  const top = 31 - Math.clz32(x);
  return 2 * top + ((x >> (top - 1)) & 1);
};
const within = (value: number, top: number): number => Math.min(top, Math.max(0, value));
/** size of the change expected, 1/256 step: 16 classes from 1/16 step to 8 */
const SIZE_CLASS = Uint8Array.from({ length: 2049 }, (_, x) => within(halfOctave(x) - 7, 15));
/** liveliness against expectation, 1/256: 8 classes from 1/4 to 3 */
const FRAME_CLASS = Uint8Array.from({ length: 1025 }, (_, x) => within(halfOctave(x) - 12, 7));

/** What of a packet's scalars depends on the settings alone. */
interface Plan {
  settings: CompactSettings;
  /** those that travel, in coding order */
  order: Int32Array;
  lowest: Int32Array;
  highest: Int32Array;
  /** class of each value of a coefficient */
  levels: Uint8Array;
}

/** The scalars of a packet, from or to `values`, and all that is learned from them. */
export class ScalarCoder {
  readonly model: QuestionModel;
  /** of the packet being coded; those that do not travel are 0 */
  readonly values = new Int32Array(SCALAR_LIMIT);
  private readonly coder: RangeCoder;
  private readonly tables: CompactTables;
  private readonly predictor: Predictor;
  private readonly adaptive: boolean;
  private readonly undoable: boolean;
  private plan: Plan | undefined;

  /** `adaptive` false: nothing is learned, as packets need that may get lost. `undoable`: model.undo() will be wanted. */
  constructor(coder: RangeCoder, tables: CompactTables, adaptive: boolean, undoable: boolean) {
    this.coder = coder;
    this.tables = tables;
    this.adaptive = adaptive;
    this.undoable = adaptive && undoable;
    this.model = new QuestionModel(tables, this.undoable);
    this.predictor = new Predictor(tables);
  }

  /** Everything learned from packets goes: before a self-contained one. */
  forget(): void {
    this.model.load(this.tables);
    this.predictor.forget();
  }

  /** What was learned about this face alone goes: training meets a new one. */
  forgetFace(): void {
    this.predictor.forget();
  }

  /** Learns from the packet that was coded; `state` is that before it. */
  learn(state: CompactState): void {
    if (this.adaptive) this.predictor.learn(state, this.planFor(state).order, this.values);
  }

  /**
   * Every scalar that travels at the state's settings. One loop over all questions of all scalars with the range
   * coder's registers in local variables: it is most of the codec's time, and written out flat on purpose.
   */
  code(state: CompactState, selfContained: boolean): void {
    const { coder, predictor, values, model, adaptive, undoable } = this;
    const { scalars } = state;
    const { weights } = model;
    const { encoding } = coder;
    const plan = this.planFor(state);
    const { order, levels } = plan;
    const top = state.settings.expressionDenominator;
    // quantise() has done so for the encoder
    if (!encoding && order.length < state.scalarCount) values.fill(0, 0, state.scalarCount);
    predictor.begin(state.scalarCount);
    let { low, range, offset } = coder;
    if (undoable) model.reserve(order.length, QUESTIONS_LIMIT);
    const { journal, contexts } = model;
    let { journalled } = model;
    // sums over the scalars so far, in 1/256: how much changed, and how much was expected to
    let liveliness = 512;
    let expectation = 512;

    for (let place = 0; place < order.length; place++) {
      const scalar = order[place]!;
      const at = scalar * STRIDE;
      const before = scalars[at + VALUE]!;
      const now = before << 8;
      const expected = (scalars[at + LIVELY]! + (scalars[at + LIVELY_LONG]! >> 4)) >> 1;
      const predicted = selfContained ? 0 : predictor.predict(state, scalar);
      const ratio = ((liveliness << 8) / expectation) | 0;
      expectation += expected;

      const isFace = scalar < FACE_COUNT;
      const isExpression = isFace && scalar >= POSE_COUNT;
      const zone = isExpression ? (before === 0 ? 3 : 2) : isFace ? 0 : 1;
      const row = isFace ? scalar : rowOf(scalar);
      const level = isExpression ? levels[before]! : 0;
      const likely = (expected * ratio) >> 8;
      const size = SIZE_CLASS[Math.min(likely, 2048)]!;
      const frame = (zone * 16 + size) * 8;
      const paces = (predicted + 16) >> 5;
      const pace = 32 + (paces > PACE_LIMIT ? PACE_LIMIT : Math.max(paces, -PACE_LIMIT));
      const past = sign(scalars[at + CHANGE]!) * 3 + sign(scalars[at + CHANGE_BEFORE]!) + 4;
      let a = (frame + FRAME_CLASS[Math.min(ratio, 1024)]!) << QUESTION_SHIFT;
      const b = (LEAN_BASE + row * 5 + LEAN[pace]!) << QUESTION_SHIFT;
      const c = (LEVEL_BASE + row * 8 + level) << QUESTION_SHIFT;
      const d = (PAST_BASE + (zone * 9 + past) * 16 + size) << QUESTION_SHIFT;
      const e = (PREDICTION_BASE + zone * 64 + pace) << QUESTION_SHIFT;
      const drift = driftClass(now - scalars[at + MEAN]!) * 15 + driftClass(now - scalars[at + MEAN_SHORT]!);
      const f = (DRIFT_BASE + zone * 225 + drift) << QUESTION_SHIFT;
      if (undoable) {
        const first = place * CONTEXT_COUNT;
        contexts[first + 1] = b;
        contexts[first + 2] = c;
        contexts[first + 3] = d;
        contexts[first + 4] = e;
        contexts[first + 5] = f;
      }

      const target = encoding ? values[scalar]! - before : 0;
      const targetSize = target < 0 ? -target : target;
      let question: number = QUESTION.changed;
      let negative = 0;
      let magnitude = 0;
      for (;;) {
        const ia = a + question;
        const ib = b + question;
        const ic = c + question;
        const id = d + question;
        const ie = e + question;
        const jf = f + question;
        const wa = weights[ia]!;
        const wb = weights[ib]!;
        const wc = weights[ic]!;
        const wd = weights[id]!;
        const we = weights[ie]!;
        const wf = weights[jf]!;
        const x = (((((((((wa + wb) | 0) + wc) | 0) + wd) | 0) + we) | 0) + wf) >> 8;
        const probability = SQUASH[x > 2047 ? 4095 : x < -2047 ? 1 : x + 2048]!;

        // RangeCoder.code(), with its registers here
        const bound = ((range >>> 8) * (probability >>> 1)) >>> 7;
        let bit: number;
        if (encoding) {
          bit = question === QUESTION.negative ? (target < 0 ? 1 : 0) : targetSize > magnitude ? 1 : 0;
          if (bit !== 0) {
            range = bound;
          } else {
            low += bound;
            range -= bound;
          }
        } else if (offset < bound) {
          bit = 1;
          range = bound;
        } else {
          bit = 0;
          offset -= bound;
          range -= bound;
        }
        if (range < RENORMALISE_BELOW) {
          coder.low = low;
          coder.range = range;
          coder.offset = offset;
          // this may throw, and undo() needs to know how far it came
          model.journalled = journalled;
          coder.renormalise();
          low = coder.low;
          range = coder.range;
          offset = coder.offset;
        }

        const error = (bit << 16) - probability;
        if (adaptive && (error >= ERROR_IGNORED || error <= -ERROR_IGNORED)) {
          const moved = (error + (1 << (RATE_SHIFT - 1))) >> RATE_SHIFT;
          weights[ia] = wa + moved;
          weights[ib] = wb + moved;
          weights[ic] = wc + moved;
          weights[id] = wd + moved;
          weights[ie] = we + moved;
          weights[jf] = wf + moved;
          if (undoable) {
            journal[journalled] = place;
            journal[journalled + 1] = ia;
            journal[journalled + 2] = moved;
            journalled += ENTRY;
          }
        }

        if (question === QUESTION.changed) {
          if (bit === 0) break;
          magnitude = 1;
          question = QUESTION.negative;
          // a coefficient at an end of its range can only go one way
          if (isExpression && before === 0) question = QUESTION.beyondOne;
          else if (isExpression && before === top) {
            negative = 1;
            question = QUESTION.beyondOne + 1;
          }
        } else if (question === QUESTION.negative) {
          negative = bit;
          question = QUESTION.beyondOne + bit;
        } else {
          if (bit === 0) break;
          magnitude++;
          if (magnitude === 2) question = QUESTION.beyondTwo + negative;
          else if (magnitude <= UNARY_LIMIT) {
            question = QUESTION.beyondMore + negative;
            a = (frame + (magnitude > 10 ? 7 : magnitude - 3)) << QUESTION_SHIFT;
          } else {
            coder.low = low;
            coder.range = range;
            coder.offset = offset;
            model.journalled = journalled;
            magnitude += coder.codeEscape(targetSize - magnitude);
            low = coder.low;
            range = coder.range;
            offset = coder.offset;
            break;
          }
        }
      }

      if (magnitude === 0) {
        values[scalar] = before;
        continue;
      }
      const change = negative === 1 ? -magnitude : magnitude;
      const value = before + change;
      if (value < plan.lowest[place]! || value > plan.highest[place]!) {
        model.journalled = journalled;
        throw badValue(`scalar ${scalar}`, String(value));
      }
      values[scalar] = value;
      predictor.tell(scalar, change);
      liveliness += Math.min(magnitude, LIVELY_LIMIT) << 8;
    }
    coder.low = low;
    coder.range = range;
    coder.offset = offset;
    model.journalled = journalled;
  }

  private planFor({ settings, ranks, scalarCount }: CompactState): Plan {
    if (this.plan?.settings === settings) return this.plan;
    const order = Array.from({ length: scalarCount }, (_, position) =>
      position >= POSE_COUNT && position < FACE_COUNT
        ? POSE_COUNT + EXPRESSION_ORDER[position - POSE_COUNT]!
        : position,
    ).filter((scalar) => travels(settings, ranks, scalar));
    this.plan = {
      settings,
      order: Int32Array.from(order),
      lowest: Int32Array.from(order, (scalar) => lowest(settings, scalar)),
      highest: Int32Array.from(order, (scalar) => highest(settings, scalar)),
      levels: Uint8Array.from({ length: settings.expressionDenominator + 1 }, (_, value) => {
        const level = LEVEL_STARTS.filter((start) => value >= start).length;
        return level === 6 && value === settings.expressionDenominator ? 7 : level;
      }),
    };
    return this.plan;
  }
}

/** 0…14: a distance in 1/256 step in quarters of a step, 7 where there is next to none. */
function driftClass(drift: number): number {
  const quarters = (drift + 32) >> 6;
  return DRIFT_LIMIT + (quarters > DRIFT_LIMIT ? DRIFT_LIMIT : Math.max(quarters, -DRIFT_LIMIT));
}

/** −1, 0, 1 without a branch that nobody could foresee */
function sign(change: number): number {
  return (change >> 31) | (-change >>> 31);
}
