import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { neutralMotion } from '@facewire/proto';
import { describe, expect, it, vi } from 'vitest';
import { ModelPackage } from './ModelPackage.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
import { SizeRenderer } from './SizeRenderer.ts';
import { TINY_MODEL, tinyAvatar } from './testdata/tinyAvatar.ts';
import { fastestThreading, type Threading, threadings } from './threading.ts';

const always = async () => true;

/** A processor on which a run of that many threads takes so long, whatever runs beside it. */
function fakeProcessor(msOf: (threads: number) => number) {
  let nowMs = 0;
  const open = new Set<number>();
  const opened: number[] = [];
  return {
    now: () => nowMs,
    /** lanes of the ways that are open, and of all that were */
    open,
    opened,
    trial: {
      open: async ({ lanes }: Threading) => {
        open.add(lanes);
        opened.push(lanes);
      },
      run: async ({ lanes, threads }: Threading) => {
        if (!open.has(lanes)) throw new Error(`the way with ${lanes} runs is not open`);
        nowMs += msOf(threads);
      },
      close: async ({ lanes }: Threading) => {
        open.delete(lanes);
      },
    },
  };
}

describe('threadings', () => {
  it('on the CPU there are as many runs as threads, or fewer with several each, down to one that has them all', () => {
    const runs = (threads: number) => threadings('cpu', threads).map((way) => `${way.lanes}x${way.threads}`);
    expect(runs(1)).toEqual(['1x1']);
    expect(runs(2)).toEqual(['2x1', '1x2']);
    expect(runs(3)).toEqual(['3x1', '2x2', '1x3']);
    expect(runs(4)).toEqual(['4x1', '2x2', '1x4']);
    expect(runs(6)).toEqual(['6x1', '3x2', '2x3', '1x6']);
    expect(runs(8)).toEqual(['8x1', '4x2', '2x4', '1x8']);
  });

  it('a GPU has no such choice', () => {
    expect(threadings('cuda', 8)).toEqual([{ lanes: 2, threads: 8 }]);
    expect(threadings('webgpu', 8)).toEqual([{ lanes: 1, threads: 8 }]);
  });
});

describe('fastestThreading', () => {
  const fastest = async (threads: number, processor: ReturnType<typeof fakeProcessor>) =>
    (await fastestThreading(threadings('cpu', threads), processor.trial, always, processor.now))?.lanes;

  it('takes the way that draws most pictures, and the usual one where they are alike', async () => {
    const alike = fakeProcessor((threads) => 40 / threads);
    expect(await fastest(2, alike)).toBe(2);
    expect(await fastest(8, alike)).toBe(8);
    expect(
      await fastest(
        8,
        fakeProcessor(() => 40),
      ),
    ).toBe(8);
    expect(
      await fastest(
        2,
        fakeProcessor((threads) => (threads === 2 ? 15 : 40)),
      ),
    ).toBe(1);
    const gainsFromTwo = fakeProcessor((threads) => (threads === 1 ? 40 : 30 / threads));
    expect(await fastest(8, gainsFromTwo)).toBe(4);
    expect(
      await fastest(
        8,
        fakeProcessor((threads) => 40 / threads ** 1.5),
      ),
    ).toBe(1);
  });

  it('tries no further way once one is not faster, and has at most two open', async () => {
    const gainsLittle = fakeProcessor((threads) => 40 / threads ** 0.2);
    expect(await fastest(8, gainsLittle)).toBe(8);
    expect(gainsLittle.opened).toEqual([8, 4]);
    expect([...gainsLittle.open]).toEqual([8]);
    const gainsMuch = fakeProcessor((threads) => 40 / threads ** 1.5);
    await fastest(8, gainsMuch);
    expect(gainsMuch.opened).toEqual([8, 4, 2, 1]);
    expect([...gainsMuch.open]).toEqual([1]);
  });

  it('ends without a result when the server becomes busy', async () => {
    for (let steps = 0; steps < 15; steps++) {
      let left = steps;
      const { trial, now } = fakeProcessor(() => 1);
      expect(await fastestThreading(threadings('cpu', 2), trial, async () => left-- > 0, now)).toBeUndefined();
    }
  });
});

describe('OnnxRenderer with several runs at once', () => {
  it('draws the same as with one, and keeps what it measured for the next start', async () => {
    const calibrationDir = await mkdtemp(join(tmpdir(), 'facewire-threading-'));
    const options = {
      package: await ModelPackage.load(TINY_MODEL),
      loadAvatar: async (id: string) => tinyAvatar(id, Number(id)),
      threads: 4,
      maxBatch: 2,
      calibrationDir,
      calibrateAfterMs: 1,
    };
    const renderer = await OnnxRenderer.create(options);
    expect(renderer.rendersInFlight).toBe(4);
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

  it('has four runs under way with four threads, each on a lane of its own', async () => {
    const renderer = await OnnxRenderer.create({
      package: await ModelPackage.load(TINY_MODEL),
      loadAvatar: async (id: string) => tinyAvatar(id, Number(id)),
      threads: 4,
    });
    await renderer.bank.ensure(['0.5']);
    const underWay = new Set<number>();
    let most = 0;
    const render = SizeRenderer.prototype.render;
    const spy = vi.spyOn(SizeRenderer.prototype, 'render').mockImplementation(async function (
      this: SizeRenderer,
      lane,
      ...rest
    ) {
      expect(underWay).not.toContain(lane);
      underWay.add(lane);
      most = Math.max(most, underWay.size);
      return render.call(this, lane, ...rest).finally(() => underWay.delete(lane));
    });
    const picture = { avatar: '0.5', size: 16, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
    const draw = () => renderer.render([picture], { i420: false, rgb: true });
    const drawn = await Promise.all(Array.from({ length: 12 }, draw));
    spy.mockRestore();
    expect(most).toBe(4);
    for (const [{ rgb } = {}] of drawn) expect(rgb![0]).toBe(128);
    await renderer.close();
  });
});
