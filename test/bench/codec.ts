/**
 * The compact motion codec on motion tracks, everything included, beside other ways to send the same.
 *
 *     npx tsx test/bench/codec.ts --json [--tracks DIR] [--plot FILE.svg] [--ladder] [--speed]
 *
 * Tracks are split by video: tables are trained on all but the track they are measured on. --ladder writes
 * proto/src/compact/measuredLadder.ts; --plot the rate-distortion curve; --speed measures the times alone.
 */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import {
  CompactMotionDecoder,
  CompactMotionEncoder,
  type CompactQuality,
  CompactRateController,
  type CompactTables,
  ladderFrom,
  type Motion,
  type MotionSample,
  type Rung,
} from '@facewire/proto';
import { codeTrack, type Errors, errorsOf, samplesOf, simulateLoss } from './codecMeasure.ts';
import { measureOthers } from './codecOthers.ts';
import { plotRateDistortion } from './codecPlot.ts';
import { BENCH_KEYPOINTS, CodecTrainer, withKeypoints } from './codecTraining.ts';
import { type FaceBasis, loadFaceBasis } from './faceBasis.ts';
import { type BenchTrack, loadTracks } from './tracks.ts';

/** what the issue calls half precision: twice the default steps */
const HALF: CompactQuality = { poseStep: 1 / 128, expressionStep: 1 / 26 };
const FINE: CompactQuality = { poseStep: 1 / 512, expressionStep: 1 / 64 };
const LOSSES = [0, 0.01, 0.05, 0.1, 0.2];
const BUDGETS = [600, 400, 300, 200, 100];
const GRID_COUNTS = [52, 40, 32, 24, 16, 10];
const GRID_STEPS = [0.5, 1, 2, 3, 4, 6];
const GRID_STRIDES = [1, 2, 3];

interface Held {
  track: BenchTrack;
  tables: CompactTables;
}

export async function run(args: string[]): Promise<object> {
  const option = (name: string): string | undefined => {
    const at = args.indexOf(name);
    return at < 0 ? undefined : args[at + 1];
  };
  const { from, tracks } = loadTracks(option('--tracks'));
  // first, while the engine has seen nothing but what a client does
  const speed = measureSpeed(tracks);
  if (args.includes('--speed')) return { bench: 'codec', tracksFrom: from, ...speed };
  const basis = loadFaceBasis();
  const trainer = new CodecTrainer(basis);
  const held: Held[] = tracks.map((track) => ({
    track,
    tables: trainer.train(tracks.filter((each) => each !== track)),
  }));

  const main = measure(held, {}, basis);
  const grid = measureGrid(held, basis);
  const curve = ladderFrom(grid.map(({ rung }) => rung));
  if (args.includes('--ladder')) writeLadder(curve);
  const plot = option('--plot');
  if (plot !== undefined)
    writeFileSync(
      plot,
      plotRateDistortion(
        curve,
        grid.map(({ rung }) => rung),
        main,
      ),
    );
  return {
    bench: 'codec',
    tracksFrom: from,
    learned: 'leave-one-out by video',
    ...main,
    ...speed,
    halfPrecision: withoutTracks(measure(held, HALF, basis)),
    stepsOneOver64And512: withoutTracks(measure(held, FINE, basis)),
    keypoints: measureKeypoints(held, basis),
    acknowledged: withoutTracks(measure(held, { delivery: 'acknowledged' }, basis)),
    loss: LOSSES.map((loss) => measureLoss(held, basis, loss)),
    rateController: BUDGETS.map((budget) => measureController(held, grid, basis, budget)),
    rateDistortion: curve.map(({ quality, stride, bytes, errorMm }) => ({
      ...quality,
      stride,
      bytesPerMotion: round(bytes),
      errorMm: round(errorMm, 3),
    })),
    others: measureOthers(tracks),
  };
}

function measure(
  held: readonly Held[],
  options: ConstructorParameters<typeof CompactMotionEncoder>[0] & object,
  basis: FaceBasis,
  change: (motions: Motion[]) => Motion[] = (motions) => motions,
) {
  const sizes: number[] = [];
  const perTrack: Record<string, object> = {};
  const errors: Errors[] = [];
  let ofTracks = 0;
  for (const { track, tables } of held) {
    const motions = change(track.motions);
    const coded = codeTrack({ ...track, motions }, { ...options, tables });
    const each = errorsOf(motions, coded.decoded, basis);
    errors.push(each);
    sizes.push(...coded.sizes);
    ofTracks += mean(coded.sizes) / held.length;
    perTrack[track.source] = {
      frames: motions.length,
      meanBytes: round(mean(coded.sizes)),
      p95Bytes: quantile(coded.sizes, 0.95),
      maxError: round(each.maxExpression, 5),
      meanError: round(each.meanExpression, 5),
      vertexMm: round(each.vertexMm.mean, 4),
    };
  }
  const average = (of: (errors: Errors) => number): number =>
    errors.reduce((sum, each, index) => sum + of(each) * held[index]!.track.motions.length, 0) / sizes.length;
  return {
    meanBytes: round(mean(sizes)),
    medianBytes: quantile(sizes, 0.5),
    p95Bytes: quantile(sizes, 0.95),
    meanBytesOverTracks: round(ofTracks),
    maxError: round(Math.max(...errors.map(({ maxExpression }) => maxExpression)), 5),
    meanError: round(
      average(({ meanExpression }) => meanExpression),
      5,
    ),
    maxPoseError: round(Math.max(...errors.map(({ maxPose }) => maxPose)), 5),
    meanPoseError: round(
      average(({ meanPose }) => meanPose),
      5,
    ),
    vertexMm: {
      mouth: round(
        average(({ vertexMm }) => vertexMm.mouth),
        4,
      ),
      eyes: round(
        average(({ vertexMm }) => vertexMm.eyes),
        4,
      ),
      rest: round(
        average(({ vertexMm }) => vertexMm.rest),
        4,
      ),
    },
    tracks: perTrack,
  };
}

type Measured = ReturnType<typeof measure>;

function withoutTracks({ tracks: _tracks, ...rest }: Measured): Omit<Measured, 'tracks'> {
  return rest;
}

function measureKeypoints(held: readonly Held[], basis: FaceBasis): object {
  const pointed = (motions: Motion[]): Motion[] => withKeypoints(motions, basis);
  const both = measure(held, {}, basis, pointed);
  const alone = measure(held, { expressionCount: 0 }, basis, pointed);
  return {
    count: BENCH_KEYPOINTS,
    keypointStep: 1 / 256,
    poseAndKeypoints: { meanBytes: alone.meanBytes, p95Bytes: alone.p95Bytes },
    poseCoefficientsAndKeypoints: { meanBytes: both.meanBytes, p95Bytes: both.p95Bytes },
  };
}

/**
 * Time for a packet: each track goes through PASSES times, in runs of a few packets, encoder and decoder new for each
 * pass as for a connection. `decodeUs` and `encodeUs` are means over the runs of the pass at the first quartile: other
 * jobs on the cores only ever add, and a quarter of the passes is quicker still. `speed` holds the same of the median and
 * of the fastest passes, and the plain means of everything, the engine's warming up, garbage collection and interruptions
 * included.
 */
function measureSpeed(tracks: readonly BenchTrack[]): { encodeUs: number; decodeUs: number; speed: object } {
  const PASSES = 200;
  const RUN = 24;
  const all = tracks.map(samplesOf);
  /** ms, by way, run and pass */
  const times = { encode: [] as number[][], decode: [] as number[][] };
  // kept, so that the engine does not find out that nobody looks at them
  const decoded: MotionSample[] = [];
  const note = (way: 'encode' | 'decode', run: number, took: number): void => {
    times[way][run] ??= [];
    times[way][run].push(took);
  };
  let firstRun = 0;
  for (const samples of all) {
    for (let pass = 0; pass < PASSES; pass++) {
      const encoder = new CompactMotionEncoder();
      const decoder = new CompactMotionDecoder();
      const packets: Uint8Array[] = [];
      // plain loops: a function made for each run would be measured as the engine's slowest code
      for (let from = 0; from < samples.length; from += RUN) {
        const end = Math.min(samples.length, from + RUN);
        const start = performance.now();
        for (let index = from; index < end; index++) packets.push(encoder.encode(samples[index]!));
        note('encode', firstRun + from / RUN, performance.now() - start);
      }
      // apart from encoding, as sender and receiver are
      for (let from = 0; from < packets.length; from += RUN) {
        const end = Math.min(packets.length, from + RUN);
        const start = performance.now();
        for (let index = from; index < end; index++) decoded[index - from] = decoder.decode(packets[index]!);
        note('decode', firstRun + from / RUN, performance.now() - start);
      }
    }
    firstRun = times.encode.length;
  }
  const packets = all.reduce((sum, samples) => sum + samples.length, 0);
  const each = (way: 'encode' | 'decode', of: (passes: readonly number[]) => number): number =>
    round((times[way].reduce((sum, passes) => sum + of(passes), 0) / packets) * 1000);
  const both = (of: (passes: readonly number[]) => number): { encodeUs: number; decodeUs: number } => ({
    encodeUs: each('encode', of),
    decodeUs: each('decode', of),
  });
  return {
    ...both((passes) => quantile(passes, 0.25)),
    speed: {
      method: `${PASSES} passes over each run of ${RUN} packets, one process; encodeUs, decodeUs: the pass at the first quartile of each run`,
      meanOfAllPasses: both(mean),
      medianPass: both((passes) => quantile(passes, 0.5)),
      fastestPasses: both((passes) => Math.min(...passes)),
    },
  };
}

function measureLoss(held: readonly Held[], basis: FaceBasis, loss: number): object {
  const total = { sent: 0, decoded: 0, bytes: 0, errorMm: 0 };
  held.forEach(({ track, tables }, index) => {
    const each = simulateLoss(track, basis, { tables }, loss, index + 1);
    for (const name of ['sent', 'decoded', 'bytes', 'errorMm'] as const) total[name] += each[name];
  });
  return {
    loss,
    shownShare: round(total.decoded / total.sent, 4),
    meanBytes: round(total.bytes / total.sent),
    errorMm: round(total.errorMm / total.sent, 3),
  };
}

interface GridPoint {
  rung: Rung;
  /** the same for each track alone */
  perTrack: { bytes: number; errorMm: number; frames: number }[];
}

function measureGrid(held: readonly Held[], basis: FaceBasis): GridPoint[] {
  const points: GridPoint[] = [];
  for (const stride of GRID_STRIDES) {
    for (const factor of GRID_STEPS) {
      for (const expressionCount of GRID_COUNTS) {
        if (stride > 1 && factor < 1) continue;
        const quality = {
          poseStep: 1 / Math.round(256 / factor),
          expressionStep: 1 / Math.round(52 / factor),
          expressionCount,
        };
        // the first 240 motions of each track are plenty to draw the curve
        const perTrack = held.map(({ track, tables }) => {
          const part = { ...track, motions: track.motions.slice(0, 240) };
          const { sizes, decoded } = codeTrack(part, { ...quality, tables }, stride);
          const errors = errorsOf(part.motions, decoded, basis);
          const bytes = sizes.reduce((sum, size) => sum + size, 0) / part.motions.length;
          return { bytes, errorMm: errors.vertexMm.mean, frames: part.motions.length };
        });
        points.push({ rung: { quality, stride, ...pooled(perTrack) }, perTrack });
      }
    }
  }
  return points;
}

function pooled(parts: readonly { bytes: number; errorMm: number; frames: number }[]): {
  bytes: number;
  errorMm: number;
} {
  const frames = parts.reduce((sum, part) => sum + part.frames, 0);
  return {
    bytes: parts.reduce((sum, part) => sum + part.bytes * part.frames, 0) / frames,
    errorMm: parts.reduce((sum, part) => sum + part.errorMm * part.frames, 0) / frames,
  };
}

/** A sender with a budget, its ladder measured on the other tracks. */
function measureController(
  held: readonly Held[],
  grid: readonly GridPoint[],
  basis: FaceBasis,
  bytesPerSecond: number,
): object {
  let [bytes, seconds, errorMm, frames] = [0, 0, 0, 0];
  held.forEach(({ track, tables }, index) => {
    const ladder = ladderFrom(
      grid.map(({ rung, perTrack }) => ({ ...rung, ...pooled(perTrack.filter((_, other) => other !== index)) })),
    );
    const controller = new CompactRateController({ bytesPerSecond, framesPerSecond: track.fps, ladder });
    const encoder = new CompactMotionEncoder({ ...controller.quality, tables });
    const decoder = new CompactMotionDecoder({ tables });
    let shown: Motion | undefined;
    const decoded = samplesOf(track).map((sample) => {
      if (controller.shouldSend() || shown === undefined) {
        const packet = encoder.encode(sample);
        bytes += packet.length;
        shown = decoder.decode(packet).motion;
        if (controller.report(packet.length)) encoder.configure(controller.quality);
      }
      return shown;
    });
    seconds += track.motions.length / track.fps;
    errorMm += errorsOf(track.motions, decoded, basis).vertexMm.mean * track.motions.length;
    frames += track.motions.length;
  });
  // the receiver here holds the last motion; proto/src/receive interpolates
  return {
    budgetBytesPerSecond: bytesPerSecond,
    bytesPerSecond: round(bytes / seconds, 1),
    errorMmHeld: round(errorMm / frames, 3),
  };
}

function writeLadder(curve: readonly Rung[]): void {
  const rows = curve.map(({ quality, stride, bytes, errorMm }) => {
    const of = (step: number): string => `1 / ${Math.round(1 / step)}`;
    return `  { quality: { poseStep: ${of(quality.poseStep)}, expressionStep: ${of(quality.expressionStep)}, expressionCount: ${quality.expressionCount} }, stride: ${stride}, bytes: ${round(bytes)}, errorMm: ${round(errorMm, 3)} },`;
  });
  writeFileSync(
    new URL('../../proto/src/compact/measuredLadder.ts', import.meta.url),
    `import type { Rung } from './rateLadder.ts';

/** Written by \`npx tsx test/bench/codec.ts --ladder\`: rates and distortions measured on motion tracks. */
// biome-ignore format: a table
export const MEASURED_LADDER: readonly Rung[] = [
${rows.join('\n')}
];
`,
  );
}

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;

function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

function round(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const args = process.argv.slice(2);
  const result = await run(args.filter((each) => each !== '--json'));
  console.log(args.includes('--json') ? JSON.stringify(result) : JSON.stringify(result, null, 2));
}
