import { EXPRESSION_INDEX, type ExpressionName, neutralMotion } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { HeadsetMotion, type HeadsetTransform } from './HeadsetMotion.ts';
import { VoiceMouth } from './VoiceMouth.ts';

/** A head turned about one of WebXR's axes (x right, y up, z backwards), radians. */
function turned(axis: 'x' | 'y' | 'z', angle: number, position = { x: 0, y: 1.6, z: 0 }): HeadsetTransform {
  const orientation = { x: 0, y: 0, z: 0, w: Math.cos(angle / 2) };
  orientation[axis] = Math.sin(angle / 2);
  return { position, orientation };
}

const straight = turned('y', 0);

/** A head that was straight, and is as given a moment later. */
function after(transform: HeadsetTransform, ms = 1) {
  const headset = new HeadsetMotion({ seed: 1 });
  headset.read(straight, 0);
  return headset.read(transform, ms).pose;
}

describe('the pose of a headset', () => {
  it('is seen from the front: to the wearer’s left is to the picture’s right, down is down', () => {
    expect(after(turned('y', 0.3)).yaw).toBeCloseTo(-0.3, 2);
    expect(after(turned('x', -0.3)).pitch).toBeCloseTo(0.3, 5);
    // The head's top goes to the wearer's left, the picture's right: clockwise.
    expect(after(turned('z', 0.3)).roll).toBeCloseTo(0.3, 5);
  });

  it('moves with the head: right is left, up is up, nearer is larger', () => {
    const at = (x: number, y: number, z: number) => after(turned('y', 0, { x, y, z }));
    expect(at(0.02, 1.6, 0).tx).toBeCloseTo(-0.08, 3);
    expect(at(0, 1.62, 0).ty).toBeCloseTo(-0.08, 3);
    expect(at(0, 1.6, -0.05).logScale).toBeCloseTo(0.04, 3);
    expect(at(5, 9, -9)).toMatchObject({ tx: -0.15, ty: -0.15, logScale: 0.1 });
  });

  it('turns on a body that follows: who turns round and stays so looks ahead again', () => {
    const headset = new HeadsetMotion({ seed: 1 });
    headset.read(straight, 0);
    const yaws: number[] = [];
    for (let ms = 20; ms <= 6000; ms += 20) {
      yaws.push(headset.read(turned('y', Math.min(Math.PI, ms / 500)), ms).pose.yaw);
    }
    expect(Math.min(...yaws)).toBeGreaterThan(-0.81);
    expect(Math.min(...yaws)).toBeLessThan(-0.7);
    expect(Math.abs(yaws.at(-1)!)).toBeLessThan(0.06);
    const steps = yaws.slice(1).map((yaw, index) => Math.abs(yaw - yaws[index]!));
    expect(Math.max(...steps)).toBeLessThan(0.06);
  });

  it('leans in the direction that the body faces', () => {
    const headset = new HeadsetMotion({ seed: 1 });
    const facingLeft = (x: number) => turned('y', Math.PI / 2, { x, y: 1.6, z: 0 });
    headset.read(facingLeft(0), 0);
    // The wearer faces −x: nearer to the viewer is further along it.
    expect(headset.read(facingLeft(-0.05), 1).pose.logScale).toBeCloseTo(0.04, 3);
    expect(headset.read(facingLeft(-0.05), 1).pose.tx).toBeCloseTo(0, 3);
  });

  it('has no heading straight up: it keeps the body’s', () => {
    const pose = after(turned('x', 1.5));
    expect(pose.pitch).toBe(-0.45);
    expect(Math.abs(pose.yaw)).toBeLessThan(0.05);
  });

  it('starts anew where it is told to', () => {
    const headset = new HeadsetMotion({ seed: 1 });
    headset.read(straight, 0);
    headset.recentre();
    expect(headset.read(turned('y', 2), 1).pose.yaw).toBeCloseTo(0, 5);
  });

  it('blinks by itself, and leaves the mouth to others', () => {
    const headset = new HeadsetMotion({ seed: 3 });
    const shut = Array.from({ length: 400 }, (_, frame) => headset.read(straight, frame * 20).expression);
    expect(Math.max(...shut.map((expression) => expression[EXPRESSION_INDEX.eyeBlinkLeft]!))).toBeGreaterThan(0.8);
    expect(Math.max(...shut.map((expression) => expression[EXPRESSION_INDEX.jawOpen]!))).toBe(0);
  });

  it('refuses numbers that are not finite', () => {
    expect(() => new HeadsetMotion().read(turned('y', Number.NaN), 0)).toThrow(RangeError);
    expect(() => new HeadsetMotion().read(straight, Number.NaN)).toThrow(RangeError);
  });
});

describe('a mouth that moves with a voice', () => {
  const RATE = 48_000;
  const BINS = 512;
  /** The levels of a room at −80 dB in which sounds of the given frequencies are. */
  const sound = (...tones: readonly (readonly [hz: number, db: number])[]) => {
    const levels = new Float32Array(BINS).fill(-80);
    for (const [hz, db] of tones) levels[Math.round(hz / (RATE / 2 / BINS))] = db;
    return levels;
  };
  /** What the mouth comes to after half a second of quiet and half of a sound. */
  const mouth = (levels: Float32Array) => {
    const voice = new VoiceMouth();
    for (let ms = 0; ms < 500; ms += 20) voice.hear(sound(), RATE, ms);
    for (let ms = 500; ms < 1000; ms += 20) voice.hear(levels, RATE, ms);
    const { expression } = voice.apply(neutralMotion());
    return (name: ExpressionName) => expression[EXPRESSION_INDEX[name]]!;
  };

  it('is shut while nobody speaks', () => {
    expect(mouth(sound())('jawOpen')).toBeLessThan(0.01);
  });

  it('opens the jaw for an open vowel, rounds the lips for a dark one, spreads them for a hiss', () => {
    const [ah, oo, ss] = [mouth(sound([750, -25])), mouth(sound([250, -25])), mouth(sound([5500, -30], [6500, -30]))];
    expect(ah('jawOpen')).toBeGreaterThan(0.5);
    expect(oo('jawOpen')).toBeLessThan(0.25);
    expect(oo('mouthPucker')).toBeGreaterThan(0.3);
    expect(ah('mouthPucker')).toBeLessThan(0.05);
    expect(ss('mouthStretchLeft')).toBeGreaterThan(0.2);
    expect(ss('jawOpen')).toBeLessThan(0.2);
  });

  it('opens with the loudness, and gets used to a loud room', () => {
    expect(mouth(sound([750, -45]))('jawOpen')).toBeLessThan(mouth(sound([750, -25]))('jawOpen'));
    const voice = new VoiceMouth();
    for (let ms = 0; ms < 30_000; ms += 50) voice.hear(sound([750, -40]), RATE, ms);
    expect(voice.apply(neutralMotion()).expression[EXPRESSION_INDEX.jawOpen]).toBeLessThan(0.01);
  });

  it('shuts within a few pictures when the voice ends, and takes the place of another mouth', () => {
    const voice = new VoiceMouth();
    for (let ms = 0; ms < 200; ms += 20) voice.hear(sound(), RATE, ms);
    for (let ms = 200; ms < 600; ms += 20) voice.hear(sound([750, -25]), RATE, ms);
    for (let ms = 600; ms < 900; ms += 20) voice.hear(sound(), RATE, ms);
    const motion = neutralMotion();
    motion.expression[EXPRESSION_INDEX.mouthSmileLeft] = 0.8;
    motion.expression[EXPRESSION_INDEX.eyeBlinkLeft] = 0.4;
    voice.apply(motion);
    expect(motion.expression[EXPRESSION_INDEX.jawOpen]).toBeLessThan(0.05);
    expect(motion.expression[EXPRESSION_INDEX.mouthSmileLeft]).toBe(0);
    expect(motion.expression[EXPRESSION_INDEX.eyeBlinkLeft]).toBeCloseTo(0.4);
  });
});
