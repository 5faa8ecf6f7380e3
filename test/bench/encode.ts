import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { type FrameCodec, synthesizeMotion } from '@facewire/proto';
import { openEngine, readConfig } from '@facewire/server';
import type { RenderedPicture, VideoEncoder } from '../../server/src/contracts.ts';
import { createEncoderFactory } from '../../server/src/encoder/index.ts';
import { modelPath } from './modelPath.ts';

/** Frames drawn for it; encoders go through them to and fro. */
const FRAMES = 45;
const FRAMES_PER_SECOND = 30;

export interface EncodeRow {
  codec: FrameCodec;
  size: number;
  /** Node's worker threads, on which frames are encoded */
  threads: number;
  encoders: number;
  /** of all encoders together */
  framesPerSecond: number;
  /** processor time of the whole process, all threads */
  cpuMsPerFrame: number;
  bytesPerFrame: number;
}

/**
 * Frames a second that the video encoders reach on this machine when nothing else is done: many streams at once, each
 * with an encoder of its own, of a talking face. Node's worker threads are counted from its start: every row is a process.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      codec: { type: 'string', default: 'vp8' },
      sizes: { type: 'string', default: '128,256' },
      threads: { type: 'string', default: '1,2,4' },
      encoders: { type: 'string', default: '8' },
      seconds: { type: 'string', default: '3' },
      /** a folder of models/ that draws the face */
      model: { type: 'string', default: 'warp' },
      /** measures one row in this process */
      row: { type: 'boolean', default: false },
    },
  });
  const { codec, model } = values;
  const [encoders, seconds] = [Number(values.encoders), Number(values.seconds)];
  if (values.row) return measure(codec as FrameCodec, Number(values.sizes), { encoders, seconds, model });
  const rows: EncodeRow[] = [];
  for (const size of values.sizes.split(',')) {
    for (const threads of values.threads.split(',')) {
      const row = await inProcess(threads, [
        ...['encode', '--json', '--row', '--codec', codec, '--sizes', size],
        ...['--encoders', values.encoders, '--seconds', values.seconds, '--model', model],
      ]);
      console.log(JSON.stringify(row));
      rows.push(row);
    }
  }
  const machine = { machine: cpus()[0]?.model, cores: availableParallelism(), load: round(loadavg()[0]!, 1) };
  return { bench: 'encode', rows, ...machine };
}

async function inProcess(threads: string, args: readonly string[]): Promise<EncodeRow> {
  const tsx = createRequire(import.meta.url).resolve('tsx');
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const env = { ...process.env, UV_THREADPOOL_SIZE: threads };
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', tsx, main, ...args], { env });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as EncodeRow;
}

async function measure(
  codec: FrameCodec,
  size: number,
  { encoders: count, seconds, model }: { encoders: number; seconds: number; model: string },
): Promise<EncodeRow> {
  const frames = await draw(size, model);
  const factory = await createEncoderFactory();
  const encoders = Array.from({ length: count }, () => factory.create(codec, size, FRAMES_PER_SECOND));
  // The key frame, and what is allocated with it, is not counted.
  for (const encoder of encoders) await encoder.encode(frames[0]!, { keyFrame: true, timestampMs: 0 });
  const startedAtMs = performance.now();
  const cpu = process.cpuUsage();
  const done = await Promise.all(encoders.map((encoder) => encodeUntil(encoder, frames, startedAtMs + 1000 * seconds)));
  const elapsedMs = performance.now() - startedAtMs;
  const { user, system } = process.cpuUsage(cpu);
  for (const encoder of encoders) encoder.close();
  const total = done.reduce((sum, each) => sum + each.frames, 0);
  const bytes = done.reduce((sum, each) => sum + each.bytes, 0);
  return {
    codec,
    size,
    threads: Number(process.env.UV_THREADPOOL_SIZE ?? 4),
    encoders: count,
    framesPerSecond: Math.round((1000 * total) / elapsedMs),
    cpuMsPerFrame: round((user + system) / 1000 / total, 3),
    bytesPerFrame: Math.round(bytes / total),
  };
}

async function encodeUntil(encoder: VideoEncoder, frames: readonly RenderedPicture[], endMs: number) {
  let [count, bytes] = [0, 0];
  while (performance.now() < endMs) {
    count++;
    const at = count % (2 * FRAMES - 2);
    const picture = frames[at < FRAMES ? at : 2 * FRAMES - 2 - at]!;
    const options = { keyFrame: false, timestampMs: (1000 * count) / FRAMES_PER_SECOND };
    bytes += (await encoder.encode(picture, options)).data.length;
  }
  return { frames: count, bytes };
}

async function draw(size: number, model: string): Promise<RenderedPicture[]> {
  const data = await mkdtemp(join(tmpdir(), 'facewire-encode-'));
  const config = readConfig({ ...process.env, FACEWIRE_DATA: data, FACEWIRE_DEVICE: 'cpu', ...modelPath(model) });
  const engine = await openEngine(config);
  try {
    const avatar = engine.avatars.list()[0]!.id;
    const frames: RenderedPicture[] = [];
    for (let index = 0; index < FRAMES; index++) {
      const motion = synthesizeMotion(index / FRAMES_PER_SECOND, 1);
      const picture = { avatar, size, view: { yaw: 0, pitch: 0 }, motion };
      frames.push(...(await engine.renderer.render([picture], { i420: true, rgb: false })));
    }
    return frames;
  } finally {
    await engine.close();
    await rm(data, { recursive: true, force: true });
  }
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
