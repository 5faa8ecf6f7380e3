import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { DeviceThread } from './DeviceThread.ts';
import { allocatedMemory } from './HostMemory.ts';
import { OrtRuntime } from './OrtRuntime.ts';
import { OrtSession } from './OrtSession.ts';
import { OrtTensor } from './OrtTensor.ts';

const model = fileURLToPath(new URL('../testdata/tiny/encoder.onnx', import.meta.url));
const cpu = { kind: 'cpu', index: 0 } as const;

function encoding(portrait: OrtTensor) {
  const picture = OrtTensor.host('float32', [3, 32, 32]);
  const inputs = { portrait, landmarks: OrtTensor.host('float32', [68, 2]) };
  return { tensors: { inputs, outputs: { picture } }, result: () => new Float32Array(picture.data!.buffer)[0] };
}

it("runs graphs on a thread of its own, in order, with the event loop free, and passes on ONNX Runtime's errors", async () => {
  const thread = new DeviceThread();
  const session = await OrtSession.open(model, { device: cpu, threads: 1, thread });
  const portrait = OrtTensor.host('uint8', [512, 512, 3]);
  portrait.data!.fill(51);
  const { tensors, result } = encoding(portrait);
  const wrong = encoding(OrtTensor.host('uint8', [4, 4, 3]));
  const order: string[] = [];
  const failed = session.run(wrong.tensors).catch((error) => order.push(error.message));
  const binding = session.bind(tensors);
  await Promise.all([
    failed,
    session.run(tensors).then(() => order.push('run 1')),
    session.runBound(binding, 2).then(() => order.push('run 2')),
  ]);
  expect(order).toEqual([expect.stringContaining('portrait'), 'run 1', 'run 2']);
  expect(result()).toBeCloseTo(0.2, 5);
  binding.close();
  session.close();
  thread.close();
  thread.close();
  await expect(thread.call('Run', [])).rejects.toMatchObject({ code: 'inference_failed' });
});

it('tensors may lie in memory of an allocator, as pinned memory does', async () => {
  const runtime = OrtRuntime.get();
  const memory = allocatedMemory(runtime.allocator, runtime.hostMemory, 512 * 512 * 3);
  const session = await OrtSession.open(model, { device: cpu, threads: 1 });
  const portrait = OrtTensor.over(memory, 'uint8', [512, 512, 3]);
  const { tensors, result } = encoding(portrait);
  await session.run(tensors);
  expect(result()).toBe(0);
  new Uint8Array(memory.buffer).fill(102);
  await session.run(tensors);
  expect(result()).toBeCloseTo(0.4, 5);
  session.close();
  portrait.close();
  memory.close();
  memory.close();
});
