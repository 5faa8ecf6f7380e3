import type { OrtSessionOptions } from '../../server/src/inference/ort/OrtSession.ts';
import { type FloatType, type GraphSpeed, type GraphTensor, GraphWriter, measureGraph } from './renderGraph.ts';

export interface Ceiling {
  type: FloatType;
  /** 3×3 convolutions of 128 channels at 64² */
  convGflopPerSecond: number;
  matmulGflopPerSecond: number;
  /** the greater of both */
  gflopPerSecond: number;
  /** GFLOP of the largest work of each kind that was done: a slow device is asked for smaller ones */
  work: { conv: number; matmul: number };
}

/** A graph to time, made when its turn comes. */
export interface Work {
  gflop: number;
  write: () => { writer: GraphWriter; output: GraphTensor };
}

/** Ascending; the CPU's cores are full with the third. */
const ALL = Number.POSITIVE_INFINITY;
const MOST_WORKS = { cpu: 3, cuda: ALL, webgpu: ALL } as const;

/**
 * What the device reaches with work that suits it: large dense operators, nothing between them. Larger and larger ones, as
 * long as two runs of the next are expected within `limitMs`; the fastest counts.
 */
export async function measureCeiling(
  options: OrtSessionOptions,
  type: FloatType = 'float32',
  limitMs = 1000,
): Promise<Ceiling> {
  const most = MOST_WORKS[options.device.kind];
  const measure = ({ write }: Work) => {
    const { writer, output } = write();
    return measureGraph(writer, output, options, limitMs);
  };
  const conv = await climb(convolutions(type).slice(0, most), limitMs, measure);
  const matmul = await climb(products(type).slice(0, most), limitMs, measure);
  return {
    type,
    convGflopPerSecond: round(conv.gflopPerSecond),
    matmulGflopPerSecond: round(matmul.gflopPerSecond),
    gflopPerSecond: round(Math.max(conv.gflopPerSecond, matmul.gflopPerSecond)),
    work: { conv: round(conv.gflop), matmul: round(matmul.gflop) },
  };
}

/** The best speed over the works, and the GFLOP of the largest that was done: the first in any case. */
export async function climb(
  works: readonly Work[],
  limitMs: number,
  measure: (work: Work) => Promise<Pick<GraphSpeed, 'ms'>>,
): Promise<{ gflopPerSecond: number; gflop: number }> {
  let [gflopPerSecond, gflop] = [0, 0];
  for (const work of works) {
    // Small works do not fill a device: by their speed the next takes at most so long.
    if (gflop > 0 && (2 * 1000 * work.gflop) / gflopPerSecond > limitMs) break;
    const { ms } = await measure(work);
    gflopPerSecond = Math.max(gflopPerSecond, (1000 * work.gflop) / ms);
    gflop = work.gflop;
  }
  return { gflopPerSecond, gflop };
}

function convolutions(type: FloatType): Work[] {
  const [channels, side] = [128, 64];
  const work = (batch: number, layers: number): Work => ({
    gflop: (2 * 9 * channels ** 2 * side ** 2 * batch * layers) / 1e9,
    write: () => {
      const writer = new GraphWriter(type);
      let output = writer.input('x', [batch, channels, side, side]);
      for (let layer = 0; layer < layers; layer++) output = writer.relu(writer.conv(output, channels, 3));
      return { writer, output };
    },
  });
  return [work(1, 1), work(1, 6), work(4, 6), work(32, 6)];
}

function products(type: FloatType): Work[] {
  const work = (side: number): Work => ({
    gflop: (2 * side ** 3) / 1e9,
    write: () => {
      const writer = new GraphWriter(type);
      const weights = writer.filled([side, side], 1 / side);
      const output = writer.add('MatMul', [writer.input('x', [side, side]), weights], [side, side]);
      writer.flop += 2 * side ** 3;
      return { writer, output };
    },
  });
  return [512, 1024, 1536, 4096, 8192].map(work);
}

/** Three digits, whatever the device: 0.0312, 241, 1230. */
function round(value: number): number {
  return Number(value.toPrecision(3));
}
