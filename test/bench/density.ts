import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type BotReport, runBots } from '@facewire/example-bots/runBots';
import { spawnServer } from '@facewire/server/spawn';
import { modelPath } from './modelPath.ts';
import { nextCount } from './searchHighest.ts';
import { untilCalibrated } from './serverTrial.ts';

const FRAMES_PER_SECOND = 30;
const P95_LIMIT_MS = 66;
const RATE_SHARE = 0.9;
/** Avatars of one room, all watched by one viewer; more avatars are spread over more rooms. */
const ROOM_AVATARS = 16;
/** Rooms of bots are named after the millisecond in which they are made. */
const ROOM_STAGGER_MS = 5;

export interface DensityRow {
  avatars: number;
  /** the server's own packet_to_frame_ms, from the arrival of a motion to its encoded frame; null: no frame came */
  p50Ms: number | null;
  p95Ms: number | null;
  /** per avatar, as received by its viewer */
  framesPerSecond: { min: number; mean: number };
  /** the server drew pictures smaller than asked for */
  reduced: boolean;
  held: boolean;
}

/** As long as a device is given to encode the built-in portraits and to listen, ms. */
const START_MS = 180_000;

/** Of 30 frames/s for everybody, under 66 ms at the 95th percentile: whether that was kept. */
export function holds(p95Ms: number, framesPerSecond: number): boolean {
  return p95Ms < P95_LIMIT_MS && framesPerSecond >= RATE_SHARE * FRAMES_PER_SECOND;
}

/**
 * How many avatars at 30 frames/s the device sustains, through the real server in a process of its own, with real
 * sockets and video encoding. The bots run in this process, on the same machine, and take their share of its cores.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      device: { type: 'string', default: process.env.FACEWIRE_DEVICE ?? 'auto' },
      /** a folder of models/; default FACEWIRE_MODEL, else portrait */
      model: { type: 'string' },
      size: { type: 'string', default: '256' },
      seconds: { type: 'string', default: '6' },
      start: { type: 'string', default: '1' },
      most: { type: 'string', default: '1024' },
    },
  });
  const [size, seconds, start, most] = [values.size, values.seconds, values.start, values.most].map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const data = await mkdtemp(join(tmpdir(), 'facewire-density-'));
  const rows: DensityRow[] = [];
  let { device, model = '' } = values;
  try {
    for (;;) {
      const trials = rows.map(({ avatars, held }) => ({ count: avatars, held }));
      const avatars = nextCount(trials, start, most);
      if (avatars === undefined) break;
      const trial = await tryAvatars(avatars, {
        device: values.device,
        model: values.model,
        size,
        seconds,
        data,
      });
      ({ device, model } = trial);
      rows.push(trial.row);
      console.log(describe(trial.row));
    }
  } finally {
    await rm(data, { recursive: true, force: true });
  }
  const best = rows.filter(({ held }) => held).sort((a, b) => b.avatars - a.avatars)[0];
  return {
    bench: 'density',
    device,
    model,
    size,
    // 0: not even one held. The latency is then that of the fewest tried, and `rows` have its frame rate.
    avatars: best?.avatars ?? 0,
    p95Ms: (best ?? rows.sort((a, b) => a.avatars - b.avatars)[0])?.p95Ms ?? null,
    limits: { p95Ms: P95_LIMIT_MS, framesPerSecond: RATE_SHARE * FRAMES_PER_SECOND },
    rows: rows.sort((a, b) => a.avatars - b.avatars),
    machine: cpus()[0]?.model,
    cores: availableParallelism(),
  };
}

interface TrialOptions {
  device: string;
  model: string | undefined;
  size: number;
  seconds: number;
  /** kept over the trials, so that the built-in portraits are encoded once */
  data: string;
}

/** A fresh server each time: its timings hold nothing of the trial before. It has timed its device, as one that ran a while. */
async function tryAvatars(
  avatars: number,
  options: TrialOptions,
): Promise<{ device: string; model: string; row: DensityRow }> {
  const server = await spawnServer(
    {
      FACEWIRE_DEMO_SEATS: '0',
      FACEWIRE_LOG: 'warn',
      FACEWIRE_DATA: options.data,
      FACEWIRE_DEVICE: options.device,
      ...modelPath(options.model),
    },
    START_MS,
  );
  try {
    await untilCalibrated(options.data);
    const rooms: Promise<BotReport>[] = [];
    for (let left = avatars; left > 0; left -= ROOM_AVATARS) {
      rooms.push(watchRoom(server.url, Math.min(left, ROOM_AVATARS), options));
      await new Promise((resolve) => setTimeout(resolve, ROOM_STAGGER_MS));
    }
    const reports = await Promise.all(rooms);
    const health = (await (await fetch(`${server.url}/health`)).json()) as {
      device: string;
      model: string;
      timings: Record<string, { p50: number; p95: number } | undefined>;
    };
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const reduced = Number(/^facewire_size_reduction_steps (\d+)/m.exec(metrics)?.[1] ?? 0) > 0;
    const timing = health.timings.packet_to_frame_ms;
    const errors = reports.reduce((sum, report) => sum + report.errors, 0);
    if (errors > 0) throw new Error(`the trial with ${avatars} avatars had ${errors} errors:\n${server.log()}`);
    const mean =
      reports.reduce((sum, { players, framesPerSecond }) => sum + players * framesPerSecond.mean, 0) / avatars;
    const row: DensityRow = {
      avatars,
      p50Ms: timing ? round(timing.p50) : null,
      p95Ms: timing ? round(timing.p95) : null,
      framesPerSecond: { min: Math.min(...reports.map((report) => report.framesPerSecond.min)), mean: round(mean) },
      reduced,
      held: !reduced && timing !== undefined && holds(timing.p95, mean),
    };
    return { device: health.device, model: health.model, row };
  } finally {
    await server.close();
  }
}

function watchRoom(url: string, players: number, { size, seconds }: TrialOptions): Promise<BotReport> {
  return runBots(
    url,
    {
      players,
      viewers: 1,
      seconds,
      transport: 'ws',
      url,
      slow: 0,
      size,
      framesPerSecond: FRAMES_PER_SECOND,
      streams: players,
      json: true,
    },
    (line) => {
      if (line.startsWith('error')) console.error(line);
    },
  );
}

function describe({ avatars, p50Ms, p95Ms, framesPerSecond, held }: DensityRow): string {
  const rate = `${framesPerSecond.mean} frames/s (least ${framesPerSecond.min})`;
  if (p50Ms === null) return `${avatars} avatars: no frame came`;
  return `${avatars} avatars: p50 ${p50Ms} ms, p95 ${p95Ms} ms, ${rate}: ${held ? 'held' : 'did not hold'}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
