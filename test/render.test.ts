import { describe, expect, it } from 'vitest';
import { widest } from './bench/measurePeer.ts';
import { climb } from './bench/renderCeiling.ts';
import { GraphWriter, measureGraph } from './bench/renderGraph.ts';
import { PEER_DIVISORS, type PeerDivisor, peerGraph } from './bench/renderPeer.ts';

const cpu = { device: { kind: 'cpu', index: 0 }, threads: 1 } as const;
const gflopOf = (divisor: PeerDivisor) => peerGraph(1, { divisor }).writer.flop / 1e9;

/** A device of so many GFLOP/s, which remembers what it timed. */
function deviceOf(gflopPerSecond: number, gflop = gflopOf) {
  const timed: number[] = [];
  const time = async (divisor: PeerDivisor) => {
    timed.push(divisor);
    return { ms: (1000 * gflop(divisor)) / gflopPerSecond, gflop: gflop(divisor), gflopPerSecond, volumes: true };
  };
  return { timed, time };
}

describe('the peer of bench render', () => {
  it('has 1,234 GFLOP a frame as published, and narrower ones a quarter of that again and again', () => {
    const all = PEER_DIVISORS.map(gflopOf);
    expect(all[0]).toBeCloseTo(1233.6, 0);
    for (const [index, gflop] of all.slice(1).entries()) {
      expect(all[index]! / gflop).toBeGreaterThan(3.4);
      expect(all[index]! / gflop).toBeLessThan(4.5);
    }
  });

  it('runs in its narrowest form, volumes sampled whole and slice by slice', async () => {
    for (const volumes of [true, false]) {
      const { writer, output } = peerGraph(1, { volumes, divisor: 16 });
      expect(output.shape).toEqual([1, 3, 512, 512]);
      const { ms, gflop } = await measureGraph(writer, output, cpu, 0, 1);
      expect(gflop).toBeCloseTo(gflopOf(16), 6);
      expect(ms).toBeGreaterThan(0);
    }
  });

  it('is timed as published where that comes in time, without narrower ones before it', async () => {
    const { time, timed } = deviceOf(200);
    const best = await widest({ ceiling: 300, limitMs: 60_000, gflopOf, time });
    expect(best).toMatchObject({ divisor: 1, gflopPerSecond: 200 });
    expect(timed).toEqual([1]);
  });

  it('is as wide as the time allows on a slow device, from the narrowest on', async () => {
    const { time, timed } = deviceOf(0.5);
    const best = await widest({ ceiling: 2, limitMs: 60_000, gflopOf, time });
    expect(best).toMatchObject({ divisor: 8 });
    expect(timed).toEqual([16, 8]);
  });

  it('is not begun where not even the narrowest can come in time, and the answer says so', async () => {
    const { time, timed } = deviceOf(0.01);
    expect(await widest({ ceiling: 0.02, limitMs: 60_000, gflopOf, time })).toEqual({
      reason: 'even at the ceiling the narrowest peer, of 5.39 GFLOP, takes 269 s a frame',
    });
    expect(timed).toEqual([]);
  });
});

describe('the ceiling of bench render', () => {
  const works = [1, 10, 100, 1000].map((gflop) => ({
    gflop,
    write: () => ({ writer: new GraphWriter(), output: { name: '', shape: [] } }),
  }));

  it('is that of works which fill the device, and of a small one where larger would take too long', async () => {
    // A run costs 10 ms by itself.
    const of = (gflopPerSecond: number) =>
      climb(works, 1000, async ({ gflop }) => ({ ms: 10 + (1000 * gflop) / gflopPerSecond }));
    const fast = await of(100_000);
    expect(fast.gflop).toBe(1000);
    expect(fast.gflopPerSecond).toBeCloseTo(50_000, 0);
    const slow = await of(0.1);
    expect(slow.gflop).toBe(1);
    expect(slow.gflopPerSecond).toBeCloseTo(0.1, 3);
  });
});

describe('measureGraph', () => {
  it('leaves no work out though one value of the output comes back', async () => {
    const speedOf = async (layers: number) => {
      const writer = new GraphWriter();
      let output = writer.input('x', [1, 64, 64, 64]);
      for (let layer = 0; layer < layers; layer++) output = writer.relu(writer.conv(output, 64, 3));
      return measureGraph(writer, output, cpu, 100, 3);
    };
    const [one, nine, again] = [await speedOf(1), await speedOf(9), await speedOf(1)];
    expect(nine.gflop / one.gflop).toBeCloseTo(9, 6);
    // Before and after: other programs come and go.
    expect(nine.ms / Math.min(one.ms, again.ms)).toBeGreaterThan(3);
  });
});
