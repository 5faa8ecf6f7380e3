import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { neutralMotion } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { ModelPackage } from './ModelPackage.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
import { TINY_MODEL, tinyAvatar } from './testdata/tinyAvatar.ts';
import { fastestThreading, type Threading, threadings } from './threading.ts';

const always = async () => true;

/** A processor on which a run of that many threads takes so long, whatever runs beside it. */
function fakeProcessor(msOf: (threads: number) => number) {
  let nowMs = 0;
  return {
    now: () => nowMs,
    run: async ({ threads }: Threading) => {
      nowMs += msOf(threads);
    },
  };
}

describe('threadings', () => {
  it('on the CPU two runs share the threads, unless there is one; a GPU has no such choice', () => {
    expect(threadings('cpu', 8)).toEqual([
      { lanes: 2, threads: 4 },
      { lanes: 1, threads: 8 },
    ]);
    expect(threadings('cpu', 3)[0]).toEqual({ lanes: 2, threads: 2 });
    expect(threadings('cpu', 1)).toEqual([{ lanes: 1, threads: 1 }]);
    expect(threadings('cuda', 8)).toEqual([{ lanes: 2, threads: 8 }]);
    expect(threadings('webgpu', 8)).toEqual([{ lanes: 1, threads: 8 }]);
  });
});

describe('fastestThreading', () => {
  const ways = threadings('cpu', 2);

  it('takes the way that draws most pictures, and the usual one where they are alike', async () => {
    const alike = fakeProcessor((threads) => 40 / threads);
    expect(await fastestThreading(ways, alike.run, always, alike.now)).toEqual({ lanes: 2, threads: 1 });
    const gainsMuch = fakeProcessor((threads) => (threads === 2 ? 15 : 40));
    expect(await fastestThreading(ways, gainsMuch.run, always, gainsMuch.now)).toEqual({ lanes: 1, threads: 2 });
    const gainsNothing = fakeProcessor(() => 40);
    expect(await fastestThreading(ways, gainsNothing.run, always, gainsNothing.now)).toEqual({ lanes: 2, threads: 1 });
  });

  it('ends without a result when the server becomes busy', async () => {
    let left = 3;
    const processor = fakeProcessor(() => 1);
    expect(await fastestThreading(ways, processor.run, async () => left-- > 0, processor.now)).toBeUndefined();
  });
});

describe('OnnxRenderer with two runs at once', () => {
  it('draws the same as with one, and keeps what it measured for the next start', async () => {
    const calibrationDir = join(tmpdir(), `facewire-threading-${process.pid}`);
    const options = {
      package: await ModelPackage.load(TINY_MODEL),
      loadAvatar: async (id: string) => tinyAvatar(id, Number(id)),
      threads: 4,
      maxBatch: 2,
      calibrationDir,
      calibrateAfterMs: 1,
    };
    const renderer = await OnnxRenderer.create(options);
    expect(renderer.rendersInFlight).toBe(2);
    const draw = async (grey: number) => {
      const picture = { avatar: String(grey), size: 16, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
      return (await renderer.render([picture], { i420: false, rgb: true }))[0]!.rgb![0];
    };
    const greys = Array.from({ length: 10 }, (_, index) => index / 10);
    expect(await Promise.all(greys.map(draw))).toEqual(greys.map((grey) => Math.round(grey * 255)));
    await renderer.calibrated;
    expect(await Promise.all(greys.map(draw))).toEqual(greys.map((grey) => Math.round(grey * 255)));
    expect(renderer.batchTimes(16).length).toBeGreaterThan(0);
    await renderer.close();
    await rm(calibrationDir, { recursive: true, force: true });
  });
});
