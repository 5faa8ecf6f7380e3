import { CONTEXT_COUNT, type CompactTables, QUESTION_COUNT, QUESTION_WEIGHT_COUNT } from './CompactTables.ts';

/** tables hold weights in 1/16, the model in 1/65536 */
const TABLE_SHIFT = 12;
const QUESTION_MASK = QUESTION_COUNT - 1;
/** numbers in the journal for each question: place in the packet, index of its first weight, how far its weights moved */
export const ENTRY = 3;
const FIRST_ENTRIES = 1024;

/**
 * The adaptive part of the codec: a logistic regression on contexts. The answer to a question is expected by the sum of
 * one weight for each of its contexts, and what that got wrong moves them. Integers modulo 2^32 only, so that undo() is
 * exact by subtraction. ScalarCoder's loop does the work, on the arrays here.
 */
export class QuestionModel {
  /** logistic domain, 1/65536 */
  readonly weights = new Int32Array(QUESTION_WEIGHT_COUNT);
  /** of the packet being coded, for undo(): ENTRY numbers for each question */
  journal: Int32Array;
  journalled = 0;
  /** and CONTEXT_COUNT for each place: its weights of the first question */
  contexts = new Int32Array(0);

  constructor(tables: CompactTables, undoable: boolean) {
    this.journal = new Int32Array(undoable ? ENTRY * FIRST_ENTRIES : 0);
    this.load(tables);
  }

  /** Forgets what was learned. */
  load({ questions }: CompactTables): void {
    const { weights } = this;
    for (let index = 0; index < weights.length; index++) weights[index] = questions[index]! << TABLE_SHIFT;
  }

  /** Adds the present weights to `sums`, in the tables' 1/16: training averages them. */
  addTo(sums: Float64Array): void {
    for (let index = 0; index < sums.length; index++) {
      sums[index] = sums[index]! + this.weights[index]! / (1 << TABLE_SHIFT);
    }
  }

  /** Marks what undo() goes back to: the start of a packet. */
  begin(): void {
    this.journalled = 0;
  }

  /** Makes room for the packet's places, and as many questions for each. */
  reserve(places: number, questions: number): void {
    if (this.contexts.length < places * CONTEXT_COUNT) this.contexts = new Int32Array(places * CONTEXT_COUNT);
    if (this.journal.length < places * questions * ENTRY) this.journal = new Int32Array(places * questions * ENTRY);
  }

  /** Forgets all answers since begin(). */
  undo(): void {
    const { journal, contexts, weights } = this;
    for (let entry = 0; entry < this.journalled; entry += ENTRY) {
      const first = journal[entry]! * CONTEXT_COUNT;
      const weight = journal[entry + 1]!;
      const moved = journal[entry + 2]!;
      weights[weight] = weights[weight]! - moved;
      for (let index = first + 1; index < first + CONTEXT_COUNT; index++) {
        const other = contexts[index]! + (weight & QUESTION_MASK);
        weights[other] = weights[other]! - moved;
      }
    }
    this.journalled = 0;
  }
}
