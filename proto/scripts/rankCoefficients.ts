import { EXPRESSION_COUNT, type Motion } from '../src/index.ts';

/** Displacements of sampled points at coefficient 1, one array for each coefficient, and the points of each region. */
export interface Displacements {
  moves: readonly Float64Array[];
  regions: Readonly<Record<string, readonly number[]>>;
}

/**
 * Rank of each coefficient when packets keep only some: greedily, the next one kept is the one that lowers the squared
 * distance of the points (mean over mouth, eyes and rest alike) most, given what coefficients do together in `tracks`.
 */
export function rankCoefficients(
  tracks: readonly (readonly Motion[])[],
  { moves, regions }: Displacements,
): Uint8Array {
  const n = EXPRESSION_COUNT;
  const together = new Float64Array(n * n);
  for (const motions of tracks) {
    for (const { expression } of motions) {
      for (let a = 0; a < n; a++) {
        if (expression[a] === 0) continue;
        for (let b = 0; b < n; b++) together[a * n + b] = together[a * n + b]! + expression[a]! * expression[b]!;
      }
    }
  }
  const cost = (a: number, b: number): number => {
    let sum = 0;
    for (const points of Object.values(regions)) {
      for (const point of points) {
        for (let axis = 0; axis < 3; axis++)
          sum += (moves[a]![3 * point + axis]! * moves[b]![3 * point + axis]!) / points.length;
      }
    }
    return sum * together[a * n + b]!;
  };
  const costs = Float64Array.from({ length: n * n }, (_, cell) => cost(Math.floor(cell / n), cell % n));
  const ranks = new Uint8Array(n);
  const dropped = new Set(Array.from({ length: n }, (_, index) => index));
  for (let rank = 0; rank < n; rank++) {
    let best = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (const candidate of dropped) {
      let gain = -costs[candidate * n + candidate]!;
      for (const other of dropped) gain += 2 * costs[candidate * n + other]!;
      if (gain > most) [best, most] = [candidate, gain];
    }
    ranks[best] = rank;
    dropped.delete(best);
  }
  return ranks;
}
