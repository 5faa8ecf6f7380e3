import type { RenderedPicture } from '../contracts.ts';

/** A sample that differs by more can be seen. */
const FAR = 16;

/**
 * How far a device's frames may be from the CPU's: on average, in steps of 255, and in the share of samples that are more
 * than 16 steps off. Rounding to uint8 makes a step of any last-bit difference. Where a graph decides which of two
 * surfaces is in front, a last bit may decide the other way and change a pixel wholly: so the largest difference is told
 * but not judged.
 */
export const PARITY_TOLERANCE = { mean: 0.1, farShare: 0.002 } as const;

/** Absolute differences of uint8 samples, RGB and I420 together. */
export interface FrameDifference {
  mean: number;
  max: number;
  /** of the samples, those more than 16 steps off */
  farShare: number;
}

/** Throws RangeError when the frames are not of the same kind, size and number. */
export function compareFrames(a: readonly RenderedPicture[], b: readonly RenderedPicture[]): FrameDifference {
  if (a.length !== b.length) throw new RangeError(`${a.length} frames cannot be compared with ${b.length}`);
  let [sum, samples, max, far] = [0, 0, 0, 0];
  for (const [index, frame] of a.entries()) {
    for (const plane of ['rgb', 'i420'] as const) {
      const [left, right] = [frame[plane], b[index]![plane]];
      if (left?.length !== right?.length) throw new RangeError(`frame ${index}: ${plane} is of another length`);
      for (let at = 0; at < (left?.length ?? 0); at++) {
        const difference = Math.abs(left![at]! - right![at]!);
        sum += difference;
        if (difference > max) max = difference;
        if (difference > FAR) far++;
      }
      samples += left?.length ?? 0;
    }
  }
  const share = (of: number) => (samples === 0 ? 0 : Math.round((of / samples) * 1e6) / 1e6);
  return { mean: share(sum), max, farShare: share(far) };
}
