import {
  type CompactEncoderOptions,
  CompactMotionDecoder,
  CompactMotionEncoder,
  type CompactQuality,
  type MotionSample,
  synthesizeMotion,
} from '../src/index.ts';

/** A motion sample in plain numbers; those of arrays are exact values of 32-bit floats. */
export interface PlainSample {
  sequence: number;
  timeMs: number;
  pose: [number, number, number, number, number, number];
  expression: number[];
  keypoints?: number[];
}

export type GoldenStep =
  /** `decoded`: pose, coefficients and keypoints in steps of 1 / denominators */
  | {
      encode: PlainSample;
      packet: string;
      decoded: { sequence: number; timeMs: number; denominators: number[]; steps: number[] };
    }
  | { configure: CompactQuality }
  | { acknowledge: number }
  | { reset: true };

export interface GoldenScript {
  name: string;
  options: CompactEncoderOptions;
  steps: GoldenStep[];
}

/** Runs every part of the format at least once. */
export function compactGolden(): GoldenScript[] {
  const ordered = new Recorder('ordered: changes, a skipped sequence number, a pause, wraps', {});
  for (let index = 0; index < 60; index++) {
    const sequence = (65500 + index + (index > 20 ? 5 : 0)) & 0xffff;
    ordered.encode(sampleAt(index, 0, sequence, 64800 + index * 33 + (index % 3) + (index > 40 ? 5000 : 0)));
  }
  ordered.encode(wildSample(65));

  const changing = new Recorder('ordered: settings change, reset', { poseStep: 1 / 512, expressionStep: 1 / 64 });
  for (let index = 0; index < 12; index++) changing.encode(sampleAt(index * 4, 0, index, index * 100));
  changing.configure({ expressionCount: 17, poseStep: 1 / 100, expressionStep: 1 / 20 });
  for (let index = 12; index < 24; index++) changing.encode(sampleAt(index * 4, 0, index, index * 100));
  changing.configure({ expressionCount: 52, expressionStep: 1 / 255 });
  for (let index = 24; index < 30; index++) changing.encode(sampleAt(index * 4, 0, index, index * 100));
  changing.reset();
  changing.encode(sampleAt(31, 0, 31, 3000));
  changing.encode(sampleAt(32, 0, 32, 3033));

  const keypoints = new Recorder('ordered: keypoints, fewer of them, and without coefficients', {});
  for (let index = 0; index < 8; index++) keypoints.encode(sampleAt(index, 5, index, index * 17));
  keypoints.configure({ keypointsSent: 2, expressionCount: 0 });
  for (let index = 8; index < 14; index++) keypoints.encode(sampleAt(index, 5, index, index * 17));

  const lossy = new Recorder('acknowledged', { delivery: 'acknowledged' });
  for (let index = 0; index < 100; index++) {
    lossy.encode(sampleAt(index, 0, index, index * 33));
    if (index >= 3 && index < 30 && index % 2 === 1) lossy.acknowledge(index - 3);
  }
  return [ordered, changing, keypoints, lossy].map(({ script }) => script);
}

class Recorder {
  readonly script: GoldenScript;
  private readonly encoder: CompactMotionEncoder;
  private quality: CompactQuality;
  private readonly decoder = new CompactMotionDecoder();

  constructor(name: string, options: CompactEncoderOptions) {
    this.script = { name, options, steps: [] };
    this.quality = options;
    this.encoder = new CompactMotionEncoder(options);
  }

  encode(sample: MotionSample): void {
    const packet = this.encoder.encode(sample);
    this.script.steps.push({
      encode: plain(sample),
      packet: Buffer.from(packet).toString('hex'),
      decoded: this.inSteps(this.decoder.decode(packet)),
    });
  }

  private inSteps(sample: MotionSample): { sequence: number; timeMs: number; denominators: number[]; steps: number[] } {
    const { sequence, timeMs, pose, expression, keypoints = [] } = plain(sample);
    const of = (step: number | undefined, fallback: number): number => Math.round(1 / (step ?? fallback));
    const { poseStep, expressionStep, keypointStep } = this.quality;
    const denominators = [of(poseStep, 1 / 256), of(expressionStep, 1 / 52), of(keypointStep, 1 / 256)];
    const steps = [pose, expression, keypoints].flatMap((numbers, part) =>
      numbers.map((number) => Math.round(number * denominators[part]!) + 0),
    );
    return { sequence, timeMs, denominators, steps };
  }

  configure(quality: CompactQuality): void {
    this.quality = { ...this.quality, ...quality };
    this.encoder.configure(quality);
    this.script.steps.push({ configure: quality });
  }

  acknowledge(sequence: number): void {
    this.encoder.acknowledge(sequence);
    this.script.steps.push({ acknowledge: sequence });
  }

  reset(): void {
    this.encoder.reset();
    this.script.steps.push({ reset: true });
  }
}

function sampleAt(index: number, keypoints: number, sequence: number, timeMs: number): MotionSample {
  const motion = synthesizeMotion(index / 25, 3);
  // a little of everything that a tracker adds
  motion.expression.forEach((value, at) => {
    if ((at * 7 + index) % 5 === 0) motion.expression[at] = Math.max(0, value + 0.03 * Math.sin(index * 3 + at));
  });
  if (keypoints > 0) {
    motion.keypoints = Float32Array.from({ length: 3 * keypoints }, (_, at) => 0.1 * Math.sin(index / 3 + at));
  }
  // few digits, and exact as 32-bit floats
  const short = (value: number): number => Math.round(value * 4096) / 4096;
  motion.expression = motion.expression.map(short);
  if (motion.keypoints !== undefined) motion.keypoints = motion.keypoints.map(short);
  const { pitch, yaw, roll, tx, ty, logScale } = motion.pose;
  motion.pose = {
    pitch: short(pitch),
    yaw: short(yaw),
    roll: short(roll),
    tx: short(tx),
    ty: short(ty),
    logScale: short(logScale),
  };
  return { motion, sequence, timeMs: timeMs & 0xffff };
}

function wildSample(sequence: number): MotionSample {
  const { motion, timeMs } = sampleAt(0, 0, 0, 1000);
  Object.assign(motion.pose, { pitch: 4, yaw: -3.2, roll: 1, tx: 9, ty: -9, logScale: -1 });
  motion.expression.fill(2);
  return { motion, sequence, timeMs };
}

export function plain({ motion, sequence, timeMs }: MotionSample): PlainSample {
  const { pitch, yaw, roll, tx, ty, logScale } = motion.pose;
  return {
    sequence,
    timeMs,
    pose: [pitch, yaw, roll, tx, ty, logScale],
    expression: Array.from(motion.expression),
    ...(motion.keypoints === undefined ? {} : { keypoints: Array.from(motion.keypoints) }),
  };
}
