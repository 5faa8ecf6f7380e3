import type { CompactTables } from './CompactTables.ts';
import { DOMAIN_LIMIT, SQUASH, STRETCH } from './logistic.ts';
import type { RangeCoder } from './rangeCoder.ts';

const SLOW_SHIFT = 7;
const FAST_SHIFT = 4;
const ALONE_SHIFT = 5;
const ALONE_LOWEST = 64;
const ALONE_HIGHEST = 65472;
const MIXER_SHIFT = 14;
const LEARNING_SHIFT = 16;
const WEIGHT_LIMIT = 65535;

/** numbers: enough for most packets without keypoints, doubled when a packet needs more */
const JOURNAL_SIZE = 2048;
const JOURNAL_ENTRY = 8;
/** mistakes smaller than this, out of 65536, teach the mixer nothing: most decisions are that sure */
const ERROR_IGNORED = 1024;

/**
 * The adaptive part of the codec: for every context a slow and a fast probability, and for every kind of decision the
 * weights that mix them in the logistic domain (Mahoney's PAQ mixer with 4 × 2 inputs). Integers only.
 *
 * code() runs about 130 times for a packet and is most of its cost: it is written out flat on purpose.
 */
export class BitModel {
  /** for each context the slow probability of a 1, out of 65536, in the high half, and the fast one in the low half */
  readonly probabilities: Int32Array;
  readonly mixer: Int32Array;
  private readonly adaptive: boolean;
  /** what undo() needs: contexts and probabilities from before each decision since begin(), and the mixer */
  private journal = new Int32Array(JOURNAL_SIZE);
  private journaled = 0;
  private readonly mixerBefore: Int32Array;

  /** `adaptive` false: nothing is learned, as packets need that may get lost. */
  constructor(tables: CompactTables, adaptive: boolean) {
    this.adaptive = adaptive;
    this.probabilities = new Int32Array(tables.probabilities.length);
    this.mixer = new Int32Array(tables.mixer.length);
    this.mixerBefore = new Int32Array(tables.mixer.length);
    this.load(tables);
  }

  /** Forgets what was learned. */
  load(tables: CompactTables): void {
    const { probabilities } = this;
    for (let context = 0; context < probabilities.length; context++) {
      probabilities[context] = tables.probabilities[context]! * 0x10001;
    }
    this.mixer.set(tables.mixer);
  }

  copyFrom(other: BitModel): void {
    this.probabilities.set(other.probabilities);
    this.mixer.set(other.mixer);
  }

  /** Marks what undo() goes back to: the start of a packet. */
  begin(): void {
    this.journaled = 0;
    this.mixerBefore.set(this.mixer);
  }

  /** Forgets all decisions since begin(). */
  undo(): void {
    const { journal, probabilities } = this;
    for (let at = this.journaled - 2; at >= 0; at -= 2) probabilities[journal[at]!] = journal[at + 1]!;
    this.mixer.set(this.mixerBefore);
    this.journaled = 0;
  }

  /** One decision seen by four contexts; `weights` is the first of its eight in the mixer. */
  code(coder: RangeCoder, bit: number, a: number, b: number, c: number, d: number, weights: number): number {
    const { probabilities, mixer } = this;
    const bothA = probabilities[a]!;
    const slowA = bothA >>> 16;
    const fastA = bothA & 0xffff;
    const bothB = probabilities[b]!;
    const slowB = bothB >>> 16;
    const fastB = bothB & 0xffff;
    const bothC = probabilities[c]!;
    const slowC = bothC >>> 16;
    const fastC = bothC & 0xffff;
    const bothD = probabilities[d]!;
    const slowD = bothD >>> 16;
    const fastD = bothD & 0xffff;
    const slowInA = STRETCH[slowA >> 4]!;
    const slowWeightA = mixer[weights]!;
    const fastInA = STRETCH[fastA >> 4]!;
    const fastWeightA = mixer[weights + 1]!;
    const slowInB = STRETCH[slowB >> 4]!;
    const slowWeightB = mixer[weights + 2]!;
    const fastInB = STRETCH[fastB >> 4]!;
    const fastWeightB = mixer[weights + 3]!;
    const slowInC = STRETCH[slowC >> 4]!;
    const slowWeightC = mixer[weights + 4]!;
    const fastInC = STRETCH[fastC >> 4]!;
    const fastWeightC = mixer[weights + 5]!;
    const slowInD = STRETCH[slowD >> 4]!;
    const slowWeightD = mixer[weights + 6]!;
    const fastInD = STRETCH[fastD >> 4]!;
    const fastWeightD = mixer[weights + 7]!;
    const sum =
      (Math.imul(slowInA, slowWeightA) +
        Math.imul(fastInA, fastWeightA) +
        Math.imul(slowInB, slowWeightB) +
        Math.imul(fastInB, fastWeightB) +
        Math.imul(slowInC, slowWeightC) +
        Math.imul(fastInC, fastWeightC) +
        Math.imul(slowInD, slowWeightD) +
        Math.imul(fastInD, fastWeightD)) >>
      MIXER_SHIFT;
    const mixed = sum > DOMAIN_LIMIT ? DOMAIN_LIMIT : sum < -DOMAIN_LIMIT ? -DOMAIN_LIMIT : sum;
    const probability = SQUASH[mixed + 2048]!;
    const result = coder.code(bit, probability);
    if (!this.adaptive) return result;

    if (this.journaled + JOURNAL_ENTRY > this.journal.length) this.growJournal();
    const { journal, journaled } = this;
    journal[journaled] = a;
    journal[journaled + 1] = bothA;
    journal[journaled + 2] = b;
    journal[journaled + 3] = bothB;
    journal[journaled + 4] = c;
    journal[journaled + 5] = bothC;
    journal[journaled + 6] = d;
    journal[journaled + 7] = bothD;
    this.journaled = journaled + JOURNAL_ENTRY;

    const error = (result << 16) - probability;
    if (error > ERROR_IGNORED || error < -ERROR_IGNORED) {
      mixer[weights] = taught(slowWeightA, slowInA, error);
      mixer[weights + 1] = taught(fastWeightA, fastInA, error);
      mixer[weights + 2] = taught(slowWeightB, slowInB, error);
      mixer[weights + 3] = taught(fastWeightB, fastInB, error);
      mixer[weights + 4] = taught(slowWeightC, slowInC, error);
      mixer[weights + 5] = taught(fastWeightC, fastInC, error);
      mixer[weights + 6] = taught(slowWeightD, slowInD, error);
      mixer[weights + 7] = taught(fastWeightD, fastInD, error);
    }
    if (result !== 0) {
      probabilities[a] = ((slowA + ((65535 - slowA) >> SLOW_SHIFT)) << 16) | (fastA + ((65535 - fastA) >> FAST_SHIFT));
      probabilities[b] = ((slowB + ((65535 - slowB) >> SLOW_SHIFT)) << 16) | (fastB + ((65535 - fastB) >> FAST_SHIFT));
      probabilities[c] = ((slowC + ((65535 - slowC) >> SLOW_SHIFT)) << 16) | (fastC + ((65535 - fastC) >> FAST_SHIFT));
      probabilities[d] = ((slowD + ((65535 - slowD) >> SLOW_SHIFT)) << 16) | (fastD + ((65535 - fastD) >> FAST_SHIFT));
    } else {
      probabilities[a] = ((slowA - (slowA >> SLOW_SHIFT)) << 16) | (fastA - (fastA >> FAST_SHIFT));
      probabilities[b] = ((slowB - (slowB >> SLOW_SHIFT)) << 16) | (fastB - (fastB >> FAST_SHIFT));
      probabilities[c] = ((slowC - (slowC >> SLOW_SHIFT)) << 16) | (fastC - (fastC >> FAST_SHIFT));
      probabilities[d] = ((slowD - (slowD >> SLOW_SHIFT)) << 16) | (fastD - (fastD >> FAST_SHIFT));
    }
    return result;
  }

  /** One decision with a context of its own, unmixed: its slow probability. */
  codeAlone(coder: RangeCoder, bit: number, context: number): number {
    const both = this.probabilities[context]!;
    const slow = both >>> 16;
    const result = coder.code(bit, slow < ALONE_LOWEST ? ALONE_LOWEST : slow > ALONE_HIGHEST ? ALONE_HIGHEST : slow);
    if (!this.adaptive) return result;
    if (this.journaled + JOURNAL_ENTRY > this.journal.length) this.growJournal();
    this.journal[this.journaled++] = context;
    this.journal[this.journaled++] = both;
    const next = result !== 0 ? slow + ((65535 - slow) >> ALONE_SHIFT) : slow - (slow >> ALONE_SHIFT);
    this.probabilities[context] = (next << 16) | (both & 0xffff);
    return result;
  }

  private growJournal(): void {
    const larger = new Int32Array(2 * this.journal.length);
    larger.set(this.journal);
    this.journal = larger;
  }
}

function taught(weight: number, input: number, error: number): number {
  const next = weight + ((Math.imul(input, error) + (1 << (LEARNING_SHIFT - 1))) >> LEARNING_SHIFT);
  return next > WEIGHT_LIMIT ? WEIGHT_LIMIT : next < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : next;
}
