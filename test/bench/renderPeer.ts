import { type GraphTensor, GraphWriter } from './renderGraph.ts';

/**
 * The peer to compare speed with: a network of the shape of face-vid2vid (Wang et al., CVPR 2021) with the channel counts
 * that LivePortrait (Guo et al., 2024) published: what must run for every frame, its warping module and its generator.
 * Constant weights: only its speed means anything.
 *
 *   feature [B,32,16,64,64] (appearance volume), driving and source [B,21,3] (keypoints) → rgb [B,3,512,512]
 *
 * Batch norms stand folded into the convolutions before them, as they are at inference.
 *
 * For devices on which that does not end in time there are narrower ones: the same layers at the same resolutions, the
 * numbers of channels and of keypoints divided by `divisor`. Their operations are counted from their own shapes.
 */
const [DEPTH, SIDE] = [16, 64] as const;
const PUBLISHED = {
  keypoints: 21,
  /** of the appearance volume */
  feature: 32,
  /** of the volume that is moved by every keypoint */
  compressed: 4,
  /** of the hourglass, outermost first */
  hourglass: [32, 64, 128, 256, 512, 1024],
  /** of the generator: its label, its hidden layers, SPADE's, and the last */
  label: 256,
  wide: 512,
  spade: 128,
  out: 64,
} as const;
type Channels = { [name in keyof typeof PUBLISHED]: name extends 'hourglass' ? readonly number[] : number };

/** What channels and keypoints may be divided by; 1 is the network as published. */
export const PEER_DIVISORS = [1, 2, 4, 8, 16] as const;
export type PeerDivisor = (typeof PEER_DIVISORS)[number];

export interface PeerGraph {
  writer: GraphWriter;
  output: GraphTensor;
}

export interface PeerOptions {
  /** sample volumes in 5-D, as published; else slice by slice, at the same x and y; default true */
  volumes?: boolean;
  /** default 1 */
  divisor?: PeerDivisor;
}

export function peerGraph(batch: number, { volumes = true, divisor = 1 }: PeerOptions = {}): PeerGraph {
  const writer = new GraphWriter();
  const channels = channelsOf(divisor);
  const feature = writer.input('feature', [batch, channels.feature, DEPTH, SIDE, SIDE]);
  const driving = writer.input('driving', [batch, channels.keypoints, 3]);
  const source = writer.input('source', [batch, channels.keypoints, 3]);
  const label = warp(writer, channels, { feature, driving, source }, volumes);
  return { writer, output: generate(writer, channels, label) };
}

function channelsOf(divisor: PeerDivisor): Channels {
  const narrow = (channels: number) => Math.ceil(channels / divisor);
  const { keypoints, feature, compressed, hourglass, label, wide, spade, out } = PUBLISHED;
  return {
    keypoints: narrow(keypoints),
    feature: narrow(feature),
    compressed: narrow(compressed),
    hourglass: hourglass.map(narrow),
    label: narrow(label),
    wide: narrow(wide),
    spade: narrow(spade),
    out: narrow(out),
  };
}

/** The dense motion network and the warp by it → label [B,256,64,64] */
function warp(
  g: GraphWriter,
  channels: Channels,
  { feature, driving, source }: Record<'feature' | 'driving' | 'source', GraphTensor>,
  volumes: boolean,
): GraphTensor {
  const { keypoints, compressed: thin } = channels;
  const batch = feature.shape[0]!;
  const parts = keypoints + 1;
  const volume = [DEPTH, SIDE, SIDE] as const;
  const compressed = g.relu(g.conv(feature, thin, 1));
  // Where each keypoint's motion takes a point from: p − driving + source; the background stays.
  const grid = g.floats(identityGrid(), [1, 1, ...volume, 3]);
  const at = (points: GraphTensor) => g.reshape(points, [batch, keypoints, 1, 1, 1, 3]);
  const moved = g.add('Sub', [grid, at(driving)], [batch, keypoints, ...volume, 3]);
  const motions = g.add('Add', [moved, at(source)], moved.shape);
  const still = g.add('Expand', [grid, g.ints([batch, 1, ...volume, 3])], [batch, 1, ...volume, 3]);
  const sparse = g.concat([still, motions], 1); // Bx22x16x64x64x3
  const repeated = g.add(
    'Expand',
    [g.reshape(compressed, [batch, 1, thin, ...volume]), g.ints([batch, parts, thin, ...volume])],
    [batch, parts, thin, ...volume],
  );
  const deformed = sample(
    g,
    g.reshape(repeated, [batch * parts, thin, ...volume]),
    g.reshape(sparse, [batch * parts, ...volume, 3]),
    volumes,
  );
  const heat = heatmaps(g, grid, driving, source);
  const features = g.concat([heat, g.reshape(deformed, [batch, parts, thin, ...volume])], 2); // Bx22x5x16x64x64
  const prediction = hourglass(g, channels.hourglass, g.reshape(features, [batch, parts * (thin + 1), ...volume]));
  const logits = g.conv(prediction, parts, 7);
  const mask = g.add('Softmax', [logits], logits.shape, { axis: 1 });
  const weighted = g.add('Mul', [sparse, g.reshape(mask, [batch, parts, ...volume, 1])], sparse.shape);
  const deformation = g.add('ReduceSum', [weighted, g.ints([1])], [batch, ...volume, 3], { keepdims: 0 });
  const flat = g.reshape(prediction, [batch, prediction.shape[1]! * DEPTH, SIDE, SIDE]);
  const occlusion = g.add('Sigmoid', [g.conv(flat, 1, 7)], [batch, 1, SIDE, SIDE]);
  const warped = g.reshape(sample(g, feature, deformation, volumes), [batch, channels.feature * DEPTH, SIDE, SIDE]);
  const third = g.relu(g.conv(warped, channels.label, 3), 0.01);
  const fourth = g.conv(third, channels.label, 1);
  return g.add('Mul', [fourth, occlusion], fourth.shape);
}

/** Gaussians about the driving keypoints less those about the source's; none for the background. Bx22x1x16x64x64 */
function heatmaps(g: GraphWriter, grid: string, driving: GraphTensor, source: GraphTensor): GraphTensor {
  const [batch, keypoints] = driving.shape as [number, number];
  const volume = [DEPTH, SIDE, SIDE] as const;
  const gaussian = (points: GraphTensor) => {
    const shape = [batch, keypoints, ...volume, 3];
    const away = g.add('Sub', [grid, g.reshape(points, [batch, keypoints, 1, 1, 1, 3])], shape);
    const squared = g.add('Mul', [away, away], shape);
    const sum = g.add('ReduceSum', [squared, g.ints([5])], [batch, keypoints, ...volume], { keepdims: 0 });
    const scaled = g.add('Mul', [sum, g.floats([-0.5 / 0.01])], sum.shape);
    return g.add('Exp', [scaled], sum.shape);
  };
  const difference = g.add('Sub', [gaussian(driving), gaussian(source)], [batch, keypoints, ...volume]);
  const all = g.concat([g.filled([batch, 1, ...volume], 0), difference], 1);
  return g.reshape(all, [batch, keypoints + 1, 1, ...volume]);
}

/** Five halvings of height and width and back, with skips, over volumes. */
function hourglass(g: GraphWriter, widths: readonly number[], input: GraphTensor): GraphTensor {
  const skips = [input];
  for (const channels of widths.slice(1)) {
    const out = g.relu(g.conv(skips.at(-1)!, channels, 3));
    const [batch, , depth, height, width] = out.shape as [number, number, number, number, number];
    const shape = [batch, channels, depth, height / 2, width / 2];
    skips.push(g.add('AveragePool', [out], shape, { kernel_shape: [1, 2, 2], strides: [1, 2, 2] }));
  }
  let out = skips.pop()!;
  for (const channels of [...widths.slice(0, -1)].reverse()) {
    out = g.relu(g.conv(g.enlarge(out, 2), channels, 3));
    out = g.concat([out, skips.pop()!], 1);
  }
  return g.relu(g.conv(out, out.shape[1]!, 3));
}

/** The SPADE generator: six blocks at 64², two that enlarge to 256², and a pixel shuffle to 512². */
function generate(g: GraphWriter, { wide, label: half, spade, out }: Channels, label: GraphTensor): GraphTensor {
  const block = (x: GraphTensor, channels: number) => spadeBlock(g, { x, label, channels, hidden: spade });
  let x = g.conv(label, wide, 3);
  for (let count = 0; count < 6; count++) x = block(x, wide);
  x = block(g.enlarge(x, 2), half);
  x = block(g.enlarge(x, 2), out);
  const shuffled = g.conv(g.relu(x, 0.2), 12, 3);
  const [batch, , height, width] = shuffled.shape as [number, number, number, number];
  const image = g.add('DepthToSpace', [shuffled], [batch, 3, 2 * height, 2 * width], { blocksize: 2, mode: 'CRD' });
  return g.add('Sigmoid', [image], image.shape);
}

interface SpadeBlock {
  x: GraphTensor;
  label: GraphTensor;
  /** of its output */
  channels: number;
  /** of SPADE's own layer */
  hidden: number;
}

function spadeBlock(g: GraphWriter, { x, label, channels, hidden }: SpadeBlock): GraphTensor {
  const from = x.shape[1]!;
  const middle = Math.min(from, channels);
  const through = (input: GraphTensor, out: number) => g.conv(g.relu(spade(g, input, label, hidden), 0.2), out, 3);
  const main = through(through(x, middle), channels);
  const shortcut = from === channels ? x : g.conv(spade(g, x, label, hidden), channels, 1);
  return g.add('Add', [shortcut, main], main.shape);
}

function spade(g: GraphWriter, x: GraphTensor, label: GraphTensor, width: number): GraphTensor {
  const channels = x.shape[1]!;
  const normal = g.add('InstanceNormalization', [x, g.filled([channels], 1), g.filled([channels], 0)], x.shape);
  const hidden = g.relu(g.conv(g.enlarge(label, x.shape[2]! / label.shape[2]!), width, 3));
  const gain = g.add('Add', [g.conv(hidden, channels, 3), g.floats([1])], x.shape);
  return g.add('Add', [g.add('Mul', [normal, gain], x.shape), g.conv(hidden, channels, 3)], x.shape);
}

/** Samples [N,C,D,H,W] at [N,D,H,W,3]; where volumes cannot be sampled each depth slice by itself, at its x and y. */
function sample(g: GraphWriter, volume: GraphTensor, grid: GraphTensor, volumes: boolean): GraphTensor {
  const [count, channels] = volume.shape as [number, number];
  const attributes = { mode: 'linear', padding_mode: 'zeros', align_corners: 0 };
  if (volumes) return g.add('GridSample', [volume, grid], [count, channels, DEPTH, SIDE, SIDE], attributes);
  const slices = g.reshape(g.transpose(volume, [0, 2, 1, 3, 4]), [count * DEPTH, channels, SIDE, SIDE]);
  const flat = g.reshape(grid, [count * DEPTH, SIDE, SIDE, 3]);
  const plane = g.add('Slice', [flat, g.ints([0]), g.ints([2]), g.ints([3])], [count * DEPTH, SIDE, SIDE, 2]);
  const sampled = g.add('GridSample', [slices, plane], slices.shape, attributes);
  return g.transpose(g.reshape(sampled, [count, DEPTH, channels, SIDE, SIDE]), [0, 2, 1, 3, 4]);
}

/** x right, y down, z into the picture, −1…1 from the first sample to the last. */
function identityGrid(): number[] {
  const values: number[] = [];
  for (let z = 0; z < DEPTH; z++) {
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        values.push((2 * x) / (SIDE - 1) - 1, (2 * y) / (SIDE - 1) - 1, (2 * z) / (DEPTH - 1) - 1);
      }
    }
  }
  return values;
}
