import type { Weights } from './readWeights.ts';

/** y = W·x + b of one vector x or of several that follow each other. */
export class Linear {
  /** row-major [outputs, inputs] */
  readonly #weight: Float32Array;
  readonly #bias: Float32Array;
  readonly #inputs: number;
  readonly #outputs: number;

  constructor(weights: Weights, name: string, inputs: number, outputs: number, options: { bias?: boolean } = {}) {
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#weight = weights.get(`${name}.weight`, outputs, inputs);
    this.#bias = options.bias === false ? new Float32Array(outputs) : weights.get(`${name}.bias`, outputs);
  }

  /** `count` vectors of x, from `from` on, to y, from `to` on. */
  run(x: Float32Array, from: number, y: Float32Array, to: number, count = 1): void {
    const together = this.#outputs - (this.#outputs % 4);
    for (let each = 0; each < count; each += 2) {
      const a = from + each * this.#inputs;
      const at = to + each * this.#outputs;
      const pair = each + 1 < count;
      if (pair) this.#pair(x, a, y, at, together);
      else this.#single(x, a, y, at, together);
      for (let row = together; row < this.#outputs; row++) {
        y[at + row] = this.#one(x, a, row);
        if (pair) y[at + this.#outputs + row] = this.#one(x, a + this.#inputs, row);
      }
    }
  }

  #one(x: Float32Array, from: number, row: number): number {
    const at = row * this.#inputs;
    let sum = this.#bias[row]!;
    for (let i = 0; i < this.#inputs; i++) sum += this.#weight[at + i]! * x[from + i]!;
    return sum;
  }

  /** One vector by four rows: four sums at once, for one alone waits for itself. */
  #single(x: Float32Array, from: number, y: Float32Array, to: number, rows: number): void {
    const weight = this.#weight;
    const bias = this.#bias;
    const inputs = this.#inputs;
    for (let row = 0; row < rows; row += 4) {
      const r0 = row * inputs;
      const r1 = r0 + inputs;
      const r2 = r1 + inputs;
      const r3 = r2 + inputs;
      let a0 = bias[row]!;
      let a1 = bias[row + 1]!;
      let a2 = bias[row + 2]!;
      let a3 = bias[row + 3]!;
      for (let i = 0; i < inputs; i++) {
        const a = x[from + i]!;
        a0 += weight[r0 + i]! * a;
        a1 += weight[r1 + i]! * a;
        a2 += weight[r2 + i]! * a;
        a3 += weight[r3 + i]! * a;
      }
      y[to + row] = a0;
      y[to + row + 1] = a1;
      y[to + row + 2] = a2;
      y[to + row + 3] = a3;
    }
  }

  /** Two vectors by four rows: reading numbers takes longer than multiplying them, and here each is used often. */
  #pair(x: Float32Array, from: number, y: Float32Array, to: number, rows: number): void {
    const weight = this.#weight;
    const bias = this.#bias;
    const inputs = this.#inputs;
    for (let row = 0; row < rows; row += 4) {
      const r0 = row * inputs;
      const r1 = r0 + inputs;
      const r2 = r1 + inputs;
      const r3 = r2 + inputs;
      let a0 = bias[row]!;
      let a1 = bias[row + 1]!;
      let a2 = bias[row + 2]!;
      let a3 = bias[row + 3]!;
      let b0 = a0;
      let b1 = a1;
      let b2 = a2;
      let b3 = a3;
      for (let i = 0; i < inputs; i++) {
        const a = x[from + i]!;
        const b = x[from + inputs + i]!;
        const w0 = weight[r0 + i]!;
        const w1 = weight[r1 + i]!;
        const w2 = weight[r2 + i]!;
        const w3 = weight[r3 + i]!;
        a0 += w0 * a;
        a1 += w1 * a;
        a2 += w2 * a;
        a3 += w3 * a;
        b0 += w0 * b;
        b1 += w1 * b;
        b2 += w2 * b;
        b3 += w3 * b;
      }
      const at = to + row;
      y[at] = a0;
      y[at + 1] = a1;
      y[at + 2] = a2;
      y[at + 3] = a3;
      const next = at + this.#outputs;
      y[next] = b0;
      y[next + 1] = b1;
      y[next + 2] = b2;
      y[next + 3] = b3;
    }
  }
}

/** Root-mean-square norm of `width` numbers, of one vector or of several that follow each other. */
export class Norm {
  readonly #weight: Float32Array;

  constructor(weights: Weights, name: string, width: number) {
    this.#weight = weights.get(`${name}.weight`, width);
  }

  run(x: Float32Array, y: Float32Array, count: number): void {
    const width = this.#weight.length;
    for (let from = 0; from < count * width; from += width) {
      let square = 0;
      for (let i = from; i < from + width; i++) square += x[i]! * x[i]!;
      const scale = 1 / Math.sqrt(square / width + 1e-5);
      for (let i = 0; i < width; i++) y[from + i] = x[from + i]! * scale * this.#weight[i]!;
    }
  }
}

/** x += y */
export function add(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i] = x[i]! + y[i]!;
}

/** x·sigmoid(x) in place. */
export function silu(x: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i] = x[i]! / (1 + Math.exp(-x[i]!));
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
