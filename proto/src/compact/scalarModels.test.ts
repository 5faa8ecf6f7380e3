import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { FacewireError } from '../errors.ts';
import { synthesizeMotion } from '../motion/synthesizeMotion.ts';
import { type CompactSettings, DEFAULT_SETTINGS } from './CompactSettings.ts';
import { CompactState, quantise } from './CompactState.ts';
import { LEARNED_TABLES } from './learnedTables.ts';
import { PlainScalarModel } from './PlainScalarModel.ts';
import { PACKET_BYTES, RangeCoder } from './rangeCoder.ts';
import type { ScalarModel } from './ScalarModel.ts';
import { WasmScalarModel } from './WasmScalarModel.ts';
import { MODEL, SLOT_LIMIT, type WasmCore, wasmCore } from './wasmCore.ts';

const core = wasmCore() as WasmCore;

/** One end of a stream: a model, the state it codes against and a coder. */
class End {
  readonly coder = new RangeCoder();
  readonly state = new CompactState(LEARNED_TABLES.ranks);
  private readonly buffer = new Uint8Array(PACKET_BYTES);
  readonly model: ScalarModel;

  constructor(model: ScalarModel, settings: CompactSettings = DEFAULT_SETTINGS) {
    this.model = model;
    this.state.reset(settings);
  }

  encode(index: number, jitter: number): Uint8Array {
    const { state, coder } = this;
    const { settings } = state;
    const motion = synthesizeMotion(index / 30, 3);
    for (let each = 0; each < motion.expression.length; each++) {
      const moved = motion.expression[each]! + jitter * Math.sin(index * (each + 1) * 12.9898);
      motion.expression[each] = Math.min(1, Math.max(0, moved));
    }
    motion.keypoints = Float32Array.from({ length: 3 * settings.keypointCount }, (_, at) => Math.sin(index / 5 + at));
    coder.startEncoding(this.buffer);
    quantise(motion, settings, state.ranks, this.model.values, index === 0 ? undefined : state);
    this.model.encode(coder, state, index === 0);
    this.model.advance(state, index === 0);
    return this.buffer.slice(0, coder.finishEncoding());
  }

  /** The error's code, or 'decoded'; as CompactMotionDecoder does it. */
  decode(packet: Uint8Array, selfContained: boolean): string {
    this.coder.startDecoding(packet);
    this.model.mark();
    try {
      this.model.decode(this.coder, this.state, selfContained);
      this.coder.finishDecoding();
    } catch (error) {
      this.model.undo();
      return (error as FacewireError).code;
    }
    this.model.advance(this.state, selfContained);
    return 'decoded';
  }
}

/** The state as text, which is much quicker to compare. */
const numbersOf = ({ state }: End): string => state.scalars.join();

const wasm = (adaptive = true): ScalarModel => new WasmScalarModel(core, LEARNED_TABLES, adaptive);
const plain = (adaptive = true): ScalarModel => new PlainScalarModel(LEARNED_TABLES, adaptive);

function pseudoRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const VARIANTS: [string, CompactSettings, number, boolean][] = [
  ['default settings', DEFAULT_SETTINGS, 0.01, true],
  ['packets that may get lost', DEFAULT_SETTINGS, 0.01, false],
  ['wild motion in fine steps', { ...DEFAULT_SETTINGS, poseDenominator: 4095, expressionDenominator: 1023 }, 0.9, true],
  ['keypoints', { ...DEFAULT_SETTINGS, keypointCount: 128, keypointsSent: 128, expressionCount: 20 }, 0.1, true],
  ['few of everything', { ...DEFAULT_SETTINGS, keypointCount: 5, keypointsSent: 2, expressionCount: 0 }, 0, true],
];

describe('the models of scalars', () => {
  it.each(VARIANTS)('write the same bytes and keep the same states in WebAssembly and plain: %s', (...variant) => {
    const [, settings, jitter, adaptive] = variant;
    const ends = [wasm(adaptive), plain(adaptive)].map((model) => new End(model, settings));
    for (let index = 0; index < 120; index++) {
      const [a, b] = ends.map((end) => end.encode(index, jitter));
      expect(a).toEqual(b);
      expect(numbersOf(ends[0]!)).toBe(numbersOf(ends[1]!));
    }
  });

  it.each(VARIANTS)('refuse the same altered packets, and forget what they learned from them: %s', (...variant) => {
    const [, settings, jitter, adaptive] = variant;
    const below = pseudoRandom(7);
    const outcomes = new Set<string>();
    for (let start = 0; start < 60; ) {
      const sender = new End(plain(adaptive), settings);
      const ends = [wasm(adaptive), plain(adaptive)].map((model) => new End(model, settings));
      const decode = (packet: Uint8Array, index: number): string => {
        const [a, b] = ends.map((end) => end.decode(packet, index === 0));
        expect(a).toBe(b);
        expect(numbersOf(ends[0]!)).toBe(numbersOf(ends[1]!));
        return a!;
      };
      // one that decodes by chance leads the receivers astray: begin again
      for (let index = 0, astray = false; index < 30 && !astray; index++, start++) {
        const packet = sender.encode(index, jitter);
        for (let count = 0; count < 8 && !astray; count++) {
          const altered =
            count === 0 ? packet.slice(0, below(packet.length)) : Uint8Array.of(...packet, ...[0].slice(count % 2));
          if (altered.length > 0) altered[below(altered.length)] = below(256);
          const outcome = decode(altered, index);
          outcomes.add(outcome);
          astray = outcome === 'decoded';
        }
        if (astray) continue;
        expect(decode(packet, index)).toBe('decoded');
        expect(numbersOf(ends[0]!)).toBe(numbersOf(sender));
      }
    }
    expect(outcomes.size).toBeGreaterThan(1);
  });

  it('forget all that they learned, so that a stream begins as the first did', () => {
    for (const model of [wasm(), plain()]) {
      const [first, second] = [0, 1].map(() => {
        model.forget();
        const end = new End(model);
        return [0, 1, 2, 3].map((index) => end.encode(index, 0.1));
      });
      expect(first).toEqual(second);
    }
  });

  it('take turns in WebAssembly when they are more than its memory holds, and lose nothing', () => {
    const count = SLOT_LIMIT + 3;
    const ends = Array.from({ length: count }, () => new End(wasm()));
    const reference = new End(plain());
    for (let index = 0; index < 4; index++) {
      const expected = reference.encode(index, 0.05);
      for (const end of ends) expect(end.encode(index, 0.05)).toEqual(expected);
    }
    expect(core.exports.memory.buffer.byteLength).toBeLessThan((SLOT_LIMIT + 4) * 4 * MODEL.LENGTH + 2 ** 20);
  });
});

describe('without WebAssembly', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  it('the codec works in plain code, bit for bit', async () => {
    vi.resetModules();
    // a page whose policy lacks 'wasm-unsafe-eval'
    vi.stubGlobal('WebAssembly', {
      ...WebAssembly,
      Module: class {
        constructor() {
          throw new EvalError('refused by the content security policy');
        }
      },
    });
    const { createScalarModel } = await import('./createScalarModel.ts');
    const { PlainScalarModel: Plain } = await import('./PlainScalarModel.ts');
    expect(createScalarModel(LEARNED_TABLES, true)).toBeInstanceOf(Plain);
    const { compactGolden } = await import('../../scripts/compactGolden.ts');
    const file = new URL('../../golden/compact.json', import.meta.url);
    expect(JSON.parse(JSON.stringify(compactGolden()))).toEqual(JSON.parse(readFileSync(file, 'utf8')));
  });
});
