import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BotReport, runBots } from '@facewire/example-bots/runBots';
import { type Patience, processorMs, type SpawnedServer, spawnServer } from '@facewire/server/spawn';
import type { Target } from './target.ts';

/** runBots begins to measure so long after its last viewer joined, ms. */
const WARM_UP_MS = 1500;
/** The counters are read this long before the bots leave. */
const MARGIN_MS = 200;

export interface Load {
  avatars: number;
  /** each watches all avatars */
  viewers: number;
  /** degrees of yaw between one viewer and the next; 0: all see the same pictures */
  viewStep?: number;
  seconds: number;
  size: number;
  framesPerSecond: number;
}

/** What the server did while it bore a load, per second, and per frame that left it. */
export interface TrialReport {
  bots: BotReport;
  /** over which the rest was counted */
  seconds: number;
  /** handed to sockets, all viewers together */
  frames: number;
  /** frames handed to sockets, all viewers together */
  framesPerSecond: number;
  picturesPerSecond: number;
  encodesPerSecond: number;
  meanBatch: number;
  /** without a frame: no numbers */
  perFrame: {
    /** the renderer's time, from the call to its pictures */
    renderMs: number;
    /** the encoders' time */
    encodeMs: number;
    /** processor time of the whole server process, all threads; undefined where the system does not tell it */
    cpuMs: number | undefined;
  };
  /** pictures were drawn smaller than asked for */
  reduced: boolean;
}

/** Where few frames come, or none, a trial is repeated, so many times as long, up to this long: the windows to try. */
export function windowsFrom(seconds: number): number[] {
  const windows = [seconds];
  while (windows.at(-1)! * LONGER <= LONGEST_SECONDS) windows.push(windows.at(-1)! * LONGER);
  if (windows.at(-1)! <= LONGEST_SECONDS / 2) windows.push(LONGEST_SECONDS);
  return windows;
}

const LONGER = 5;
const LONGEST_SECONDS = 600;

/** A device in software compiles and draws for minutes before the server listens: waited for as long as it is at work. */
const PATIENCE: Patience = { mostMs: 900_000, idleMs: 60_000 };

/** A server of the bench's own, without house bots, that keeps its avatars and calibration in `dataDir`. */
export function startTrialServer(target: Target, dataDir: string): Promise<SpawnedServer> {
  return spawnServer(
    { FACEWIRE_DEMO_SEATS: '0', FACEWIRE_LOG: 'warn', FACEWIRE_DATA: dataDir, ...target.env },
    PATIENCE,
  );
}

/** Bears a load on a server that runs, with bots and real sockets in this process. Throws when a bot met an error. */
export async function bear(server: SpawnedServer, load: Load): Promise<TrialReport> {
  let [before, after]: (Reading | undefined)[] = [];
  const readings: Promise<void>[] = [];
  const log = (line: string) => {
    if (line.startsWith('error')) console.error(line);
    if (!/viewers joined/.test(line)) return;
    readings.push(
      sleep(WARM_UP_MS).then(async () => {
        before = await read(server);
      }),
      sleep(WARM_UP_MS + 1000 * load.seconds - MARGIN_MS).then(async () => {
        after = await read(server);
      }),
    );
  };
  const { avatars: players, viewers, viewStep = 0, seconds, size, framesPerSecond } = load;
  const bots = await runBots(
    server.url,
    {
      players,
      viewers,
      viewStep,
      seconds,
      size,
      framesPerSecond,
      transport: 'ws',
      url: server.url,
      slow: 0,
      streams: players,
      json: true,
    },
    log,
  );
  await Promise.all(readings);
  if (bots.errors > 0 || !before || !after) {
    throw new Error(`${players} avatars and ${viewers} viewers met ${bots.errors} errors:\n${server.log()}`);
  }
  return { bots, ...between(before, after) };
}

/**
 * Waits until the server has timed its device, as one that has stood idle for a moment has; at most so long, as a device
 * that somebody else uses gives times that are not kept.
 */
export async function untilCalibrated(dataDir: string, mostMs = 30_000): Promise<void> {
  for (let waitedMs = 0; waitedMs < mostMs; waitedMs += 250) {
    if (await hasCalibration(join(dataDir, 'calibration'))) return;
    await sleep(250);
  }
}

/** Proofs of precision lie in the same folder, and come first. */
async function hasCalibration(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  const texts = names.filter((name) => name.endsWith('.json')).map((name) => readFile(join(folder, name), 'utf8'));
  return (await Promise.all(texts)).some((text) => 'calibration' in JSON.parse(text));
}

/** The part of `GET /health` that benches read. */
export interface Health {
  /** what draws now */
  device: string;
  model: string;
  /** by metric; absent before the first observation */
  timings: Record<string, { p50: number; p95: number } | undefined>;
}

export async function healthOf(server: SpawnedServer): Promise<Health> {
  return (await (await fetch(`${server.url}/health`)).json()) as Health;
}

interface Reading {
  atMs: number;
  cpuMs: number | undefined;
  metrics: ReadonlyMap<string, number>;
}

async function read(server: SpawnedServer): Promise<Reading> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return { atMs: performance.now(), cpuMs: await processorMs(server.process.pid!), metrics: parseMetrics(text) };
}

function between(before: Reading, after: Reading): Omit<TrialReport, 'bots'> {
  const rise = (name: string) => (after.metrics.get(name) ?? 0) - (before.metrics.get(name) ?? 0);
  const seconds = (after.atMs - before.atMs) / 1000;
  const frames = rise('facewire_transport_frames_out_total');
  const cpuMs = before.cpuMs === undefined || after.cpuMs === undefined ? undefined : after.cpuMs - before.cpuMs;
  return {
    seconds,
    frames,
    framesPerSecond: frames / seconds,
    picturesPerSecond: rise('facewire_pictures_rendered_total') / seconds,
    encodesPerSecond: rise('facewire_frames_encoded_total') / seconds,
    meanBatch: rise('facewire_batch_pictures_sum') / Math.max(1, rise('facewire_batch_pictures_count')),
    perFrame: {
      renderMs: rise('facewire_render_ms_sum') / frames,
      encodeMs: rise('facewire_encode_ms_sum') / frames,
      cpuMs: cpuMs === undefined ? undefined : cpuMs / frames,
    },
    reduced: (after.metrics.get('facewire_size_reduction_steps') ?? 0) > 0,
  };
}

/** The samples without labels of Prometheus' text format. */
export function parseMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const [, name, value] of text.matchAll(/^([a-z_0-9]+) (\S+)$/gm)) values.set(name!, Number(value));
  return values;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
