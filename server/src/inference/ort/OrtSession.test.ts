import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainMemory } from './HostMemory.ts';
import { OrtRuntime } from './OrtRuntime.ts';
import { OrtSession } from './OrtSession.ts';
import { OrtTensor } from './OrtTensor.ts';

const model = (file: string) => fileURLToPath(new URL(`../testdata/tiny/${file}`, import.meta.url));
const options = { device: { kind: 'cpu', index: 0 }, threads: 1 } as const;

const portraitInputs = () => ({
  portrait: OrtTensor.host('uint8', [512, 512, 3]),
  landmarks: OrtTensor.host('float32', [68, 2]),
});
const picture32 = () => OrtTensor.host('float32', [3, 32, 32]);

describe('ONNX Runtime through its C API', () => {
  let encoder: OrtSession;
  beforeAll(async () => {
    encoder = await OrtSession.open(model('encoder.onnx'), options);
  });
  afterAll(() => encoder.close());

  it('is the library that onnxruntime-node ships, with the CPU provider', () => {
    expect(OrtRuntime.get().version).toMatch(/^1\.\d+\.\d+$/);
    expect(OrtRuntime.get().availableProviders()).toContain('CPUExecutionProvider');
  });

  it("tells a graph's inputs and outputs with types, sizes and symbolic dimensions", async () => {
    expect(encoder.inputs).toEqual([
      { name: 'portrait', dtype: 'uint8', shape: [512, 512, 3] },
      { name: 'landmarks', dtype: 'float32', shape: [68, 2] },
    ]);
    const renderer = await OrtSession.open(model('renderer-16.onnx'), options);
    expect(renderer.inputs[0]).toEqual({ name: 'bank.picture', dtype: 'float32', shape: ['S', 3, 32, 32] });
    expect(renderer.outputs).toEqual([
      { name: 'rgb', dtype: 'uint8', shape: ['B', 16, 16, 3] },
      { name: 'i420', dtype: 'uint8', shape: ['B', 24, 16] },
    ]);
    renderer.close();
  });

  it('computes into the tensors that are named, again and again', async () => {
    const portrait = OrtTensor.host('uint8', [512, 512, 3]);
    const landmarks = OrtTensor.host('float32', [68, 2]);
    const picture = OrtTensor.host('float32', [3, 32, 32]);
    const points = OrtTensor.host('float32', [68, 2]);
    for (const value of [51, 204]) {
      portrait.data!.fill(value);
      await encoder.run({ inputs: { portrait, landmarks }, outputs: { picture, points } });
      const result = new Float32Array(picture.data!.buffer);
      expect(result[0]).toBeCloseTo(value / 255, 5);
      expect(result[3 * 32 * 32 - 1]).toBeCloseTo(value / 255, 5);
    }
    for (const tensor of [portrait, landmarks, picture, points]) tensor.close();
  });

  it('runs in place from and into tensors that are bound once', async () => {
    const inputs = portraitInputs();
    const picture = picture32();
    const binding = encoder.bind({ inputs, outputs: { picture } });
    for (const value of [51, 204]) {
      inputs.portrait.data!.fill(value);
      await encoder.runBound(binding);
      expect(new Float32Array(picture.data!.buffer)[0]).toBeCloseTo(value / 255, 5);
    }
    binding.close();
    binding.close();
    await expect(encoder.runBound(binding)).rejects.toMatchObject({ code: 'inference_failed' });
  });

  it("binds nothing that the graph lacks, with ONNX Runtime's message, and nothing that lies elsewhere", async () => {
    const outputs = { picture: picture32() };
    const unknown = { ...portraitInputs(), 'no such input': OrtTensor.host('uint8', [1]) };
    expect(() => encoder.bind({ inputs: unknown, outputs })).toThrow(/no such input/);
    const elsewhere = Object.create(outputs.picture, { data: { value: undefined } }) as OrtTensor;
    expect(() => encoder.bind({ inputs: portraitInputs(), outputs: { picture: elsewhere } })).toThrow(RangeError);
    const small = { ...portraitInputs(), portrait: OrtTensor.host('uint8', [4, 4, 3]) };
    const binding = encoder.bind({ inputs: small, outputs });
    await expect(encoder.runBound(binding)).rejects.toThrow(/portrait/);
    binding.close();
  });

  it('leaves the event loop free while it computes', async () => {
    // 40 times a 512² portrait: many milliseconds of work, during which a timer must fire.
    const portraits = Array.from({ length: 40 }, () => ({
      inputs: portraitInputs(),
      outputs: { picture: picture32() },
    }));
    let done = false;
    const runs = Promise.all(portraits.map((tensors) => encoder.run(tensors))).then(() => {
      done = true;
    });
    const firedBefore = await new Promise<boolean>((resolve) => setImmediate(() => resolve(!done)));
    expect(firedBefore).toBe(true);
    await runs;
  });

  it("reports ONNX Runtime's own message as inference_failed", async () => {
    await expect(OrtSession.open(model('absent.onnx'), options)).rejects.toMatchObject({
      code: 'inference_failed',
      message: expect.stringContaining('absent.onnx'),
    });
    await expect(OrtSession.open(new Uint8Array([1, 2, 3, 4]), options)).rejects.toMatchObject({
      code: 'inference_failed',
    });
    const inputs = portraitInputs();
    const outputs = { picture: picture32() };
    const small = { ...inputs, portrait: OrtTensor.host('uint8', [4, 4, 3]) };
    await expect(encoder.run({ inputs: small, outputs })).rejects.toMatchObject({
      code: 'inference_failed',
      message: expect.stringContaining('portrait'),
    });
    const unknown = { ...inputs, 'no such input': OrtTensor.host('uint8', [1]) };
    await expect(encoder.run({ inputs: unknown, outputs })).rejects.toThrow(/no such input/);
  });

  it('closes twice, and after the run under way', async () => {
    const session = await OrtSession.open(await readFile(model('encoder.onnx')), options);
    const picture = picture32();
    const tensors = { inputs: portraitInputs(), outputs: { picture } };
    new Float32Array(picture.data!.buffer).fill(7);
    const run = session.run(tensors);
    session.close();
    session.close();
    await run;
    expect(new Float32Array(picture.data!.buffer)[0]).toBe(0);
    await expect(session.run(tensors)).rejects.toMatchObject({
      code: 'inference_failed',
      message: expect.stringContaining('closed'),
    });
  });

  it('refuses a tensor that its buffer cannot hold', () => {
    expect(() => OrtTensor.over(plainMemory(8), 'float32', [3])).toThrow(RangeError);
  });
});
