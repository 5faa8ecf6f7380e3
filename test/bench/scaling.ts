import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { SpawnedServer } from '@facewire/server/spawn';
import { plotScaling } from './scalingPlot.ts';
import { bear, healthOf, startTrialServer, type TrialReport, untilCalibrated, windowsFrom } from './serverTrial.ts';
import { TARGET_OPTIONS, targetOf, wholeNumber, wholeNumbers, withDataDir } from './target.ts';

const FRAMES_PER_SECOND = 30;
/** Twice the width of a view bucket: neighbours never share a picture. */
const VIEW_STEP_DEGREES = 4;

/** A row of fewer frames says nothing: it is measured over a longer time. */
const LEAST_FRAMES = 3;

/** What a frame costs when so many avatars are seen by so many viewers. */
export interface ScalingRow {
  avatars: number;
  /** each watches all avatars */
  viewers: number;
  /** same: all look from straight ahead; apart: each from another side */
  views: 'same' | 'apart';
  /** over which it was counted: longer than asked for where too few frames came within that */
  seconds: number;
  /** handed to sockets, all viewers together */
  framesPerSecond: number;
  /** drawn and encoded for one frame that left the server: 1/viewers where all share */
  picturesPerFrame: number;
  encodesPerFrame: number;
  meanBatch: number;
  renderMsPerFrame: number;
  encodeMsPerFrame: number;
  /** of the server's process, all threads; absent where the system does not tell */
  cpuMsPerFrame?: number;
  reduced: boolean;
}

/**
 * The cost of a frame against the number of avatars and of viewers, through the real server in a process of its own, with
 * real sockets. The bots run in this process; what they cost is not in the figures but takes cores from the server.
 * Loads under which a slow device delivers next to nothing within ten minutes are left out, and named in `reason`.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      ...TARGET_OPTIONS,
      size: { type: 'string', default: '128' },
      seconds: { type: 'string', default: '4' },
      /** numbers of avatars, with one viewer of all */
      avatars: { type: 'string', default: '1,2,4,8,16' },
      /** numbers of viewers, of --watched avatars */
      viewers: { type: 'string', default: '1,2,4,8,16,32' },
      watched: { type: 'string', default: '2' },
      /** numbers of viewers who each look from another side */
      apart: { type: 'string', default: '1,2,4,8' },
      plot: { type: 'string' },
    },
  });
  const size = wholeNumber('size', values.size);
  const watched = wholeNumber('watched', values.watched);
  const seconds = wholeNumber('seconds', values.seconds);
  const counts = {
    avatars: wholeNumbers('avatars', values.avatars),
    viewers: wholeNumbers('viewers', values.viewers),
    apart: wholeNumbers('apart', values.apart),
  };
  return withDataDir('scaling', async (data) => {
    const server = await startTrialServer(targetOf(values), data);
    try {
      await untilCalibrated(data);
      const missing: string[] = [];
      const trials = async (loads: readonly Omit<ScalingLoad, 'size' | 'seconds'>[]) => {
        const rows: ScalingRow[] = [];
        for (const load of loads) {
          const row = await measure(server, { ...load, size, seconds });
          if (row) rows.push(row);
          else missing.push(`${load.avatars} avatars with ${load.viewers} viewers (${load.views})`);
          console.log(JSON.stringify(row ?? { ...load, frames: 'too few' }));
        }
        return rows;
      };
      const byAvatars = await trials(counts.avatars.map((avatars) => ({ avatars, viewers: 1, views: 'same' })));
      const byViewers = await trials(counts.viewers.map((viewers) => ({ avatars: watched, viewers, views: 'same' })));
      const byViews = await trials(counts.apart.map((viewers) => ({ avatars: watched, viewers, views: 'apart' })));
      const health = await healthOf(server);
      const result = {
        bench: 'scaling',
        model: health.model,
        device: health.device,
        size,
        avatars: byAvatars,
        viewers: byViewers,
        viewersApart: byViews,
        ...(missing.length > 0 && { reason: `too few frames came of ${missing.join(', ')}` }),
        machine: cpus()[0]?.model,
        cores: availableParallelism(),
        load: round(loadavg()[0]!, 1),
        date: new Date().toISOString().slice(0, 10),
      };
      if (values.plot) await writeFile(values.plot, plotScaling(result));
      return result;
    } finally {
      await server.close();
    }
  });
}

interface ScalingLoad {
  avatars: number;
  viewers: number;
  views: ScalingRow['views'];
  size: number;
  seconds: number;
}

/** Undefined where too few frames come even in the longest time. */
async function measure(server: SpawnedServer, load: ScalingLoad): Promise<ScalingRow | undefined> {
  const { avatars, viewers, views, size } = load;
  const viewStep = views === 'apart' ? VIEW_STEP_DEGREES : 0;
  for (const seconds of windowsFrom(load.seconds)) {
    const framesPerSecond = FRAMES_PER_SECOND;
    const report = await bear(server, { avatars, viewers, viewStep, size, seconds, framesPerSecond });
    if (report.frames >= LEAST_FRAMES) return rowOf(load, report);
  }
  return undefined;
}

/** Pure. */
export function rowOf(
  { avatars, viewers, views }: Pick<ScalingLoad, 'avatars' | 'viewers' | 'views'>,
  report: Omit<TrialReport, 'bots'>,
): ScalingRow {
  const { seconds, framesPerSecond, picturesPerSecond, encodesPerSecond, meanBatch, perFrame, reduced } = report;
  const { cpuMs } = perFrame;
  return {
    avatars,
    viewers,
    views,
    seconds: round(seconds, 1),
    framesPerSecond: Number(framesPerSecond.toPrecision(3)),
    picturesPerFrame: round(picturesPerSecond / framesPerSecond, 3),
    encodesPerFrame: round(encodesPerSecond / framesPerSecond, 3),
    meanBatch: round(meanBatch, 2),
    renderMsPerFrame: round(perFrame.renderMs, 3),
    encodeMsPerFrame: round(perFrame.encodeMs, 3),
    ...(cpuMs !== undefined && { cpuMsPerFrame: round(cpuMs, 3) }),
    reduced,
  };
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
