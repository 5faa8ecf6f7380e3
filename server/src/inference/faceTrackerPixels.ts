import type { FaceCrop } from './faceTrackerGeometry.ts';

/** interleaved RGB, width·height·3 bytes */
export interface RgbImage {
  rgb: Uint8Array;
  width: number;
  height: number;
}

const MAX_SAMPLES = 8;

/**
 * Fills `out` (size·size·3) with a crop: bilinear, averaged over n×n places per pixel where the crop shrinks; the picture's
 * edges go on beyond it. The same as models/training/tracker/run.py.
 */
export function cutCrop(image: RgbImage, crop: FaceCrop, size: number, out: Uint8Array): void {
  const { rgb, width, height } = image;
  const n = Math.min(MAX_SAMPLES, Math.max(1, Math.floor(crop.side / size + 0.5)));
  const step = crop.side / (size * n);
  const [dx, dy] = [Math.cos(crop.roll) * step, Math.sin(crop.roll) * step];
  // Of sample (0, 0), in pixels counted by their centres.
  const first = (1 - size * n) / 2;
  const startX = crop.x - 0.5 + first * (dx - dy);
  const startY = crop.y - 0.5 + first * (dy + dx);
  const [lastX, lastY, share] = [width - 1, height - 1, 1 / (n * n)];
  for (let row = 0, at = 0; row < size; row++) {
    for (let column = 0; column < size; column++, at += 3) {
      let [red, green, blue] = [0, 0, 0];
      for (let j = row * n; j < (row + 1) * n; j++) {
        for (let i = column * n; i < (column + 1) * n; i++) {
          const x = Math.min(Math.max(startX + i * dx - j * dy, 0), lastX);
          const y = Math.min(Math.max(startY + i * dy + j * dx, 0), lastY);
          const [x0, y0] = [Math.floor(x), Math.floor(y)];
          const [fx, fy] = [x - x0, y - y0];
          const right = x0 < lastX ? 3 : 0;
          const below = y0 < lastY ? width * 3 : 0;
          const p = (y0 * width + x0) * 3;
          const [a, b, c, d] = [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy];
          red += rgb[p]! * a + rgb[p + right]! * b + rgb[p + below]! * c + rgb[p + below + right]! * d;
          green +=
            rgb[p + 1]! * a + rgb[p + right + 1]! * b + rgb[p + below + 1]! * c + rgb[p + below + right + 1]! * d;
          blue += rgb[p + 2]! * a + rgb[p + right + 2]! * b + rgb[p + below + 2]! * c + rgb[p + below + right + 2]! * d;
        }
      }
      out[at] = red * share + 0.5;
      out[at + 1] = green * share + 0.5;
      out[at + 2] = blue * share + 0.5;
    }
  }
}

/** How a face's pixels look, for telling why a portrait cannot be used. */
export interface FaceLight {
  /** 5th and 95th percentile of luma, 0…255 */
  low: number;
  high: number;
  /** what a 3×3 blur takes away of the picture's contrast, 0…1: near 0 where nothing is sharp */
  detail: number;
}

/** @param crop RGB, size·size·3; measured in the disc where the landmark network's crop holds the face */
export function faceLight(crop: Uint8Array, size: number): FaceLight {
  const luma = new Float32Array(size * size);
  for (let i = 0; i < luma.length; i++) {
    luma[i] = 0.299 * crop[i * 3]! + 0.587 * crop[i * 3 + 1]! + 0.114 * crop[i * 3 + 2]!;
  }
  const inside: number[] = [];
  const radius = size * 0.32;
  let [fine, sum, squares] = [0, 0, 0];
  for (let y = 1; y < size - 1; y++) {
    for (let x = 1; x < size - 1; x++) {
      if (Math.hypot(x + 0.5 - size / 2, y + 0.5 - size / 2) > radius) continue;
      const value = luma[y * size + x]!;
      let around = 0;
      for (let j = -1; j <= 1; j++) for (let i = -1; i <= 1; i++) around += luma[(y + j) * size + x + i]!;
      inside.push(value);
      fine += (value - around / 9) ** 2;
      sum += value;
      squares += value * value;
    }
  }
  inside.sort((a, b) => a - b);
  const variance = squares / inside.length - (sum / inside.length) ** 2;
  return {
    low: inside[Math.floor(inside.length * 0.05)]!,
    high: inside[Math.floor(inside.length * 0.95)]!,
    detail: variance > 1 ? Math.sqrt(fine / inside.length / variance) : 0,
  };
}
