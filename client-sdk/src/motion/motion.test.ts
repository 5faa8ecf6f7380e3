import { EXPRESSION_INDEX, EXPRESSION_NAMES, type Motion } from '@facewire/proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { mirrorMotion, motionFromArkit } from './motionFromArkit.ts';
import { SyntheticMotionSource } from './SyntheticMotionSource.ts';
import { TrackMotionSource } from './TrackMotionSource.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('motionFromArkit', () => {
  it('takes coefficients by name, from ARKit and from MediaPipe alike', () => {
    const arkit = motionFromArkit({ jawOpen: 0.5, eyeBlink_L: 0.25, tongueOut: 1.5, noSuchThing: 1 });
    expect(arkit.expression[EXPRESSION_INDEX.jawOpen]).toBe(0.5);
    expect(arkit.expression[EXPRESSION_INDEX.eyeBlinkLeft]).toBe(0.25);
    expect(arkit.expression[EXPRESSION_INDEX.tongueOut], 'clamped').toBe(1);
    const mediapipe = motionFromArkit([
      { categoryName: '_neutral', score: 0.9 },
      { categoryName: 'jawOpen', score: 0.5 },
    ]);
    expect(mediapipe.expression[EXPRESSION_INDEX.jawOpen]).toBe(0.5);
    expect(mediapipe.expression.reduce((sum, value) => sum + value, 0)).toBe(0.5);
  });

  it('swaps left and right of a mirrored picture, and only them', () => {
    const motion = motionFromArkit(
      { eyeBlinkLeft: 0.75, mouthRight: 0.5, jawOpen: 0.25 },
      { mirrored: true, pose: { yaw: 0.2, pitch: 0.1, roll: 0.3, tx: 0.4 } },
    );
    expect(motion.expression[EXPRESSION_INDEX.eyeBlinkRight]).toBe(0.75);
    expect(motion.expression[EXPRESSION_INDEX.eyeBlinkLeft]).toBe(0);
    expect(motion.expression[EXPRESSION_INDEX.mouthLeft]).toBe(0.5);
    expect(motion.expression[EXPRESSION_INDEX.jawOpen]).toBe(0.25);
    expect(motion.pose).toMatchObject({ yaw: -0.2, pitch: 0.1, roll: -0.3, tx: -0.4 });
    expect(mirrorMotion(mirrorMotion(motion))).toEqual(motion);
  });

  it('reads the head’s angles from a tracker’s matrix', () => {
    // In tracker axes (y up, z to the viewer) a turn about +y by a moves the nose (0, 0, 1) to (sin a, 0, cos a): to
    // the image's right, which is negative yaw.
    const a = 0.3;
    const turned = [Math.cos(a), 0, -Math.sin(a), 0, 0, 1, 0, 0, Math.sin(a), 0, Math.cos(a), 0, 0, 0, 0, 1];
    const { pose } = motionFromArkit({}, { matrix: turned });
    expect(pose.yaw).toBeCloseTo(-a);
    expect(pose.pitch).toBeCloseTo(0);
    // A turn about +x moves the nose to (0, −sin a, cos a): down, which is positive pitch.
    const nodding = [1, 0, 0, 0, 0, Math.cos(a), Math.sin(a), 0, 0, -Math.sin(a), Math.cos(a), 0, 0, 0, 0, 1];
    expect(motionFromArkit({}, { matrix: nodding.map((value) => value * 2) }).pose.pitch).toBeCloseTo(a);
  });

  it('refuses numbers that are none', () => {
    expect(() => motionFromArkit({ jawOpen: Number.NaN })).toThrow(RangeError);
    expect(() => motionFromArkit({}, { matrix: [1, 2, 3] })).toThrow(RangeError);
  });
});

describe('motion sources', () => {
  it('the synthetic one moves at its rate until it is stopped', () => {
    vi.useFakeTimers();
    const source = new SyntheticMotionSource({ seed: 3, rate: 20 });
    const motions: Motion[] = [];
    source.start((motion) => motions.push(motion));
    vi.advanceTimersByTime(1_000);
    source.stop();
    source.stop();
    vi.advanceTimersByTime(1_000);
    expect(motions).toHaveLength(21);
    expect(new Set(motions.map((motion) => motion.pose.yaw)).size).toBeGreaterThan(10);
  });

  it('a track is interpolated between its frames and loops', () => {
    const row = (jaw: number) => [0, 0, 0, 0, 0, 0, jaw];
    const track = { source: 'test', fps: 10, names: ['jawOpen'], frames: [row(0), row(1)] };
    const source = new TrackMotionSource(track);
    const jawAt = (seconds: number) => source.at(seconds).expression[EXPRESSION_INDEX.jawOpen];
    expect(source.durationSeconds).toBeCloseTo(0.2);
    expect(jawAt(0.05)).toBeCloseTo(0.5);
    expect(jawAt(0.3)).toBeCloseTo(1);
    expect(new TrackMotionSource(track, { loop: false }).at(9).expression[EXPRESSION_INDEX.jawOpen]).toBe(1);
    expect(EXPRESSION_NAMES).toHaveLength(52);
  });

  it('an empty track is refused', () => {
    expect(() => new TrackMotionSource({ source: 'none', fps: 25, names: ['jawOpen'], frames: [] })).toThrow(
      RangeError,
    );
  });
});
