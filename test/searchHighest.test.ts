import { expect, test } from 'vitest';
import { nextCount, type Trial } from './bench/searchHighest.ts';

function search(capacity: number, start: number, most: number): Trial[] {
  const trials: Trial[] = [];
  for (;;) {
    const count = nextCount(trials, start, most);
    if (count === undefined) return trials;
    trials.push({ count, held: count <= capacity });
    if (trials.length > 40) throw new Error('the search does not end');
  }
}

test('the search finds the highest count that holds, whatever it is, in a logarithmic number of trials', () => {
  for (let capacity = 0; capacity <= 70; capacity++) {
    for (const start of [1, 4, 100]) {
      const trials = search(capacity, start, 60);
      const held = trials.filter((trial) => trial.held).map(({ count }) => count);
      expect(Math.max(0, ...held)).toBe(Math.min(capacity, 60));
      expect(trials.length).toBeLessThanOrEqual(14);
      expect(new Set(trials.map(({ count }) => count)).size).toBe(trials.length);
    }
  }
});

test('it doubles first and then halves the gap', () => {
  expect(search(5, 1, 1000)).toEqual([
    { count: 1, held: true },
    { count: 2, held: true },
    { count: 4, held: true },
    { count: 8, held: false },
    { count: 6, held: false },
    { count: 5, held: true },
  ]);
});
