import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest } from '../../../server/src/inference/manifest.ts';
import { type OnnxNode, onnxModel, tensorProto } from '../../../server/src/inference/onnxModel.ts';
import { elementTypeCode } from '../../../server/src/inference/ort/OrtTensor.ts';
import { TINY_MODEL } from '../../../server/src/inference/testdata/tinyAvatar.ts';

const AVATAR_SIZE = 32;
const int64 = elementTypeCode('int64');

/**
 * Writes the tests' package with one renderer, of 16², whose operators ONNX Runtime's CUDA provider computes with kernels of
 * its own: what takes cuDNN needs more of a double.
 */
export function writeKernelModel(directory: string): void {
  cpSync(TINY_MODEL, directory, { recursive: true });
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  const isKept = (file: Manifest['files'][number]) => file.role !== 'renderer' || file.size === 16;
  const files = manifest.files.filter(isKept);
  const renderer = files.find((file) => file.role === 'renderer')!;
  const model = rendererModel(renderer, 16);
  writeFileSync(join(directory, renderer.file), model);
  renderer.sha256 = createHash('sha256').update(model).digest('hex');
  writeFileSync(path, JSON.stringify({ ...manifest, files }));
}

/** The avatar's picture, cut to the sizes of the outputs, with the first values of motion and view added. */
function rendererModel({ inputs, outputs }: Manifest['files'][number], size: number): Uint8Array {
  const declared = (values: typeof inputs) =>
    values.map(({ name, dtype, shape }) => ({ name, type: elementTypeCode(dtype), shape }));
  const indices = (name: string, count: number) => vector(name, [count], count);
  const gather = (axis: number, from: string, at: string, to: string): OnnxNode => ({
    op: 'Gather',
    inputs: [from, at],
    outputs: [to],
    attributes: { axis },
  });
  const nodes: OnnxNode[] = [
    gather(0, 'bank.picture', 'slots', 'picture'),
    gather(1, 'motion', 'first', 'pitch'),
    gather(1, 'view', 'first', 'yaw'),
    { op: 'Add', inputs: ['pitch', 'yaw'], outputs: ['turn'] },
    { op: 'Reshape', inputs: ['turn', 'column'], outputs: ['turns'] },
    { op: 'Add', inputs: ['picture', 'turns'], outputs: ['turned'] },
    gather(3, 'turned', 'columns', 'narrow'),
    gather(2, 'narrow', 'rows', 'square'),
    { op: 'Transpose', inputs: ['square'], outputs: ['pixels'], attributes: { perm: [0, 2, 3, 1] } },
    { op: 'Cast', inputs: ['pixels'], outputs: ['rgb'], attributes: { to: elementTypeCode('uint8') } },
    gather(1, 'narrow', 'channel', 'luma'),
    gather(1, 'luma', 'i420Rows', 'planes'),
    { op: 'Cast', inputs: ['planes'], outputs: ['i420'], attributes: { to: elementTypeCode('uint8') } },
  ];
  return onnxModel({
    name: 'kernels',
    nodes,
    inputs: declared(inputs),
    outputs: declared(outputs),
    constants: [
      vector('first', [1], 1),
      vector('channel', [], 1),
      indices('columns', size),
      indices('rows', size),
      indices('i420Rows', (size * 3) / 2),
      tensorProto('column', int64, [4], new Uint8Array(new BigInt64Array([-1n, 1n, 1n, 1n]).buffer)),
    ],
    opset: 17,
  });
}

/** 0, 1, 2, … within the avatar's picture */
function vector(name: string, shape: readonly number[], count: number): Uint8Array {
  const values = BigInt64Array.from({ length: count }, (_, index) => BigInt(index % AVATAR_SIZE));
  return tensorProto(name, int64, shape, new Uint8Array(values.buffer));
}
