import {
  type OnnxAttribute,
  type OnnxNode,
  type OnnxValue,
  onnxModel,
  tensorProto,
} from '../../server/src/inference/onnxModel.ts';
import type { OrtSessionOptions } from '../../server/src/inference/ort/OrtSession.ts';
import { OrtSession } from '../../server/src/inference/ort/OrtSession.ts';
import { OrtTensor } from '../../server/src/inference/ort/OrtTensor.ts';

export type FloatType = 'float32' | 'float16';

const FLOAT_CODES = { float32: 1, float16: 10 } as const;
const INT64 = 7;
/** GridSample on volumes came with opset 20 */
const OPSET = 20;

/** A tensor in a graph that is being written. */
export interface GraphTensor {
  name: string;
  shape: readonly number[];
}

/**
 * Writes a graph for speed measurements: fixed shapes, every weight a constant of one value (ConstantOfShape, which ONNX
 * Runtime works out when it loads the graph), so that a network of a hundred million weights takes a few KB. Counts the
 * floating-point operations of its convolutions and matrix products, two for each multiply-add.
 */
export class GraphWriter {
  readonly type: FloatType;
  flop = 0;
  readonly inputs: (OnnxValue & { shape: readonly number[] })[] = [];
  readonly #nodes: OnnxNode[] = [];
  readonly #constants: Uint8Array[] = [];
  #names = 0;

  constructor(type: FloatType = 'float32') {
    this.type = type;
  }

  input(name: string, shape: readonly number[]): GraphTensor {
    this.inputs.push({ name, type: FLOAT_CODES[this.type], shape });
    return { name, shape };
  }

  add(
    op: string,
    inputs: readonly (GraphTensor | string)[],
    shape: readonly number[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
  ): GraphTensor {
    const name = `v${++this.#names}`;
    const names = inputs.map((input) => (typeof input === 'string' ? input : input.name));
    this.#nodes.push({ op, inputs: names, outputs: [name], attributes });
    return { name, shape };
  }

  ints(values: readonly number[]): string {
    const name = `c${++this.#names}`;
    const raw = new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer);
    this.#constants.push(tensorProto(name, INT64, [values.length], raw));
    return name;
  }

  floats(values: readonly number[], shape: readonly number[] = [values.length]): string {
    const name = `c${++this.#names}`;
    this.#constants.push(tensorProto(name, FLOAT_CODES[this.type], shape, this.#bytes(values)));
    return name;
  }

  filled(shape: readonly number[], value: number): GraphTensor {
    const tensor = tensorProto('', FLOAT_CODES[this.type], [1], this.#bytes([value]));
    return this.add('ConstantOfShape', [this.ints(shape)], shape, { value: { tensor } });
  }

  /** A convolution over all axes after the first two, stride 1, the size kept. */
  conv(input: GraphTensor, channels: number, kernel: number): GraphTensor {
    const [batch, from, ...space] = input.shape as [number, number, ...number[]];
    const taps = kernel ** space.length;
    const weights = this.filled([channels, from, ...space.map(() => kernel)], 1 / (from * taps));
    const bias = this.filled([channels], 0.01);
    const shape = [batch, channels, ...space];
    this.flop += 2 * from * taps * shape.reduce((product, dimension) => product * dimension, 1);
    const pads = space.map(() => kernel >> 1);
    return this.add('Conv', [input, weights, bias], shape, {
      kernel_shape: space.map(() => kernel),
      pads: [...pads, ...pads],
    });
  }

  relu(input: GraphTensor, slope = 0): GraphTensor {
    if (slope === 0) return this.add('Relu', [input], input.shape);
    return this.add('LeakyRelu', [input], input.shape, { alpha: { float: slope } });
  }

  reshape(input: GraphTensor, shape: readonly number[]): GraphTensor {
    return this.add('Reshape', [input, this.ints(shape)], shape);
  }

  transpose(input: GraphTensor, perm: readonly number[]): GraphTensor {
    return this.add(
      'Transpose',
      [input],
      perm.map((axis) => input.shape[axis]!),
      { perm },
    );
  }

  concat(inputs: readonly GraphTensor[], axis: number): GraphTensor {
    const shape = [...inputs[0]!.shape];
    shape[axis] = inputs.reduce((sum, each) => sum + each.shape[axis]!, 0);
    return this.add('Concat', inputs, shape, { axis });
  }

  /** Nearest neighbour, the last two axes by `scale`. */
  enlarge(input: GraphTensor, scale: number): GraphTensor {
    if (scale === 1) return input;
    const fixed = input.shape.length - 2;
    const shape = input.shape.map((dimension, axis) => (axis < fixed ? dimension : dimension * scale));
    return this.add('Resize', [input, '', '', this.ints(shape)], shape, {
      mode: 'nearest',
      nearest_mode: 'floor',
      coordinate_transformation_mode: 'asymmetric',
    });
  }

  /** The first value of every axis. */
  corner(input: GraphTensor): GraphTensor {
    const axes = input.shape.map((_, axis) => axis);
    const each = (value: number) => this.ints(axes.map(() => value));
    const shape = axes.map(() => 1);
    return this.add('Slice', [input, each(0), each(1), this.ints(axes)], shape);
  }

  model(name: string, output: GraphTensor): Uint8Array {
    return onnxModel({
      name,
      nodes: this.#nodes,
      constants: this.#constants,
      inputs: this.inputs,
      outputs: [{ name: output.name, type: FLOAT_CODES[this.type], shape: output.shape }],
      opset: OPSET,
    });
  }

  #bytes(values: readonly number[]): Uint8Array {
    if (this.type === 'float32') return new Uint8Array(Float32Array.from(values).buffer);
    return new Uint8Array(Uint16Array.from(values, halfOf).buffer);
  }
}

/** The bits of a half-precision number, cut off rather than rounded; what is too small becomes 0. */
export function halfOf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  if (exponent <= 0) return sign;
  if (exponent >= 31) return sign | 0x7c00;
  return sign | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

export interface GraphSpeed {
  /** of the fastest run */
  ms: number;
  gflop: number;
  gflopPerSecond: number;
}

/**
 * Times a graph's runs after one to warm up, the fastest of those that fit into `limitMs`, at least `least`. Inputs lie
 * on the device, and of the output one value comes back: this is the graph alone, and a run ends when it is
 * worked out (over WebGPU one whose output stays on the device returns when its commands are handed over).
 */
export async function measureGraph(
  writer: GraphWriter,
  output: GraphTensor,
  options: OrtSessionOptions,
  limitMs: number,
  least = 2,
): Promise<GraphSpeed> {
  const corner = writer.corner(output);
  const session = await OrtSession.open(writer.model('bench', corner), options);
  const tensors: OrtTensor[] = [];
  const keep = (tensor: OrtTensor) => {
    tensors.push(tensor);
    return tensor;
  };
  try {
    const input = (shape: readonly number[]) => keep(session.deviceTensor(writer.type, shape));
    const run = {
      inputs: Object.fromEntries(writer.inputs.map(({ name, shape }) => [name, input(shape)])),
      outputs: { [corner.name]: keep(OrtTensor.host(writer.type, corner.shape)) },
    };
    await session.run(run);
    let ms = Number.POSITIVE_INFINITY;
    const untilMs = performance.now() + limitMs;
    for (let runs = 0; runs < least || performance.now() < untilMs; runs++) {
      const startedAtMs = performance.now();
      await session.run(run);
      ms = Math.min(ms, performance.now() - startedAtMs);
    }
    return { ms, gflop: writer.flop / 1e9, gflopPerSecond: writer.flop / 1e6 / ms };
  } finally {
    for (const tensor of tensors) tensor.close();
    session.close();
  }
}
