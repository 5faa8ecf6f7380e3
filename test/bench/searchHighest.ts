/** One trial: with so many, it held or it did not. */
export interface Trial {
  count: number;
  held: boolean;
}

/**
 * The count to try next when looking for the highest that holds: doubling from `start` until one fails, then halving
 * the gap. Undefined when the answer is known: the highest that held has `most`, or its successor failed.
 */
export function nextCount(trials: readonly Trial[], start: number, most: number): number | undefined {
  const highest = Math.max(0, ...trials.filter(({ held }) => held).map(({ count }) => count));
  // A lower one that failed by bad luck does not end the search below what held.
  const failed = trials.filter(({ count, held }) => !held && count > highest).map(({ count }) => count);
  const ceiling = Math.min(most + 1, ...failed);
  if (highest + 1 >= ceiling) return undefined;
  if (trials.length === 0) return Math.min(start, most);
  if (failed.length === 0) return Math.min(most, Math.max(start, 2 * highest));
  return highest + Math.ceil((ceiling - highest) / 2);
}
