/**
 * `npm run gpu:check -- [--device D] [--size S] [--batches 1,4,8] [--frames N] [--runs N] [--patience SECONDS] [--json]`:
 * whether this machine's device draws what the CPU draws, keeps the avatars, and how fast. Ends with 0 when all is well,
 * 1 when something is wrong.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { FacewireError, synthesizeMotion } from '@facewire/proto';
import { readConfig } from '../src/config.ts';
import type { Picture, RenderedPicture, Renderer, RenderWanted } from '../src/contracts.ts';
import { openEngine } from '../src/engine.ts';
import { type DeviceFacts, deviceCandidates, deviceName, probeDevices, splitDevices } from '../src/inference/Device.ts';
import { OnnxRenderer, type OnnxRendererCounters } from '../src/inference/OnnxRenderer.ts';
import { OrtRuntime } from '../src/inference/ort/OrtRuntime.ts';
import { compareFrames, type FrameDifference, PARITY_TOLERANCE } from '../src/inference/parity.ts';
import { findProblems, INPUT_BYTES, type Problem } from './gpuProblems.ts';

export interface GpuCheckOptions {
  device: string;
  /** undefined: the model's middle size */
  size: number | undefined;
  batches: readonly number[];
  /** runs timed for each batch size */
  runs: number;
  /** pictures compared with the CPU */
  compared: number;
  /** when a run that does not come back is given up; default 600 s, as a software device compiles and draws for minutes */
  timeoutMs?: number;
}

const PATIENCE_MS = 600_000;

export interface GpuCheckReport {
  check: 'gpu';
  ok: boolean;
  onnxruntime: string;
  facts: DeviceFacts;
  asked: string;
  /** undefined when none opened */
  device?: string;
  size?: number;
  parity?: FrameDifference & { pictures: number; tolerance: typeof PARITY_TOLERANCE; kept: boolean };
  residency?: { bytesInPerPicture: number; expected: number; bytesOutPerPicture: number; avatarUploads: number };
  speed?: { batch: number; framesPerSecond: number; msPerBatch: number }[];
  problems: Problem[];
  machine: string | undefined;
}

const BOTH: RenderWanted = { i420: true, rgb: true };
const VIDEO: RenderWanted = { i420: true, rgb: false };

export async function gpuCheck(options: GpuCheckOptions, say: (line: string) => void): Promise<GpuCheckReport> {
  const runtime = OrtRuntime.get();
  const facts = probeDevices(runtime);
  say(`ONNX Runtime ${runtime.version} offers ${facts.providers.join(', ')}`);
  say(`CUDA provider's library: ${facts.cudaLibrary ? 'installed' : 'not installed (npm run setup:cuda)'}`);
  const report: GpuCheckReport = {
    check: 'gpu',
    ok: false,
    onnxruntime: runtime.version,
    facts,
    asked: options.device,
    problems: [],
    machine: cpus()[0]?.model,
  };
  const data = await mkdtemp(join(tmpdir(), 'facewire-gpu-check-'));
  try {
    await checkDevice(options, data, report, say);
  } catch (error) {
    if (!(error instanceof FacewireError)) throw error;
    report.problems.push({ code: error.code, message: error.message, remedy: error.remedy ?? 'see docs/gpu.md' });
  } finally {
    await rm(data, { recursive: true, force: true });
  }
  report.problems.push(...findProblems(report));
  report.ok = report.problems.length === 0;
  return report;
}

async function checkDevice(
  options: GpuCheckOptions,
  data: string,
  report: GpuCheckReport,
  say: (line: string) => void,
): Promise<void> {
  if (splitDevices(options.device).length > 1) {
    throw new FacewireError('config_invalid', `gpu:check looks at one device at a time, not at ${options.device}`, {
      received: options.device,
      remedy: `pass --device ${splitDevices(options.device)[0]}, then the others`,
    });
  }
  // Says at once what is missing, before the reference is opened.
  const [first] = deviceCandidates(options.device, report.facts);
  const wanted = readConfig(process.env);
  // What every device is compared with: the CPU's full precision.
  const config = { ...wanted, dataDir: data, device: 'cpu', precision: 'float32' as const, logLevel: 'silent' };
  // It would measure the CPU beside what is measured here.
  const reference = await openEngine(config, { calibrate: false });
  let renderer: OnnxRenderer | undefined;
  const said: string[] = [];
  try {
    const { sizes } = reference.renderer;
    const size = options.size ?? sizes[sizes.length >> 1]!;
    renderer = await OnnxRenderer.create({
      package: reference.package,
      device: options.device,
      threads: config.threads,
      // The CPU is held against itself: that is not the place to judge its int8.
      precision: first!.kind === 'cpu' && wanted.precision === 'auto' ? 'float32' : wanted.precision,
      parityAvatars: reference.avatars
        .list()
        .slice(0, 3)
        .map(({ id }) => id),
      maxBatch: Math.max(...options.batches),
      sizes: [size],
      timeoutMs: options.timeoutMs ?? PATIENCE_MS,
      loadAvatar: (id) => reference.avatars.load(id),
      onFallback: (message) => {
        said.push(message);
        say(message);
      },
    });
    // A precision that was not kept is no problem: float32 draws.
    if (renderer.device !== deviceName(first!)) {
      report.problems.push({
        code: 'fell_back',
        message: said.join('; '),
        remedy: 'name the device with --device to see the whole reason',
      });
    }
    report.device = renderer.device;
    report.size = size;
    const avatars = reference.avatars.list().map(({ id }) => id);
    say(`opened ${renderer.device}; drawing ${avatars.length} avatars at ${size}²`);

    const pictures = picturesOf(avatars, size, options.compared, 0);
    const drawn = await drawAll(renderer, pictures, BOTH);
    const expected = await drawAll(reference.renderer, pictures, BOTH);
    const difference = compareFrames(drawn, expected);
    const kept = difference.mean <= PARITY_TOLERANCE.mean && difference.farShare <= PARITY_TOLERANCE.farShare;
    report.parity = { ...difference, pictures: pictures.length, tolerance: PARITY_TOLERANCE, kept };
    say(
      `against the CPU over ${pictures.length} pictures: mean difference ${difference.mean} of 255, most ${difference.max}, ${percent(difference.farShare)} more than 16 off`,
    );

    // All avatars are in from here on: an upload that the counters show below is one too many.
    await renderer.bank.ensure(avatars);
    const before = renderer.counters;
    report.speed = await measureSpeed(renderer, avatars, size, options, say);
    report.residency = residencySince(before, renderer.counters);
    const { bytesInPerPicture, bytesOutPerPicture, avatarUploads } = report.residency;
    say(
      `per picture ${bytesInPerPicture} bytes up, ${bytesOutPerPicture} down; ${avatarUploads} avatars uploaded again`,
    );
  } finally {
    await renderer?.close();
    await reference.close();
  }
}

async function measureSpeed(
  renderer: OnnxRenderer,
  avatars: readonly string[],
  size: number,
  { batches, runs }: GpuCheckOptions,
  say: (line: string) => void,
): Promise<NonNullable<GpuCheckReport['speed']>> {
  const rows = [];
  for (const batch of batches) {
    const times: number[] = [];
    // The first run of a batch size allocates, and compiles shaders on some devices.
    for (let index = 0; index <= runs; index++) {
      const pictures = picturesOf(avatars, size, batch, index);
      const startedAtMs = performance.now();
      await renderer.render(pictures, VIDEO);
      if (index > 0) times.push(performance.now() - startedAtMs);
    }
    const msPerBatch = times.sort((a, b) => a - b)[times.length >> 1]!;
    const row = { batch, framesPerSecond: round((1000 * batch) / msPerBatch), msPerBatch: round(msPerBatch) };
    say(`batch ${batch}: ${row.framesPerSecond} frames/s, ${row.msPerBatch} ms a run`);
    rows.push(row);
  }
  return rows;
}

function residencySince(before: OnnxRendererCounters, after: OnnxRendererCounters) {
  const pictures = after.pictures - before.pictures;
  const up = after.inputBytesToDevice + after.bankBytesRecopied - before.inputBytesToDevice - before.bankBytesRecopied;
  return {
    bytesInPerPicture: round(up / pictures),
    expected: INPUT_BYTES,
    bytesOutPerPicture: round((after.bytesFromDevice - before.bytesFromDevice) / pictures),
    avatarUploads: after.loads - before.loads,
  };
}

/** Every avatar by turns, talking, seen from several sides. */
function picturesOf(avatars: readonly string[], size: number, count: number, at: number): Picture[] {
  return Array.from({ length: count }, (_, index) => ({
    avatar: avatars[index % avatars.length]!,
    size,
    view: { yaw: 0.15 * ((index % 5) - 2), pitch: 0.1 * ((index % 3) - 1) },
    motion: synthesizeMotion(0.7 + at / 30 + index, index + 1),
  }));
}

async function drawAll(
  renderer: Renderer,
  pictures: readonly Picture[],
  wanted: RenderWanted,
): Promise<RenderedPicture[]> {
  const frames: RenderedPicture[] = [];
  for (let from = 0; from < pictures.length; from += renderer.maxBatch) {
    frames.push(...(await renderer.render(pictures.slice(from, from + renderer.maxBatch), wanted)));
  }
  return frames;
}

function percent(share: number): string {
  return `${round(100 * share)} %`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: {
      device: { type: 'string', default: process.env.FACEWIRE_DEVICE ?? 'auto' },
      size: { type: 'string' },
      batches: { type: 'string', default: '1,4,8' },
      frames: { type: 'string', default: '12' },
      runs: { type: 'string', default: '20' },
      /** seconds after which a run is given up */
      patience: { type: 'string', default: String(PATIENCE_MS / 1000) },
      json: { type: 'boolean', default: false },
    },
  });
  const report = await gpuCheck(
    {
      device: values.device,
      size: values.size === undefined ? undefined : Number(values.size),
      batches: values.batches.split(',').map(Number),
      runs: Number(values.runs),
      compared: Number(values.frames),
      timeoutMs: 1000 * Number(values.patience),
    },
    (line) => console.log(line),
  );
  for (const { message, remedy } of report.problems) console.log(`problem: ${message}\n  remedy: ${remedy}`);
  console.log(report.ok ? `${report.device} is ready` : 'not ready: see the problems above and docs/gpu.md');
  if (values.json) console.log(JSON.stringify(report));
  process.exit(report.ok ? 0 : 1);
}
