import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { whyNot } from './bench/density.ts';
import { targetOf, wholeNumber, wholeNumbers, withDataDir } from './bench/target.ts';

describe('bench density', () => {
  const row = {
    avatars: 4,
    p50Ms: 30,
    p95Ms: 50,
    renderMs: 20,
    framesPerSecond: { min: 29, mean: 29.5 },
    seconds: 6,
    reduced: false,
    device: 'cuda',
  };

  it('holds with 90 % of 30 frames/s and 95 % of them within 66 ms', () => {
    expect(whyNot(row, 'cuda')).toBeUndefined();
    expect(whyNot({ ...row, framesPerSecond: { min: 27, mean: 27 }, p95Ms: 65.9 }, 'auto')).toBeUndefined();
  });

  it('says with figures why so many do not hold', () => {
    const slow = { ...row, avatars: 1, p95Ms: 5431, renderMs: 2704.2, framesPerSecond: { min: 0.4, mean: 0.4 } };
    expect(whyNot(slow, 'cuda')).toBe(
      'one avatar: 0.4 frames/s (asked for: 27), 95 % within 5431 ms (66); a run takes 2704.2 ms',
    );
    expect(whyNot({ ...row, p95Ms: 66 }, 'cuda')).toContain('95 % within 66 ms');
    expect(whyNot({ ...row, p95Ms: null, seconds: 150 }, 'cuda')).toBe('no frame of 4 avatars came within 150 s');
    expect(whyNot({ ...row, reduced: true }, 'cuda')).toContain('smaller than asked for');
  });

  it('does not take what another device drew for an answer', () => {
    expect(whyNot({ ...row, device: 'cpu' }, 'webgpu')).toBe('webgpu failed with 4 avatars, and cpu drew');
    expect(whyNot({ ...row, device: 'cpu' }, 'auto')).toBeUndefined();
    expect(whyNot(row, 'cuda:0')).toBeUndefined();
    expect(whyNot({ ...row, device: 'cuda+cuda:1' }, 'cuda:0,1')).toBeUndefined();
    expect(whyNot({ ...row, device: 'cuda:1' }, 'cuda:0,1')).toContain('failed');
  });
});

describe('what benches share', () => {
  it('the target of a bench is what is asked for, else what the environment says', () => {
    const { env, device } = targetOf({ device: 'webgpu', model: 'warp' });
    expect({ device, ...env }).toMatchObject({ device: 'webgpu', FACEWIRE_DEVICE: 'webgpu' });
    expect(env.FACEWIRE_MODEL).toMatch(/models\/warp$/);
    expect(targetOf({}).env).toEqual({ FACEWIRE_DEVICE: process.env.FACEWIRE_DEVICE ?? 'auto' });
  });

  it('numbers that make no sense are refused by name', () => {
    expect(wholeNumbers('sizes', '128,256')).toEqual([128, 256]);
    expect(wholeNumber('runs', '0', 0)).toBe(0);
    for (const text of ['0', '-1', '1.5', 'many', '', ' ']) {
      expect(() => wholeNumber('most', text)).toThrow(/--most .*expected a whole number from 1/);
    }
  });

  it('a data folder is gone after the bench, also when that failed', async () => {
    let folder = '';
    const failing = withDataDir('test', async (dataDir) => {
      folder = dataDir;
      expect(existsSync(dataDir)).toBe(true);
      throw new Error('failed');
    });
    await expect(failing).rejects.toThrow('failed');
    expect(existsSync(folder)).toBe(false);
  });
});
