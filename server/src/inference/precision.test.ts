import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FacewireError, neutralMotion } from '@facewire/proto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { CalibrationCache } from './CalibrationCache.ts';
import { ModelPackage } from './ModelPackage.ts';
import { machineName } from './machineName.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
import { OrtRuntime } from './ort/OrtRuntime.ts';
import { OrtSession } from './ort/OrtSession.ts';
import { PrecisionProofs } from './PrecisionProofs.ts';
import { choosePrecision, comparePrecision, precisionProblem, provePrecision } from './precision.ts';
import { tinyAvatar } from './testdata/tinyAvatar.ts';
import { tinyWithVariants } from './testdata/tinyVariants.ts';

const ALL = ['float32', 'float16', 'int8'] as const;

describe('choosePrecision', () => {
  it('auto is float16 on GPUs and int8 on the CPU where the package has them, else float32', () => {
    expect(choosePrecision('auto', 'cuda', ALL)).toBe('float16');
    expect(choosePrecision('auto', 'webgpu', ALL)).toBe('float16');
    expect(choosePrecision('auto', 'cpu', ALL)).toBe('int8');
    for (const kind of ['cpu', 'cuda', 'webgpu'] as const) {
      expect(choosePrecision('auto', kind, ['float32'])).toBe('float32');
    }
  });

  it('takes a precision by name on any device', () => {
    for (const precision of ALL) expect(choosePrecision(precision, 'cpu', ALL)).toBe(precision);
  });

  it('refuses another word, and a precision that the package lacks, with what to do', () => {
    for (const word of ['fp16', '', 'AUTO']) {
      expect(() => choosePrecision(word, 'cpu', ALL)).toThrow(
        expect.objectContaining({ code: 'config_invalid', received: word, remedy: expect.stringContaining('float16') }),
      );
    }
    expect(() => choosePrecision('int8', 'cpu', ['float32', 'float16'])).toThrow(
      expect.objectContaining({
        code: 'config_invalid',
        received: 'int8',
        remedy: expect.stringMatching(/float32, float16.*portrait\.quantise/),
      }),
    );
  });
});

describe('precisionProblem', () => {
  const same = { mean: 0.01, max: 20, farShare: 0, time: 0.7 };
  it('accepts frames within the tolerance, and twice the mean difference of int8', () => {
    expect(precisionProblem(same, 'float16', 'cuda')).toBeUndefined();
    expect(precisionProblem({ ...same, mean: 0.4 }, 'int8', 'cpu')).toBeUndefined();
    expect(precisionProblem({ ...same, mean: 0.4 }, 'float16', 'cuda')).toMatchObject({
      why: expect.stringContaining('0.40 of 255'),
      passing: false,
    });
    expect(precisionProblem({ ...same, farShare: 0.01 }, 'int8', 'cpu')!.why).toContain('1 %');
    expect(precisionProblem({ ...same, mean: Number.NaN }, 'float16', 'cuda')).toBeDefined();
  });

  it('does not take 8 bits on a processor that is slower with them', () => {
    expect(precisionProblem({ ...same, time: 1.2 }, 'int8', 'cpu')).toEqual({
      why: 'it takes 1.20 times as long as float32 here',
      passing: true,
    });
    expect(precisionProblem({ ...same, time: 1.2 }, 'float16', 'cuda')).toBeUndefined();
  });
});

describe('a package with variants', () => {
  let directory: string;
  let model: ModelPackage;
  const warnings: string[] = [];
  beforeAll(async () => {
    directory = await tinyWithVariants(['float16', 'int8']);
    model = await ModelPackage.load(directory);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const options = (precision: string, parityAvatars: readonly string[] = ['0.5']) => ({
    package: model,
    precision,
    parityAvatars,
    threads: 1,
    loadAvatar: async (id: string) => tinyAvatar(id, Number(id)),
    onFallback: (message: string) => void warnings.push(message),
  });
  const open = (...given: Parameters<typeof options>) => OnnxRenderer.create(options(...given));
  const greyOf = async (renderer: OnnxRenderer) => {
    const picture = { avatar: '0.6', size: 32, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
    const [frame] = await renderer.render([picture], { i420: false, rgb: true });
    await renderer.close();
    return frame!.rgb![0];
  };

  it('lists the precisions that all of its renderers have', () => {
    expect(model.precisions).toEqual(['float32', 'float16', 'int8']);
    expect(model.renderersIn('int8').map(({ file }) => file)).toEqual([
      'renderer-16.int8.onnx',
      'renderer-32.int8.onnx',
    ]);
  });

  it('draws with the variant that is asked for, without a question', async () => {
    const renderer = await open('int8');
    expect(renderer.precision).toBe('int8');
    expect(await greyOf(renderer)).toBe(Math.round(0.6 * 128));
  });

  it('auto does not take a variant that draws something else, and says so', async () => {
    const renderer = await open('auto');
    expect(renderer.precision).toBe('float32');
    expect(warnings.splice(0)).toEqual([expect.stringMatching(/cpu draws in float32, not int8: its frames differ/)]);
    expect(await greyOf(renderer)).toBe(Math.round(0.6 * 255));
  });

  it('a proof that comes later: draws at once as it wants, and goes back when the proof fails', async () => {
    const renderer = await OnnxRenderer.create({ ...options('auto'), proveLater: true });
    expect(renderer.precision).toBe('int8');
    const picture = { avatar: '0.6', size: 32, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
    const greys: number[] = [];
    const draw = async () => {
      for (const frame of await renderer.render([picture], { i420: false, rgb: true })) greys.push(frame.rgb![0]!);
    };
    await draw();
    await renderer.proven;
    expect(renderer.precision).toBe('float32');
    expect(warnings.splice(0)).toEqual([expect.stringMatching(/cpu draws in float32, not int8: its frames differ/)]);
    await draw();
    expect(greys).toEqual([Math.round(0.6 * 128), Math.round(0.6 * 255)]);
    // Other graphs read the same bank.
    expect(renderer.counters).toMatchObject({ loads: 1, evictions: 0 });
    await renderer.close();
  });

  it('avatars that do not load prove nothing: others do, and without any it is float32', async () => {
    const loadAvatar = async (id: string) => {
      if (id.startsWith('broken')) throw new FacewireError('avatar_corrupt', `${id}: hash differs`);
      return tinyAvatar(id, Number(id));
    };
    const device = { kind: 'cuda', index: 0 } as const;
    const warn = (message: string) => void warnings.push(message);
    const openIn = (precision: string) => OnnxRenderer.create({ ...options(precision), loadAvatar });
    const prove = (avatars: readonly string[]) =>
      provePrecision({ device, precision: 'float16', avatars, open: openIn, warn });
    expect([await prove(['broken', '0.5']), warnings.splice(0)]).toEqual(['float16', []]);
    expect(await prove(['broken', 'broken too'])).toBe('float32');
    expect(warnings.splice(0)).toEqual([expect.stringContaining('broken: hash differs')]);
    const asked = { ...options('auto', ['broken', '0.5']), loadAvatar };
    const renderer = await OnnxRenderer.create({ ...asked, proveLater: true });
    await renderer.proven;
    expect([renderer.precision, warnings.splice(0)]).toEqual(['float32', [expect.stringContaining('frames differ')]]);
    await renderer.close();
  });

  it("after a later proof that failed it draws in float32's own way to use the threads, as that was measured", async () => {
    const calibrationDir = join(directory, 'threading');
    const asked = { ...options('auto'), threads: 4, maxBatch: 4, calibrationDir, calibrateAfterMs: 1e6 };
    const machine = { machine: await machineName('cpu'), onnxruntime: OrtRuntime.get().version };
    const key = { package: model.digest, device: 'cpu', precision: 'float32', ...machine, threads: 4, maxBatch: 4 };
    const kept = { batchTimes: { 16: [{ pictures: 1, ms: 7 }] }, lanes: 1, comparedLanes: [4, 2, 1] };
    await new CalibrationCache(calibrationDir).save(key, kept);
    const open = vi.spyOn(OrtSession, 'open');
    const renderer = await OnnxRenderer.create({ ...asked, proveLater: true });
    expect(renderer.rendersInFlight).toBe(4);
    await renderer.calibrated;
    expect([renderer.precision, renderer.rendersInFlight]).toEqual(['float32', 1]);
    expect(renderer.batchTimes(16)).toEqual(kept.batchTimes[16]);
    // The last that were opened: one session for each size, with all threads.
    expect(open.mock.calls.slice(-2).map(([, { threads }]) => threads)).toEqual([4, 4]);
    open.mockRestore();
    warnings.length = 0;
    await renderer.close();
  });

  it('a later proof that comes to no end is a refusal', async () => {
    const render = vi.spyOn(OnnxRenderer.prototype, 'render').mockImplementation(async () => {
      throw new FacewireError('device_unavailable', 'does not answer');
    });
    const renderer = await OnnxRenderer.create({ ...options('auto'), proveLater: true });
    await renderer.proven;
    render.mockRestore();
    expect(renderer.precision).toBe('float32');
    expect(warnings.splice(0)).toEqual(['int8 could not be proven: does not answer']);
    expect(await greyOf(renderer)).toBe(Math.round(0.6 * 255));
  });

  it('closes while the proof is under way', async () => {
    const renderer = await OnnxRenderer.create({ ...options('auto'), proveLater: true });
    await renderer.close();
    expect(warnings.splice(0).filter((message) => !message.includes('float32, not int8'))).toEqual([]);
  });

  it('a proof is found out once for a machine and the files of a package, a refusal every time', async () => {
    const calibrationDir = join(directory, 'calibration');
    const device = { kind: 'cpu', index: 0 } as const;
    const proofs = await PrecisionProofs.of({ package: model, calibrationDir }, device, 'int8');
    for (let start = 0; start < 2; start++) {
      const refused = await OnnxRenderer.create({ ...options('auto'), calibrationDir });
      expect(refused.precision).toBe('float32');
      expect(warnings.splice(0)).toHaveLength(1);
      await refused.close();
    }
    expect(await proofs.isProven()).toBe(false);
    await proofs.keep();
    const proven = await OnnxRenderer.create({ ...options('auto'), calibrationDir });
    expect([proven.precision, warnings.splice(0)]).toEqual(['int8', []]);
    await proven.close();
    const other = await tinyWithVariants(['int8']);
    const changed = await PrecisionProofs.of(
      { package: await ModelPackage.load(other), calibrationDir },
      device,
      'int8',
    );
    expect(await changed.isProven()).toBe(false);
    await rm(other, { recursive: true, force: true });
  });

  it('auto is float32 where there is nothing to compare with', async () => {
    const renderer = await open('auto', []);
    expect(renderer.precision).toBe('float32');
    expect(warnings.splice(0)).toEqual([expect.stringContaining('no avatar')]);
    await renderer.close();
  });

  it('a variant that draws the same is proven, one that does not open is not', async () => {
    const device = { kind: 'cuda', index: 0 } as const;
    const proven = await provePrecision({ device, precision: 'float16', avatars: ['0.5'], open });
    expect(proven).toBe('float16');
    const broken = (precision: string) => open(precision === 'float32' ? precision : 'float64');
    await expect(
      provePrecision({ device, precision: 'float16', avatars: ['0.5'], open: broken }),
    ).rejects.toMatchObject({
      code: 'config_invalid',
    });
  });

  it('the comparison draws every avatar in both, and times them by turns', async () => {
    const [candidate, reference] = [await open('int8'), await open('float32')];
    const verdict = await comparePrecision(candidate, reference, ['0.5', '0.9']);
    expect(verdict.mean).toBeGreaterThan(60);
    expect(verdict.farShare).toBe(1);
    expect(candidate.counters.pictures).toBe(reference.counters.pictures);
    expect(candidate.counters.pictures).toBeGreaterThanOrEqual(6);
    await candidate.close();
    await reference.close();
  });

  /** Draws nothing and takes so long, on a clock that only such runs move. */
  function fakePair(msOf: (which: 'candidate' | 'reference', run: number) => number) {
    let [nowMs, runs] = [0, 0];
    const drawing = (which: 'candidate' | 'reference') => ({
      sizes: [16],
      render: async () => {
        nowMs += msOf(which, runs++);
        return [{ size: 16, rgb: Uint8Array.of(0) }];
      },
      close: async () => undefined,
    });
    return { candidate: drawing('candidate'), reference: drawing('reference'), now: () => nowMs };
  }
  const cpu = { kind: 'cpu', index: 0 } as const;

  it('what else runs on the machine does not decide: it is there for both of a pair, and some pairs do not count', async () => {
    // 30 against 40 ms on a machine that becomes ten times as slow halfway, and halts one run in five for 200 ms.
    const pair = fakePair((which, run) => {
      const own = which === 'candidate' ? 30 : 40;
      return (run >= 16 ? 10 * own : own) + (run % 5 === 0 ? 200 : 0);
    });
    const { time } = await comparePrecision(pair.candidate, pair.reference, ['a'], undefined, pair.now);
    expect(time).toBeCloseTo(0.75, 1);
  });

  it('is looked at again when it only was slower, and refused when it stays so; other frames are refused at once', async () => {
    const { candidate } = fakePair(() => 1);
    const prove = async (times: readonly number[], mean = 0) => {
      const left = [...times];
      const compare = async () => ({ mean, max: 0, farShare: 0, time: left.shift()! });
      const open = async () => candidate;
      const warn = (message: string) => void warnings.push(message);
      const proven = await provePrecision({ device: cpu, precision: 'int8', avatars: ['a'], open, compare, warn });
      return { proven, looks: times.length - left.length, warned: warnings.splice(0) };
    };
    expect(await prove([1.3, 0.8, 9])).toEqual({ proven: 'int8', looks: 2, warned: [] });
    expect(await prove([1.5, 1.6, 1.4, 0.5])).toEqual({
      proven: 'float32',
      looks: 3,
      warned: [expect.stringContaining('1.40 times')],
    });
    expect(await prove([0.8, 0.8], 3)).toMatchObject({ proven: 'float32', looks: 1 });
  });

  it('does not wait for another look when the answer is not wanted any more', async () => {
    const closing = new AbortController();
    const { candidate } = fakePair(() => 1);
    const compare = async () => {
      setTimeout(() => closing.abort(), 5);
      return { mean: 0, max: 0, farShare: 0, time: 2 };
    };
    const asked = { device: cpu, precision: 'int8', avatars: ['a'], open: async () => candidate, compare } as const;
    const startedAtMs = performance.now();
    // Kept alive by the test: the pause itself keeps no process.
    const alive = setInterval(() => undefined, 10);
    expect(await provePrecision({ ...asked, pauseMs: 60_000, signal: closing.signal })).toBe('int8');
    clearInterval(alive);
    expect(performance.now() - startedAtMs).toBeLessThan(30_000);
  });

  it('a device that takes seconds for a picture is judged by one, so that the server listens before long', async () => {
    const [candidate, reference] = [await open('int8'), await open('float32')];
    let nowMs = 0;
    const slow = (renderer: OnnxRenderer): typeof renderer =>
      Object.assign(Object.create(renderer), {
        render: (...values: Parameters<OnnxRenderer['render']>) => {
          nowMs += 6000;
          return renderer.render(...values);
        },
      });
    const verdict = await comparePrecision(slow(candidate), slow(reference), ['0.5', '0.9'], undefined, () => nowMs);
    expect(verdict).toMatchObject({ farShare: 1, time: 1 });
    expect([candidate, reference].map(({ counters }) => counters.pictures)).toEqual([1, 1]);
    await candidate.close();
    await reference.close();
  });
});
