/** Of a 256² stream at 30 frames/s: a talking head in good quality. */
const REFERENCE_BITS_PER_SECOND = 400_000;

/**
 * Target bit rate of a stream. Larger pictures need less per pixel (256² 400 kbit/s, 512² 1.2 Mbit/s), more frames per
 * second differ less from each other.
 *
 * @param size pixels, square
 * @returns bits per second
 */
export function targetBitrate(size: number, framesPerSecond: number): number {
  return Math.round(REFERENCE_BITS_PER_SECOND * (size / 256) ** 1.6 * (framesPerSecond / 30) ** 0.7);
}
