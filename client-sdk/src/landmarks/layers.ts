import type { Weights } from './readWeights.ts';

/** y = W·x + b, W row-major [outputs, inputs]. */
export class Linear {
  readonly #weight: Float32Array;
  readonly #bias: Float32Array | undefined;
  readonly inputs: number;
  readonly outputs: number;

  constructor(weights: Weights, name: string, inputs: number, outputs: number, options: { bias?: boolean } = {}) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.#weight = weights.get(`${name}.weight`, outputs, inputs);
    this.#bias = options.bias === false ? undefined : weights.get(`${name}.bias`, outputs);
  }

  /** Reads x from `from` on, writes (or adds to) y from `to` on. */
  run(x: Float32Array, from: number, y: Float32Array, to: number, add = false): void {
    const weight = this.#weight;
    const inputs = this.inputs;
    const whole = inputs - (inputs % 4);
    for (let row = 0; row < this.outputs; row++) {
      const at = row * inputs;
      // Four sums at once: one alone waits for itself.
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let i = 0; i < whole; i += 4) {
        a += weight[at + i]! * x[from + i]!;
        b += weight[at + i + 1]! * x[from + i + 1]!;
        c += weight[at + i + 2]! * x[from + i + 2]!;
        d += weight[at + i + 3]! * x[from + i + 3]!;
      }
      for (let i = whole; i < inputs; i++) a += weight[at + i]! * x[from + i]!;
      const sum = a + b + (c + d) + (this.#bias === undefined ? 0 : this.#bias[row]!);
      y[to + row] = add ? y[to + row]! + sum : sum;
    }
  }
}

/** Root-mean-square norm of `width` numbers. */
export class Norm {
  readonly #weight: Float32Array;

  constructor(weights: Weights, name: string, width: number) {
    this.#weight = weights.get(`${name}.weight`, width);
  }

  run(x: Float32Array, from: number, y: Float32Array, to: number): void {
    const width = this.#weight.length;
    let square = 0;
    for (let i = 0; i < width; i++) square += x[from + i]! * x[from + i]!;
    const scale = 1 / Math.sqrt(square / width + 1e-5);
    for (let i = 0; i < width; i++) y[to + i] = x[from + i]! * scale * this.#weight[i]!;
  }
}

/** x·sigmoid(x) in place. */
export function silu(x: Float32Array, from = 0, count = x.length): void {
  for (let i = from; i < from + count; i++) x[i] = x[i]! / (1 + Math.exp(-x[i]!));
}

/** In place, over `count` numbers. */
export function softmax(x: Float32Array, from: number, count: number): void {
  let most = x[from]!;
  for (let i = from + 1; i < from + count; i++) most = Math.max(most, x[i]!);
  let sum = 0;
  for (let i = from; i < from + count; i++) {
    x[i] = Math.exp(x[i]! - most);
    sum += x[i]!;
  }
  for (let i = from; i < from + count; i++) x[i] = x[i]! / sum;
}
