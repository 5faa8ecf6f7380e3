import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeMotion, encodeMotion } from '../codec/motionPacket.ts';
import { EXPRESSION_INDEX, EXPRESSION_NAMES, type ExpressionName } from './expressions.ts';
import { multiply, rotateX, rotateY, rotateZ, rotationFromEuler } from './rotation.ts';
import { type MotionTrack, trackToMotions } from './trackToMotions.ts';

/** The tracks' 53 names: ARKit's without tongueOut, browInnerUp and cheekPuff split into sides. */
const TRACK_NAMES = EXPRESSION_NAMES.filter((name) => name !== 'tongueOut')
  .flatMap((name) =>
    name === 'browInnerUp' || name === 'cheekPuff'
      ? [`${name}_L`, `${name}_R`]
      : [name.replace(/Left$/, '_L').replace(/Right$/, '_R')],
  )
  .map((name) => name.replace(/^(jaw|mouth)_L$/, '$1Left').replace(/^(jaw|mouth)_R$/, '$1Right'));

function track(rows: { pose?: number[]; expression?: Record<string, number> }[]): MotionTrack {
  return {
    source: 'test',
    fps: 25,
    names: TRACK_NAMES,
    frames: rows.map(({ pose = [0, 0, 0, 0, 0, 0], expression = {} }) => [
      ...pose,
      ...TRACK_NAMES.map((name) => expression[name] ?? 0),
    ]),
  };
}

const one = (row: Parameters<typeof track>[0][number]) => trackToMotions(track([row]))[0]!;

describe('trackToMotions', () => {
  it('keeps nose-down, mirrors yaw and roll: the axes of tracks point up and to the camera', () => {
    expect(one({ pose: [0.3, 0, 0, 0, 0, 0] }).pose.pitch).toBeCloseTo(0.3);
    expect(one({ pose: [0, 0.3, 0, 0, 0, 0] }).pose.yaw).toBeCloseTo(-0.3);
    expect(one({ pose: [0, 0, 0.3, 0, 0, 0] }).pose.roll).toBeCloseTo(-0.3);
  });

  it('keeps the rotation whole: R_image = F·R_track·F for every pose', () => {
    const flip = [1, 0, 0, 0, -1, 0, 0, 0, -1];
    for (const [pitch, yaw, roll] of [
      [0.2, -0.4, 0.1],
      [-0.5, 0.7, -0.9],
      [0.05, 1.1, 0.4],
    ] as const) {
      const expected = multiply(flip, rotateY(yaw), rotateX(pitch), rotateZ(roll), flip);
      rotationFromEuler(one({ pose: [pitch, yaw, roll, 0, 0, 0] }).pose).forEach((value, index) => {
        expect(value).toBeCloseTo(expected[index]!, 12);
      });
    }
  });

  it('gives translation relative to the median, in image half-widths, y down', () => {
    const poses = [0.1, 0.1, 0.6].map((shift) => ({ pose: [0, 0, 0, shift, shift, 0.2] }));
    const last = trackToMotions(track(poses)).at(-1)!.pose;
    expect(last.tx).toBeCloseTo(0.5 * 0.36);
    expect(last.ty).toBeCloseTo(-0.5 * 0.36);
    expect(last.logScale).toBe(0.2);
    expect(trackToMotions(track(poses), { eyeDistance: 1 }).at(-1)!.pose.tx).toBeCloseTo(0.5);
    expect(trackToMotions(track(poses))[0]!.pose).toMatchObject({ tx: 0, ty: 0 });
  });

  it('brings every name to its ARKit coefficient', () => {
    expect(TRACK_NAMES).toHaveLength(53);
    for (const name of TRACK_NAMES) {
      const { expression } = one({ expression: { [name]: 0.5 } });
      const split = /^(browInnerUp|cheekPuff)_/.exec(name)?.[1];
      const arkit = split ?? name.replace('_L', 'Left').replace('_R', 'Right');
      expect([...expression].filter((value) => value > 0)).toHaveLength(1);
      expect(expression[EXPRESSION_INDEX[arkit as ExpressionName]]).toBeCloseTo(split === undefined ? 0.5 : 0.25);
    }
  });

  it('takes the mean of the two sides where ARKit has but one', () => {
    const { expression } = one({ expression: { cheekPuff_L: 1, cheekPuff_R: 0.5 } });
    expect(expression[EXPRESSION_INDEX.cheekPuff]).toBeCloseTo(0.75);
  });

  it('clamps coefficients to 0…1', () => {
    expect(one({ expression: { jawOpen: 1.2 } }).expression[EXPRESSION_INDEX.jawOpen]).toBe(1);
  });

  it('throws on unknown names, short rows and numbers that are not finite', () => {
    expect(() => trackToMotions({ ...track([]), names: ['earWiggle_L'] })).toThrow(/earWiggle_L/);
    expect(() => trackToMotions({ ...track([]), frames: [[0, 0]] })).toThrow(/frame 0: expected 59/);
    expect(() => one({ pose: [Number.NaN, 0, 0, 0, 0, 0] })).toThrow(TypeError);
  });

  it('gives no motions for a track without frames', () => {
    expect(trackToMotions(track([]))).toEqual([]);
  });

  const folder = new URL('../../../../shared/motion-tracks/', import.meta.url);
  it.skipIf(!existsSync(folder))('converts the recorded tracks into motions that fit a packet', () => {
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
      const recorded = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as MotionTrack;
      const motions = trackToMotions(recorded);
      expect(motions).toHaveLength(recorded.frames.length);
      for (const motion of motions.filter((_, index) => index % 10 === 0)) {
        const { pose } = decodeMotion(encodeMotion({ motion, sequence: 0, timeMs: 0 })).motion;
        for (const axis of ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const) {
          expect(Math.abs(pose[axis] - motion.pose[axis])).toBeLessThanOrEqual(1 / 16384 + 1e-9);
        }
        expect(Math.abs(motion.pose.yaw)).toBeLessThan(1.2);
      }
    }
  });
});
