import { describe, expect, it } from 'vitest';
import { EXPRESSION_INDEX, EXPRESSION_NAMES, type ExpressionName } from './expressions.ts';
import type { Motion } from './Motion.ts';
import { synthesizeMotion } from './synthesizeMotion.ts';

const DEGREE = Math.PI / 180;
const SEEDS = [0, 7, 12345, -3];
/** A minute of every seed at 50 samples a second. */
const STEP = 0.02;
const minute = (seed: number): Motion[] =>
  Array.from({ length: 60 / STEP }, (_, at) => synthesizeMotion(at * STEP, seed));
const minutes = new Map(SEEDS.map((seed) => [seed, minute(seed)]));

function curve(seed: number, name: ExpressionName): number[] {
  return minutes.get(seed)!.map((motion) => motion.expression[EXPRESSION_INDEX[name]]!);
}

/** Spans [from, to) in seconds during which the values stay above the threshold. */
function spans(values: number[], threshold: number): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = [];
  values.forEach((value, at) => {
    const isAbove = value > threshold;
    const wasAbove = at > 0 && values[at - 1]! > threshold;
    if (isAbove && !wasAbove) found.push({ from: at * STEP, to: values.length * STEP });
    if (!isAbove && wasAbove) found.at(-1)!.to = at * STEP;
  });
  return found;
}

/** Local maxima that stand out from the valleys beside them. */
function peaks(values: number[], height: number): number[] {
  const found: number[] = [];
  let low = values[0]!;
  let high = Number.NEGATIVE_INFINITY;
  let highAt = 0;
  values.forEach((value, at) => {
    if (value > high) [high, highAt] = [value, at];
    if (high - low > height && value < high - height) {
      found.push(highAt * STEP);
      [low, high] = [value, Number.NEGATIVE_INFINITY];
    }
    low = Math.min(low, value);
    if (value === low) high = value;
  });
  return found;
}

const variance = (values: number[]) => {
  const mean = values.reduce((sum, each) => sum + each, 0) / values.length;
  return values.reduce((sum, each) => sum + (each - mean) ** 2, 0) / values.length;
};

describe('synthesizeMotion', () => {
  it('is pure: the same time and seed give the same motion, in any order of calls', () => {
    const times = [0, 5.5, 1234.567, -20.25, 1e6];
    const first = times.map((time) => synthesizeMotion(time, 3));
    expect(times.toReversed().map((time) => synthesizeMotion(time, 3))).toEqual(first.toReversed());
  });

  it('gives every seed a face of its own', () => {
    for (const seed of SEEDS.slice(1)) {
      const difference = curve(seed, 'jawOpen').map((value, at) => value - curve(0, 'jawOpen')[at]!);
      expect(variance(difference)).toBeGreaterThan(0.003);
    }
  });

  it('keeps coefficients within 0…1 and the head within ±12° of yaw, ±8° of pitch and ±5° of roll', () => {
    for (const motions of minutes.values()) {
      const most = (value: (motion: Motion) => number) => Math.max(...motions.map(value));
      expect(most(({ expression }) => Math.max(...expression))).toBeLessThanOrEqual(1);
      expect(most(({ expression }) => -Math.min(...expression))).toBeLessThanOrEqual(0);
      expect(most(({ pose }) => Math.abs(pose.yaw))).toBeLessThanOrEqual(12 * DEGREE);
      expect(most(({ pose }) => Math.abs(pose.pitch))).toBeLessThanOrEqual(8 * DEGREE);
      expect(most(({ pose }) => Math.abs(pose.roll))).toBeLessThanOrEqual(5 * DEGREE);
      expect(most(({ pose: { tx, ty, logScale } }) => Math.abs(tx) + Math.abs(ty) + Math.abs(logScale))).toBeLessThan(
        0.15,
      );
    }
  });

  it('has no jumps: every coefficient and the pose move at a bounded speed, across all cell borders', () => {
    const fine = 0.002;
    // Lids shut within 54 ms and saccades take 80 ms: 1.5/0.054 and 1.5·1.1/0.08 a second. All else is slower.
    const limits = EXPRESSION_NAMES.map((name) => {
      if (name.startsWith('eyeBlink')) return 28;
      return name.startsWith('eyeLook') ? 21 : 13;
    });
    const tooFast: string[] = [];
    for (const seed of SEEDS) {
      let before = synthesizeMotion(-0.5, seed);
      for (let time = -0.5 + fine; time < 12.5; time += fine) {
        const now = synthesizeMotion(time, seed);
        now.expression.forEach((value, index) => {
          const speed = Math.abs(value - before.expression[index]!) / fine;
          if (speed > limits[index]!) tooFast.push(`seed ${seed}, ${time} s: ${EXPRESSION_NAMES[index]} ${speed}/s`);
        });
        for (const axis of ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const) {
          const speed = Math.abs(now.pose[axis] - before.pose[axis]) / fine;
          if (speed > 0.8) tooFast.push(`seed ${seed}, ${time} s: ${axis} ${speed}/s`);
        }
        before = now;
      }
    }
    expect(tooFast).toEqual([]);
  });

  it('blinks with both lids every 2 to 6 seconds for 150 to 250 ms', () => {
    for (const seed of SEEDS) {
      const blinks = spans(curve(seed, 'eyeBlinkLeft'), 0);
      expect(blinks.length).toBeGreaterThanOrEqual(12);
      expect(curve(seed, 'eyeBlinkRight')).toEqual(curve(seed, 'eyeBlinkLeft'));
      blinks.forEach(({ from, to }, index) => {
        expect(to - from).toBeGreaterThan(0.1);
        expect(to - from).toBeLessThan(0.28);
        const next = blinks[index + 1];
        if (next !== undefined) {
          expect(next.from - from).toBeGreaterThan(1.9);
          expect(next.from - from).toBeLessThan(6.1);
        }
      });
      expect(Math.max(...curve(seed, 'eyeBlinkLeft'))).toBeGreaterThan(0.95);
    }
  });

  it('talks in bouts of some seconds with pauses between, at 3 to 5 syllables a second', () => {
    for (const seed of SEEDS) {
      // Speech ends where the jaw stays shut for half a second.
      const open = spans(curve(seed, 'jawOpen'), 0.004);
      const bouts = open.reduce<{ from: number; to: number }[]>((merged, span) => {
        const last = merged.at(-1);
        if (last !== undefined && span.from - last.to < 0.5) last.to = span.to;
        else merged.push({ ...span });
        return merged;
      }, []);
      const talking = bouts.reduce((sum, { from, to }) => sum + to - from, 0);
      expect(bouts.length).toBeGreaterThanOrEqual(7);
      expect(talking).toBeGreaterThan(22);
      expect(talking).toBeLessThan(45);
      const syllables = peaks(curve(seed, 'jawOpen'), 0.03).length;
      expect(syllables / talking).toBeGreaterThan(2.5);
      expect(syllables / talking).toBeLessThan(5);
      expect(Math.max(...curve(seed, 'jawOpen'))).toBeGreaterThan(0.4);
    }
  });

  it.each([
    ['mouthFunnel', 0.3],
    ['mouthPucker', 0.3],
    ['mouthSmileLeft', 0.3],
    ['mouthUpperUpLeft', 0.15],
    ['mouthLowerDownRight', 0.25],
    ['mouthPressLeft', 0.15],
    ['eyeLookInLeft', 0.2],
    ['eyeLookOutLeft', 0.2],
    ['eyeLookUpRight', 0.1],
    ['eyeLookDownRight', 0.1],
    ['browInnerUp', 0.3],
    ['browOuterUpLeft', 0.2],
  ] as const)('uses %s visibly within a minute', (name, least) => {
    for (const seed of SEEDS) expect(Math.max(...curve(seed, name))).toBeGreaterThan(least);
  });

  it('smiles between bouts more than while it talks', () => {
    const [jaw, smile] = [curve(7, 'jawOpen'), curve(7, 'cheekSquintLeft')];
    const mean = (values: number[]) => values.reduce((sum, each) => sum + each, 0) / values.length;
    const silent = smile.filter((_, at) => jaw[at]! < 0.004);
    const talking = smile.filter((_, at) => jaw[at]! > 0.1);
    expect(mean(silent)).toBeGreaterThan(2 * mean(talking));
  });

  it('moves both eyes the same way: one looks in while the other looks out', () => {
    expect(curve(7, 'eyeLookInLeft')).toEqual(curve(7, 'eyeLookOutRight'));
    expect(curve(7, 'eyeLookInRight')).toEqual(curve(7, 'eyeLookOutLeft'));
  });

  it('turns and nods: the head moves over at least 8° of yaw and 5° of pitch in a minute', () => {
    for (const motions of minutes.values()) {
      const range = (axis: 'yaw' | 'pitch') => {
        const values = motions.map((motion) => motion.pose[axis]);
        return Math.max(...values) - Math.min(...values);
      };
      expect(range('yaw')).toBeGreaterThan(8 * DEGREE);
      expect(range('pitch')).toBeGreaterThan(5 * DEGREE);
    }
  });

  it.each([
    [Number.NaN, 1],
    [Number.POSITIVE_INFINITY, 1],
    [1, 0.5],
  ])('throws at once on a time of %d with a seed of %d', (time, seed) => {
    expect(() => synthesizeMotion(time, seed)).toThrow(RangeError);
  });
});
