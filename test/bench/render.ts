import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FacewireError, synthesizeMotion } from '@facewire/proto';
import { type Config, openEngine, readConfig } from '@facewire/server';
import { type Device, deviceCandidates, probeDevices } from '../../server/src/inference/Device.ts';
import { OnnxRenderer } from '../../server/src/inference/OnnxRenderer.ts';
import { type Ceiling, measureCeiling } from './renderCeiling.ts';
import { type GraphSpeed, measureGraph } from './renderGraph.ts';
import { measureLadder } from './renderLadder.ts';
import { peerGraph } from './renderPeer.ts';

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

interface Peer {
  msPerFrame: number;
  gflopPerFrame: number;
  gflopPerSecond: number;
  shareOfCeiling: number;
  /** 5-D GridSample as published, or slice by slice where the device cannot */
  volumes: boolean;
  /** frames/s of this model's best row of each size over the peer's */
  timesFaster: Record<string, number>;
}

/**
 * Frames per second of the renderer alone: built-in avatars, moving motion, the median run. Beside it, in the same run,
 * what the device reaches with large dense operators (the ceiling) and a face-vid2vid-shaped network with LivePortrait's
 * channel counts (the peer). `--ladder` measures ONNX Runtime's session options instead.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string' },
      device: { type: 'string' },
      sizes: { type: 'string', default: '128,256' },
      batches: { type: 'string' },
      /** each row runs so long */
      rowMs: { type: 'string', default: '1000' },
      'no-peer': { type: 'boolean', default: false },
      ladder: { type: 'boolean', default: false },
    },
  });
  const data = await mkdtemp(join(tmpdir(), 'facewire-bench-'));
  const config = readConfig({
    ...process.env,
    FACEWIRE_DATA: data,
    FACEWIRE_DEVICE: values.device ?? process.env.FACEWIRE_DEVICE,
    ...(values.model && { FACEWIRE_MODEL: fileURLToPath(new URL(`../../models/${values.model}`, import.meta.url)) }),
  });
  const rowMs = Number(values.rowMs);
  const sizes = values.sizes.split(',').map(Number);
  try {
    if (values.ladder) return { ...(await measureLadder(config, sizes, rowMs)), ...machine(config) };
    const batches = (values.batches ?? (config.device.includes('cpu') ? '1,2,4,8' : '1,2,4,8,16,32,64'))
      .split(',')
      .map(Number);
    const { rows, ...what } = await measureRows(config, sizes, batches, rowMs);
    const device = openedDevice(what.device);
    const options = { device, threads: config.threads };
    const ceiling = await measureCeiling(options, 'float32', 2 * rowMs);
    for (const row of rows) {
      if (row.gflopPerSecond === undefined) continue;
      row.shareOfCeiling = round(row.gflopPerSecond / ceiling.gflopPerSecond, 3);
    }
    const half = device.kind === 'cpu' ? undefined : await measureCeiling(options, 'float16', 2 * rowMs);
    const peer = values['no-peer'] ? undefined : await measurePeer(options, ceiling, rows, rowMs);
    return { bench: 'render', ...what, ...machine(config), rows, ceiling, ceilingHalf: half, peer };
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

/** The renderer at every size and batch. */
async function measureRows(config: Config, sizes: readonly number[], batches: readonly number[], rowMs: number) {
  const engine = await openEngine({ ...config, device: 'cpu' });
  // A renderer of its own: the engine's batches are as large as its device gains from.
  const renderer = await OnnxRenderer.create({
    package: engine.package,
    device: config.device,
    threads: config.threads,
    bankSlots: config.bankSlots,
    maxBatch: Math.max(...batches),
    sizes: sizes.filter((size) => engine.renderer.sizes.includes(size)),
    loadAvatar: (id) => engine.avatars.load(id),
  });
  try {
    const ids = engine.avatars.list().map(({ id }) => id);
    const gflopOf = (size: number) => engine.package.renderers.find((file) => file.size === size)?.gflop;
    const rows: Row[] = [];
    for (const size of renderer.sizes) {
      for (const batch of batches) {
        const msPerFrame = (await medianMs(renderer, ids, size, batch, rowMs)) / batch;
        const gflop = gflopOf(size);
        const row: Row = {
          size,
          batch,
          framesPerSecond: round(1000 / msPerFrame, 1),
          msPerFrame: round(msPerFrame, 3),
        };
        if (gflop) row.gflopPerSecond = round((1000 * gflop) / msPerFrame, 2);
        rows.push(row);
        console.log(JSON.stringify(row));
      }
    }
    return { model: renderer.model, device: renderer.device, rows };
  } finally {
    await renderer.close();
    await engine.close();
  }
}

async function medianMs(
  renderer: OnnxRenderer,
  ids: readonly string[],
  size: number,
  batch: number,
  rowMs: number,
): Promise<number> {
  const times: number[] = [];
  const untilMs = performance.now() + rowMs;
  for (let index = 0; index < 3 || performance.now() < untilMs; index++) {
    const pictures = Array.from({ length: batch }, (_, item) => ({
      avatar: ids[item % ids.length]!,
      size,
      view: { yaw: 0.1 * (item % 8), pitch: 0 },
      motion: synthesizeMotion(index / 30, item + 1),
    }));
    const startedAtMs = performance.now();
    await renderer.render(pictures, { i420: true, rgb: false });
    // The first run loads avatars and warms the allocator up.
    if (index >= 1) times.push(performance.now() - startedAtMs);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1]!;
}

async function measurePeer(
  options: { device: Device; threads: number },
  ceiling: Ceiling,
  rows: readonly Row[],
  rowMs: number,
): Promise<Peer> {
  const measure = async (volumes: boolean): Promise<GraphSpeed & { volumes: boolean }> => {
    const { writer, output } = peerGraph(1, volumes);
    return { ...(await measureGraph(writer, output, options, rowMs, 1)), volumes };
  };
  const speed = await measure(true).catch((error: unknown) => {
    if (!(error instanceof FacewireError)) throw error;
    console.log(`the peer's 5-D GridSample does not run here, so slice by slice: ${error.message}`);
    return measure(false);
  });
  const timesFaster: Record<string, number> = {};
  for (const { size, framesPerSecond } of rows) {
    const times = round((framesPerSecond * speed.ms) / 1000, 1);
    timesFaster[size] = Math.max(timesFaster[size] ?? 0, times);
  }
  return {
    msPerFrame: round(speed.ms, 1),
    gflopPerFrame: round(speed.gflop, 1),
    gflopPerSecond: round(speed.gflopPerSecond, 1),
    shareOfCeiling: round(speed.gflopPerSecond / ceiling.gflopPerSecond, 3),
    volumes: speed.volumes,
    timesFaster,
  };
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
