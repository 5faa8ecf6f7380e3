import { describe, expect, it } from 'vitest';
import { ROOM } from '../scene/layout.ts';
import { type Rig, SnapTurn, turnAbout, walk } from './locomotion.ts';

const rig: Rig = { x: 0, z: 2, turn: 0 };

describe('walking in VR', () => {
  it('goes where the head looks, wherever the play space points', () => {
    const forwards = { x: 0, y: -1 };
    expect(walk(rig, { x: 0, z: 2, heading: 0 }, forwards, 0.1, [])).toMatchObject({ x: 0, z: expect.closeTo(1.8) });
    const left = walk(rig, { x: 0, z: 2, heading: Math.PI / 2 }, forwards, 0.1, []);
    expect(left.x).toBeCloseTo(-0.2);
    expect(left.z).toBeCloseTo(2);
    const sideways = walk(rig, { x: 0, z: 2, heading: 0 }, { x: 1, y: 0 }, 0.1, []);
    expect(sideways.x).toBeCloseTo(0.2);
  });

  it('stays within the walls, and does nothing at rest', () => {
    let moved = rig;
    for (let step = 0; step < 200; step++) {
      // The head is half a metre beside the middle of the play space.
      moved = walk(moved, { x: moved.x + 0.5, z: moved.z, heading: 0 }, { x: 0, y: -1 }, 0.1, []);
    }
    expect(Math.hypot(moved.x + 0.5, moved.z)).toBeLessThan(ROOM.radius);
    expect(walk(rig, { x: 0, z: 2, heading: 0 }, { x: 0.1, y: 0.05 }, 1, [])).toBe(rig);
  });

  it('turns about the head, once for each flick', () => {
    const head = { x: 1, z: 1 };
    const turned = turnAbout({ x: 0, z: 1, turn: 0 }, head, Math.PI / 2);
    // What was a metre to the head's left (−x) is a metre behind it (+z), as everything turns to the left.
    expect(turned.x).toBeCloseTo(1);
    expect(turned.z).toBeCloseTo(2);
    expect(turned.turn).toBeCloseTo(Math.PI / 2);
    const snap = new SnapTurn();
    expect([0, 0.8, 1, 0.5, 0.8, 0.1, -0.9].map((x) => Math.sign(snap.handle(x)))).toEqual([0, -1, 0, 0, 0, 0, 1]);
  });
});
