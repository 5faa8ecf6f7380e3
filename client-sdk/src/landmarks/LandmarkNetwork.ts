import { EXPRESSION_COUNT, EXPRESSION_NAMES } from '@facewire/proto';
import { add, Linear, Norm, silu, softmax } from './layers.ts';
import {
  CODE,
  CODES,
  DECAYS_MS,
  DECODER,
  FORGET_MS,
  FRAME_MS,
  GAP_MS,
  GROUPS,
  HEAD_WIDTH,
  HEADS,
  HIDDEN,
  inputsOf,
  LONGEST_MS,
  LOUDEST,
  POSE,
  POSE_UNITS,
  REGIONS,
  TOKENS,
  WIDTH,
  WINDOW,
} from './layout.ts';
import type { Weights } from './readWeights.ts';

/** The network of models/training/landmarks/network.py, a frame at a time. */
export class LandmarkNetwork {
  readonly #widen: Linear[];
  readonly #embed: Linear[];
  readonly #near: Block[];
  readonly #back: Block[];
  readonly #memory: Memory;
  readonly #last: Norm;
  readonly #pose: Linear;
  readonly #groups: CodeHead[];
  readonly #x = new Float32Array(TOKENS * WIDTH);
  readonly #wide = new Float32Array(WIDTH);
  /** of the fitted pose, as `corrected` takes it */
  readonly correction = new Float32Array(POSE);
  /** not yet kept to 0…1 */
  readonly expression = new Float32Array(EXPRESSION_COUNT);

  constructor(weights: Weights) {
    this.#widen = REGIONS.map((region, token) => new Linear(weights, `widen.${token}`, inputsOf(region), WIDTH));
    this.#embed = REGIONS.map((_, token) => new Linear(weights, `embed.${token}`, WIDTH, WIDTH));
    this.#near = [0, 1].map((index) => new Block(weights, `near.${index}`, false));
    this.#back = [0, 1].map((index) => new Block(weights, `back.${index}`, true));
    this.#memory = new Memory(weights);
    this.#last = new Norm(weights, 'last', WIDTH);
    this.#pose = new Linear(weights, 'pose', WIDTH, POSE);
    this.#groups = Object.entries(GROUPS).map(([name, group]) => new CodeHead(weights, name, group));
  }

  reset(): void {
    this.#memory.reset();
    for (const block of this.#back) block.reset();
  }

  /** Tokens of a frame, `dtMs` after the one before: fills `correction` and `expression`. */
  run(tokens: readonly Float32Array[], dtMs: number): void {
    const x = this.#x;
    tokens.forEach((token, index) => {
      this.#widen[index]!.run(token, 0, this.#wide, 0);
      silu(this.#wide);
      this.#embed[index]!.run(this.#wide, 0, x, index * WIDTH);
    });
    this.#near[0]!.run(x, dtMs);
    this.#memory.run(x, dtMs);
    this.#back[0]!.run(x, dtMs);
    this.#near[1]!.run(x, dtMs);
    this.#back[1]!.run(x, dtMs);
    this.#last.run(x, x, TOKENS);
    this.#pose.run(x, (TOKENS - 1) * WIDTH, this.correction, 0);
    POSE_UNITS.forEach((unit, k) => {
      this.correction[k] = this.correction[k]! * unit;
    });
    for (const group of this.#groups) group.run(x, this.expression);
  }
}

/** Attention and an MLP, each added to the tokens: within a frame, or of each token back in time. */
class Block {
  readonly #first: Norm;
  readonly #second: Norm;
  readonly #qkv: Linear;
  readonly #out: Linear;
  readonly #up: Linear;
  readonly #down: Linear;
  /** [HEADS, DECAYS_MS] */
  readonly #ages: Float32Array | undefined;
  /** queries, keys and values of the newest frames, the newest last; their ages */
  #frames: { qkv: Float32Array; ageMs: number }[] = [];
  readonly #given = new Float32Array(TOKENS * WIDTH);
  readonly #answer = new Float32Array(TOKENS * WIDTH);
  readonly #hidden = new Float32Array(TOKENS * HIDDEN);
  readonly #scores = new Float32Array(Math.max(TOKENS, WINDOW));
  /** [HEADS, WINDOW]; within a frame nothing is old */
  readonly #bias = new Float32Array(HEADS * Math.max(TOKENS, WINDOW));

  constructor(weights: Weights, name: string, back: boolean) {
    this.#first = new Norm(weights, `${name}.first`, WIDTH);
    this.#second = new Norm(weights, `${name}.second`, WIDTH);
    this.#qkv = new Linear(weights, `${name}.qkv`, WIDTH, 3 * WIDTH, { bias: false });
    this.#out = new Linear(weights, `${name}.out`, WIDTH, WIDTH);
    this.#up = new Linear(weights, `${name}.up`, WIDTH, HIDDEN);
    this.#down = new Linear(weights, `${name}.down`, HIDDEN, WIDTH);
    this.#ages = back ? weights.get(`${name}.ages`, HEADS, DECAYS_MS.length) : undefined;
  }

  reset(): void {
    this.#frames = [];
  }

  run(x: Float32Array, dtMs: number): void {
    const qkv = this.#remember(dtMs);
    this.#first.run(x, this.#given, TOKENS);
    this.#qkv.run(this.#given, 0, qkv, 0, TOKENS);
    if (this.#ages !== undefined) this.#weigh(this.#ages);
    for (let token = 0; token < TOKENS; token++) this.#attend(qkv, token);
    this.#out.run(this.#given, 0, this.#answer, 0, TOKENS);
    add(x, this.#answer);
    this.#second.run(x, this.#given, TOKENS);
    this.#up.run(this.#given, 0, this.#hidden, 0, TOKENS);
    silu(this.#hidden);
    this.#down.run(this.#hidden, 0, this.#answer, 0, TOKENS);
    add(x, this.#answer);
  }

  /** Room for a frame; what is seen of older ones stays, by turns in the same arrays. */
  #remember(dtMs: number): Float32Array {
    const most = this.#ages === undefined ? 1 : WINDOW;
    if (dtMs > GAP_MS) this.#frames = [];
    for (const frame of this.#frames) frame.ageMs += dtMs;
    const free = this.#frames.length < most ? undefined : this.#frames.shift();
    const qkv = free?.qkv ?? new Float32Array(TOKENS * 3 * WIDTH);
    this.#frames.push({ qkv, ageMs: 0 });
    return qkv;
  }

  /** What a token attends to, into its place in #given: all tokens of its frame, or itself in the frames before. */
  #attend(own: Float32Array, token: number): void {
    const scores = this.#scores;
    const frames = this.#frames;
    const count = this.#ages === undefined ? TOKENS : frames.length;
    const source = (index: number): Float32Array => (this.#ages === undefined ? own : frames[index]!.qkv);
    const place = (index: number): number => (this.#ages === undefined ? index : token) * 3 * WIDTH;
    for (let head = 0; head < HEADS; head++) {
      const query = token * 3 * WIDTH + head * HEAD_WIDTH;
      for (let index = 0; index < count; index++) {
        const keys = source(index);
        const key = place(index) + WIDTH + head * HEAD_WIDTH;
        let sum = 0;
        for (let k = 0; k < HEAD_WIDTH; k++) sum += own[query + k]! * keys[key + k]!;
        scores[index] = sum / Math.sqrt(HEAD_WIDTH) + this.#bias[head * WINDOW + index]!;
      }
      softmax(scores, 0, count);
      const to = token * WIDTH + head * HEAD_WIDTH;
      this.#given.fill(0, to, to + HEAD_WIDTH);
      for (let index = 0; index < count; index++) {
        const values = source(index);
        const value = place(index) + 2 * WIDTH + head * HEAD_WIDTH;
        const share = scores[index]!;
        for (let k = 0; k < HEAD_WIDTH; k++) this.#given[to + k] = this.#given[to + k]! + share * values[value + k]!;
      }
    }
  }

  /** What each head thinks of how old the frames are. */
  #weigh(ages: Float32Array): void {
    this.#frames.forEach(({ ageMs }, index) => {
      const fresh = DECAYS_MS.map((decayMs) => Math.exp(-ageMs / decayMs));
      for (let head = 0; head < HEADS; head++) {
        this.#bias[head * WINDOW + index] = fresh.reduce(
          (sum, each, k) => sum + each * ages[head * fresh.length + k]!,
          0,
        );
      }
    });
  }
}

/** a token, its mean and how much is known of it */
const ASKED = 2 * WIDTH + HEADS;

/** What the person's face is like: a running mean in which each frame has a weight of its own choice. */
class Memory {
  readonly #norm: Norm;
  readonly #value: Linear;
  readonly #loud: Linear;
  readonly #read: Linear;
  readonly #answer: Linear;
  /** weights so far, and values times weights. In doubles: they add up for hours */
  readonly #total = new Float64Array(TOKENS * HEADS);
  readonly #sum = new Float64Array(TOKENS * WIDTH);
  readonly #given = new Float32Array(TOKENS * WIDTH);
  readonly #values = new Float32Array(TOKENS * WIDTH);
  readonly #louds = new Float32Array(TOKENS * HEADS);
  readonly #asked = new Float32Array(TOKENS * ASKED);

  constructor(weights: Weights) {
    this.#norm = new Norm(weights, 'memory.norm', WIDTH);
    this.#value = new Linear(weights, 'memory.value', WIDTH, WIDTH);
    this.#loud = new Linear(weights, 'memory.loud', WIDTH, HEADS);
    this.#read = new Linear(weights, 'memory.read', ASKED, WIDTH);
    this.#answer = new Linear(weights, 'memory.answer', WIDTH, WIDTH);
  }

  reset(): void {
    this.#total.fill(0);
    this.#sum.fill(0);
  }

  run(x: Float32Array, dtMs: number): void {
    this.#norm.run(x, this.#given, TOKENS);
    this.#value.run(this.#given, 0, this.#values, 0, TOKENS);
    this.#loud.run(this.#given, 0, this.#louds, 0, TOKENS);
    this.#take(Math.min(dtMs, LONGEST_MS));
    this.#read.run(this.#asked, 0, this.#values, 0, TOKENS);
    silu(this.#values);
    this.#answer.run(this.#values, 0, this.#given, 0, TOKENS);
    add(x, this.#given);
  }

  /** Values that stand for so much time join the mean; fills #asked: tokens, means, how much is known. */
  #take(standsMs: number): void {
    const keep = Math.exp(-standsMs / FORGET_MS);
    for (let token = 0; token < TOKENS; token++) {
      const [own, asked] = [token * WIDTH, token * ASKED];
      this.#asked.set(this.#given.subarray(own, own + WIDTH), asked);
      for (let head = 0; head < HEADS; head++) {
        const at = token * HEADS + head;
        const weight = (Math.exp(LOUDEST * Math.tanh(this.#louds[at]! / LOUDEST)) * standsMs) / FRAME_MS;
        const total = this.#total[at]! * keep + weight;
        this.#total[at] = total;
        for (let k = head * HEAD_WIDTH; k < (head + 1) * HEAD_WIDTH; k++) {
          const sum = this.#sum[own + k]! * keep + weight * this.#values[own + k]!;
          this.#sum[own + k] = sum;
          this.#asked[asked + WIDTH + k] = sum / total;
        }
        this.#asked[asked + 2 * WIDTH + head] = Math.min(6, Math.max(-4, Math.log(total))) / 3;
      }
    }
  }
}

/** A part of the face: how much of each code is in each place, and the coefficients that this decodes to. */
class CodeHead {
  readonly #indices: number[];
  readonly #tokens: readonly number[];
  readonly #slots: number;
  readonly #book: Float32Array;
  readonly #logits: Linear;
  readonly #hidden: Linear;
  readonly #out: Linear;
  readonly #told: Float32Array;
  readonly #shares: Float32Array;
  readonly #mixed: Float32Array;
  readonly #middle = new Float32Array(DECODER);
  readonly #coefficients: Float32Array;

  constructor(
    weights: Weights,
    name: string,
    { starts, tokens, slots }: { starts: readonly string[]; tokens: readonly number[]; slots: number },
  ) {
    this.#indices = EXPRESSION_NAMES.flatMap((each, index) =>
      starts.some((start) => each.startsWith(start)) ? [index] : [],
    );
    this.#tokens = tokens;
    this.#slots = slots;
    this.#book = weights.get(`codes.${name}.book`, CODES, CODE);
    this.#logits = new Linear(weights, `heads.${name}`, tokens.length * WIDTH, slots * CODES);
    this.#hidden = new Linear(weights, `codes.${name}.decoder.0`, slots * CODE, DECODER);
    this.#out = new Linear(weights, `codes.${name}.decoder.2`, DECODER, this.#indices.length);
    this.#told = new Float32Array(tokens.length * WIDTH);
    this.#shares = new Float32Array(slots * CODES);
    this.#mixed = new Float32Array(slots * CODE);
    this.#coefficients = new Float32Array(this.#indices.length);
  }

  run(x: Float32Array, expression: Float32Array): void {
    this.#tokens.forEach((token, at) => {
      this.#told.set(x.subarray(token * WIDTH, (token + 1) * WIDTH), at * WIDTH);
    });
    this.#logits.run(this.#told, 0, this.#shares, 0);
    this.#mixed.fill(0);
    for (let slot = 0; slot < this.#slots; slot++) {
      softmax(this.#shares, slot * CODES, CODES);
      for (let code = 0; code < CODES; code++) {
        const share = this.#shares[slot * CODES + code]!;
        for (let k = 0; k < CODE; k++) {
          this.#mixed[slot * CODE + k] = this.#mixed[slot * CODE + k]! + share * this.#book[code * CODE + k]!;
        }
      }
    }
    this.#hidden.run(this.#mixed, 0, this.#middle, 0);
    silu(this.#middle);
    this.#out.run(this.#middle, 0, this.#coefficients, 0);
    this.#indices.forEach((index, at) => {
      expression[index] = this.#coefficients[at]!;
    });
  }
}
