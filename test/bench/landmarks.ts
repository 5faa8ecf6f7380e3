import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { LandmarkReader } from '@facewire/client-sdk/landmarks';
import { wholeNumber } from './target.ts';

const GOLDEN = new URL('../../client-sdk/src/landmarks/golden.json', import.meta.url);
const WARM_UP = 300;

/** Time that the SDK's landmark reader takes on one thread, for a frame of 68 landmarks and two irises; to load it, once. */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({ args, options: { frames: { type: 'string', default: '3000' } } });
  const frames = wholeNumber('frames', values.frames);
  const { points } = JSON.parse(readFileSync(GOLDEN, 'utf8')) as { points: number[][] };
  const startedAtMs = performance.now();
  const reader = await LandmarkReader.load();
  const loadMs = performance.now() - startedAtMs;
  const times = Array.from({ length: WARM_UP + frames }, (_, frame) => {
    const before = performance.now();
    reader.read(points[frame % points.length]!, { timeMs: frame * 33 });
    return performance.now() - before;
  }).slice(WARM_UP);
  const sorted = times.toSorted((a, b) => a - b);
  const microseconds = (value: number): number => Math.round(value * 1000);
  const at = (share: number): number => microseconds(sorted[Math.floor(share * (frames - 1))]!);
  return {
    bench: 'landmarks',
    p50Us: at(0.5),
    p25Us: at(0.25),
    p95Us: at(0.95),
    meanUs: microseconds(times.reduce((sum, each) => sum + each, 0) / frames),
    loadMs: Math.round(loadMs),
    frames,
    node: process.version,
    machine: cpus()[0]?.model,
  };
}
