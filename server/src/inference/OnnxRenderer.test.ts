import { EXPRESSION_INDEX, neutralMotion } from '@facewire/proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AvatarData, Picture } from '../contracts.ts';
import { ModelPackage } from './ModelPackage.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
import { TINY_MODEL, tinyAvatar } from './testdata/tinyAvatar.ts';

const BOTH = { i420: true, rgb: true };
const GREYS: Record<string, number> = { dark: 0.2, light: 0.6, mid: 0.4, four: 0.1, five: 0.3 };

function picture(avatar: string, size: number, change: { jawOpen?: number; yaw?: number } = {}): Picture {
  const motion = neutralMotion();
  motion.expression[EXPRESSION_INDEX.jawOpen] = change.jawOpen ?? 0;
  return { avatar, size, view: { yaw: change.yaw ?? 0, pitch: 0 }, motion };
}

async function loadGrey(id: string): Promise<AvatarData> {
  const grey = GREYS[id];
  if (grey === undefined) throw Object.assign(new Error(`unknown ${id}`), { code: 'avatar_unknown' });
  return tinyAvatar(id, grey);
}

describe('OnnxRenderer on the CPU', () => {
  let model: ModelPackage;
  let renderer: OnnxRenderer;
  beforeAll(async () => {
    model = await ModelPackage.load(TINY_MODEL);
    renderer = await OnnxRenderer.create({
      package: model,
      loadAvatar: loadGrey,
      maxBatch: 4,
      threads: 1,
      bankSlots: 4,
    });
  });
  afterAll(() => renderer.close());

  it("has the model's sizes, ascending", () => {
    expect(renderer).toMatchObject({ model: 'tiny', device: 'cpu', sizes: [16, 32], maxBatch: 4 });
  });

  it('draws each picture of a batch with its own avatar, motion and view, in the order given', async () => {
    const frames = await renderer.render(
      [
        picture('dark', 16),
        picture('light', 16),
        picture('dark', 16, { jawOpen: 0.4 }),
        picture('light', 16, { yaw: 0.8 }),
      ],
      BOTH,
    );
    expect(frames.map(({ rgb }) => rgb![0])).toEqual([51, 153, 102, 204]);
    for (const { rgb, i420, size } of frames) {
      expect(size).toBe(16);
      expect(rgb).toHaveLength(16 * 16 * 3);
      expect(new Set(rgb)).toHaveProperty('size', 1);
      // BT.601 limited range: 16 + 219·grey, chroma in the middle
      expect(i420).toHaveLength(16 * 24);
      expect(i420![0]).toBe(Math.round(16 + (219 * rgb![0]!) / 255));
      expect(i420!.at(-1)).toBe(128);
    }
  });

  it('returns only the outputs asked for', async () => {
    const [video] = await renderer.render([picture('dark', 32)], { i420: true, rgb: false });
    const [still] = await renderer.render([picture('dark', 32)], { i420: false, rgb: true });
    expect(Object.keys(video!).sort()).toEqual(['i420', 'size']);
    expect(Object.keys(still!).sort()).toEqual(['rgb', 'size']);
    expect(still!.rgb).toHaveLength(32 * 32 * 3);
  });

  it('gives frames that later calls do not touch', async () => {
    const [first] = await renderer.render([picture('dark', 16)], BOTH);
    await renderer.render([picture('light', 16)], BOTH);
    expect(first!.rgb![0]).toBe(51);
  });

  it('draws in memory that was released, and never in memory that was not', async () => {
    const draw = async (avatar: string) =>
      (await renderer.render([picture(avatar, 16)], { i420: false, rgb: true }))[0]!;
    const first = await draw('dark');
    const memory = first.rgb!;
    first.release!();
    first.release!();
    const second = await draw('light');
    expect(second.rgb).toBe(memory);
    const third = await draw('mid');
    expect(third.rgb).not.toBe(memory);
    expect(second.rgb![0]).toBe(153);
  });

  it('keeps calls apart that are made at the same time', async () => {
    const calls = Array.from({ length: 12 }, (_, index) =>
      renderer.render([picture(index % 2 ? 'light' : 'dark', index % 3 ? 16 : 32, { jawOpen: index / 20 })], BOTH),
    );
    const greys = (await Promise.all(calls)).map(([frame]) => frame!.rgb![0]!);
    for (const [index, grey] of greys.entries()) {
      expect(Math.abs(grey - 255 * ((index % 2 ? 0.6 : 0.2) + index / 40))).toBeLessThanOrEqual(0.51);
    }
  });

  it('draws more avatars than it has slots for, one after another', async () => {
    for (const round of [0, 1]) {
      for (const [avatar, grey] of Object.entries(GREYS)) {
        const [frame] = await renderer.render([picture(avatar, 16)], BOTH);
        expect(frame!.rgb![0], `${avatar} in round ${round}`).toBe(Math.round(grey * 255));
      }
    }
    expect(renderer.counters.evictions).toBeGreaterThan(0);
    expect(renderer.counters.used).toBe(4);
    expect(renderer.counters.bytesFromDevice).toBeGreaterThan(0);
  });

  it('refuses what it cannot draw, and draws on', async () => {
    await expect(renderer.render([picture('dark', 64)], BOTH)).rejects.toMatchObject({ code: 'size_unsupported' });
    await expect(renderer.render([picture('nobody', 16)], BOTH)).rejects.toMatchObject({ code: 'avatar_unknown' });
    await expect(renderer.render([picture('dark', 16), picture('dark', 32)], BOTH)).rejects.toThrow(RangeError);
    await expect(renderer.render(Array(5).fill(picture('dark', 16)), BOTH)).rejects.toThrow(RangeError);
    expect(await renderer.render([], BOTH)).toEqual([]);
    expect((await renderer.render([picture('dark', 16)], BOTH))[0]!.rgb![0]).toBe(51);
  });

  it('refuses a size that the model lacks when it is created', async () => {
    await expect(OnnxRenderer.create({ package: model, loadAvatar: loadGrey, sizes: [16, 99] })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('99'),
    });
  });

  it('closes twice; calls that come later fail with inference_failed', async () => {
    const other = await OnnxRenderer.create({ package: model, loadAvatar: loadGrey, threads: 1, sizes: [16] });
    const last = other.render([picture('dark', 16)], BOTH);
    await Promise.resolve();
    await Promise.all([last.catch((error) => error), other.close(), other.close()]);
    await expect(other.render([picture('dark', 16)], BOTH)).rejects.toMatchObject({ code: 'inference_failed' });
  });
});
