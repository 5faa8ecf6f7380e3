import { setTimeout as pause } from 'node:timers/promises';
import { FacewireError, neutralMotion } from '@facewire/proto';
import type { Picture, RenderedPicture } from '../contracts.ts';
import { type Device, type DeviceKind, deviceName, isDeviceError } from './Device.ts';
import { PRECISIONS, type Precision } from './manifest.ts';
import { compareFrames, type FrameDifference, PARITY_TOLERANCE } from './parity.ts';

/** FACEWIRE_PRECISION */
export const PRECISION_SETTINGS = ['auto', ...PRECISIONS] as const;
export type PrecisionSetting = (typeof PRECISION_SETTINGS)[number];

/**
 * In what precision a device is to draw. `auto` takes float16 on GPUs and int8 on the CPU where the package has them: to be
 * kept only when their frames are those of float32 (comparePrecision).
 *
 * @param available ModelPackage.precisions
 * @throws FacewireError config_invalid for an unknown setting, or one that names what the package lacks
 */
export function choosePrecision(setting: string, kind: DeviceKind, available: readonly Precision[]): Precision {
  if (setting === 'auto') {
    const wanted = kind === 'cpu' ? 'int8' : 'float16';
    return available.includes(wanted) ? wanted : 'float32';
  }
  const precision = PRECISIONS.find((each) => each === setting);
  if (precision === undefined) {
    throw new FacewireError('config_invalid', `unknown precision "${setting}"`, {
      received: setting,
      remedy: `use ${PRECISION_SETTINGS.join(', ')}`,
    });
  }
  if (!available.includes(precision)) {
    throw new FacewireError('config_invalid', `the model package has no ${precision} renderers`, {
      received: setting,
      remedy: `use auto or ${available.join(', ')}, or add them: python -m portrait.quantise --package DIR`,
    });
  }
  return precision;
}

/** What draws for the comparison: OnnxRenderer. */
interface Drawing {
  readonly sizes: readonly number[];
  render(pictures: readonly Picture[], wanted: { i420: boolean; rgb: boolean }): Promise<RenderedPicture[]>;
}

export interface PrecisionVerdict extends FrameDifference {
  /** of a run of one picture, candidate over float32: median over pairs of runs, one right after the other */
  time: number;
}

const TIMED_PAIRS = 16;
/** On a device that takes seconds for a picture few pictures must do. */
const COMPARE_MS = 10_000;

/**
 * Draws the avatars in both precisions: turned with the mouth open, and neutral. Times runs of one picture in pairs, now this
 * one first, now that: other work comes and goes, and is there for both of a pair. Begins no other pair after 10 s, or when
 * `signal` is aborted: one is always drawn. Leaves out avatars that do not load.
 *
 * @throws FacewireError inference_failed, device_unavailable; what loading threw when no avatar loads
 */
export async function comparePrecision(
  candidate: Drawing,
  reference: Drawing,
  avatars: readonly string[],
  signal?: AbortSignal,
  now: () => number = () => performance.now(),
): Promise<PrecisionVerdict> {
  const size = reference.sizes[0]!;
  const differences: FrameDifference[] = [];
  const wanted = { i420: false, rgb: true };
  const endMs = now() + COMPARE_MS;
  const isOver = () => now() > endMs || signal?.aborted === true;
  const pictures = avatars.flatMap((avatar) => motions().map((motion) => ({ avatar, size, view: STILL, motion })));
  const ratios: number[] = [];
  const timed = async (drawing: Drawing, picture: Picture) => {
    const startedAtMs = now();
    const frames = await drawing.render([picture], wanted);
    return { frames, ms: now() - startedAtMs };
  };
  const drawPair = async (picture: Picture) => {
    const order = ratios.length % 2 === 0 ? [candidate, reference] : [reference, candidate];
    const runs = [await timed(order[0]!, picture), await timed(order[1]!, picture)] as const;
    const [ours, theirs] = order[0] === candidate ? runs : [runs[1], runs[0]];
    ratios.push(ours.ms / theirs.ms);
    return compareFrames(ours.frames, theirs.frames);
  };
  const drawn: Picture[] = [];
  const unloadable = new Map<string, unknown>();
  for (const picture of pictures) {
    if (drawn.length > 0 && isOver()) break;
    if (unloadable.has(picture.avatar)) continue;
    try {
      differences.push(await drawPair(picture));
      drawn.push(picture);
    } catch (error) {
      if (isDeviceError(error)) throw error;
      unloadable.set(picture.avatar, error);
    }
  }
  const [first] = drawn;
  if (first === undefined) throw unloadable.values().next().value;
  while (ratios.length < TIMED_PAIRS && !isOver()) await drawPair(first);
  const meanOf = (of: (difference: FrameDifference) => number) =>
    differences.reduce((sum, difference) => sum + of(difference), 0) / differences.length;
  return {
    mean: meanOf(({ mean }) => mean),
    farShare: meanOf(({ farShare }) => farShare),
    max: Math.max(...differences.map(({ max }) => max)),
    time: ratios.sort((a, b) => a - b)[ratios.length >> 1]!,
  };
}

/** Rounding to 8 bits moves samples a little more than another order of adding does. */
const INT8_MEAN = 0.5;
/**
 * On the CPU 8 bits must not cost time, as they do on processors without the instructions for them: those take half as
 * long again and more. Where they save a quarter, medians beside two trainings on two cores were 0.79 to 1.00.
 */
const WORTH_IT = 1.1;

export interface PrecisionProblem {
  why: string;
  /** other programs may be to blame: another look may find otherwise */
  passing: boolean;
}

/** Why not to use the precision; undefined when all is well. */
export function precisionProblem(
  { mean, farShare, time }: PrecisionVerdict,
  precision: Precision,
  kind: DeviceKind,
): PrecisionProblem | undefined {
  const tolerated = { mean: precision === 'int8' ? INT8_MEAN : PARITY_TOLERANCE.mean, far: PARITY_TOLERANCE.farShare };
  if (!(mean <= tolerated.mean && farShare <= tolerated.far)) {
    const share = `${Math.round(farShare * 1e4) / 100} % of the samples are more than 16 off`;
    return { why: `its frames differ from float32 by ${mean.toFixed(2)} of 255 on average, ${share}`, passing: false };
  }
  if (kind !== 'cpu' || time <= WORTH_IT) return undefined;
  return { why: `it takes ${time.toFixed(2)} times as long as float32 here`, passing: true };
}

/** A precision that draws the same but is found slower is looked at so often before it is refused. */
const TRIES = 3;

export interface ProvePrecisionOptions {
  device: Device;
  /** not float32 */
  precision: Precision;
  /** that both draw */
  avatars: readonly string[];
  /** opens the device for the comparison */
  open: (precision: Precision) => Promise<Drawing & { close(): Promise<void> }>;
  warn?: (message: string) => void;
  /** between two looks, ms; default 0 */
  pauseMs?: number;
  /** aborted: the answer is not wanted any more */
  signal?: AbortSignal;
  /** for tests */
  compare?: typeof comparePrecision;
}

/**
 * The precision when it draws what float32 draws on this device, and no slower; else float32, with a warning, also when
 * none of the avatars can be loaded.
 *
 * @throws FacewireError device_unavailable; what opening float32 threw, and what opening the other threw unless that is
 *   inference_failed
 */
export async function provePrecision(options: ProvePrecisionOptions): Promise<Precision> {
  const { device, precision, avatars, open, warn, pauseMs = 0, signal, compare = comparePrecision } = options;
  const refuse = (why: string) => {
    warn?.(`device ${deviceName(device)} draws in float32, not ${precision}: ${why}`);
    return 'float32' as const;
  };
  if (avatars.length === 0) return refuse('there is no avatar to compare with');
  const opened: Awaited<ReturnType<typeof open>>[] = [];
  try {
    // What the device itself is to blame for fails here, and is the caller's.
    opened.push(await open('float32'));
    opened.push(await open(precision));
    for (let look = 1; ; look++) {
      const problem = precisionProblem(await compare(opened[1]!, opened[0]!, avatars, signal), precision, device.kind);
      if (problem === undefined || signal?.aborted) return precision;
      if (!problem.passing || look === TRIES) return refuse(problem.why);
      await pause(pauseMs, undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined);
    }
  } catch (error) {
    const isOpen = opened.length === 2;
    const refuses = isDeviceError(error) ? error.code === 'inference_failed' && opened.length > 0 : isOpen;
    if (!refuses) throw error;
    return refuse((error as Error).message);
  } finally {
    await Promise.all(opened.map((renderer) => renderer.close()));
  }
}

const STILL = { yaw: 0, pitch: 0 };

function motions() {
  const turned = neutralMotion();
  Object.assign(turned.pose, { yaw: 0.35, pitch: -0.12, roll: 0.08 });
  turned.expression.fill(0.25);
  return [turned, neutralMotion()];
}
