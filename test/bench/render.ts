import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FacewireError, synthesizeMotion } from '@facewire/proto';
import { type Config, openEngine, readConfig } from '@facewire/server';
import { type Device, deviceCandidates, probeDevices } from '../../server/src/inference/Device.ts';
import { OnnxRenderer } from '../../server/src/inference/OnnxRenderer.ts';
import type { OrtSessionOptions } from '../../server/src/inference/ort/OrtSession.ts';
import { measurePeer, type Peer } from './measurePeer.ts';
import { modelPath } from './modelPath.ts';
import { type Ceiling, measureCeiling } from './renderCeiling.ts';
import { measureLadder } from './renderLadder.ts';

interface Row {
  size: number;
  batch: number;
  framesPerSecond: number;
  msPerFrame: number;
  /** with the manifest's gflop per frame; absent where it names none */
  gflopPerSecond?: number;
  /** of the ceiling measured in the same run */
  shareOfCeiling?: number;
}

/**
 * Frames per second of the renderer alone: built-in avatars, moving motion, the median run. Beside it, in the same run,
 * what the device reaches with large dense operators (the ceiling) and a face-vid2vid-shaped network with LivePortrait's
 * channel counts (the peer), or what of it the device does in time. `--ladder` measures ONNX Runtime's session options
 * instead.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string' },
      device: { type: 'string' },
      sizes: { type: 'string', default: '128,256' },
      batches: { type: 'string' },
      /** each row runs so long, and at least twice */
      rowMs: { type: 'string', default: '1000' },
      /** or exactly so many times, for devices that take seconds for a picture: only each size's first row is warmed up */
      runs: { type: 'string' },
      /** runs under way at once; default what the renderer asks for */
      inFlight: { type: 'string' },
      'no-peer': { type: 'boolean', default: false },
      /** a run of the peer may be expected to take so long; where it takes longer a narrower one is timed */
      peerMs: { type: 'string', default: '60000' },
      /** neither ceiling nor peer */
      'only-rows': { type: 'boolean', default: false },
      ladder: { type: 'boolean', default: false },
    },
  });
  const data = await mkdtemp(join(tmpdir(), 'facewire-bench-'));
  const config = readConfig({
    ...process.env,
    FACEWIRE_DATA: data,
    FACEWIRE_DEVICE: values.device ?? process.env.FACEWIRE_DEVICE,
    ...modelPath(values.model),
  });
  const rowMs = Number(values.rowMs);
  const sizes = values.sizes.split(',').map(Number);
  try {
    if (values.ladder) return { ...(await measureLadder(config, sizes, rowMs)), ...machine(config) };
    const batches = (values.batches ?? (config.device.includes('cpu') ? '1,2,4,8' : '1,2,4,8,16,32,64'))
      .split(',')
      .map(Number);
    const inFlight = values.inFlight ? Number(values.inFlight) : undefined;
    const runs = values.runs ? Number(values.runs) : undefined;
    const { rows, ...what } = await measureRows(config, { sizes, batches, rowMs, inFlight, runs });
    if (values['only-rows']) return { bench: 'render', ...what, ...machine(config), rows };
    const device = openedDevice(what.device);
    const options = { device, threads: config.threads };
    const ceiling = await measureCeiling(options, 'float32', 2 * rowMs);
    console.log(JSON.stringify(ceiling));
    for (const row of rows) {
      if (row.gflopPerSecond === undefined) continue;
      row.shareOfCeiling = Number((row.gflopPerSecond / ceiling.gflopPerSecond).toPrecision(2));
    }
    const ceilingHalf = device.kind === 'cpu' ? undefined : await measureHalf(options, 2 * rowMs);
    const peer = values['no-peer']
      ? undefined
      : await measurePeer({ session: options, ceiling: ceiling.gflopPerSecond, limitMs: Number(values.peerMs), rowMs });
    const timesFaster = peer && 'msPerFrame' in peer ? timesFasterThan(peer, rows) : undefined;
    return { bench: 'render', ...what, ...machine(config), rows, ceiling, ceilingHalf, peer, timesFaster };
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

interface RowsOptions {
  sizes: readonly number[];
  batches: readonly number[];
  rowMs: number;
  inFlight: number | undefined;
  runs: number | undefined;
}

/**
 * A run that does not come back is given up after the one, and the other for each of its pictures: shaders are compiled and
 * pictures drawn in software, perhaps.
 */
const PATIENCE_MS = 600_000;
const PATIENCE_MS_A_PICTURE = 60_000;

/** The renderer at every size and batch. */
async function measureRows(config: Config, options: RowsOptions) {
  const { sizes, batches, rowMs, runs } = options;
  // It draws nothing: left to itself, it would take that for the time to measure the device, beside what is measured here.
  const engine = await openEngine({ ...config, device: 'cpu' }, { calibrate: false });
  // A renderer of its own: the engine's batches are as large as its device gains from.
  const renderer = await OnnxRenderer.create({
    package: engine.package,
    device: config.device,
    threads: config.threads,
    precision: config.precision,
    parityAvatars: engine.avatars
      .list()
      .slice(0, 3)
      .map(({ id }) => id),
    bankSlots: config.bankSlots,
    maxBatch: Math.max(...batches),
    sizes: sizes.filter((size) => engine.renderer.sizes.includes(size)),
    timeoutMs: PATIENCE_MS + PATIENCE_MS_A_PICTURE * Math.max(...batches),
    loadAvatar: (id) => engine.avatars.load(id),
    onFallback: (message) => console.log(message),
  });
  try {
    const ids = engine.avatars.list().map(({ id }) => id);
    const inFlight = options.inFlight ?? renderer.rendersInFlight;
    const gflopOf = (size: number) => engine.package.renderers.find((file) => file.size === size)?.gflop;
    await renderer.bank.ensure(ids.slice(0, Math.max(...batches)));
    const rows: Row[] = [];
    for (const size of renderer.sizes) {
      if (runs !== undefined) await warmUp(renderer, ids, size, batches);
      for (const batch of batches) {
        const msPerFrame = await measureFrame(renderer, ids, { size, batch, inFlight, rowMs, runs });
        const gflop = gflopOf(size);
        const row: Row = {
          size,
          batch,
          // In software a GPU draws less than one.
          framesPerSecond: round(1000 / msPerFrame, msPerFrame > 100 ? 3 : 1),
          msPerFrame: round(msPerFrame, 3),
        };
        if (gflop) row.gflopPerSecond = Number(((1000 * gflop) / msPerFrame).toPrecision(3));
        rows.push(row);
        console.log(JSON.stringify(row));
      }
    }
    return { model: renderer.model, device: renderer.device, precision: renderer.precision, inFlight, rows };
  } finally {
    await renderer.close();
    await engine.close();
  }
}

interface RowOptions {
  size: number;
  batch: number;
  inFlight: number;
  rowMs: number;
  runs: number | undefined;
}

/**
 * What a slow device does only once is done here, unseen: shaders are compiled for each operator and rank, with one picture
 * and with several, but not for each batch size.
 */
async function warmUp(renderer: OnnxRenderer, ids: readonly string[], size: number, batches: readonly number[]) {
  for (const batch of new Set(batches.map((batch) => Math.min(batch, 2)))) {
    await drawOnce(renderer, ids, { size, batch, frame: 0 });
  }
}

/** Draws pictures of the avatars in turn; resolves to the milliseconds that it took. */
async function drawOnce(
  renderer: OnnxRenderer,
  ids: readonly string[],
  { size, batch, frame }: { size: number; batch: number; frame: number },
): Promise<number> {
  const pictures = Array.from({ length: batch }, (_, item) => ({
    avatar: ids[item % ids.length]!,
    size,
    view: { yaw: 0.1 * (item % 8), pitch: 0 },
    motion: synthesizeMotion(frame / 30, item + 1),
  }));
  const startedAtMs = performance.now();
  const frames = await renderer.render(pictures, { i420: true, rgb: false });
  for (const frame of frames) frame.release?.();
  return performance.now() - startedAtMs;
}

/** Milliseconds a frame: of the median run, or with several in flight of all of them together. */
async function measureFrame(renderer: OnnxRenderer, ids: readonly string[], options: RowOptions): Promise<number> {
  const { size, batch, inFlight, rowMs, runs } = options;
  const draw = (frame: number) => drawOnce(renderer, ids, { size, batch, frame });
  // Warms the allocator up, which costs a slow device nothing that would be seen beside its pictures.
  if (runs === undefined) await Promise.all(Array.from({ length: inFlight }, (_, lane) => draw(lane)));
  const startedAtMs = performance.now();
  const times: number[] = [];
  const lane = async () => {
    const goesOn = (index: number) =>
      runs === undefined ? index < 3 || performance.now() < startedAtMs + rowMs : index <= runs;
    for (let index = 1; goesOn(index); index++) times.push(await draw(index));
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const elapsedMs = performance.now() - startedAtMs;
  const median = times.sort((a, b) => a - b)[times.length >> 1]!;
  return inFlight === 1 ? median / batch : elapsedMs / (times.length * batch);
}

/** Undefined where the device has no half precision: it says so itself. */
async function measureHalf(options: OrtSessionOptions, limitMs: number): Promise<Ceiling | undefined> {
  return measureCeiling(options, 'float16', limitMs).catch((error: unknown) => {
    if (!(error instanceof FacewireError)) throw error;
    console.log(`no ceiling of float16: ${error.message}`);
    return undefined;
  });
}

/** Frames/s of this model's best row of each size over the peer's. */
function timesFasterThan({ msPerFrame }: Peer, rows: readonly Row[]): Record<string, number> {
  const timesFaster: Record<string, number> = {};
  for (const { size, framesPerSecond } of rows) {
    timesFaster[size] = Math.max(timesFaster[size] ?? 0, round((framesPerSecond * msPerFrame) / 1000, 1));
  }
  return timesFaster;
}

function openedDevice(name: string): Device {
  return deviceCandidates(name, probeDevices())[0]!;
}

function machine(config: Config) {
  return { threads: config.threads, machine: cpus()[0]?.model, load: round(loadavg()[0]!, 1) };
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
