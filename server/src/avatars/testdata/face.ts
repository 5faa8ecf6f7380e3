import sharp from 'sharp';
import type { ObservedFace } from '../choosePortraitFace.ts';

export type Point = [number, number];

/**
 * A plain frontal face in Multi-PIE order, pixels: eyes around (x, y), outer corners `eyeDistance` apart, turned by `roll`
 * (radians, clockwise in the image).
 */
export function faceLandmarks(x: number, y: number, eyeDistance: number, roll = 0): Point[] {
  const points: Point[] = [];
  // jaw: half an ellipse from ear to ear
  for (let i = 0; i <= 16; i++)
    points.push([-0.8 * Math.cos((i * Math.PI) / 16), 0.05 + 1.25 * Math.sin((i * Math.PI) / 16)]);
  for (const side of [-1, 1]) {
    for (let i = 0; i < 5; i++) points.push([side * 0.35 + (i - 2) * 0.1, -0.22 - 0.03 * (2 - Math.abs(i - 2))]);
  }
  for (let i = 0; i < 4; i++) points.push([0, 0.1 + i * 0.12]);
  for (let i = 0; i < 5; i++) points.push([(i - 2) * 0.08, 0.55]);
  for (const [from, step] of [
    [-0.5, 0.1],
    [0.2, 0.1],
  ] as const) {
    for (const [i, height] of [
      [0, 0],
      [1, -0.05],
      [2, -0.05],
      [3, 0],
      [2, 0.04],
      [1, 0.04],
    ] as const) {
      points.push([from + i * step, height]);
    }
  }
  for (let i = 0; i < 12; i++)
    points.push([-0.25 * Math.cos((i * Math.PI) / 6), 0.8 - 0.1 * Math.sin((i * Math.PI) / 6)]);
  for (let i = 0; i < 8; i++)
    points.push([-0.2 * Math.cos((i * Math.PI) / 4), 0.8 - 0.03 * Math.sin((i * Math.PI) / 4)]);
  const [cos, sin] = [Math.cos(roll), Math.sin(roll)];
  return points.map(([u, w]) => [x + eyeDistance * (u * cos - w * sin), y + eyeDistance * (u * sin + w * cos)]);
}

/** A picture whose red grows to the right and whose green grows downwards, so that a test sees where a pixel came from. */
export function gradientImage(width: number, height: number) {
  const rgb = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      rgb.set([Math.round((255 * x) / (width - 1)), Math.round((255 * y) / (height - 1)), 100], (y * width + x) * 3);
    }
  }
  return sharp(rgb, { raw: { width, height, channels: 3 } });
}

/** A frontal, bright, sharp face as a tracker tells it, with whatever is different about it. */
export function observed(landmarks: Point[], different: Partial<ObservedFace> = {}): ObservedFace {
  return { landmarks, motion: [0, 0, 0], low: 40, high: 200, detail: 0.2, ...different };
}
