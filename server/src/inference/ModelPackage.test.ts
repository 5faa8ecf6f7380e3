import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelPackage } from './ModelPackage.ts';
import type { Manifest } from './manifest.ts';
import { TINY_ID, TINY_MODEL } from './testdata/tinyAvatar.ts';

const CPU = { device: { kind: 'cpu', index: 0 }, threads: 1 } as const;

describe('ModelPackage', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'facewire-model-'));
    await cp(TINY_MODEL, directory, { recursive: true });
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function edit(change: (manifest: Manifest) => void): Promise<void> {
    const path = join(directory, 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest;
    change(manifest);
    await writeFile(path, JSON.stringify(manifest));
  }

  it('loads a whole package', async () => {
    const model = await ModelPackage.load(directory);
    expect(model.id).toBe(TINY_ID);
    expect(model.renderers.map(({ size }) => size)).toEqual([16, 32]);
    expect(model.encoder.file).toBe('encoder.onnx');
    for (const file of [model.encoder, ...model.renderers]) (await model.open(file, CPU)).close();
  });

  it('names the file that is missing', async () => {
    await rm(join(directory, 'renderer-16.onnx'));
    await expect(ModelPackage.load(directory)).rejects.toMatchObject({
      code: 'model_missing',
      message: expect.stringContaining('renderer-16.onnx'),
      remedy: expect.any(String),
    });
    await expect(ModelPackage.load(join(directory, 'nowhere'))).rejects.toMatchObject({ code: 'model_missing' });
  });

  it('notices a changed byte', async () => {
    const path = join(directory, 'encoder.onnx');
    const bytes = await readFile(path);
    bytes[100]! ^= 1;
    await writeFile(path, bytes);
    await expect(ModelPackage.load(directory)).rejects.toMatchObject({
      code: 'model_corrupt',
      message: expect.stringContaining('encoder.onnx'),
    });
  });

  it('says which part of a manifest is malformed', async () => {
    await writeFile(join(directory, 'manifest.json'), '{"format": 1,');
    await expect(ModelPackage.load(directory)).rejects.toMatchObject({ code: 'model_corrupt' });
    await cp(TINY_MODEL, directory, { recursive: true });
    await edit((manifest) => {
      manifest.files[1]!.file = '../../etc/passwd';
    });
    await expect(ModelPackage.load(directory)).rejects.toMatchObject({
      code: 'model_corrupt',
      message: expect.stringContaining('files.1.file'),
      received: '../../etc/passwd',
    });
  });

  const breaches: [string, (manifest: Manifest) => void, string][] = [
    ['a swapped coefficient', (m) => m.expressionNames.splice(0, 2, m.expressionNames[1]!, 'x'), 'expressionNames[0]'],
    ['a missing coefficient', (m) => m.expressionNames.pop(), 'expressionNames[51] is absent, expected tongueOut'],
    ['no encoder', (m) => m.files.shift(), '0 files have the role encoder'],
    ['no renderer', (m) => m.files.splice(1, 2), 'no file has the role renderer'],
    ['a missing input', (m) => m.files[1]!.inputs.pop(), 'input view is missing, expected float32 [B,2]'],
    ['another type', (m) => Object.assign(m.files[1]!.inputs[1]!, { dtype: 'int32' }), 'slots is int32 [B]'],
    [
      'another output',
      (m) => Object.assign(m.files[1]!.outputs[0]!, { shape: ['B', 8, 8, 3] }),
      'rgb is uint8 [B,8,8,3]',
    ],
    ['a stray input', (m) => m.files[1]!.inputs.push({ name: 'time', dtype: 'float32', shape: [1] }), 'input time'],
  ];
  for (const [what, change, message] of breaches) {
    it(`refuses a manifest with ${what}`, async () => {
      await edit(change);
      await expect(ModelPackage.load(directory)).rejects.toMatchObject({
        code: 'model_mismatch',
        message: expect.stringContaining(message),
      });
    });
  }

  it('refuses a graph that is not what the manifest says', async () => {
    // The 32-pixel renderer, announced as the 64-pixel one
    await edit((manifest) => {
      const file = manifest.files[2]!;
      if (file.role === 'renderer') file.size = 64;
      file.outputs[0]!.shape = ['B', 64, 64, 3];
      file.outputs[1]!.shape = ['B', 96, 64];
    });
    const model = await ModelPackage.load(directory);
    await expect(model.open(model.renderers[1]!, CPU)).rejects.toMatchObject({
      code: 'model_mismatch',
      message: expect.stringContaining('output rgb is uint8 [B,32,32,3] in the graph, uint8 [B,64,64,3]'),
    });
  });
});
