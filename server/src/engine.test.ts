import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { neutralMotion } from '@facewire/proto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { faceLandmarks, gradientImage } from './avatars/testdata/face.ts';
import { MemoryFiles } from './avatars/testing/MemoryFiles.ts';
import { readConfig } from './config.ts';
import { type Engine, openEngine } from './engine.ts';

const TESTDATA = fileURLToPath(new URL('inference/testdata/tiny', import.meta.url));

describe('openEngine', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'facewire-engine-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const open = (model: string, fallbackModel: string) => {
    const warnings: string[] = [];
    const config = { ...readConfig({ FACEWIRE_DATA: directory, FACEWIRE_TRACKER: 'none' }), model, fallbackModel };
    const log = { info: () => undefined, warn: (_: object, message: string) => void warnings.push(message) };
    return openEngine(config, { log, builtIns: false }).then((engine) => ({ engine, warnings }));
  };

  it('falls back to the geometric renderer, and says so, when the default model is damaged or missing', async () => {
    const damaged = join(directory, 'damaged');
    await cp(TESTDATA, damaged, { recursive: true });
    await writeFile(join(damaged, 'manifest.json'), '{"format": 1');
    for (const model of [damaged, join(directory, 'nowhere')]) {
      const { engine, warnings } = await open(model, TESTDATA);
      expect(engine.package.manifest.name).toBe('tiny');
      expect(warnings.join()).toContain(TESTDATA);
      await engine.close();
    }
  });

  it('does not fall back from a model that the user named', async () => {
    await expect(open(join(directory, 'nowhere'), '')).rejects.toMatchObject({ code: 'model_missing' });
    expect(readConfig({ FACEWIRE_MODEL: 'models/mine' }).fallbackModel).toBe('');
    expect(readConfig({}).fallbackModel).toMatch(/models\/warp$/);
  });

  it('opened early it lists the built-in portraits before they are avatars, and stops making them when it is closed', async () => {
    const dataDir = join(directory, 'early');
    const config = { ...readConfig({ FACEWIRE_DATA: dataDir, FACEWIRE_TRACKER: 'none' }), model: TESTDATA };
    const made = async () => (await readdir(join(dataDir, 'avatars'))).filter((file) => file.endsWith('.safetensors'));
    const early = await openEngine(config, { early: true, calibrate: false });
    const listed = early.avatars.list().map(({ id }) => id);
    expect(listed).toContain('ada');
    const wanted = await early.avatars.load(listed.at(-1)!);
    expect(wanted.tensors.size).toBeGreaterThan(0);
    await early.close();
    expect((await made()).length).toBeLessThan(listed.length);
    const ready = await openEngine(config, { calibrate: false });
    expect((await made()).length).toBe(listed.length);
    await ready.close();
  });

  it('an avatar that lost its slot comes back from its file in the background; nobody else waits, nothing else goes up', async () => {
    const env = { FACEWIRE_DATA: join(directory, 'early'), FACEWIRE_TRACKER: 'none', FACEWIRE_BANK_SLOTS: '2' };
    let held: Promise<void> | undefined;
    const engine = await openEngine(
      { ...readConfig(env), model: TESTDATA, device: 'cpu', precision: 'float32' },
      {
        calibrate: false,
        loadAvatar: async (store, id) => {
          await held;
          return store.load(id);
        },
      },
    );
    const { renderer } = engine;
    const [first, second, third] = engine.avatars.list().map(({ id }) => id) as [string, string, string];
    const draw = async (avatar: string) => {
      const picture = { avatar, size: 16, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
      return (await renderer.render([picture], { i420: false, rgb: true }))[0]!.rgb!;
    };
    const avatarBytes = [...(await engine.avatars.load(first)).tensors.values()].reduce(
      (sum, { data }) => sum + data.byteLength,
      0,
    );
    const before = await draw(first);
    for (const avatar of [second, third, third]) await draw(avatar);
    expect(renderer.counters).toMatchObject({ loads: 3, evictions: 1, bytesToDevice: 3 * avatarBytes });

    let release = () => {};
    held = new Promise((resolve) => {
      release = resolve;
    });
    expect(renderer.isReady!(first)).toBe(false);
    await draw(third);
    expect(renderer.isReady!(first)).toBe(false);
    expect(renderer.counters.loads).toBe(3);
    release();
    await expect.poll(() => renderer.isReady!(first)).toBe(true);
    for (const avatar of [third, first, third, first]) await draw(avatar);
    expect(await draw(first)).toEqual(before);
    expect(renderer.counters).toMatchObject({ loads: 4, evictions: 2, bytesToDevice: 4 * avatarBytes });
    await engine.close();
  });

  it('an avatar made by one engine is drawn by another that shares its files, until it is deleted', async () => {
    const files = new MemoryFiles();
    const start = (name: string) =>
      openEngine(
        {
          ...readConfig({ FACEWIRE_DATA: join(directory, name), FACEWIRE_TRACKER: 'none' }),
          model: TESTDATA,
          device: 'cpu',
          precision: 'float32',
        },
        { calibrate: false, builtIns: false, shared: files.connect() },
      );
    const [a, b] = [await start('a'), await start('b')];
    const draw = async ({ renderer }: Engine) => {
      const picture = { avatar: 'ann', size: 16, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
      return (await renderer.render([picture], { i420: false, rgb: true }))[0]!.rgb!;
    };
    const portrait = await gradientImage(512, 512).png().toBuffer();
    await a.avatars.create(portrait, { id: 'ann', name: 'Ann', landmarks: faceLandmarks(256, 200, 97) });
    await vi.waitFor(() => expect(b.avatars.get('ann')).toBeDefined());
    expect(await draw(b)).toEqual(await draw(a));
    await a.avatars.delete('ann');
    await vi.waitFor(() => expect(b.avatars.get('ann')).toBeUndefined());
    await vi.waitFor(() => expect(draw(b)).rejects.toMatchObject({ code: 'avatar_unknown' }));
    await Promise.all([a.close(), b.close()]);
  });
});
