import {
  type CompactEncoderOptions,
  CompactMotionDecoder,
  CompactMotionEncoder,
  interpolateMotion,
  type Motion,
  type MotionSample,
} from '@facewire/proto';
import { type FaceBasis, pointErrors, posedPoints } from './faceBasis.ts';
import type { BenchTrack } from './tracks.ts';
import { mulberry } from './tracks.ts';

export const samplesOf = (track: BenchTrack): MotionSample[] =>
  track.motions.map((motion, index) => ({
    motion,
    sequence: index & 0xffff,
    timeMs: Math.round((index * 1000) / track.fps) & 0xffff,
  }));

export interface Coded {
  sizes: number[];
  decoded: Motion[];
}

/** Every stride-th motion through encoder and decoder; those between are interpolated. */
export function codeTrack(track: BenchTrack, options: CompactEncoderOptions, stride = 1): Coded {
  const encoder = new CompactMotionEncoder(options);
  const decoder = new CompactMotionDecoder(options.tables === undefined ? {} : { tables: options.tables });
  const sizes: number[] = [];
  const sent: Motion[] = [];
  const samples = samplesOf(track);
  for (let index = 0; index < samples.length; index += stride) {
    const packet = encoder.encode(samples[index]!);
    encoder.acknowledge(samples[index]!.sequence);
    sizes.push(packet.length);
    sent.push(decoder.decode(packet).motion);
  }
  if (stride === 1) return { sizes, decoded: sent };
  const decoded = samples.map((_, index) => {
    const before = sent[Math.floor(index / stride)]!;
    const after = sent[Math.min(sent.length - 1, Math.floor(index / stride) + 1)]!;
    return interpolateMotion(before, after, (index % stride) / stride);
  });
  return { sizes, decoded };
}

export interface Errors {
  maxExpression: number;
  meanExpression: number;
  maxPose: number;
  meanPose: number;
  vertexMm: { mouth: number; eyes: number; rest: number; mean: number };
}

const POSE = ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const;

/** Distances of decoded from true motions. */
export function errorsOf(truth: readonly Motion[], decoded: readonly Motion[], basis: FaceBasis): Errors {
  const total = { mouth: 0, eyes: 0, rest: 0 };
  const errors = { maxExpression: 0, meanExpression: 0, maxPose: 0, meanPose: 0 };
  truth.forEach((motion, index) => {
    const other = decoded[index]!;
    motion.expression.forEach((value, at) => {
      const error = Math.abs(value - other.expression[at]!);
      errors.maxExpression = Math.max(errors.maxExpression, error);
      errors.meanExpression += error / 52 / truth.length;
    });
    for (const name of POSE) {
      const error = Math.abs(motion.pose[name] - other.pose[name]);
      errors.maxPose = Math.max(errors.maxPose, error);
      errors.meanPose += error / 6 / truth.length;
    }
    const points = pointErrors(basis, posedPoints(basis, motion), posedPoints(basis, other));
    for (const name of ['mouth', 'eyes', 'rest'] as const) total[name] += points[name]! / truth.length;
  });
  return { ...errors, vertexMm: { ...total, mean: (total.mouth + total.eyes + total.rest) / 3 } };
}

/** Datagrams both ways: loss, one-way delay in packets, some jitter; what a viewer then sees. */
export function simulateLoss(
  track: BenchTrack,
  basis: FaceBasis,
  options: CompactEncoderOptions,
  loss: number,
  seed: number,
): { sent: number; decoded: number; bytes: number; errorMm: number } {
  const DELAY = 2;
  const random = mulberry(seed);
  const encoder = new CompactMotionEncoder({ ...options, delivery: 'acknowledged' });
  const decoder = new CompactMotionDecoder(options.tables === undefined ? {} : { tables: options.tables });
  const arriving = new Map<number, Uint8Array[]>();
  const acknowledged = new Map<number, number[]>();
  const put = <T>(map: Map<number, T[]>, at: number, what: T): void => void map.set(at, [...(map.get(at) ?? []), what]);
  let [bytes, decoded, errorMm] = [0, 0, 0];
  let shown: MotionSample | undefined;
  const samples = samplesOf(track);
  samples.forEach((sample, now) => {
    for (const sequence of acknowledged.get(now) ?? []) encoder.acknowledge(sequence);
    const packet = encoder.encode(sample);
    bytes += packet.length;
    if (random() >= loss) put(arriving, now + (random() < 0.1 ? 1 : 0), packet);
    for (const each of arriving.get(now) ?? []) {
      const result = decoder.decode(each);
      decoded++;
      if (shown === undefined || result.sequence > shown.sequence) shown = result;
      if (random() >= loss) put(acknowledged, now + 2 * DELAY, result.sequence);
    }
    if (shown === undefined) return;
    const errors = pointErrors(basis, posedPoints(basis, sample.motion), posedPoints(basis, shown.motion));
    errorMm += (errors.mouth! + errors.eyes! + errors.rest!) / 3;
  });
  return { sent: samples.length, decoded, bytes, errorMm };
}
