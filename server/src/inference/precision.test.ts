import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { neutralMotion } from '@facewire/proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelPackage } from './ModelPackage.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
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
    expect(precisionProblem({ ...same, mean: 0.4 }, 'float16', 'cuda')).toContain('0.40 of 255');
    expect(precisionProblem({ ...same, farShare: 0.01 }, 'int8', 'cpu')).toContain('1 %');
    expect(precisionProblem({ ...same, mean: Number.NaN }, 'float16', 'cuda')).toBeDefined();
  });

  it('does not take 8 bits on a processor that is slower with them', () => {
    expect(precisionProblem({ ...same, time: 1.2 }, 'int8', 'cpu')).toContain('1.20 times');
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
    await renderer.close();
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
    const verdict = await comparePrecision(slow(candidate), slow(reference), ['0.5', '0.9'], () => nowMs);
    expect(verdict).toMatchObject({ farShare: 1, time: 1 });
    expect([candidate, reference].map(({ counters }) => counters.pictures)).toEqual([1, 1]);
    await candidate.close();
    await reference.close();
  });
});
