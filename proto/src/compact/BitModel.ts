import { type CompactTables, INPUT_COUNT } from './CompactTables.ts';
import { DOMAIN_LIMIT, SQUASH, STRETCH } from './logistic.ts';
import type { RangeCoder } from './rangeCoder.ts';

const SLOW_SHIFT = 7;
const FAST_SHIFT = 4;
const MIXER_SHIFT = 14;
const LEARNING_SHIFT = 16;
const WEIGHT_LIMIT = 65535;

/**
 * The adaptive part of the codec: for every context a slow and a fast probability, and for every kind of decision the
 * weights that mix them in the logistic domain (Mahoney's PAQ mixer with 4 × 2 inputs). Integers only.
 */
export class BitModel {
  readonly slow: Uint16Array;
  readonly fast: Uint16Array;
  readonly mixer: Int32Array;
  private readonly adaptive: boolean;
  private readonly inputs = new Int32Array(INPUT_COUNT);

  /** `adaptive` false: the tables stay as they are, as packets need that may get lost. */
  constructor(tables: CompactTables, adaptive: boolean) {
    this.adaptive = adaptive;
    this.slow = adaptive ? tables.probabilities.slice() : tables.probabilities;
    this.fast = adaptive ? tables.probabilities.slice() : tables.probabilities;
    this.mixer = adaptive ? tables.mixer.slice() : tables.mixer;
  }

  /** Forgets what was learned. */
  load(tables: CompactTables): void {
    this.slow.set(tables.probabilities);
    this.fast.set(tables.probabilities);
    this.mixer.set(tables.mixer);
  }

  copyFrom(other: BitModel): void {
    this.slow.set(other.slow);
    this.fast.set(other.fast);
    this.mixer.set(other.mixer);
  }

  /** One decision seen by four contexts (indices of probabilities); `weights` is the first of its eight in the mixer. */
  code(coder: RangeCoder, bit: number, a: number, b: number, c: number, d: number, weights: number): number {
    const { slow, fast, mixer, inputs } = this;
    const slowA = slow[a]!;
    const slowB = slow[b]!;
    const slowC = slow[c]!;
    const slowD = slow[d]!;
    const fastA = fast[a]!;
    const fastB = fast[b]!;
    const fastC = fast[c]!;
    const fastD = fast[d]!;
    inputs[0] = STRETCH[slowA >> 4]!;
    inputs[1] = STRETCH[fastA >> 4]!;
    inputs[2] = STRETCH[slowB >> 4]!;
    inputs[3] = STRETCH[fastB >> 4]!;
    inputs[4] = STRETCH[slowC >> 4]!;
    inputs[5] = STRETCH[fastC >> 4]!;
    inputs[6] = STRETCH[slowD >> 4]!;
    inputs[7] = STRETCH[fastD >> 4]!;
    let sum = 0;
    for (let index = 0; index < INPUT_COUNT; index++) sum += Math.imul(inputs[index]!, mixer[weights + index]!);
    sum >>= MIXER_SHIFT;
    const mixed = sum > DOMAIN_LIMIT ? DOMAIN_LIMIT : sum < -DOMAIN_LIMIT ? -DOMAIN_LIMIT : sum;
    const probability = SQUASH[mixed + 2048]!;
    const result = coder.code(bit, probability);

    if (!this.adaptive) return result;
    const error = (result << 16) - probability;
    for (let index = 0; index < INPUT_COUNT; index++) {
      const step = (Math.imul(inputs[index]!, error) + (1 << (LEARNING_SHIFT - 1))) >> LEARNING_SHIFT;
      const weight = mixer[weights + index]! + step;
      mixer[weights + index] = weight > WEIGHT_LIMIT ? WEIGHT_LIMIT : weight < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : weight;
    }
    if (result !== 0) {
      slow[a] = slowA + ((65535 - slowA) >> SLOW_SHIFT);
      slow[b] = slowB + ((65535 - slowB) >> SLOW_SHIFT);
      slow[c] = slowC + ((65535 - slowC) >> SLOW_SHIFT);
      slow[d] = slowD + ((65535 - slowD) >> SLOW_SHIFT);
      fast[a] = fastA + ((65535 - fastA) >> FAST_SHIFT);
      fast[b] = fastB + ((65535 - fastB) >> FAST_SHIFT);
      fast[c] = fastC + ((65535 - fastC) >> FAST_SHIFT);
      fast[d] = fastD + ((65535 - fastD) >> FAST_SHIFT);
    } else {
      slow[a] = slowA - (slowA >> SLOW_SHIFT);
      slow[b] = slowB - (slowB >> SLOW_SHIFT);
      slow[c] = slowC - (slowC >> SLOW_SHIFT);
      slow[d] = slowD - (slowD >> SLOW_SHIFT);
      fast[a] = fastA - (fastA >> FAST_SHIFT);
      fast[b] = fastB - (fastB >> FAST_SHIFT);
      fast[c] = fastC - (fastC >> FAST_SHIFT);
      fast[d] = fastD - (fastD >> FAST_SHIFT);
    }
    return result;
  }

  /** One decision with a context of its own, unmixed. */
  codeAlone(coder: RangeCoder, bit: number, context: number): number {
    const probability = this.slow[context]!;
    const result = coder.code(bit, Math.min(65500, Math.max(36, probability)));
    if (this.adaptive)
      this.slow[context] =
        result !== 0 ? probability + ((65535 - probability) >> FAST_SHIFT) : probability - (probability >> FAST_SHIFT);
    return result;
  }
}
