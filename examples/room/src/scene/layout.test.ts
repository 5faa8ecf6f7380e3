import { describe, expect, it } from 'vitest';
import { keepInside, ROOM, screenPlaces } from './layout.ts';

describe('the room', () => {
  it('has at least eight screens, all of which face its middle', () => {
    const places = screenPlaces();
    expect(places.length).toBeGreaterThanOrEqual(8);
    for (const { x, z, turn } of places) {
      // The screen's normal is +z turned by `turn`; it must point from the screen to the origin.
      const distance = Math.hypot(x, z);
      expect(Math.sin(turn)).toBeCloseTo(-x / distance);
      expect(Math.cos(turn)).toBeCloseTo(-z / distance);
    }
  });

  it('keeps visitors within its walls', () => {
    for (const [x, z] of [
      [50, 0],
      [-50, 3],
      [0, -50],
      [40, -40],
      [0, 50],
    ] as const) {
      const inside = keepInside(x, z, []);
      expect(Math.abs(inside.x)).toBeLessThan(ROOM.radius);
      expect(inside.z).toBeLessThan(ROOM.backZ);
      if (inside.z < 0) expect(Math.hypot(inside.x, inside.z)).toBeLessThan(ROOM.radius);
    }
    expect(keepInside(1, 1, [])).toEqual({ x: 1, z: 1 });
  });

  it('lets nobody walk through furniture', () => {
    const table = { x: 0, z: -2, radius: 1 };
    const beside = keepInside(0.1, -1.5, [table]);
    expect(Math.hypot(beside.x - table.x, beside.z - table.z)).toBeCloseTo(1);
    expect(keepInside(0, -2, [table])).toEqual({ x: 0, z: -1 });
  });
});
