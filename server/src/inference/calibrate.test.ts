import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CalibrationCache } from './CalibrationCache.ts';
import { calibrate, calibrationBatches, lanesFor, trusted } from './calibrate.ts';
import { ModelPackage } from './ModelPackage.ts';
import { machineName } from './machineName.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
import { OrtRuntime } from './ort/OrtRuntime.ts';
import { TINY_MODEL, tinyAvatar } from './testdata/tinyAvatar.ts';
import { tinyWithVariants } from './testdata/tinyVariants.ts';

/** A device on which time passes only by its runs: fixed + each · pictures, and two at once hide `hidden` of it. */
function fakeDevice(fixedMs: number, eachMs: number, hidden = 0) {
  let nowMs = 0;
  const ran: string[] = [];
  return {
    ran,
    now: () => nowMs,
    run: async (size: number, pictures: number, atOnce: number) => {
      ran.push(`${size}:${pictures}x${atOnce}`);
      const one = (fixedMs + eachMs * pictures) * (size / 256) ** 2;
      nowMs += atOnce === 1 ? one : 2 * one * (1 - hidden);
    },
  };
}
const always = async () => true;

describe('calibrate', () => {
  it('times batches of 1, 2, 4, … and the largest, for each size', async () => {
    expect(calibrationBatches(1)).toEqual([1]);
    expect(calibrationBatches(12)).toEqual([1, 2, 4, 8, 12]);
    const device = fakeDevice(2, 1);
    const found = await calibrate({ ...device, sizes: [128, 256], maxBatch: 4, mayGoOn: always, longestRunMs: 100 });
    expect(found!.batchTimes[256]).toEqual([
      { pictures: 1, ms: 3 },
      { pictures: 2, ms: 4 },
      { pictures: 4, ms: 6 },
    ]);
    expect(found!.batchTimes[128]!.map(({ ms }) => ms)).toEqual([0.75, 1, 1.5]);
    expect(found!.overlap).toBeCloseTo(1);
  });

  it('leaves out batches that would keep players waiting', async () => {
    const device = fakeDevice(0, 30);
    const found = await calibrate({ ...device, sizes: [256], maxBatch: 64, mayGoOn: always, longestRunMs: 100 });
    expect(found!.batchTimes[256]!.map(({ pictures }) => pictures)).toEqual([1, 2]);
    expect(device.ran).not.toContain('256:4x1');
  });

  it('asks a device that takes seconds for one timed run of one size', async () => {
    const device = fakeDevice(0, 2700);
    const found = await calibrate({ ...device, sizes: [256, 512], maxBatch: 64, mayGoOn: always, longestRunMs: 500 });
    expect(found!.batchTimes).toEqual({ 256: [{ pictures: 1, ms: 2700 }] });
    expect(device.ran).toEqual(['256:1x1', '256:1x1']);
  });

  it('ends without a result when the server becomes busy for good', async () => {
    let left = 4;
    const device = fakeDevice(1, 1);
    const mayGoOn = async () => left-- > 0;
    expect(await calibrate({ ...device, sizes: [256], maxBatch: 8, mayGoOn, longestRunMs: 100 })).toBeUndefined();
  });

  it('believes a busy machine neither about overlap nor for the next start', async () => {
    const busy = async (noise: () => number) => {
      const device = fakeDevice(0, 1);
      const slow = async (size: number, pictures: number, atOnce: number) => {
        await device.run(size, pictures, atOnce);
        await device.run(size, noise() * pictures, 1);
      };
      const found = await calibrate({
        ...device,
        run: slow,
        sizes: [256],
        maxBatch: 8,
        mayGoOn: always,
        longestRunMs: 100,
      });
      return trusted(found!);
    };
    let turn = 0;
    expect(await busy(() => 0.1)).toMatchObject({ keep: true, calibration: { overlap: expect.any(Number) } });
    const doubted = await busy(() => (turn++ % 3) * 2);
    expect(doubted.keep).toBe(false);
    expect(doubted.calibration).not.toHaveProperty('overlap');
    expect(doubted.calibration.batchTimes[256]).toHaveLength(4);
  });

  it('keeps two runs in flight where that saves time, and on CUDA until a measurement says otherwise', async () => {
    const overlapOf = async (hidden: number) => {
      const device = fakeDevice(1, 1, hidden);
      return (await calibrate({ ...device, sizes: [256], maxBatch: 2, mayGoOn: always, longestRunMs: 100 }))!.overlap;
    };
    expect(lanesFor('cuda', undefined)).toBe(2);
    expect(lanesFor('webgpu', undefined)).toBe(1);
    expect(lanesFor('cuda', await overlapOf(0.3))).toBe(2);
    expect(lanesFor('cuda', await overlapOf(-0.1))).toBe(1);
  });
});

describe('CalibrationCache', () => {
  let directory: string;
  const warnings: string[] = [];
  const key = {
    package: 'a1',
    device: 'cpu',
    precision: 'float32',
    machine: 'x',
    onnxruntime: '1.30.0',
    threads: 2,
    maxBatch: 8,
  };
  const calibration = { batchTimes: { 256: [{ pictures: 1, ms: 4 }] }, overlap: 0.8, lanes: 2 as const };
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'facewire-calibration-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));
  const cache = (path = directory) => new CalibrationCache(path, (message) => warnings.push(message));

  it('gives back what was kept for this key, and nothing for another package, device or thread count', async () => {
    expect(await cache().load(key)).toBeUndefined();
    await cache().save(key, calibration);
    expect(await cache().load(key)).toEqual(calibration);
    for (const other of [
      { package: 'b2' },
      { device: 'cuda' },
      { precision: 'int8' },
      { threads: 4 },
      { onnxruntime: '1.31.0' },
    ]) {
      expect(await cache().load({ ...key, ...other })).toBeUndefined();
    }
    expect(warnings).toEqual([]);
  });

  it('keeps how many runs at once were fastest, of which; and reads files of when these were one or two', async () => {
    const { batchTimes } = calibration;
    for (const kept of [
      { batchTimes, lanes: 8, comparedLanes: [8, 4, 2, 1] },
      { batchTimes, lanes: 1 },
      { batchTimes, lanes: 2 },
    ]) {
      await cache().save({ ...key, threads: 8 }, kept);
      expect(await cache().load({ ...key, threads: 8 })).toEqual(kept);
    }
    expect(warnings).toEqual([]);
    for (const lanes of [0, 1.5, 257, -2]) {
      await cache().save({ ...key, threads: 8 }, { batchTimes, lanes });
      expect(await cache().load({ ...key, threads: 8 })).toBeUndefined();
    }
    expect(warnings.splice(0)).toHaveLength(4);
  });

  it('ignores a file that is broken, with a warning', async () => {
    const path = cache().pathOf(key);
    const good = JSON.parse(await readFile(path, 'utf8'));
    const broken = [
      '{"format":1,',
      JSON.stringify({ ...good, calibration: { batchTimes: { 256: [] } } }),
      JSON.stringify({ ...good, calibration: { batchTimes: { 256: [{ pictures: 1, ms: -3 }] } } }),
    ];
    for (const [index, text] of broken.entries()) {
      await writeFile(path, text);
      expect(await cache().load(key)).toBeUndefined();
      expect(warnings).toHaveLength(index + 1);
    }
  });

  it('goes on where nothing can be written, with a warning', async () => {
    warnings.length = 0;
    await writeFile(join(directory, 'file'), '');
    await cache(join(directory, 'file', 'below')).save(key, calibration);
    expect(warnings).toEqual([expect.stringContaining('cannot be kept')]);
  });
});

describe('OnnxRenderer', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('measures itself once nothing is drawn, unseen, and takes what was kept instead where there is something', async () => {
    // Runs seem to take a millisecond, whatever else the machine does: none is left out for being slow.
    let nowMs = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs++);
    const directory = await mkdtemp(join(tmpdir(), 'facewire-calibration-'));
    const model = await ModelPackage.load(TINY_MODEL);
    const options = {
      package: model,
      loadAvatar: (id: string) => Promise.resolve(tinyAvatar(id, 0.5)),
      maxBatch: 4,
      threads: 2,
      calibrationDir: directory,
      calibrateAfterMs: 10,
    };
    const first = await OnnxRenderer.create(options);
    expect(first.batchTimes(16)).toEqual([]);
    expect(first.rendersInFlight).toBe(2);
    await first.calibrated;
    expect(first.batchTimes(16).map(({ pictures }) => pictures)).toEqual([1, 2, 4]);
    expect(first.counters).toMatchObject({ runs: 0, inputBytesToDevice: 0 });
    await first.close();
    const kept = { batchTimes: { 16: [{ pictures: 1, ms: 7 }] }, lanes: 1 };
    const key = { package: model.digest, device: 'cpu', precision: 'float32' };
    const machine = { machine: await machineName('cpu'), onnxruntime: OrtRuntime.get().version };
    await new CalibrationCache(directory).save({ ...key, ...machine, threads: 2, maxBatch: 4 }, kept);
    const second = await OnnxRenderer.create({ ...options, calibrateAfterMs: 1e6 });
    await second.calibrated;
    expect(second.batchTimes(16)).toEqual(kept.batchTimes[16]);
    expect(second.rendersInFlight).toBe(1);
    await second.close();
    // Made when one or two runs at once were all that was compared: drawn with, until it is made again.
    const old = { ...kept, lanes: 2 };
    await new CalibrationCache(directory).save({ ...key, ...machine, threads: 4, maxBatch: 4 }, old);
    const older = await OnnxRenderer.create({ ...options, threads: 4 });
    expect(older.rendersInFlight).toBe(2);
    await older.calibrated;
    expect(older.batchTimes(16).map(({ pictures }) => pictures)).toEqual([1, 2, 4]);
    await older.close();
    // The same encoder, so the same avatars and id, but other graphs.
    const changed = await tinyWithVariants(['int8']);
    const other = await ModelPackage.load(changed);
    expect(other.id).toBe(model.id);
    const third = await OnnxRenderer.create({ ...options, package: other, calibrateAfterMs: 1e6 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(third.batchTimes(16)).toEqual([]);
    await third.close();
    await third.calibrated;
    await rm(changed, { recursive: true });
    await rm(directory, { recursive: true });
  });

  it('closes amid its calibration, and nothing is written afterwards', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'facewire-calibration-'));
    const options = {
      package: await ModelPackage.load(TINY_MODEL),
      loadAvatar: (id: string) => Promise.resolve(tinyAvatar(id, 0.5)),
      threads: 2,
      calibrationDir: directory,
      calibrateAfterMs: 0,
    };
    for (const afterMs of [0, 5, 20]) {
      const renderer = await OnnxRenderer.create(options);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await renderer.close();
      await rm(directory, { recursive: true, force: true });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(existsSync(directory)).toBe(false);
  });
});
