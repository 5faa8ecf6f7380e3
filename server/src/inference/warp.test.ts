import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EXPRESSION_INDEX, neutralMotion } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import type { Picture } from '../contracts.ts';
import { AvatarEncoder } from './AvatarEncoder.ts';
import { ModelPackage } from './ModelPackage.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';

const WARP = fileURLToPath(new URL('../../../models/warp', import.meta.url));

describe.skipIf(!existsSync(WARP))('models/warp', () => {
  it('keeps the contract of a package, and its pictures follow motion and view', async () => {
    const model = await ModelPackage.load(WARP);
    expect(model.renderers.map(({ size }) => size)).toEqual([128, 256, 512]);
    const encoder = await AvatarEncoder.create({ package: model });
    const tensors = await encoder.encode(chequered(), plainFace());
    await encoder.close();
    const renderer = await OnnxRenderer.create({
      package: model,
      sizes: [128],
      bankSlots: 2,
      loadAvatar: async (id) => ({ id, name: id, model: model.id, tensors }),
    });
    const pictures: Picture[] = [0, 1, 2].map(() => ({
      avatar: 'someone',
      size: 128,
      view: { yaw: 0, pitch: 0 },
      motion: neutralMotion(),
    }));
    pictures[1]!.motion.expression[EXPRESSION_INDEX.jawOpen] = 1;
    pictures[2]!.view.yaw = 0.3;
    const frames = await renderer.render(pictures, { i420: true, rgb: true });
    await renderer.close();
    for (const { rgb, i420 } of frames) expect([rgb!.length, i420!.length]).toEqual([128 * 128 * 3, 128 * 192]);
    for (const moved of [1, 2]) {
      expect(meanDifference(frames[0]!.rgb!, frames[moved]!.rgb!)).toBeGreaterThan(1);
    }
    // Both outputs show the same picture: luma of I420 against RGB's, BT.601 limited range.
    const luma = Uint8Array.from({ length: 128 * 128 }, (_, i) => {
      const [r, g, b] = frames[0]!.rgb!.subarray(i * 3, i * 3 + 3);
      return 16 + (65.481 * r! + 128.553 * g! + 24.966 * b!) / 255;
    });
    expect(meanDifference(luma, frames[0]!.i420!.subarray(0, 128 * 128))).toBeLessThan(1.5);
  });
});

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, index) => sum + Math.abs(value - b[index]!), 0) / a.length;
}

/** 512² RGB with squares of 16 pixels */
function chequered(): Uint8Array {
  return Uint8Array.from({ length: 512 * 512 * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % 512, Math.floor(i / 3 / 512)];
    return ((x >> 4) + (y >> 4)) % 2 ? 200 : 60 + (x >> 3);
  });
}

/** A frontal face, eyes at (0, −0.22), 0.38 between the outer corners, −1…1; jaw, brows, nose, eyes, lips in order */
function plainFace(): Float32Array {
  const arc = (n: number, from: number, to: number, rx: number, ry: number, cx: number, cy: number) =>
    Array.from({ length: n }, (_, i) => {
      const angle = from + ((to - from) * i) / (n - 1);
      return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
    });
  const { PI } = Math;
  const eye = (x: number) => [
    ...arc(4, PI, 2 * PI, 0.07, 0.03, x, -0.22),
    ...arc(4, 0, PI, 0.07, 0.03, x, -0.22).slice(1, 3),
  ];
  const points = [
    ...arc(17, PI, 0, 0.3, 0.46, 0, -0.18),
    ...arc(5, PI, 2 * PI, 0.09, 0.03, -0.13, -0.3),
    ...arc(5, PI, 2 * PI, 0.09, 0.03, 0.13, -0.3),
    ...[-0.2, -0.15, -0.1, -0.05].map((y) => [0, y]),
    ...arc(5, PI, 0, 0.05, 0.02, 0, -0.02),
    ...eye(-0.12),
    ...eye(0.12),
    ...arc(7, PI, 2 * PI, 0.1, 0.03, 0, 0.08),
    ...arc(7, 0, PI, 0.1, 0.04, 0, 0.08).slice(1, 6),
    ...arc(5, PI, 2 * PI, 0.08, 0.01, 0, 0.08),
    ...arc(5, 0, PI, 0.08, 0.01, 0, 0.08).slice(1, 4),
  ];
  return Float32Array.from(points.flat());
}
