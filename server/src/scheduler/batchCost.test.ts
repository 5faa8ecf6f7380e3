import { expect, test } from 'vitest';
import { batchMs, chooseBatch } from './batchCost.ts';
import { RenderBudget } from './RenderBudget.ts';

/** 64 pictures in 3.2 ms, 0.64 ms of them for the run itself */
const GPU = [1, 2, 4, 8, 16, 32, 64].map((pictures) => ({ pictures, ms: 0.64 + 0.04 * pictures }));
const CPU = [1, 2, 4, 8].map((pictures) => ({ pictures, ms: 6 * pictures }));

test('between measured batches time runs straight, and beyond the last on with its slope', () => {
  expect(batchMs(GPU, 1)).toBeCloseTo(0.68);
  expect(batchMs(GPU, 24)).toBeCloseTo(0.64 + 0.96);
  expect(batchMs(GPU, 128)).toBeCloseTo(0.64 + 5.12);
  expect(batchMs([{ pictures: 1, ms: 5 }], 3)).toBeCloseTo(15);
});

test('a batch counts as no slower than a larger one was measured', () => {
  const noisy = [
    { pictures: 1, ms: 40 },
    { pictures: 2, ms: 3 },
    { pictures: 4, ms: 8 },
  ];
  expect([1, 2, 3, 4].map((pictures) => batchMs(noisy, pictures))).toEqual([3, 3, 5.5, 8]);
});

test('a device that gains from large batches gets them, one that does not gets small ones', () => {
  const large = chooseBatch({ times: GPU, budgetMs: 16, maxBatch: 64 });
  expect(large).toBeGreaterThan(45);
  expect(chooseBatch({ times: CPU, budgetMs: 60, maxBatch: 8 })).toBe(1);
});

test('a batch keeps to the budget, and to what runs take now', () => {
  expect(chooseBatch({ times: GPU, budgetMs: 1.6, maxBatch: 64 })).toBeLessThanOrEqual(24);
  expect(
    chooseBatch({ times: GPU.map(({ pictures, ms }) => ({ pictures, ms: 2 * ms })), budgetMs: 1.6, maxBatch: 64 }),
  ).toBeLessThanOrEqual(4);
  expect(chooseBatch({ times: CPU, budgetMs: 1, maxBatch: 8 })).toBe(1);
});

test('a slow device gets batches beyond the budget as long as it gains enough, and none longer than allowed', () => {
  const slow = (fixedMs: number, perPictureMs: number, more: object = {}) => {
    const times = [1, 2, 4, 8].map((pictures) => ({ pictures, ms: fixedMs + perPictureMs * pictures }));
    return chooseBatch({ times, budgetMs: 16, longestMs: 50, maxBatch: 8, ...more });
  };
  // 24 ms alone, 38 ms for two, 51 for three
  expect(slow(11, 13.4)).toBe(2);
  expect(slow(11, 13.4, { longestMs: 16 })).toBe(1);
  expect(slow(1.5 * 11, 1.5 * 13.4)).toBe(1);
  expect(slow(6, 4)).toBe(4);
  // a run costs little by itself: two at once would only wait for each other
  expect(slow(3, 23)).toBe(1);
  // what fits the budget is chosen as ever
  expect(slow(1.6, 3.5)).toBe(slow(1.6, 3.5, { longestMs: 16 }));
});

test('renders that take longer than calibrated make batches smaller, and larger again when that is over', () => {
  const budget = new RenderBudget({ budgetMs: 3, maxBatch: 64, batchTimes: () => GPU });
  const calm = budget.maxPictures(256);
  for (let run = 0; run < 30; run++) budget.measured(256, calm, 3 * batchMs(GPU, calm));
  expect(budget.maxPictures(256)).toBeLessThan(calm / 2);
  expect(budget.msPerPicture(256)).toBeGreaterThan((2 * batchMs(GPU, calm)) / calm);
  for (let run = 0; run < 60; run++) budget.measured(256, calm, batchMs(GPU, calm));
  expect(budget.maxPictures(256)).toBeGreaterThanOrEqual(calm - 2);
});
