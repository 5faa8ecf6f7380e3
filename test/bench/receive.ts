import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type Motion, receiveMotion, shownMotion, synthesizeMotion } from '@facewire/proto';
import { motionOf, motionVector } from '../../proto/src/receive/motionVector.ts';
import { type FaceMetric, loadFaceMetric } from './faceMetric.ts';
import { sendWithin } from './receiveBudget.ts';
import { type Arrival, SCHEMES, type Scheme } from './receiveSchemes.ts';
import { type BenchTrack, loadTracks, mulberry } from './tracks.ts';

const RATES = [10, 15, 30, 60];
/** each packet is up to so much longer under way than the fastest, ms; and so many are lost */
const NETWORKS = [
  { jitterMs: 0, loss: 0 },
  { jitterMs: 20, loss: 0.05 },
  { jitterMs: 40, loss: 0 },
  { jitterMs: 40, loss: 0.2 },
];
const TICK_MS = 1000 / 30;
/** a sender's clock never runs quite as the screen's: over some seconds packets come at every phase of a tick */
const DETUNE = 1.005;
/** bytes a second of the SDK's motionBudget; undefined: the default precision */
const BUDGETS = [undefined, 600, 400, 300, 200, 100];
/** way of the fastest packet; counted out of all lags and errors */
const WAY_MS = 30;
const SECONDS_OF_TRACK = 10;
const WARM_UP_MS = 500;
/** a tracker's tremble, as the tracks' README has it, and the codec's default steps */
const NOISE = { pose: 0.002, expression: 0.01 };
const STEPS = { pose: 1 / 256, expression: 1 / 52 };
const LAGS = Array.from({ length: 19 }, (_, n) => -30 + 10 * n);
/** lags are measured at every third tick: they cost most */
const LAGGED_EVERY = 3;
/** ticks between which the true face moves less than this (mm) are still */
const STILL_MM = 0.5;
/** Binomial over five frames: the tracks' own tremble out, so that the truth moves smoothly. */
const CALM = [1, 4, 6, 4, 1].map((weight) => weight / 16);

export interface ReceiveRow {
  /** mean distance of the face shown from the true one at that moment, mm */
  errorMm: number;
  /** that distance when the lag is taken out: what of the motion's shape is lost */
  shapeMm: number;
  /** by how much the face shown follows the true one, the network's own way not counted */
  lagMs: number;
  /** energy of second differences over that of the true motion: 1 is as smooth as the face itself */
  roughness: number;
  /** root mean square of second differences while the true face keeps still, mm */
  trembleMm: number;
}

interface Truth {
  at(ms: number): Float64Array;
  ms: number;
}

/**
 * What a screen of 30 pictures a second shows of a face whose packets come at 10 to 60 a second, irregularly or not at
 * all: Facewire's receiver beside simpler ones. The truth is a track, calmed and interpolated, so that it is known at
 * any time; packets are the truth with a tracker's noise added and the codec's quantisation.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: { tracks: { type: 'string' }, rates: { type: 'string', default: RATES.join(',') } },
  });
  const { from, tracks } = loadTracks(values.tracks);
  const metric = loadFaceMetric();
  const truths = tracks.map(truthOf);
  const rates = values.rates.split(',').map(Number);
  const rows = rates.flatMap((rate) =>
    NETWORKS.map((network) => {
      const schemes = Object.fromEntries(
        Object.entries(SCHEMES).map(([name, scheme]) => [name, measure(scheme, truths, rate, network, metric)]),
      );
      const row = { packetsPerSecond: rate, ...network, schemes };
      console.log(JSON.stringify(row));
      return row;
    }),
  );
  const budgets = BUDGETS.map((bytesPerSecond) => measureBudget(tracks, truths, bytesPerSecond, metric));
  return { bench: 'receive', tracks: from, ...summary(rows), ...cost(), budgets, rows, machine: cpus()[0]?.model };
}

interface Row {
  packetsPerSecond: number;
  jitterMs: number;
  loss: number;
  schemes: Record<string, ReceiveRow>;
}

/** The chosen scheme against the newest packet: the worst added lag, and the mean of the ratios of the rest. */
function summary(rows: readonly Row[]): object {
  const over = (of: (row: ReceiveRow) => number) =>
    round(rows.reduce((sum, { schemes }) => sum + of(schemes.facewire!) / of(schemes.newest!), 0) / rows.length);
  const added = rows.map(({ schemes }) => schemes.facewire!.lagMs - schemes.newest!.lagMs);
  return {
    addedLagMs: { mean: round(added.reduce((sum, each) => sum + each, 0) / added.length), max: Math.max(...added) },
    overNewest: {
      error: over(({ errorMm }) => errorMm),
      shape: over(({ shapeMm }) => shapeMm),
      roughness: over(({ roughness }) => roughness),
      tremble: over(({ trembleMm }) => trembleMm),
    },
  };
}

function measure(
  scheme: Scheme,
  truths: readonly Truth[],
  rate: number,
  network: { jitterMs: number; loss: number },
  metric: FaceMetric,
): ReceiveRow {
  const tally = new Tally(metric);
  truths.forEach((truth, index) => {
    const random = mulberry(7919 * index + rate);
    const arrivals = arrivalsOf(truth, rate, network, random);
    const ticks = ticksOf(truth, random);
    tally.add(truth, ticks, scheme(arrivals, ticks));
  });
  return tally.row();
}

/** The tracks themselves through the SDK's budget, the codec and 20 ms of jitter: what it costs, and what is shown. */
function measureBudget(
  tracks: readonly BenchTrack[],
  truths: readonly Truth[],
  bytesPerSecond: number | undefined,
  metric: FaceMetric,
): object {
  const tally = new Tally(metric);
  let [bytes, packets, seconds] = [0, 0, 0];
  truths.forEach((truth, index) => {
    const random = mulberry(7919 * index);
    const { fps, motions } = tracks[index]!;
    const part = motions.slice(0, Math.round(fps * SECONDS_OF_TRACK));
    const sent = sendWithin(part, fps, bytesPerSecond, () => WAY_MS + 20 * random());
    bytes += sent.bytes;
    packets += sent.arrivals.length;
    seconds += part.length / fps;
    const ticks = ticksOf(truth, random);
    tally.add(truth, ticks, SCHEMES.facewire!(sent.arrivals, ticks));
  });
  const { shapeMm, lagMs } = tally.row();
  return {
    budget: bytesPerSecond ?? null,
    bytesPerSecond: round(bytes / seconds),
    packetsPerSecond: round(packets / seconds),
    shapeMm,
    lagMs,
  };
}

function ticksOf(truth: Truth, random: () => number): number[] {
  const startMs = WARM_UP_MS + random() * TICK_MS;
  return Array.from({ length: Math.floor((truth.ms - startMs) / TICK_MS) }, (_, n) => startMs + n * TICK_MS);
}

/** Adds up how what is shown differs from the truth. */
class Tally {
  readonly #metric: FaceMetric;
  readonly #lagged = LAGS.map(() => 0);
  readonly #total = { error: 0, ticks: 0, rough: 0, trueRough: 0, tremble: 0, still: 0 };

  constructor(metric: FaceMetric) {
    this.#metric = metric;
  }

  add(truth: Truth, ticks: readonly number[], motions: readonly Motion[]): void {
    const total = this.#total;
    const squared = (vector: Float64Array) => this.#metric.squared(vector);
    const shown = motions.map(motionVector);
    const real = ticks.map((ms) => truth.at(ms - WAY_MS));
    shown.forEach((vector, n) => {
      total.ticks++;
      total.error += Math.sqrt(squared(difference(vector, real[n]!)));
      if (n % LAGGED_EVERY === 0) {
        LAGS.forEach((lagMs, at) => {
          const then = truth.at(ticks[n]! - WAY_MS - lagMs);
          this.#lagged[at]! += LAGGED_EVERY * squared(difference(vector, then));
        });
      }
      if (n < 2) return;
      const rough = squared(second(shown, n));
      total.rough += rough;
      total.trueRough += squared(second(real, n));
      if (squared(difference(real[n]!, real[n - 1]!)) > STILL_MM ** 2) return;
      total.still++;
      total.tremble += rough;
    });
  }

  row(): ReceiveRow {
    const total = this.#total;
    const best = this.#lagged.indexOf(Math.min(...this.#lagged));
    return {
      errorMm: round(total.error / total.ticks),
      shapeMm: round(Math.sqrt(this.#lagged[best]! / total.ticks)),
      lagMs: Math.round(LAGS[best]! + 10 * vertex(this.#lagged, best)),
      roughness: round(total.rough / total.trueRough),
      trembleMm: round(Math.sqrt(total.tremble / total.still)),
    };
  }
}

/** Packets that are newer than all before them, in the order in which they arrive. */
function arrivalsOf(
  truth: Truth,
  rate: number,
  { jitterMs, loss }: { jitterMs: number; loss: number },
  random: () => number,
): Arrival[] {
  const gaussian = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const sent: Arrival[] = [];
  for (let ms = (random() * 1000) / rate; ms < truth.ms; ms += DETUNE * (1000 / rate)) {
    const vector = truth.at(ms).map((value, index) => {
      const kind = index < 6 ? 'pose' : 'expression';
      const noisy = value + (kind === 'pose' || value > 0.002 ? NOISE[kind] * gaussian() : 0);
      return Math.round(noisy / STEPS[kind]) * STEPS[kind];
    });
    const arrivedMs = ms + WAY_MS + random() * jitterMs;
    const lost = random() < loss && sent.length > 0;
    if (!lost)
      sent.push({ sentMs: Math.round(ms), arrivedMs, motion: motionOf(vector.length, (index) => vector[index]!) });
  }
  let newest = -1;
  return sent
    .sort((a, b) => a.arrivedMs - b.arrivedMs)
    .filter(({ sentMs }) => {
      const fresh = sentMs > newest;
      if (fresh) newest = sentMs;
      return fresh;
    });
}

/** The calmed track between its frames, by Catmull and Rom's spline. */
function truthOf({ fps, motions }: BenchTrack): Truth {
  const raw = motions.slice(0, Math.round(fps * SECONDS_OF_TRACK)).map(motionVector);
  const clamped = <T>(list: readonly T[], n: number): T => list[Math.min(list.length - 1, Math.max(0, n))]!;
  const frames = raw.map((vector, n) =>
    vector.map((_, index) => CALM.reduce((sum, weight, k) => sum + weight * clamped(raw, n + k - 2)[index]!, 0)),
  );
  return {
    ms: ((frames.length - 1) * 1000) / fps,
    at(ms) {
      const position = Math.min(frames.length - 1, Math.max(0, (ms * fps) / 1000));
      const n = Math.floor(position);
      const u = position - n;
      const [a, b, c, d] = [-1, 0, 1, 2].map((k) => clamped(frames, n + k)) as [
        Float64Array,
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      return b.map((value, index) => {
        const [before, next, after] = [a[index]!, c[index]!, d[index]!];
        const cubic = 3 * (value - next) + after - before;
        return value + 0.5 * u * (next - before + u * (2 * before - 5 * value + 4 * next - after + u * cubic));
      });
    },
  };
}

/** Cost of a packet and of a look, µs. */
function cost(): { receiveUs: number; showUs: number } {
  const motions: Motion[] = Array.from({ length: 300 }, (_, n) => synthesizeMotion(n / 30, 1));
  const pass = (): { receive: number; show: number } => {
    let received = receiveMotion(undefined, { motion: motions[0]!, sequence: 0, timeMs: 0 }, 0);
    const startMs = performance.now();
    for (let n = 1; n < 3000; n++) {
      const sample = { motion: motions[n % 300]!, sequence: n, timeMs: (n * 33) & 0xffff };
      received = receiveMotion(received, sample, n * 33);
    }
    const middleMs = performance.now();
    for (let n = 0; n < 3000; n++) shownMotion(received, 99_000 + (n % 100));
    return { receive: middleMs - startMs, show: performance.now() - middleMs };
  };
  const passes = Array.from({ length: 8 }, pass);
  const best = (of: (each: { receive: number; show: number }) => number) => round(Math.min(...passes.map(of)) / 3);
  return { receiveUs: best(({ receive }) => receive), showUs: best(({ show }) => show) };
}

function difference(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, index) => value - b[index]!);
}

function second(list: readonly Float64Array[], n: number): Float64Array {
  return list[n]!.map((value, index) => value - 2 * list[n - 1]![index]! + list[n - 2]![index]!);
}

/** Where between its neighbours the lowest of three values really lies, −0.5…0.5. */
function vertex(values: readonly number[], at: number): number {
  const [a, b, c] = [values[at - 1], values[at]!, values[at + 1]];
  return a === undefined || c === undefined ? 0 : (0.5 * (a - c)) / (a - 2 * b + c);
}

function round(value: number): number {
  return Number(value.toFixed(2));
}
