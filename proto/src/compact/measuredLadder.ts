import type { Rung } from './rateLadder.ts';

/** Written by `npx tsx test/bench/codec.ts --ladder`: rates and distortions measured on motion tracks. */
// biome-ignore format: a table
export const MEASURED_LADDER: readonly Rung[] = [
  { quality: { poseStep: 1 / 512, expressionStep: 1 / 104, expressionCount: 52 }, stride: 1, bytes: 18.27, errorMm: 0.22 },
  { quality: { poseStep: 1 / 512, expressionStep: 1 / 104, expressionCount: 40 }, stride: 1, bytes: 16.06, errorMm: 0.304 },
  { quality: { poseStep: 1 / 512, expressionStep: 1 / 104, expressionCount: 32 }, stride: 1, bytes: 14.12, errorMm: 0.418 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 40 }, stride: 1, bytes: 12.14, errorMm: 0.508 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 32 }, stride: 1, bytes: 10.64, errorMm: 0.597 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 24 }, stride: 1, bytes: 9.09, errorMm: 0.787 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 32 }, stride: 1, bytes: 7.89, errorMm: 0.976 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 16 }, stride: 1, bytes: 7.43, errorMm: 1.005 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 24 }, stride: 1, bytes: 6.73, errorMm: 1.126 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 16 }, stride: 1, bytes: 5.56, errorMm: 1.306 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 24 }, stride: 3, bytes: 5.11, errorMm: 1.593 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 16 }, stride: 2, bytes: 4.87, errorMm: 1.621 },
  { quality: { poseStep: 1 / 85, expressionStep: 1 / 17, expressionCount: 16 }, stride: 1, bytes: 4.6, errorMm: 1.638 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 10 }, stride: 1, bytes: 4.42, errorMm: 1.692 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 24 }, stride: 3, bytes: 4.06, errorMm: 1.796 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 16 }, stride: 3, bytes: 3.54, errorMm: 1.944 },
  { quality: { poseStep: 1 / 85, expressionStep: 1 / 17, expressionCount: 16 }, stride: 3, bytes: 3.12, errorMm: 2.173 },
  { quality: { poseStep: 1 / 64, expressionStep: 1 / 13, expressionCount: 16 }, stride: 3, bytes: 2.9, errorMm: 2.481 },
  { quality: { poseStep: 1 / 85, expressionStep: 1 / 17, expressionCount: 10 }, stride: 3, bytes: 2.71, errorMm: 2.481 },
  { quality: { poseStep: 1 / 64, expressionStep: 1 / 13, expressionCount: 10 }, stride: 3, bytes: 2.55, errorMm: 2.758 },
  { quality: { poseStep: 1 / 43, expressionStep: 1 / 9, expressionCount: 10 }, stride: 3, bytes: 2.31, errorMm: 3.259 },
];
