import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Motion, type MotionSample, neutralMotion } from '../motion/Motion.ts';
import { rotationFromEuler } from '../motion/rotation.ts';
import { synthesizeMotion } from '../motion/synthesizeMotion.ts';
import { type MotionTrack, trackToMotions } from '../motion/trackToMotions.ts';
import { type ReceivedMotion, receiveMotion } from './receiveMotion.ts';
import { EASE_MS, IDLE_AFTER_MS } from './rest.ts';
import { movesForMs, shownMotion } from './shownMotion.ts';

const JAW = 17;
const SMILE = 23;
const FRAME_MS = 1000 / 30;
/** the server's clock when the first packet is sent; the sender's clock is another, near its wrap */
const START_MS = 5000;
const SENDER_MS = 65_000;

type Face = (ms: number) => Motion;
interface Network {
  rate: number;
  /** how long packet n is under way, ms */
  wayMs?: (n: number) => number;
  lost?: (n: number) => boolean;
  seconds?: number;
  ticks?: number;
}

/** Packets of a face over a network to a screen of 30 pictures a second; what it shows, and when. */
function play(face: Face, { rate, wayMs = () => 20, lost = () => false, seconds = 6, ticks = 30 }: Network) {
  const packets = Array.from({ length: Math.floor(rate * seconds) }, (_, n) => {
    const ms = (n * 1000) / rate;
    const sample = { motion: face(ms), sequence: n & 0xffff, timeMs: Math.round(SENDER_MS + ms) & 0xffff };
    return { n, sample, atMs: ms + wayMs(n) };
  })
    .filter(({ n }) => !lost(n))
    .sort((a, b) => a.atMs - b.atMs);
  let received: ReceivedMotion | undefined;
  const shown: { ms: number; motion: Motion; delayMs: number }[] = [];
  let next = 0;
  for (let ms = 300; ms < seconds * 1000; ms += 1000 / ticks) {
    for (; next < packets.length && packets[next]!.atMs <= ms; next++) {
      const { sample, atMs } = packets[next]!;
      // the room drops what is not newer
      if (received && ((sample.sequence - received.sequence) << 16) >> 16 <= 0) continue;
      received = receiveMotion(received, sample, START_MS + atMs);
    }
    shown.push({ ms, motion: shownMotion(received!, START_MS + ms), delayMs: received!.delayMs });
  }
  return shown;
}

const sine: Face = (ms) => {
  const motion = neutralMotion();
  motion.pose.yaw = 0.3 * Math.sin(ms / 180);
  motion.expression[JAW] = 0.4 + 0.3 * Math.sin(ms / 130);
  return motion;
};
const yawOf = ({ motion }: { motion: Motion }) => motion.pose.yaw;
const jawOf = ({ motion }: { motion: Motion }) => motion.expression[JAW]!;

/** Sum of squared second differences: what the eye sees as tremble and stutter. */
function roughness(values: readonly number[]): number {
  return values.slice(2).reduce((sum, value, n) => sum + (value - 2 * values[n + 1]! + values[n]!) ** 2, 0);
}

/** By how many ms the values follow the face: the shift at which they differ least, and the mean difference there. */
function lag(shown: readonly { ms: number; motion: Motion }[], face: Face, of: (motion: Motion) => number) {
  const differenceAt = (lagMs: number) =>
    Math.sqrt(shown.reduce((sum, { ms, motion }) => sum + (of(motion) - of(face(ms - lagMs))) ** 2, 0) / shown.length);
  const lags = Array.from({ length: 60 }, (_, n) => -20 + 4 * n);
  const best = lags.reduce((a, b) => (differenceAt(b) < differenceAt(a) ? b : a));
  return { lagMs: best, rms: differenceAt(best) };
}

/** 0…1, the same for the same n */
function noise(n: number): number {
  const wave = Math.sin(n * 78.233 + 1) * 43758.5453;
  return wave - Math.floor(wave);
}

describe('motion between packets', () => {
  it.each([10, 15])('moves without stutter at %i packets a second', (rate) => {
    const shown = play(sine, { rate });
    const newest = shown.map(({ ms }) => sine(Math.floor(((ms - 20) * rate) / 1000) * (1000 / rate)));
    for (const of of [(motion: Motion) => motion.pose.yaw, (motion: Motion) => motion.expression[JAW]!]) {
      expect(roughness(shown.map(({ motion }) => of(motion)))).toBeLessThan(0.2 * roughness(newest.map(of)));
    }
  });

  it.each([10, 15, 30, 60])(
    'follows within half an interval and 50 ms of the sender at %i packets a second, however late some are',
    (rate) => {
      const halfMs = 500 / rate;
      const steady = play(sine, { rate });
      const { lagMs, rms } = lag(steady, sine, (motion) => motion.pose.yaw);
      expect(lagMs - 20).toBeLessThanOrEqual(halfMs + 50);
      expect(rms).toBeLessThan(0.03);
      const late = play(sine, { rate, wayMs: (n) => 20 + (n % 9 === 0 ? 400 : 60 * noise(n)) });
      for (const { delayMs } of late) expect(delayMs).toBeLessThan(1.1 * (halfMs + 50));
    },
  );

  it('at 30 packets a second costs less than half a frame more than showing each as it comes', () => {
    const shown = play(sine, { rate: 30 });
    const newest = shown.map(({ ms }) => ({ ms, motion: sine(Math.floor((ms - 20) / FRAME_MS) * FRAME_MS) }));
    const yaw = (motion: Motion) => motion.pose.yaw;
    expect(lag(shown, sine, yaw).lagMs - lag(newest, sine, yaw).lagMs).toBeLessThan(FRAME_MS / 2);
  });

  it('evens out packets that come irregularly', () => {
    const wayMs = (n: number) => 20 + 40 * noise(n);
    const shown = play(sine, { rate: 30, wayMs });
    const arrived = (ms: number) =>
      Array.from({ length: 180 }, (_, n) => n).findLast((n) => n * FRAME_MS + wayMs(n) <= ms) ?? 0;
    const newest = shown.map(({ ms }) => sine(arrived(ms) * FRAME_MS).pose.yaw);
    expect(roughness(shown.map(yawOf))).toBeLessThan(0.4 * roughness(newest));
  });

  it('goes on over lost packets', () => {
    const lost = (n: number) => noise(n) < 0.2;
    const shown = play(sine, { rate: 30, lost });
    const arrived = (ms: number) => {
      let n = Math.floor((ms - 20) / FRAME_MS);
      while (lost(n)) n--;
      return n;
    };
    const newest = shown.map(({ ms }) => sine(arrived(ms) * FRAME_MS).pose.yaw);
    expect(lag(shown, sine, (motion) => motion.pose.yaw).rms).toBeLessThan(0.03);
    expect(roughness(shown.map(yawOf))).toBeLessThan(0.3 * roughness(newest));
  });

  it('never leaves the range of coefficients, even when it guesses', () => {
    const snapping: Face = (ms) => {
      const motion = neutralMotion();
      motion.expression[JAW] = Math.floor(ms / 300) % 2;
      return motion;
    };
    const shown = play(snapping, { rate: 10, wayMs: (n) => (n % 5) * 60, lost: (n) => n % 7 === 3 });
    for (const { motion } of shown) {
      for (const value of motion.expression) expect(value >= 0 && value <= 1).toBe(true);
    }
  });
});

describe('the filter', () => {
  it.each([30, 60])('calms a still face’s tremble at %i packets a second', (rate) => {
    const trembling: Face = (ms) => {
      const motion = neutralMotion();
      motion.pose.pitch = 0.1 + 0.004 * (noise(ms) - 0.5);
      motion.expression[JAW] = 0.3 + 0.03 * (noise(ms + 0.5) - 0.5);
      return motion;
    };
    const shown = play(trembling, { rate });
    const sent = shown.map(({ ms }) => trembling(Math.floor(((ms - 20) * rate) / 1000) * (1000 / rate)));
    expect(roughness(shown.map(jawOf))).toBeLessThan(0.15 * roughness(sent.map(({ expression }) => expression[JAW]!)));
    expect(roughness(shown.map(({ motion }) => motion.pose.pitch))).toBeLessThan(
      0.15 * roughness(sent.map(({ pose }) => pose.pitch)),
    );
  });

  it('lets a blink through: three frames long, it shuts the eye to nine tenths', () => {
    const blink: Face = (ms) => {
      const motion = neutralMotion();
      const since = (ms % 2000) - 1000;
      motion.expression[0] = Math.max(0, Math.min(1, since / 50, (200 - since) / 50));
      return motion;
    };
    const shown = play(blink, { rate: 30 });
    expect(Math.max(...shown.map(({ motion }) => motion.expression[0]!))).toBeGreaterThan(0.9);
  });
});

describe('rotations', () => {
  it('take the short way round', () => {
    const turning: Face = (ms) => {
      const motion = neutralMotion();
      const angle = Math.PI - 0.3 + ms / 2000;
      motion.pose.roll = angle > Math.PI ? angle - 2 * Math.PI : angle;
      return motion;
    };
    for (const { ms, motion } of play(turning, { rate: 10, seconds: 3 })) {
      const { roll } = turning(ms - 80).pose;
      const off = motion.pose.roll - roll;
      expect(Math.abs(off - 2 * Math.PI * Math.round(off / (2 * Math.PI)))).toBeLessThan(0.05);
      expect(Math.abs(motion.pose.roll)).toBeLessThanOrEqual(Math.PI);
    }
  });

  it('pass the poles of yaw without a somersault', () => {
    // turned on past the profile: written with yaw within ±π/2, pitch and roll flip by π
    const angles = (n: number) => {
      const yaw = Math.PI / 2 - 0.25 + n * 0.05;
      return yaw > Math.PI / 2 ? { pitch: Math.PI, yaw: Math.PI - yaw, roll: Math.PI } : { pitch: 0, yaw, roll: 0 };
    };
    let received: ReceivedMotion | undefined;
    for (let n = 0; n < 12; n++) {
      const motion = neutralMotion();
      Object.assign(motion.pose, angles(n));
      received = receiveMotion(received, { motion, sequence: n, timeMs: n * 33 }, n * 33);
      const forward = rotationFromEuler(shownMotion(received, n * 33 + 10).pose);
      // the crown stays up, the axis of a turn about y
      expect(forward[4]).toBeGreaterThan(0.99);
    }
  });
});

describe('when packets stop', () => {
  const last = 30 * FRAME_MS;
  const received = Array.from({ length: 31 }, (_, n) => n).reduce<ReceivedMotion | undefined>(
    (state, n) =>
      receiveMotion(state, { motion: sine(n * FRAME_MS), sequence: n, timeMs: Math.round(n * FRAME_MS) }, n * FRAME_MS),
    undefined,
  )!;

  it('the face runs out softly, holds, and eases to neutral', () => {
    const movesMs = movesForMs(received);
    expect(movesMs).toBeGreaterThan(50);
    expect(movesMs).toBeLessThan(300);
    const settled = shownMotion(received, last + movesMs);
    const later = shownMotion(received, last + IDLE_AFTER_MS);
    expect(Math.abs(settled.pose.yaw - later.pose.yaw)).toBeLessThan(0.002);
    expect(shownMotion(received, last + IDLE_AFTER_MS + EASE_MS)).toEqual(neutralMotion());
    let before = shownMotion(received, last);
    for (let ms = 16; ms < 4000; ms += 16) {
      const motion = shownMotion(received, last + ms);
      expect(Math.abs(motion.expression[JAW]! - before.expression[JAW]!)).toBeLessThan(0.04);
      before = motion;
    }
  });

  it('a face that keeps still does not move on its own', () => {
    let still: ReceivedMotion | undefined;
    for (let n = 0; n < 30; n++) still = receiveMotion(still, { motion: sine(0), sequence: n, timeMs: n * 33 }, n * 33);
    expect(movesForMs(still!)).toBe(0);
  });

  it('takes up again from where it is shown, minutes later', () => {
    const nowMs = last + 120_000;
    const again: MotionSample = { motion: sine(400), sequence: 31, timeMs: Math.round(last + 120_000) & 0xffff };
    const back = receiveMotion(received, again, nowMs);
    const yaws = [0, 33, 66, 99, 132].map((ms) => shownMotion(back, nowMs + ms).pose.yaw);
    const goal = sine(400).pose.yaw;
    expect(Math.abs(yaws[0]!)).toBeLessThan(0.6 * Math.abs(goal));
    expect(yaws[3]).toBeCloseTo(goal, 2);
  });
});

describe('odd senders', () => {
  it('one whose clock stands still is shown by the arrivals', () => {
    let received: ReceivedMotion | undefined;
    const shown: { ms: number; motion: Motion }[] = [];
    for (let n = 0; n < 120; n++) {
      const ms = n * FRAME_MS;
      received = receiveMotion(received, { motion: sine(ms), sequence: n, timeMs: 0 }, ms);
      if (n > 20) shown.push({ ms: ms + 10, motion: shownMotion(received, ms + 10) });
    }
    expect(lag(shown, sine, (motion) => motion.pose.yaw).rms).toBeLessThan(0.03);
  });

  it('one whose clock jumps loses nothing but a moment’s evenness', () => {
    let received: ReceivedMotion | undefined;
    for (let n = 0; n < 90; n++) {
      const ms = n * FRAME_MS;
      const jumped = n < 45 ? 0 : 20_000;
      received = receiveMotion(
        received,
        { motion: sine(ms), sequence: n, timeMs: Math.round(ms + jumped) & 0xffff },
        ms,
      );
      expect(Math.abs(shownMotion(received, ms + 10).pose.yaw - sine(ms).pose.yaw)).toBeLessThan(0.12);
    }
  });

  it('one that begins to send keypoints, or another number of them, is followed', () => {
    const motion = { ...sine(0), keypoints: Float32Array.of(0.1, 0.2, 0.3) };
    const first = receiveMotion(undefined, { motion: sine(0), sequence: 0, timeMs: 0 }, 0);
    const second = receiveMotion(first, { motion, sequence: 1, timeMs: 33 }, 33);
    expect(shownMotion(second, 40).keypoints).toEqual(motion.keypoints);
    expect(shownMotion(first, 40).keypoints).toBeUndefined();
  });

  it('changes neither its arguments nor its earlier results', () => {
    const sample = { motion: synthesizeMotion(1, 3), sequence: 0, timeMs: 0 };
    const first = receiveMotion(undefined, sample, 0);
    const copies = structuredClone([first, sample]);
    const second = receiveMotion(first, { ...sample, motion: synthesizeMotion(1.1, 3), timeMs: 33, sequence: 1 }, 33);
    shownMotion(second, 50).expression.fill(9);
    expect([first, sample]).toEqual(copies);
    expect(shownMotion(second, 50).expression[JAW]).toBeLessThanOrEqual(1);
  });
});

const TRACK = new URL('../../../../shared/motion-tracks/s20.json', import.meta.url);
describe.skipIf(!existsSync(TRACK))('a recorded face', () => {
  it('is shown smoother than its packets, from 10 to 60 a second, at a bounded distance', () => {
    const motions = trackToMotions(JSON.parse(readFileSync(TRACK, 'utf8')) as MotionTrack);
    const face: Face = (ms) => motions[Math.min(motions.length - 1, Math.max(0, Math.round((ms * 30) / 1000)))]!;
    for (const rate of [10, 15, 30, 60]) {
      const wayMs = (n: number) => 20 + 20 * noise(n);
      const shown = play(face, { rate, wayMs, seconds: 8 });
      const newest = shown.map(({ ms }) => face(Math.floor(((ms - 30) * rate) / 1000) * (1000 / rate)));
      for (const of of [(motion: Motion) => motion.pose.roll, (motion: Motion) => motion.expression[SMILE]!]) {
        expect(roughness(shown.map(({ motion }) => of(motion)))).toBeLessThan(0.5 * roughness(newest.map(of)));
      }
    }
  });
});
