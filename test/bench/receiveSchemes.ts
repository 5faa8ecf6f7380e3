import { interpolateMotion, type Motion, type ReceivedMotion, receiveMotion, shownMotion } from '@facewire/proto';
import { motionOf, motionVector } from '../../proto/src/receive/motionVector.ts';

export interface Arrival {
  /** on the sender's clock, ms; whole, as packets carry it */
  sentMs: number;
  arrivedMs: number;
  motion: Motion;
}

/** What a screen shows at the times `ticks` of the packets that have arrived by then (in order, none stale). */
export type Scheme = (arrivals: readonly Arrival[], ticks: readonly number[]) => Motion[];

/** dead reckoning goes no further than this, ms */
const FARTHEST_MS = 100;

/** Each packet as it comes, until the next. */
const newest: Scheme = (arrivals, ticks) => ticks.map((ms) => arrivals[newestBy(arrivals, ms)]!.motion);

/** On and on with the speed between the last two packets. */
const deadReckoning: Scheme = (arrivals, ticks) => {
  const way = Math.min(...arrivals.map(({ sentMs, arrivedMs }) => arrivedMs - sentMs));
  return ticks.map((ms) => {
    const at = newestBy(arrivals, ms);
    const last = arrivals[at]!;
    const before = arrivals[Math.max(0, at - 1)]!;
    const span = last.sentMs - before.sentMs;
    const share = span <= 0 ? 0 : Math.min(FARTHEST_MS, ms - way - last.sentMs) / span;
    const [to, from] = [motionVector(last.motion), motionVector(before.motion)];
    return motionOf(to.length, (index) => to[index]! + share * (to[index]! - from[index]!));
  });
};

/** Always one packet interval behind, in straight lines: smooth, and as late as that. */
const interpolation: Scheme = (arrivals, ticks) => {
  const way = Math.min(...arrivals.map(({ sentMs, arrivedMs }) => arrivedMs - sentMs));
  const span = arrivals.at(-1)!.sentMs - arrivals[0]!.sentMs;
  const interval = span / (arrivals.length - 1);
  const jitter = arrivals.reduce((sum, each) => sum + each.arrivedMs - each.sentMs - way, 0) / arrivals.length;
  return ticks.map((ms) => {
    const playhead = ms - way - interval - jitter;
    const known = newestBy(arrivals, ms);
    const after = Math.min(
      known,
      arrivals.findIndex(({ sentMs }) => sentMs >= playhead),
    );
    const next = arrivals[after < 0 ? known : after]!;
    const before = arrivals[Math.max(0, arrivals.indexOf(next) - 1)]!;
    const length = next.sentMs - before.sentMs;
    return interpolateMotion(before.motion, next.motion, length <= 0 ? 1 : (playhead - before.sentMs) / length);
  });
};

/** The one-euro filter (Casiez et al., CHI 2012) on the packets, each shown as it comes. */
const oneEuro: Scheme = (arrivals, ticks) => {
  const share = (cutoff: number, seconds: number) => 1 / (1 + 1 / (2 * Math.PI * cutoff * seconds));
  let value = motionVector(arrivals[0]!.motion);
  let speed = new Float64Array(value.length);
  const filtered = arrivals.map(({ motion, sentMs }, n) => {
    if (n === 0) return value;
    const seconds = Math.max(1, sentMs - arrivals[n - 1]!.sentMs) / 1000;
    const measured = motionVector(motion);
    const last = motionVector(arrivals[n - 1]!.motion);
    speed = speed.map(
      (each, index) => each + share(1.5, seconds) * ((measured[index]! - last[index]!) / seconds - each),
    );
    value = value.map((each, index) => {
      const cutoff = 3 + (index < 6 ? 30 : 15) * Math.abs(speed[index]!);
      return each + share(cutoff, seconds) * (measured[index]! - each);
    });
    return value;
  });
  return ticks.map((ms) => {
    const vector = filtered[newestBy(arrivals, ms)]!;
    return motionOf(vector.length, (index) => vector[index]!);
  });
};

/** What Facewire does. */
const facewire: Scheme = (arrivals, ticks) => {
  let received: ReceivedMotion | undefined;
  let next = 0;
  return ticks.map((ms) => {
    for (; next < arrivals.length && arrivals[next]!.arrivedMs <= ms; next++) {
      const { motion, sentMs, arrivedMs } = arrivals[next]!;
      received = receiveMotion(received, { motion, sequence: next & 0xffff, timeMs: sentMs & 0xffff }, arrivedMs);
    }
    return received === undefined ? arrivals[0]!.motion : shownMotion(received, ms);
  });
};

export const SCHEMES: Readonly<Record<string, Scheme>> = {
  newest,
  deadReckoning,
  interpolation,
  oneEuro,
  facewire,
};

function newestBy(arrivals: readonly Arrival[], ms: number): number {
  let [low, high] = [0, arrivals.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (arrivals[middle]!.arrivedMs <= ms) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}
