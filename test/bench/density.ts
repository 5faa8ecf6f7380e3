import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type BotReport, runBots } from '@facewire/example-bots/runBots';
import type { SpawnedServer } from '@facewire/server/spawn';
import { nextCount } from './searchHighest.ts';
import { healthOf, startTrialServer, untilCalibrated, windowsFrom } from './serverTrial.ts';
import { TARGET_OPTIONS, type Target, targetOf, wholeNumber, withDataDir } from './target.ts';

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
  /** one run of the renderer, median; null: none came back */
  renderMs: number | null;
  /** per avatar, as received by its viewer */
  framesPerSecond: { min: number; mean: number };
  /** over which that was counted: longer than asked for where no frame came within that */
  seconds: number;
  /** what drew in the end: another than asked for where that failed */
  device: string;
  /** the server drew pictures smaller than asked for */
  reduced: boolean;
  held: boolean;
}

/** Of 30 frames/s for everybody, under 66 ms at the 95th percentile: whether that was kept. */
export function holds(p95Ms: number, framesPerSecond: number): boolean {
  return p95Ms < P95_LIMIT_MS && framesPerSecond >= RATE_SHARE * FRAMES_PER_SECOND;
}

/** Why a trial did not hold; undefined when it did. */
export function whyNot(row: Omit<DensityRow, 'held'>, asked: string): string | undefined {
  const { avatars, p95Ms, framesPerSecond, reduced, seconds, renderMs, device } = row;
  const those = avatars === 1 ? 'one avatar' : `${avatars} avatars`;
  if (asked !== 'auto' && !sameDevice(asked, device)) return `${asked} failed with ${those}, and ${device} drew`;
  if (p95Ms === null) return `no frame of ${those} came within ${seconds} s`;
  if (reduced) return `pictures of ${those} were drawn smaller than asked for`;
  if (holds(p95Ms, framesPerSecond.mean)) return undefined;
  const rate = `${framesPerSecond.mean} frames/s (asked for: ${RATE_SHARE * FRAMES_PER_SECOND})`;
  return `${those}: ${rate}, 95 % within ${p95Ms} ms (${P95_LIMIT_MS}); a run takes ${renderMs} ms`;
}

/** "cuda" is "cuda:0"; several devices are shown joined. */
function sameDevice(asked: string, drew: string): boolean {
  const names = (device: string) =>
    device
      .replace(/^cuda:0$/, 'cuda')
      .replace(/,/g, '+cuda:')
      .replace('cuda:0+', 'cuda+');
  return names(asked) === names(drew);
}

/**
 * How many avatars at 30 frames/s the device sustains, through the real server in a process of its own, with real
 * sockets and video encoding. The bots run in this process, on the same machine, and take their share of its cores.
 * A device that is too slow for one, or with which the server does not come to listen, gets 0 and `reason`.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      ...TARGET_OPTIONS,
      size: { type: 'string', default: '256' },
      seconds: { type: 'string', default: '6' },
      start: { type: 'string', default: '1' },
      most: { type: 'string', default: '1024' },
    },
  });
  const size = wholeNumber('size', values.size);
  const seconds = wholeNumber('seconds', values.seconds);
  const [start, most] = [wholeNumber('start', values.start), wholeNumber('most', values.most)];
  const target = targetOf(values);
  const rows: DensityRow[] = [];
  let { device } = target;
  let model: string | undefined;
  let reason: string | undefined;
  await withDataDir('density', async (data) => {
    for (;;) {
      const trials = rows.map(({ avatars, held }) => ({ count: avatars, held }));
      const avatars = nextCount(trials, start, most);
      if (avatars === undefined) break;
      const trial = await tryAvatars(avatars, { target, size, seconds, data }).catch((error: Error) => {
        if (!/did not listen|before it listened/.test(error.message)) throw error;
        reason = `no server: ${error.message.trim()}`;
      });
      if (!trial) break;
      ({ device } = trial.row);
      ({ model } = trial);
      rows.push(trial.row);
      console.log(describe(trial.row));
      if (!trial.row.held) reason = whyNot(trial.row, target.device);
    }
  });
  rows.sort((a, b) => a.avatars - b.avatars);
  const best = rows.filter(({ held }) => held).at(-1);
  return {
    bench: 'density',
    device,
    model,
    size,
    // 0: not even one held. The latency is then that of the fewest tried, and `rows` have its frame rate.
    avatars: best?.avatars ?? 0,
    p95Ms: (best ?? rows[0])?.p95Ms ?? null,
    // why it is no more
    reason,
    limits: { p95Ms: P95_LIMIT_MS, framesPerSecond: RATE_SHARE * FRAMES_PER_SECOND },
    rows,
    machine: cpus()[0]?.model,
    cores: availableParallelism(),
  };
}

interface TrialOptions {
  target: Target;
  size: number;
  seconds: number;
  /** kept over the trials, so that the built-in portraits are encoded once */
  data: string;
}

/** A fresh server each time: its timings hold nothing of the trial before. It has timed its device, as one that ran a while. */
async function tryAvatars(avatars: number, options: TrialOptions): Promise<{ model: string; row: DensityRow }> {
  const server = await startTrialServer(options.target, options.data);
  try {
    await untilCalibrated(options.data);
    let trial: { model: string; row: DensityRow } | undefined;
    for (const seconds of windowsFrom(options.seconds)) {
      trial = await watchAvatars(server, avatars, { ...options, seconds });
      if (trial.row.p95Ms !== null) break;
    }
    return trial!;
  } finally {
    await server.close();
  }
}

async function watchAvatars(
  server: SpawnedServer,
  avatars: number,
  options: TrialOptions,
): Promise<{ model: string; row: DensityRow }> {
  const rooms: Promise<BotReport>[] = [];
  for (let left = avatars; left > 0; left -= ROOM_AVATARS) {
    rooms.push(watchRoom(server.url, Math.min(left, ROOM_AVATARS), options));
    await new Promise((resolve) => setTimeout(resolve, ROOM_STAGGER_MS));
  }
  const reports = await Promise.all(rooms);
  const { device, model, timings } = await healthOf(server);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const errors = reports.reduce((sum, report) => sum + report.errors, 0);
  if (errors > 0) throw new Error(`the trial with ${avatars} avatars had ${errors} errors:\n${server.log()}`);
  const mean = reports.reduce((sum, { players, framesPerSecond }) => sum + players * framesPerSecond.mean, 0) / avatars;
  const { packet_to_frame_ms: latency, render_ms: render } = timings;
  const row = {
    avatars,
    p50Ms: latency ? round(latency.p50) : null,
    p95Ms: latency ? round(latency.p95) : null,
    renderMs: render ? round(render.p50) : null,
    framesPerSecond: {
      min: Math.min(...reports.map((report) => report.framesPerSecond.min)),
      mean: Number(mean.toPrecision(3)),
    },
    seconds: options.seconds,
    reduced: Number(/^facewire_size_reduction_steps (\d+)/m.exec(metrics)?.[1] ?? 0) > 0,
    device,
  };
  return { model, row: { ...row, held: whyNot(row, options.target.device) === undefined } };
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
