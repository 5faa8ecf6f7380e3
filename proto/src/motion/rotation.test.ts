import { describe, expect, it } from 'vitest';
import { eulerFromRotation, type Matrix3, multiply, rotateX, rotateY, rotateZ, rotationFromEuler } from './rotation.ts';

const apply = (m: Matrix3, [x, y, z]: [number, number, number]) =>
  [0, 3, 6].map((row) => m[row]! * x + m[row + 1]! * y + m[row + 2]! * z);

/** The nose points out of the picture, towards −z. */
const NOSE: [number, number, number] = [0, 0, -1];
const CROWN: [number, number, number] = [0, -1, 0];

describe('rotations in image axes (x right, y down, z into the picture)', () => {
  it('moves the nose down for positive pitch, to the left for positive yaw, the crown to the right for positive roll', () => {
    expect(apply(rotationFromEuler({ pitch: 0.3, yaw: 0, roll: 0 }), NOSE)[1]).toBeGreaterThan(0.2);
    expect(apply(rotationFromEuler({ pitch: 0, yaw: 0.3, roll: 0 }), NOSE)[0]).toBeLessThan(-0.2);
    expect(apply(rotationFromEuler({ pitch: 0, yaw: 0, roll: 0.3 }), CROWN)[0]).toBeGreaterThan(0.2);
  });

  it('multiplies in the order Rz·Ry·Rx', () => {
    const rotation = rotationFromEuler({ pitch: 0.1, yaw: 0.2, roll: 0.3 });
    const stepwise = apply(rotateZ(0.3), apply(rotateY(0.2), apply(rotateX(0.1), [1, 2, 3]) as never) as never);
    apply(rotation, [1, 2, 3]).forEach((value, index) => {
      expect(value).toBeCloseTo(stepwise[index]!, 12);
    });
  });

  it('comes back from a matrix for all yaws within a right angle', () => {
    for (const pitch of [-3, -0.7, 0, 0.4, 2]) {
      for (const yaw of [-1.5, -0.3, 0, 1.2]) {
        for (const roll of [-2.5, 0, 0.6, 3]) {
          const angles = eulerFromRotation(rotationFromEuler({ pitch, yaw, roll }));
          expect(angles.pitch).toBeCloseTo(pitch, 9);
          expect(angles.yaw).toBeCloseTo(yaw, 9);
          expect(angles.roll).toBeCloseTo(roll, 9);
        }
      }
    }
  });

  it('gives the same rotation at gimbal lock, with no roll', () => {
    for (const yaw of [Math.PI / 2, -Math.PI / 2]) {
      const rotation = rotationFromEuler({ pitch: 0.4, yaw, roll: 0.7 });
      const angles = eulerFromRotation(rotation);
      expect(angles.roll).toBe(0);
      rotationFromEuler(angles).forEach((value, index) => {
        expect(value).toBeCloseTo(rotation[index]!, 6);
      });
    }
  });

  it('gives a single matrix back unchanged', () => {
    expect(multiply(rotateX(0.5))).toEqual(rotateX(0.5));
  });
});
