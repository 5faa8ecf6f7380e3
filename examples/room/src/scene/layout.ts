/** Where things are, metres. The gallery's wall is a half circle about the origin; the room goes on straight behind. */
export const ROOM = {
  radius: 7.4,
  backZ: 5.4,
  height: 5.9,
  eyeHeight: 1.65,
} as const;

export const START = { x: 0, z: 2.3, pitch: 0.09 } as const;

export interface ScreenPlace {
  x: number;
  y: number;
  z: number;
  /** about +y, radians: the screen faces the origin */
  turn: number;
  /** about its own x axis, radians; negative = towards the floor … positive = towards the ceiling */
  tilt: number;
}

export const SCREEN_SIZE = 1.82;
const SCREEN_RADIUS = 6.75;
const STEP = 0.338;

/** Ten screens in two rows, the best places first: the middle three of both rows, then outwards. */
export function screenPlaces(): ScreenPlace[] {
  const lower = { y: 1.72, tilt: 0 };
  const upper = { y: 4.02, tilt: 0.16 };
  const order = [
    ...[0, -1, 1].map((column) => ({ ...lower, column })),
    ...[0, -1, 1].map((column) => ({ ...upper, column })),
    ...[-2, 2].map((column) => ({ ...lower, column })),
    ...[-2, 2].map((column) => ({ ...upper, column })),
  ];
  return order.map(({ y, tilt, column }) => {
    const angle = column * STEP;
    return { x: Math.sin(angle) * SCREEN_RADIUS, y, z: -Math.cos(angle) * SCREEN_RADIUS, turn: -angle, tilt };
  });
}

/** A thing to walk around. */
export interface Obstacle {
  x: number;
  z: number;
  radius: number;
}

/** The nearest place to (x, z) where a visitor may stand: inside the walls and outside every obstacle. */
export function keepInside(x: number, z: number, obstacles: readonly Obstacle[]): { x: number; z: number } {
  const margin = 0.9;
  let inside = { x, z };
  for (const { x: ox, z: oz, radius } of obstacles) {
    const distance = Math.hypot(inside.x - ox, inside.z - oz);
    if (distance >= radius) continue;
    const scale = distance > 1e-6 ? radius / distance : 0;
    inside = scale ? { x: ox + (inside.x - ox) * scale, z: oz + (inside.z - oz) * scale } : { x: ox, z: oz + radius };
  }
  const limit = ROOM.radius - margin;
  const clampedX = Math.min(limit, Math.max(-limit, inside.x));
  const clampedZ = Math.min(ROOM.backZ - margin, inside.z);
  const distance = Math.hypot(clampedX, clampedZ);
  if (clampedZ < 0 && distance > limit) return { x: (clampedX / distance) * limit, z: (clampedZ / distance) * limit };
  return { x: clampedX, z: clampedZ };
}
