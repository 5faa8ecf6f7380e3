import type { CompactState } from './CompactState.ts';
import { CONTEXT_COUNT, type CompactTables, QUESTION_COUNT, QUESTION_WEIGHT_COUNT } from './CompactTables.ts';
import { FOUND_SHIFT, MEMORY, SCRATCH } from './modelMemory.ts';
import { ScalarContexts } from './ScalarContexts.ts';
import { planScalars, type ScalarPlan } from './ScalarPlan.ts';

/** tables hold weights in 1/16, the model in 1/65536 */
const TABLE_SHIFT = 12;
const QUESTION_MASK = QUESTION_COUNT - 1;

/** Parts of a journal entry, from the lowest bit: those of its first weight's index that are not its place's; place; move. */
export const JOURNAL = { PLACE_SHIFT: 6, MOVE_SHIFT: 15, INDEX_MASK: 63 } as const;
const { PLACE_SHIFT, MOVE_SHIFT, INDEX_MASK } = JOURNAL;
const PLACE_MASK = (1 << (MOVE_SHIFT - PLACE_SHIFT)) - 1;

/** the weights that models of these tables start with */
const STARTS = new WeakMap<CompactTables, Int32Array>();

/**
 * What one end knows of how scalars change: a logistic regression on contexts for each question, and the predictor
 * among those contexts. encodeScalars() and decodeScalars() use it and teach it. Integers modulo 2^32 only, so that
 * undo() is exact by subtraction.
 */
export class ScalarModel {
  readonly contexts: ScalarContexts;
  /** all that it knows: MEMORY */
  readonly memory = new Int32Array(MEMORY.LENGTH);
  /** of the packet that is coded, by scalar: quantise() and decodeScalars() write them; all models share them */
  readonly values = SCRATCH.VALUES;
  readonly adaptive: boolean;
  /** entries in the journal */
  journalled = 0;
  /** entries among those whose prediction failed */
  failed = 0;
  private readonly weights = this.memory.subarray(MEMORY.WEIGHTS, QUESTION_WEIGHT_COUNT);
  private readonly tables: CompactTables;
  private plan: ScalarPlan | undefined;
  private learned = false;

  /** `adaptive` false: nothing is learned, as packets need that may get lost. */
  constructor(tables: CompactTables, adaptive: boolean) {
    this.tables = tables;
    this.adaptive = adaptive;
    this.contexts = new ScalarContexts(tables, this.memory);
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
    this.contexts.begin(state, plan, selfContained);
    return plan;
  }

  /** After a packet that is no self-contained one; `state` is that before it. */
  learn(state: CompactState): void {
    if (this.adaptive) this.contexts.predictor.learn(state, this.failed);
  }

  /** Takes back what decodeScalars() learned from the packet's questions: it proved malformed. The predictor has not learned from it yet. */
  undo(): void {
    const { memory } = this;
    for (let entry = 0; entry < this.journalled; entry++) {
      const noted = SCRATCH.JOURNAL[entry]!;
      const moved = noted >> MOVE_SHIFT;
      const first = ((noted >> PLACE_SHIFT) & PLACE_MASK) << FOUND_SHIFT;
      const low = noted & INDEX_MASK;
      const index = (SCRATCH.FOUND[first]! & ~INDEX_MASK) | low;
      memory[index] = memory[index]! - moved;
      for (let context = 1; context < CONTEXT_COUNT; context++) {
        const other = SCRATCH.FOUND[first + context]! + (low & QUESTION_MASK);
        memory[other] = memory[other]! - moved;
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
    let start = STARTS.get(this.tables);
    if (start === undefined) {
      start = Int32Array.from(this.tables.questions, (weight) => weight << TABLE_SHIFT);
      STARTS.set(this.tables, start);
    }
    this.weights.set(start);
  }

  private planFor({ settings, ranks }: CompactState): ScalarPlan {
    if (this.plan?.settings !== settings) this.plan = planScalars(settings, ranks);
    return this.plan;
  }
}
