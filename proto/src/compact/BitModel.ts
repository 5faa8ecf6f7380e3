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

/** mistakes smaller than this, out of 65536, teach the mixer nothing: most decisions are that sure */
const ERROR_IGNORED = 1024;

/**
 * The adaptive part of the codec: for every context a slow and a fast probability, and for every kind of decision the
 * weights that mix the contexts in the logistic domain (Mahoney's PAQ mixer with 4 inputs). Integers only.
 *
 * code() runs about 130 times for a packet and is most of its cost: it is written out flat on purpose.
 */
export class BitModel {
  /** for each context the slow probability of a 1, out of 65536, in the high half, and the fast one in the low half */
  private readonly probabilities: Int32Array;
  private readonly mixer: Int32Array;
  private readonly adaptive: boolean;
  private readonly before: { probabilities: Int32Array; mixer: Int32Array } | undefined;

  /** `adaptive` false: nothing is learned, as packets need that may get lost. `undoable`: undo() will be wanted. */
  constructor(tables: CompactTables, adaptive: boolean, undoable: boolean) {
    this.adaptive = adaptive;
    this.probabilities = new Int32Array(tables.probabilities.length);
    this.mixer = new Int32Array(tables.mixer.length);
    if (adaptive && undoable) {
      this.before = {
        probabilities: new Int32Array(tables.probabilities.length),
        mixer: new Int32Array(tables.mixer.length),
      };
    }
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

  /** Tables that start where this model is. */
  save(): { probabilities: Uint16Array; mixer: Int32Array } {
    return { probabilities: Uint16Array.from(this.probabilities, (both) => both >>> 16), mixer: this.mixer.slice() };
  }

  /** Marks what undo() goes back to: the start of a packet. Copying 36 KiB costs less than a journal of decisions. */
  begin(): void {
    this.before?.probabilities.set(this.probabilities);
    this.before?.mixer.set(this.mixer);
  }

  /** Forgets all decisions since begin(). */
  undo(): void {
    if (this.before === undefined) return;
    this.probabilities.set(this.before.probabilities);
    this.mixer.set(this.before.mixer);
  }

  /** One decision seen by four contexts; `weights` is the first of its four in the mixer. */
  code(coder: RangeCoder, bit: number, a: number, b: number, c: number, d: number, weights: number): number {
    const { probabilities, mixer } = this;
    const bothA = probabilities[a]!;
    const slowA = bothA >>> 16;
    const fastA = bothA & 0xffff;
    const inA = STRETCH[(slowA + fastA) >> 5]!;
    const bothB = probabilities[b]!;
    const slowB = bothB >>> 16;
    const fastB = bothB & 0xffff;
    const inB = STRETCH[(slowB + fastB) >> 5]!;
    const bothC = probabilities[c]!;
    const slowC = bothC >>> 16;
    const fastC = bothC & 0xffff;
    const inC = STRETCH[(slowC + fastC) >> 5]!;
    const bothD = probabilities[d]!;
    const slowD = bothD >>> 16;
    const fastD = bothD & 0xffff;
    const inD = STRETCH[(slowD + fastD) >> 5]!;
    const weightA = mixer[weights]!;
    const weightB = mixer[weights + 1]!;
    const weightC = mixer[weights + 2]!;
    const weightD = mixer[weights + 3]!;
    const sum =
      (Math.imul(inA, weightA) + Math.imul(inB, weightB) + Math.imul(inC, weightC) + Math.imul(inD, weightD)) >>
      MIXER_SHIFT;
    const mixed = sum > DOMAIN_LIMIT ? DOMAIN_LIMIT : Math.max(sum, -DOMAIN_LIMIT);
    const probability = SQUASH[mixed + 2048]!;
    const result = coder.code(bit, probability);
    if (!this.adaptive) return result;

    const error = (result << 16) - probability;
    if (error > ERROR_IGNORED || error < -ERROR_IGNORED) {
      mixer[weights] = taught(weightA, inA, error);
      mixer[weights + 1] = taught(weightB, inB, error);
      mixer[weights + 2] = taught(weightC, inC, error);
      mixer[weights + 3] = taught(weightD, inD, error);
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
    const result = coder.code(bit, slow < ALONE_LOWEST ? ALONE_LOWEST : Math.min(slow, ALONE_HIGHEST));
    if (!this.adaptive) return result;
    const next = result !== 0 ? slow + ((65535 - slow) >> ALONE_SHIFT) : slow - (slow >> ALONE_SHIFT);
    this.probabilities[context] = (next << 16) | (both & 0xffff);
    return result;
  }
}

function taught(weight: number, input: number, error: number): number {
  const next = weight + ((Math.imul(input, error) + (1 << (LEARNING_SHIFT - 1))) >> LEARNING_SHIFT);
  return next > WEIGHT_LIMIT ? WEIGHT_LIMIT : Math.max(next, -WEIGHT_LIMIT);
}
