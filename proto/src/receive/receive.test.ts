import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Motion, type MotionSample, neutralMotion } from '../motion/Motion.ts';
import { synthesizeMotion } from '../motion/synthesizeMotion.ts';
import { type MotionTrack, trackToMotions } from '../motion/trackToMotions.ts';
import { accept, createJitterBuffer, delayOf, type JitterBuffer } from './jitterBuffer.ts';
import { motionAt } from './motionAt.ts';
import { type Smoothed, smoothMotion } from './smoothMotion.ts';

const TRACK = new URL('../../../../shared/motion-tracks/s20.json', import.meta.url);
/** a recorded face where the recordings are at hand, else a synthetic one */
const MOTIONS: Motion[] = existsSync(TRACK)
  ? trackToMotions(JSON.parse(readFileSync(TRACK, 'utf8')) as MotionTrack)
  : Array.from({ length: 297 }, (_, index) => synthesizeMotion(index / 30, 5));

function sampleAt(index: number, rate: number): MotionSample {
  const at = Math.min(MOTIONS.length - 1, Math.round((index * 30) / rate));
  return {
    motion: MOTIONS[at]!,
    sequence: index & 0xffff,
    timeMs: Math.round(60_000 + (index * 1000) / rate) & 0xffff,
  };
}

/** Packets at `rate`, each `delay(index)` ms on its way, seen by a screen at 60 Hz. */
function play(
  rate: number,
  delay: (index: number) => number,
  seconds = 6,
  lost: (index: number) => boolean = () => false,
) {
  const packets = Array.from({ length: Math.floor(rate * seconds) }, (_, index) => ({
    sample: sampleAt(index, rate),
    at: (index * 1000) / rate + delay(index),
  }))
    .filter((_, index) => !lost(index))
    .sort((a, b) => a.at - b.at);
  let buffer: JitterBuffer = createJitterBuffer();
  let next = 0;
  const shown: { now: number; playout: ReturnType<typeof motionAt>; delayMs: number }[] = [];
  for (let now = 100; now < seconds * 1000; now += 1000 / 60) {
    while (next < packets.length && packets[next]!.at <= now) {
      buffer = accept(buffer, packets[next]!.sample, packets[next]!.at);
      next++;
    }
    shown.push({ now, playout: motionAt(buffer, now), delayMs: delayOf(buffer) });
  }
  return shown;
}

describe('motion at the receiver', () => {
  it('is shown at the screen’s rate from packets at 10 to 60 a second', () => {
    for (const rate of [10, 15, 30, 60]) {
      const shown = play(rate, (index) => 20 + ((index * 7) % 5));
      const moving = shown
        .slice(30)
        .filter(({ playout }) => playout.how === 'interpolated' || playout.how === 'predicted');
      expect(moving.length / (shown.length - 30)).toBeGreaterThan(0.98);
      const pitches = new Set(moving.map(({ playout }) => playout.motion.pose.pitch));
      expect(pitches.size).toBeGreaterThan(moving.length * 0.6);
    }
  });

  it('follows the sender within the bound on latency, however late packets are', () => {
    const shown = play(30, (index) => 20 + (index % 9 === 0 ? 400 : 0));
    for (const { delayMs } of shown) expect(delayMs).toBeLessThanOrEqual(100);
    const late = shown.slice(60).map(({ playout }) => playout.behindMs);
    expect(Math.max(...late)).toBeLessThan(200);
  });

  it('puts packets that come out of order in their place and ignores repeated ones', () => {
    const inOrder = play(30, () => 60).slice(60);
    const shuffled = play(30, (index) => (index % 2 === 0 ? 60 : 20)).slice(60);
    expect(shuffled.every(({ playout }) => playout.how !== 'easing')).toBe(true);
    expect(inOrder.length).toBe(shuffled.length);
    const once = accept(createJitterBuffer(), sampleAt(0, 30), 10);
    const more = accept(once, sampleAt(1, 30), 43);
    expect(accept(more, sampleAt(1, 30), 50)).toBe(more);
    expect(accept(more, sampleAt(0, 30), 50)).toBe(more);
  });

  it('dead reckoning guesses the next 33 ms of a turning head better than holding still', () => {
    let [held, reckoned] = [0, 0];
    let buffer = createJitterBuffer();
    for (let index = 0; index < 250; index++) {
      const sample: MotionSample = { motion: turning(index), sequence: index, timeMs: Math.round((index * 1000) / 30) };
      buffer = accept(buffer, sample, sample.timeMs + 20);
      if (index < 3) continue;
      const truth = turning(index + 1).pose.yaw;
      held += Math.abs(truth - sample.motion.pose.yaw);
      reckoned += Math.abs(truth - motionAt(buffer, sample.timeMs + 20 + 33).motion.pose.yaw);
    }
    expect(reckoned).toBeLessThan(0.6 * held);
  });

  it('never leaves the range of coefficients, even when it guesses', () => {
    for (const { playout } of play(
      10,
      (index) => (index % 5) * 60,
      6,
      (index) => index % 7 === 3,
    )) {
      for (const value of playout.motion.expression) {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1);
      }
    }
  });

  it('holds, then eases to neutral when packets stop, and takes up again when they return', () => {
    let buffer = createJitterBuffer();
    for (let index = 0; index < 30; index++) buffer = accept(buffer, sampleAt(index, 30), index * 33 + 20);
    const last = 29 * 33 + 20;
    const how = [50, 300, 700, 3000].map((later) => motionAt(buffer, last + later).how);
    expect(how).toEqual(['predicted', 'held', 'easing', 'neutral']);
    expect(motionAt(buffer, last + 3000).motion).toEqual(neutralMotion());
    let before = motionAt(buffer, last + 400).motion;
    for (let later = 416; later < 1400; later += 16) {
      const { motion } = motionAt(buffer, last + later);
      const jump = motion.expression.reduce(
        (most, each, at) => Math.max(most, Math.abs(each - before.expression[at]!)),
        0,
      );
      expect(jump).toBeLessThan(0.04);
      before = motion;
    }
    // two minutes later: the sender's 16 bits of time have wrapped
    const again = { ...sampleAt(60, 30), timeMs: (60_000 + 29 * 33 + 120_000) & 0xffff };
    buffer = accept(buffer, again, last + 120_000);
    expect(motionAt(buffer, last + 120_000).how).toBe('interpolated');
  });

  it('shows neutral before the first packet', () => {
    expect(motionAt(createJitterBuffer(), 5)).toEqual({ motion: neutralMotion(), how: 'waiting', behindMs: 0 });
  });
});

describe('smoothing', () => {
  const run = (motions: readonly Motion[]): Motion[] => {
    let state: Smoothed | undefined;
    return motions.map((motion, index) => {
      state = smoothMotion(state, motion, (index * 1000) / 60);
      return state.motion;
    });
  };
  const tremble = (motions: readonly Motion[], of: (motion: Motion) => number): number =>
    motions.slice(2).reduce((sum, motion, index) => {
      return sum + Math.abs(of(motion) - 2 * of(motions[index + 1]!) + of(motions[index]!));
    }, 0);

  it('calms a tracked face', () => {
    const smooth = run(MOTIONS);
    for (const of of [(motion: Motion) => motion.pose.roll, (motion: Motion) => motion.expression[17]!]) {
      expect(tremble(smooth, of)).toBeLessThan(0.5 * tremble(MOTIONS, of));
    }
  });

  it('keeps up with a quick turn: under 50 ms behind', () => {
    const turn = Array.from({ length: 60 }, (_, index) => {
      const motion = neutralMotion();
      motion.pose.yaw = Math.min(0.6, (index / 60) * 3); // 3 rad/s
      return motion;
    });
    const smooth = run(turn);
    const behind = turn[11]!.pose.yaw - smooth[11]!.pose.yaw;
    expect(behind / 3).toBeLessThan(0.05);
    expect(smooth.at(-1)!.pose.yaw).toBeCloseTo(0.6, 2);
  });

  it('does not change its input and starts over after a gap', () => {
    const first = smoothMotion(undefined, MOTIONS[0]!, 0);
    const copy = structuredClone(MOTIONS[100]!);
    const next = smoothMotion(first, MOTIONS[100]!, 2000);
    expect(MOTIONS[100]).toEqual(copy);
    expect(next.motion).toEqual(copy);
  });
});

function turning(index: number): Motion {
  const motion = neutralMotion();
  motion.pose.yaw = 0.4 * Math.sin(index / 8);
  return motion;
}
