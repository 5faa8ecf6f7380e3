import { keepInside, type Obstacle } from '../scene/layout.ts';

/** metres per second with the stick pushed all the way */
const SPEED = 2;
/** of a stick at rest */
const DEAD_ZONE = 0.15;
/** A flick of the right stick turns by so much, radians; it counts beyond the first and again below the second value. */
const SNAP = Math.PI / 6;
const SNAP_AT = 0.7;
const SNAP_AGAIN_AT = 0.3;

/** Where the play space is in the room: its origin on the floor, and how it is turned about it. Metres, radians. */
export interface Rig {
  x: number;
  z: number;
  turn: number;
}

export interface Head {
  /** on the room's floor, metres */
  x: number;
  z: number;
  /** heading in the room, radians; 0 looks along −z, positive to the left */
  heading: number;
}

/** A thumbstick, −1…1: x to the right, y backwards, as gamepads have it. */
export interface Stick {
  x: number;
  y: number;
}

/** Moves the play space by the left stick, in the direction of the head, within walls and around obstacles. */
export function walk(rig: Rig, head: Head, stick: Stick, seconds: number, obstacles: readonly Obstacle[]): Rig {
  const length = Math.hypot(stick.x, stick.y);
  if (length < DEAD_ZONE) return rig;
  const way = (Math.min(1, length) * SPEED * seconds) / length;
  const [cosine, sine] = [Math.cos(head.heading), Math.sin(head.heading)];
  const x = head.x + way * (stick.x * cosine + stick.y * sine);
  const z = head.z + way * (stick.y * cosine - stick.x * sine);
  const to = keepInside(x, z, obstacles);
  return { ...rig, x: rig.x + to.x - head.x, z: rig.z + to.z - head.z };
}

/** Turns the play space about the head, positive to the left. */
export function turnAbout(rig: Rig, head: Pick<Head, 'x' | 'z'>, angle: number): Rig {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  const [dx, dz] = [rig.x - head.x, rig.z - head.z];
  return { x: head.x + dx * cosine + dz * sine, z: head.z + dz * cosine - dx * sine, turn: rig.turn + angle };
}

/** One turn for each flick of a stick. */
export class SnapTurn {
  #armed = true;

  /** By how much to turn now, radians, positive to the left. */
  handle(x: number): number {
    if (Math.abs(x) < SNAP_AGAIN_AT) this.#armed = true;
    if (!this.#armed || Math.abs(x) < SNAP_AT) return 0;
    this.#armed = false;
    return -Math.sign(x) * SNAP;
  }
}
