/**
 * Draws with ONNX Runtime's CUDA provider over the double of the runtime, and prints what came of it as the last line. Its
 * libraries must be found when the process starts, so that cudaRuntime.test.ts starts this one and reads the double's log.
 */
import { appendFileSync } from 'node:fs';
import { neutralMotion } from '@facewire/proto';
import { ModelPackage } from '../../../server/src/inference/ModelPackage.ts';
import { OnnxRenderer } from '../../../server/src/inference/OnnxRenderer.ts';
import { RecordingGate } from '../../../server/src/inference/RecordingGate.ts';
import { tinyAvatar } from '../../../server/src/inference/testdata/tinyAvatar.ts';

const [modelPath, what] = process.argv.slice(2) as [string, 'recorded' | 'plain' | 'apart' | 'together'];
const model = await ModelPackage.load(modelPath);
const warnings: string[] = [];

const open = (device: string, gate = new RecordingGate(), graphs = true) =>
  OnnxRenderer.create({
    package: model,
    device,
    gate,
    graphs,
    maxBatch: 8,
    loadAvatar: async (id) => tinyAvatar(id, Number(id)),
    onFallback: (message) => warnings.push(message),
  });

async function draw(renderer: OnnxRenderer, count: number): Promise<void> {
  const picture = { avatar: '0.5', size: 16, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
  const frames = await renderer.render(Array(count).fill(picture), { i420: true, rgb: true });
  for (const frame of frames) frame.release?.();
}

/** Many batches of eight, two in flight, after the first ones, which record where graphs are wanted. */
async function flight(graphs: boolean): Promise<unknown> {
  const renderer = await open('cuda', undefined, graphs);
  await Promise.all([draw(renderer, 8), draw(renderer, 8)]);
  const before = renderer.counters;
  let left = 16;
  const lane = async () => {
    while (left-- > 0) await draw(renderer, 8);
  };
  appendFileSync(process.env.DOUBLE_LOG!, 'mark begin\n');
  await Promise.all([lane(), lane()]);
  appendFileSync(process.env.DOUBLE_LOG!, 'mark end\n');
  const { counters } = renderer;
  await renderer.close();
  const grown = (name: 'pictures' | 'inputBytesToDevice' | 'bytesFromDevice') => counters[name] - before[name];
  return {
    pictures: grown('pictures'),
    inputBytes: grown('inputBytesToDevice'),
    frameBytes: grown('bytesFromDevice'),
    bankBytesRecopied: counters.bankBytesRecopied,
  };
}

/** Two devices that record ever larger batches and draw them, each at its own pace, kept apart or not. */
async function devices(apart: boolean): Promise<unknown> {
  const common = new RecordingGate();
  const renderers = [await open('cuda:0', common), await open('cuda:1', apart ? common : undefined)];
  let failed = 0;
  const busy = renderers.map(async (renderer) => {
    for (const count of [1, 2, 3, 4, 6, 8]) {
      for (let time = 0; time < 6; time++) await draw(renderer, count).catch(() => failed++);
    }
  });
  await Promise.all(busy);
  await Promise.all(renderers.map((renderer) => renderer.close()));
  return { failed };
}

const isFlight = what === 'recorded' || what === 'plain';
const result = isFlight ? await flight(what === 'recorded') : await devices(what === 'apart');
console.log(JSON.stringify({ result, warnings }));
