import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FaceTracker } from './faceTracker.ts';
import type { RgbImage } from './faceTrackerPixels.ts';

const models = fileURLToPath(new URL('../../../models', import.meta.url));

async function picture(change: (image: Sharp) => Sharp = (image) => image): Promise<RgbImage> {
  const image = change(sharp(join(models, 'portraits/dara.jpg')));
  const { data, info } = await image.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { rgb: data, width: info.width, height: info.height };
}

describe('FaceTracker', () => {
  it('says which file is missing and how to go without', async () => {
    await expect(FaceTracker.open({ directory: '/nowhere' })).rejects.toMatchObject({
      code: 'model_missing',
      message: expect.stringContaining('/nowhere/manifest.json'),
      remedy: expect.stringContaining('FACEWIRE_TRACKER=none'),
    });
  });
});

describe.skipIf(!existsSync(join(models, 'tracker/manifest.json')))('models/tracker', () => {
  let tracker: FaceTracker;
  beforeAll(async () => {
    tracker = await FaceTracker.open({ directory: join(models, 'tracker'), threads: 2 });
  });
  afterAll(() => tracker?.close());

  it('finds the same face wherever it is, at half the size, and turned', async () => {
    const [plain] = await tracker.find(await picture());
    const grey = { background: '#777' };
    const [moved] = await tracker.find(await picture((image) => image.extend({ left: 200, top: 60, ...grey })));
    const [small] = await tracker.find(await picture((image) => image.resize(256, 256)));
    const [turned] = await tracker.find(await picture((image) => image.rotate(25, grey)));
    for (const [index, [x, y]] of plain!.landmarks.entries()) {
      expect(Math.hypot(moved!.landmarks[index]![0] - x - 200, moved!.landmarks[index]![1] - y - 60)).toBeLessThan(8);
      expect(Math.hypot(small!.landmarks[index]![0] * 2 - x, small!.landmarks[index]![1] * 2 - y)).toBeLessThan(10);
    }
    expect(turned!.motion[2]! - plain!.motion[2]!).toBeCloseTo((25 * Math.PI) / 180, 1);
    expect(plain!.motion.length).toBe(58);
    expect(Math.abs(plain!.motion[1]!)).toBeLessThan(0.25);
    expect(plain!.motion.slice(6).every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  it('follows a face from picture to picture, and tells when it is gone', async () => {
    const first = await picture();
    const [face] = await tracker.find(first);
    const next = await picture((image) => image.extend({ left: 12, background: '#777' }));
    const followed = await tracker.follow(next, face!);
    expect(followed!.landmarks[30]![0]).toBeCloseTo(face!.landmarks[30]![0] + 12, -1);
    const empty = { rgb: new Uint8Array(512 * 512 * 3).fill(90), width: 512, height: 512 };
    expect(await tracker.follow(empty, face!)).toBeUndefined();
    expect(await tracker.find(empty)).toEqual([]);
  });
});
