import type { OrtSessionOptions } from '../../server/src/inference/ort/OrtSession.ts';
import { type FloatType, GraphWriter, measureGraph } from './renderGraph.ts';

export interface Ceiling {
  type: FloatType;
  /** 3×3 convolutions of 128 channels at 64² */
  convGflopPerSecond: number;
  matmulGflopPerSecond: number;
  /** the greater of both */
  gflopPerSecond: number;
}

/** What the device reaches with work that suits it: large dense operators, nothing between them. */
export async function measureCeiling(
  options: OrtSessionOptions,
  type: FloatType = 'float32',
  limitMs = 2000,
): Promise<Ceiling> {
  const large = options.device.kind !== 'cpu';
  const conv = convolutions(type, large ? 32 : 4);
  const matmul = products(type, large ? 8192 : 1536);
  const { gflopPerSecond: convs } = await measureGraph(conv.writer, conv.output, options, limitMs / 2);
  const { gflopPerSecond: products_ } = await measureGraph(matmul.writer, matmul.output, options, limitMs / 2);
  return {
    type,
    convGflopPerSecond: Math.round(convs),
    matmulGflopPerSecond: Math.round(products_),
    gflopPerSecond: Math.round(Math.max(convs, products_)),
  };
}

function convolutions(type: FloatType, batch: number) {
  const writer = new GraphWriter(type);
  let output = writer.input('x', [batch, 128, 64, 64]);
  for (let layer = 0; layer < 6; layer++) output = writer.relu(writer.conv(output, 128, 3));
  return { writer, output };
}

function products(type: FloatType, side: number) {
  const writer = new GraphWriter(type);
  const weights = writer.filled([side, side], 1 / side);
  const output = writer.add('MatMul', [writer.input('x', [side, side]), weights], [side, side]);
  writer.flop += 2 * side ** 3;
  return { writer, output };
}
