import type { CompactState } from './CompactState.ts';
import { CONTEXT_COUNT, type CompactTables, QUESTION_COUNT, QUESTION_WEIGHT_COUNT } from './CompactTables.ts';
import { CONTEXTS_SHIFT, ScalarContexts } from './ScalarContexts.ts';
import { planScalars, type ScalarPlan } from './ScalarPlan.ts';
import { SCALAR_LIMIT } from './scalars.ts';

/** tables hold weights in 1/16, the model in 1/65536 */
const TABLE_SHIFT = 12;
const QUESTION_MASK = QUESTION_COUNT - 1;
/** one for each scalar's change, its direction, and sizes beyond 1 to 14 */
const QUESTIONS_LIMIT = 16;

/** Parts of a journal entry, from the lowest bit: those of its first weight's index that are not its place's; place; move. */
export const JOURNAL = { PLACE_SHIFT: 6, MOVE_SHIFT: 15, INDEX_MASK: 63 } as const;
const { PLACE_SHIFT, MOVE_SHIFT, INDEX_MASK } = JOURNAL;
const PLACE_MASK = (1 << (MOVE_SHIFT - PLACE_SHIFT)) - 1;

/**
 * What one end knows of how scalars change: a logistic regression on contexts for each question, and the predictor
 * among those contexts. encodeScalars() and decodeScalars() use it and teach it. Integers modulo 2^32 only, so that
 * undo() is exact by subtraction.
 */
export class ScalarModel {
  readonly contexts: ScalarContexts;
  /** for each context QUESTION_COUNT weights: logistic domain, 1/65536 */
  readonly weights = new Int32Array(QUESTION_WEIGHT_COUNT);
  /** of the packet being coded; those that do not travel are 0 */
  readonly values = new Int32Array(SCALAR_LIMIT);
  readonly adaptive: boolean;
  readonly undoable: boolean;
  /** how far each question of the packet moved its weights, and which: JOURNAL */
  journal = new Int32Array(0);
  journalled = 0;
  private readonly tables: CompactTables;
  private plan: ScalarPlan | undefined;
  private learned = false;

  /** `adaptive` false: nothing is learned, as packets need that may get lost. `undoable`: undo() will be wanted. */
  constructor(tables: CompactTables, adaptive: boolean, undoable: boolean) {
    this.tables = tables;
    this.adaptive = adaptive;
    this.undoable = adaptive && undoable;
    this.contexts = new ScalarContexts(tables);
    this.load();
  }

  /** Marks what undo() goes back to: before a packet, which may go wrong before its first scalar. */
  mark(): void {
    this.journalled = 0;
  }

  /** Before the scalars of a packet. */
  begin(state: CompactState, selfContained: boolean): ScalarPlan {
    const plan = this.planFor(state);
    this.learned = this.adaptive;
    if (this.undoable && this.journal.length < plan.count * QUESTIONS_LIMIT) {
      this.journal = new Int32Array(plan.count * QUESTIONS_LIMIT);
    }
    this.contexts.begin(state, plan, selfContained);
    return plan;
  }

  /** After a packet that is no self-contained one; `state` is that before it. */
  learn(state: CompactState): void {
    if (this.adaptive) this.contexts.predictor.learn(state, this.planFor(state), this.values);
  }

  /** Takes back what the packet's questions taught: it proved malformed. The predictor has not learned from it yet. */
  undo(): void {
    const { journal, weights } = this;
    const { found } = this.contexts;
    for (let entry = 0; entry < this.journalled; entry++) {
      const moved = journal[entry]! >> MOVE_SHIFT;
      const first = ((journal[entry]! >> PLACE_SHIFT) & PLACE_MASK) << CONTEXTS_SHIFT;
      const low = journal[entry]! & INDEX_MASK;
      const index = (found[first]! & ~INDEX_MASK) | low;
      weights[index] = weights[index]! - moved;
      for (let context = 1; context < CONTEXT_COUNT; context++) {
        const other = found[first + context]! + (low & QUESTION_MASK);
        weights[other] = weights[other]! - moved;
      }
    }
    this.journalled = 0;
  }

  /** Everything learned from packets goes: before a self-contained one. */
  forget(): void {
    if (!this.learned) return;
    this.load();
    this.contexts.predictor.forget();
    this.learned = false;
  }

  /** What was learned about this face alone goes: training meets a new one. */
  forgetFace(): void {
    this.contexts.predictor.forget();
  }

  /** Adds the present weights to `sums`, in the tables' 1/16: training averages them. */
  addTo(sums: Float64Array): void {
    for (let index = 0; index < sums.length; index++) {
      sums[index] = sums[index]! + this.weights[index]! / (1 << TABLE_SHIFT);
    }
  }

  private load(): void {
    const { weights } = this;
    const { questions } = this.tables;
    for (let index = 0; index < weights.length; index++) weights[index] = questions[index]! << TABLE_SHIFT;
  }

  private planFor({ settings, ranks }: CompactState): ScalarPlan {
    if (this.plan?.settings !== settings) this.plan = planScalars(settings, ranks);
    return this.plan;
  }
}
