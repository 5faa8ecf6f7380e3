import type { RenderedPicture } from '../src/contracts.ts';

/**
 * How far a device's frames may be from the CPU's, in steps of 255. Rounding to uint8 makes 1 of any last-bit difference;
 * warps and masks amplify it at edges, so a few pixels may differ by more, and the mean has to stay small.
 */
export const PARITY_TOLERANCE = { mean: 0.5, max: 48 } as const;

/** Absolute differences of uint8 samples, RGB and I420 together. */
export interface FrameDifference {
  mean: number;
  max: number;
}

/** Throws RangeError when the frames are not of the same kind, size and number. */
export function compareFrames(a: readonly RenderedPicture[], b: readonly RenderedPicture[]): FrameDifference {
  if (a.length !== b.length) throw new RangeError(`${a.length} frames cannot be compared with ${b.length}`);
  let [sum, samples, max] = [0, 0, 0];
  for (const [index, frame] of a.entries()) {
    for (const plane of ['rgb', 'i420'] as const) {
      const [left, right] = [frame[plane], b[index]![plane]];
      if (left?.length !== right?.length) throw new RangeError(`frame ${index}: ${plane} is of another length`);
      for (let at = 0; at < (left?.length ?? 0); at++) {
        const difference = Math.abs(left![at]! - right![at]!);
        sum += difference;
        if (difference > max) max = difference;
      }
      samples += left?.length ?? 0;
    }
  }
  return { mean: samples === 0 ? 0 : Math.round((sum / samples) * 10_000) / 10_000, max };
}
