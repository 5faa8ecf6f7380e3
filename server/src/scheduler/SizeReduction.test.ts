import { expect, test } from 'vitest';
import { reducedSize, SizeReduction } from './SizeReduction.ts';

const OVERLOAD = { turns: 1000, missed: 700, busy: 1, growth: 4 };
const BUSY = { turns: 1000, missed: 300, busy: 1, growth: 4 };
const CALM = { turns: 1000, missed: 0, busy: 0.1, growth: 4 };

function after(reduction: SizeReduction, windows: number, load: typeof CALM): number {
  for (let window = 0; window < windows; window++) reduction.judge(load);
  return reduction.steps;
}

test('sizes fall when rates have halved for three seconds, one step at a time, to the smallest', () => {
  const reduction = new SizeReduction(3);
  expect(after(reduction, 2, OVERLOAD)).toBe(0);
  expect(after(reduction, 1, OVERLOAD)).toBe(1);
  expect(after(reduction, 3, OVERLOAD)).toBe(2);
  expect(after(reduction, 30, OVERLOAD)).toBe(2);
});

test('a device that misses some turns keeps its sizes, and a short burst changes nothing', () => {
  const reduction = new SizeReduction(3);
  expect(after(reduction, 60, BUSY)).toBe(0);
  for (let burst = 0; burst < 10; burst++) {
    after(reduction, 2, OVERLOAD);
    after(reduction, 1, CALM);
  }
  expect(reduction.steps).toBe(0);
});

test('sizes return when the larger ones would fit, and not merely because the small ones do', () => {
  const reduction = new SizeReduction(2);
  after(reduction, 3, OVERLOAD);
  expect(after(reduction, 60, { ...CALM, busy: 0.3 })).toBe(1);
  expect(after(reduction, 4, CALM)).toBe(1);
  expect(after(reduction, 1, CALM)).toBe(0);
});

test('returns that end in overload again become ever rarer', () => {
  const reduction = new SizeReduction(2);
  after(reduction, 3, OVERLOAD);
  const calmNeeded: number[] = [];
  for (let round = 0; round < 4; round++) {
    let windows = 0;
    while (reduction.steps === 1) {
      reduction.judge(CALM);
      windows++;
    }
    calmNeeded.push(windows);
    after(reduction, 3, OVERLOAD);
  }
  expect(calmNeeded).toEqual([5, 10, 20, 40]);
});

test('every stream is drawn so many sizes smaller, never below the smallest', () => {
  const sizes = [128, 256, 512];
  expect([512, 256, 128].map((size) => reducedSize(size, 1, sizes))).toEqual([256, 128, 128]);
  expect([512, 256, 128].map((size) => reducedSize(size, 0, sizes))).toEqual([512, 256, 128]);
  expect(reducedSize(300, 2, sizes)).toBe(300);
});
