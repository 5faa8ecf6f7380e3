import { FacewireError, neutralMotion } from '@facewire/proto';
import type { Picture, RenderedPicture } from '../contracts.ts';
import { type Device, type DeviceKind, deviceName } from './Device.ts';
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
  /** fastest run of one picture, candidate over float32 */
  time: number;
}

const TIMED_RUNS = 16;
/** On a device that takes seconds for a picture few pictures must do. */
const COMPARE_MS = 10_000;

/**
 * Draws the avatars in both precisions: turned with the mouth open, and neutral. Times runs of one picture by turns, since
 * other work comes and goes. Begins no other picture after 10 s, or when it may not go on: one is always compared.
 */
export async function comparePrecision(
  candidate: Drawing,
  reference: Drawing,
  avatars: readonly string[],
  now: () => number = () => performance.now(),
  mayGoOn: () => boolean = () => true,
): Promise<PrecisionVerdict> {
  const size = reference.sizes[0]!;
  const differences: FrameDifference[] = [];
  const wanted = { i420: false, rgb: true };
  const endMs = now() + COMPARE_MS;
  const isOver = () => now() > endMs || !mayGoOn();
  const pictures = avatars.flatMap((avatar) => motions().map((motion) => ({ avatar, size, view: STILL, motion })));
  const fastest = { candidate: Number.POSITIVE_INFINITY, reference: Number.POSITIVE_INFINITY };
  const timed = async (which: keyof typeof fastest, drawing: Drawing, picture: Picture) => {
    const startedAtMs = now();
    const frames = await drawing.render([picture], wanted);
    fastest[which] = Math.min(fastest[which], now() - startedAtMs);
    return frames;
  };
  for (const picture of pictures) {
    if (differences.length > 0 && isOver()) break;
    const drawn = await timed('candidate', candidate, picture);
    differences.push(compareFrames(drawn, await timed('reference', reference, picture)));
  }
  for (let run = differences.length; run < TIMED_RUNS && !isOver(); run++) {
    await timed('candidate', candidate, pictures[0]!);
    await timed('reference', reference, pictures[0]!);
  }
  const meanOf = (of: (difference: FrameDifference) => number) =>
    differences.reduce((sum, difference) => sum + of(difference), 0) / differences.length;
  return {
    mean: meanOf(({ mean }) => mean),
    farShare: meanOf(({ farShare }) => farShare),
    max: Math.max(...differences.map(({ max }) => max)),
    time: fastest.candidate / fastest.reference,
  };
}

/** Rounding to 8 bits moves samples a little more than another order of adding does. */
const INT8_MEAN = 0.5;
/**
 * On the CPU 8 bits must not cost time, as they do on processors without the instructions for them: those take half as
 * long again and more. Beside other programs even the fastest of many runs is some hundredths off.
 */
const WORTH_IT = 1.1;

/** Why not to use the precision; undefined when all is well. */
export function precisionProblem(
  { mean, farShare, time }: PrecisionVerdict,
  precision: Precision,
  kind: DeviceKind,
): string | undefined {
  const tolerated = { mean: precision === 'int8' ? INT8_MEAN : PARITY_TOLERANCE.mean, far: PARITY_TOLERANCE.farShare };
  if (!(mean <= tolerated.mean && farShare <= tolerated.far)) {
    const share = `${Math.round(farShare * 1e4) / 100} % of the samples are more than 16 off`;
    return `its frames differ from float32 by ${mean.toFixed(2)} of 255 on average, ${share}`;
  }
  if (kind === 'cpu' && time > WORTH_IT) return `it takes ${time.toFixed(2)} times as long as float32 here`;
  return undefined;
}

export interface ProvePrecisionOptions {
  device: Device;
  /** not float32 */
  precision: Precision;
  /** that both draw */
  avatars: readonly string[];
  /** opens the device for the comparison */
  open: (precision: Precision) => Promise<Drawing & { close(): Promise<void> }>;
  warn?: (message: string) => void;
  /** false: the answer is not wanted any more */
  mayGoOn?: () => boolean;
}

/** The precision when it draws what float32 draws on this device, and no slower; else float32, with a warning. */
export async function provePrecision({
  device,
  precision,
  avatars,
  open,
  warn,
  mayGoOn,
}: ProvePrecisionOptions): Promise<Precision> {
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
    const verdict = await comparePrecision(opened[1]!, opened[0]!, avatars, undefined, mayGoOn);
    const problem = precisionProblem(verdict, precision, device.kind);
    return problem === undefined ? precision : refuse(problem);
  } catch (error) {
    if (opened.length === 0 || !(error instanceof FacewireError && error.code === 'inference_failed')) throw error;
    return refuse(error.message);
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
