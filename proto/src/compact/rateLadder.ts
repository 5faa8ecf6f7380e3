import type { CompactQuality } from './CompactMotionEncoder.ts';

/** One way to spend bytes on motion, and what it costs in looks. */
export interface Rung {
  quality: Required<Pick<CompactQuality, 'poseStep' | 'expressionStep' | 'expressionCount'>>;
  /** every n-th motion is sent, the others are interpolated */
  stride: number;
  /** bytes for each captured motion (30 a second), sent or not */
  bytes: number;
  /** mean distance from the true face, mm over mouth, eyes and rest */
  errorMm: number;
}

/** The rungs worth having: best first, each cheaper than the one before; those that cost more and look worse go. */
export function ladderFrom(points: readonly Rung[]): Rung[] {
  const ladder: Rung[] = [];
  for (const point of points.toSorted((a, b) => a.errorMm - b.errorMm || a.bytes - b.bytes)) {
    const last = ladder.at(-1);
    if (last === undefined || point.bytes < 0.97 * last.bytes) ladder.push(point);
  }
  return ladder;
}

/**
 * The best rung within a budget of bytes for each captured motion. `scale`: how much more than the ladder says this
 * face has cost so far. The last rung when none fits.
 */
export function chooseRung(ladder: readonly Rung[], budget: number, scale: number): number {
  const index = ladder.findIndex(({ bytes }) => bytes * scale <= budget);
  return index < 0 ? ladder.length - 1 : index;
}
