import type { Rung } from './rateLadder.ts';

/** Written by `npx tsx test/bench/codec.ts --ladder`: rates and distortions measured on motion tracks. */
// biome-ignore format: a table
export const MEASURED_LADDER: readonly Rung[] = [
  { quality: { poseStep: 1 / 512, expressionStep: 1 / 104, expressionCount: 52 }, stride: 1, bytes: 19.01, errorMm: 0.221 },
  { quality: { poseStep: 1 / 512, expressionStep: 1 / 104, expressionCount: 40 }, stride: 1, bytes: 16.71, errorMm: 0.304 },
  { quality: { poseStep: 1 / 512, expressionStep: 1 / 104, expressionCount: 32 }, stride: 1, bytes: 14.63, errorMm: 0.418 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 40 }, stride: 1, bytes: 12.92, errorMm: 0.508 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 32 }, stride: 1, bytes: 11.32, errorMm: 0.597 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 24 }, stride: 1, bytes: 9.64, errorMm: 0.787 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 32 }, stride: 1, bytes: 8.54, errorMm: 0.976 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 16 }, stride: 1, bytes: 7.86, errorMm: 1.005 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 24 }, stride: 1, bytes: 7.29, errorMm: 1.126 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 16 }, stride: 1, bytes: 6, errorMm: 1.307 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 24 }, stride: 3, bytes: 5.24, errorMm: 1.593 },
  { quality: { poseStep: 1 / 85, expressionStep: 1 / 17, expressionCount: 16 }, stride: 1, bytes: 5.02, errorMm: 1.639 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 32 }, stride: 3, bytes: 4.82, errorMm: 1.668 },
  { quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 16 }, stride: 3, bytes: 4.46, errorMm: 1.763 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 24 }, stride: 3, bytes: 4.26, errorMm: 1.797 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 16 }, stride: 3, bytes: 3.68, errorMm: 1.945 },
  { quality: { poseStep: 1 / 85, expressionStep: 1 / 17, expressionCount: 16 }, stride: 3, bytes: 3.28, errorMm: 2.174 },
  { quality: { poseStep: 1 / 128, expressionStep: 1 / 26, expressionCount: 10 }, stride: 3, bytes: 3.15, errorMm: 2.283 },
  { quality: { poseStep: 1 / 85, expressionStep: 1 / 17, expressionCount: 10 }, stride: 3, bytes: 2.85, errorMm: 2.482 },
  { quality: { poseStep: 1 / 64, expressionStep: 1 / 13, expressionCount: 10 }, stride: 3, bytes: 2.68, errorMm: 2.759 },
  { quality: { poseStep: 1 / 43, expressionStep: 1 / 9, expressionCount: 10 }, stride: 3, bytes: 2.46, errorMm: 3.253 },
];
