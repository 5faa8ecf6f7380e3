import { readFileSync } from 'node:fs';
import { FacewireError } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { corrected, PoseFit } from './fitPose.ts';
import { LandmarkNetwork } from './LandmarkNetwork.ts';
import { LandmarkReader } from './LandmarkReader.ts';
import { readWeights } from './readWeights.ts';

/** What the network says in PyTorch (models/training/landmarks/export.py), of a video with a gap. */
interface Golden {
  /** [T, 140]: with irises */
  points: number[][];
  dtMs: number[];
  pose: number[][];
  expression: number[][];
}

const golden = JSON.parse(readFileSync(new URL('./golden.json', import.meta.url), 'utf8')) as Golden;
const file = readFileSync(new URL('../../../models/landmarks/landmarks.bin', import.meta.url));

const refused = (code: string) => expect.objectContaining({ name: FacewireError.name, code });

describe('the landmark network', () => {
  it('says frame by frame what PyTorch says of the whole video', () => {
    const weights = readWeights(file);
    const [fit, network] = [new PoseFit(weights), new LandmarkNetwork(weights)];
    for (const round of ['first', 'again']) {
      golden.points.forEach((points, frame) => {
        fit.run({ points: Float64Array.from(points), irises: true }, golden.dtMs[frame]!);
        network.run(fit.tokens, golden.dtMs[frame]!);
        corrected(fit.pose, network.correction).forEach((value, k) => {
          const [scale, place] = [Math.exp(golden.pose[frame]![5]!), `${round} ${frame} pose ${k}`];
          expect(Math.abs(value - golden.pose[frame]![k]!), place).toBeLessThan(
            k === 3 || k === 4 ? scale * 2e-3 : 5e-4,
          );
        });
        network.expression.forEach((value, k) => {
          const kept = Math.min(1, Math.max(0, value));
          expect(Math.abs(kept - golden.expression[frame]![k]!), `${round} ${frame} ${k}`).toBeLessThan(5e-4);
        });
      });
      fit.reset();
      network.reset();
    }
  });
});

describe('LandmarkReader', () => {
  const read = (reader: LandmarkReader, frames: readonly number[]) => {
    let timeMs = 0;
    return frames.map((frame) => {
      timeMs += golden.dtMs[frame]!;
      return reader.read(golden.points[frame]!, { timeMs });
    });
  };
  const frames = golden.points.map((_, index) => index);

  it('has the weights of models/landmarks in the package, and takes them as bytes, too', async () => {
    const [own, given] = [await LandmarkReader.load(), await LandmarkReader.load(file)];
    expect(read(own, frames)).toEqual(read(given, frames));
  });

  it('gives motions that packets can hold, and the same after a reset', async () => {
    const reader = await LandmarkReader.load();
    const first = read(reader, frames);
    for (const { pose, expression } of first) {
      expect(Object.values(pose).every((value) => Number.isFinite(value) && Math.abs(value) <= Math.PI)).toBe(true);
      expect(expression.every((value) => value >= 0 && value <= 1)).toBe(true);
    }
    reader.reset();
    expect(read(reader, frames)).toEqual(first);
  });

  it('takes flat numbers, pairs and shares of the picture alike, irises in either order', async () => {
    const flat = golden.points[0]!;
    const pairs = Array.from({ length: 70 }, (_, index) => [flat[2 * index]!, flat[2 * index + 1]!]);
    const [width, height] = [640, 480];
    const ways = [
      [flat, {}],
      [pairs, {}],
      [pairs.map(([x, y]) => [x! / width, y! / height, 0.5]), { width, height }],
      [pairs.slice(0, 68), { irises: [pairs[69]!, pairs[68]!] }],
    ] as const;
    const motions = await Promise.all(
      ways.map(async ([points, options]) => (await LandmarkReader.load()).read(points, { timeMs: 0, ...options })),
    );
    for (const motion of motions) {
      expect(motion.pose.yaw).toBeCloseTo(motions[0]!.pose.yaw, 5);
      motion.expression.forEach((value, index) => {
        expect(value).toBeCloseTo(motions[0]!.expression[index]!, 5);
      });
    }
  });

  it('knows OpenSeeFace’s 66 points', async () => {
    const reader = await LandmarkReader.load();
    const { points } = golden;
    const open = points[0]!.filter((_, at) => at < 136 && ![48, 54].includes(at >> 1));
    // Its order has the inner corners of the lips where Multi-PIE has them, and no outer ones.
    const motion = reader.read(open, { timeMs: 0, layout: 'openSeeFace' });
    expect(motion.pose.yaw).toBeCloseTo(
      (await LandmarkReader.load()).read(points[0]!.slice(0, 136), { timeMs: 0 }).pose.yaw,
      1,
    );
  });

  it('gives the last motion again while the face is lost, and swaps a mirrored picture back', async () => {
    const reader = await LandmarkReader.load();
    expect(reader.read(undefined, { timeMs: 0 }).expression.every((value) => value === 0)).toBe(true);
    const seen = reader.read(golden.points[0]!, { timeMs: 33 });
    expect(reader.read(null, { timeMs: 66 })).toEqual(seen);
    reader.reset();
    const mirrored = reader.read(golden.points[0]!, { timeMs: 33, mirrored: true });
    expect(mirrored.pose.yaw).toBeCloseTo(-seen.pose.yaw);
    expect(mirrored.expression[0]).toBeCloseTo(seen.expression[7]!);
  });

  it('refuses what is no face, and goes on', async () => {
    const reader = await LandmarkReader.load();
    const good = golden.points[0]!;
    const wrong = [
      good.slice(0, 130),
      good.slice(0, 135),
      good.with(5, Number.NaN),
      good.map(() => 100),
      Array.from({ length: 68 }, () => [1]),
    ];
    for (const points of wrong) {
      expect(() => reader.read(points, { timeMs: 0 })).toThrow(refused('landmarks_invalid'));
    }
    expect(() => reader.read(good, { timeMs: Number.NaN })).toThrow(RangeError);
    expect(() => reader.read(good, { timeMs: 0, width: 640 })).toThrow(RangeError);
    const after = reader.read(good, { timeMs: 0 });
    expect(after).toEqual((await LandmarkReader.load()).read(good, { timeMs: 0 }));
  });

  it('refuses weights that are none', async () => {
    await expect(LandmarkReader.load(new Uint8Array(3))).rejects.toThrow(refused('model_corrupt'));
    await expect(LandmarkReader.load(file.subarray(0, 9000))).rejects.toThrow(refused('model_corrupt'));
    await expect(LandmarkReader.load('data:nonsense')).rejects.toThrow(refused('model_missing'));
  });
});
