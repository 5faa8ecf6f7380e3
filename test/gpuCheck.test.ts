import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { gpuCheck } from '../server/scripts/gpuCheck.ts';
import { findProblems, INPUT_BYTES } from '../server/scripts/gpuProblems.ts';
import { compareFrames, PARITY_TOLERANCE } from '../server/src/inference/parity.ts';

const PORTRAITS = fileURLToPath(new URL('../models/portraits', import.meta.url));
const hasPortraits = existsSync(PORTRAITS) && readdirSync(PORTRAITS).some((name) => name.endsWith('.json'));
const FACTS = { providers: [], cudaLibrary: false, platform: 'linux' };
const OPTIONS = { size: 128, batches: [1, 2], runs: 2, compared: 3 };

describe('npm run gpu:check', () => {
  it.skipIf(!hasPortraits)(
    'passes the CPU: its own frames, resident avatars, a speed for every batch size',
    async () => {
      const lines: string[] = [];
      const report = await gpuCheck({ ...OPTIONS, device: 'cpu' }, (line) => lines.push(line));
      expect(report.problems).toEqual([]);
      expect(report).toMatchObject({
        ok: true,
        device: 'cpu',
        parity: { mean: 0, max: 0, farShare: 0, pictures: 3, kept: true },
        residency: { bytesInPerPicture: INPUT_BYTES, bytesOutPerPicture: 128 * 192, avatarUploads: 0 },
      });
      expect(report.speed!.map(({ batch }) => batch)).toEqual([1, 2]);
      expect(lines.join('\n')).toContain('CPUExecutionProvider');
    },
  );

  it('says what to do about a device that is not there, and does not throw', async () => {
    const report = await gpuCheck({ ...OPTIONS, device: 'graphics' }, () => {});
    expect(report).toMatchObject({
      ok: false,
      problems: [{ code: 'config_invalid', remedy: expect.stringContaining('cuda') }],
    });
  });

  it('asks for one device at a time when several are set', async () => {
    const { problems } = await gpuCheck({ ...OPTIONS, device: 'cuda:1,2' }, () => {});
    expect(problems).toMatchObject([{ code: 'config_invalid', remedy: expect.stringContaining('cuda:1') }]);
  });

  it('finds frames that are off, avatars that do not stay, and a bank that is too small', () => {
    const parity = { mean: 3, max: 200, farShare: 0.1, pictures: 1, tolerance: PARITY_TOLERANCE, kept: false };
    const residency = { bytesInPerPicture: 2_500_000, expected: INPUT_BYTES, bytesOutPerPicture: 1, avatarUploads: 4 };
    const found = findProblems({ facts: FACTS, asked: 'cuda', device: 'cuda', parity, residency });
    expect(found.map(({ code }) => code)).toEqual(['parity', 'not_resident', 'bank_thrashing']);
    expect(findProblems({ facts: FACTS, asked: 'cuda', device: 'cuda' })).toEqual([]);
    // A batch of 17 in a recorded run of 24: rows that nobody asked for are no avatars.
    const padded = { ...residency, bytesInPerPicture: (INPUT_BYTES * 24) / 17, avatarUploads: 0 };
    expect(findProblems({ facts: FACTS, asked: 'cuda', device: 'cuda', residency: padded })).toEqual([]);
  });
});

describe('compareFrames', () => {
  it('takes mean and maximum over all planes of all frames', () => {
    const a = [{ size: 2, rgb: Uint8Array.of(0, 10, 40), i420: Uint8Array.of(5) }];
    const b = [{ size: 2, rgb: Uint8Array.of(4, 10, 12), i420: Uint8Array.of(5) }];
    expect(compareFrames(a, b)).toEqual({ mean: 8, max: 28, farShare: 0.25 });
    expect(() => compareFrames(a, [{ size: 2, rgb: Uint8Array.of(1) }])).toThrow(RangeError);
    expect(() => compareFrames(a, [])).toThrow(RangeError);
  });
});
