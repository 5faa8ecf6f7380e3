import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { simulateScheduler } from '../simulation/simulateScheduler.ts';
import { plotScheduler } from './schedulerPlot.ts';

const AVATARS = [10, 30, 100, 300, 1000, 3000, 10_000];
/** of each avatar, seeing one picture */
const VIEWERS = [1, 10, 100];
const MOST_STREAMS = 10_000;

/**
 * The latency/throughput curve of the scheduler's policies on a simulated device: nothing is drawn. The default device
 * has the shape of a large GPU at the target of 20,000 frames/s (64 pictures in 3.2 ms); it is an assumption.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      fixedMs: { type: 'string', default: '0.64' },
      perPictureMs: { type: 'string', default: '0.04' },
      maxBatch: { type: 'string', default: '64' },
      seconds: { type: 'string', default: '3' },
      most: { type: 'string', default: '10000' },
      /** share of the avatars that move */
      moving: { type: 'string', default: '1' },
      seed: { type: 'string', default: '1' },
      /** file for the curve as SVG */
      plot: { type: 'string' },
    },
  });
  const device = {
    fixedMs: Number(values.fixedMs),
    perPictureMs: Number(values.perPictureMs),
    maxBatch: Number(values.maxBatch),
  };
  const trials = VIEWERS.flatMap((viewers) => AVATARS.map((avatars) => ({ avatars, viewers }))).filter(
    ({ avatars, viewers }) => avatars <= Number(values.most) && avatars * viewers <= MOST_STREAMS,
  );
  const rows = trials.map(({ avatars, viewers }) => {
    const row = simulateScheduler({
      avatars,
      viewers,
      device,
      seconds: Number(values.seconds),
      moving: Number(values.moving),
      seed: Number(values.seed),
    });
    console.log(JSON.stringify(row, round));
    return row;
  });
  if (values.plot) {
    const name = `${device.fixedMs} ms a batch, ${device.perPictureMs} ms a picture, at most ${device.maxBatch}`;
    await writeFile(values.plot, plotScheduler(rows, name));
  }
  return JSON.parse(
    JSON.stringify({ bench: 'scheduler', simulated: true, device, rows, machine: cpus()[0]?.model }, round),
  ) as object;
}

function round(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
}
