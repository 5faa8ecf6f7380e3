import {
  EXPRESSION_NAMES,
  eulerFromRotation,
  type Matrix3,
  type Motion,
  multiply,
  neutralMotion,
  rotateY,
  synthesizeMotion,
} from '@facewire/proto';

/** A head in space as WebXR has it: an XRRigidTransform. Metres; x to the wearer's right, y up, z backwards. */
export interface HeadsetTransform {
  readonly position: { readonly x: number; readonly y: number; readonly z: number };
  readonly orientation: { readonly x: number; readonly y: number; readonly z: number; readonly w: number };
}

export interface HeadsetOptions {
  /** whose blinks and glances these are, a whole number: headsets do not see them; default a random one */
  seed?: number;
}

/** The body turns and walks after the head: of what the head is off, so much is left after a second. */
const LEFT_AFTER_A_SECOND = 0.35;
/** A head turns no further from its body, radians. */
const NECK_TURN = 1;
/** What portraits are drawn well at, radians. */
const MOST = { pitch: 0.45, yaw: 0.8, roll: 0.4 } as const;
/** Half image widths a metre, of a portrait whose face fills a third of its width. */
const UNITS_PER_METRE = 4;
/** A head that leans moves so far at most, half image widths, and grows by so much at most, ln. */
const MOST_SHIFT = 0.15;
const MOST_SCALE = 0.1;
/** Natural logarithm of the size for each metre nearer: a viewer at arm's length and a half. */
const SCALE_PER_METRE = 0.8;
/** Looking so nearly straight up or down, a head has no heading. */
const LEAST_LEVEL = 0.3;
/** Mirrors x and y: from the wearer's axes to those of a picture taken from the front. */
const TO_PICTURE = [-1, -1, 1] as const;

/**
 * Makes motions of a headset's pose: the head turns against a body that follows it, so that a player who turns round does
 * not show the back of the head. What a headset does not see (blinks, glances) lives by itself; the mouth comes from
 * elsewhere, say VoiceMouth.
 */
export class HeadsetMotion {
  readonly #seed: number;
  #body: { yaw: number; x: number; y: number; z: number } | undefined;
  #atMs = 0;

  constructor({ seed = Math.floor(Math.random() * 1e6) }: HeadsetOptions = {}) {
    this.#seed = seed;
  }

  /** The head is straight on the body as it is at the next read(). */
  recentre(): void {
    this.#body = undefined;
  }

  /**
   * The motion of a viewer's pose in a space that stands still (`XRFrame.getViewerPose(space).transform`), at a time in ms
   * that never goes back. Throws RangeError for what is not finite.
   */
  read({ position, orientation }: HeadsetTransform, timeMs: number): Motion {
    const { x, y, z, w } = orientation;
    for (const value of [x, y, z, w, position.x, position.y, position.z, timeMs]) {
      if (!Number.isFinite(value)) throw new RangeError(`a headset's transform or time holds ${value}`);
    }
    const rotation = rotationOf(x, y, z, w);
    const level = Math.hypot(rotation[2]!, rotation[8]!);
    const heading = level > LEAST_LEVEL ? Math.atan2(rotation[2]!, rotation[8]!) : (this.#body?.yaw ?? 0);
    const body = this.#follow(heading, position, timeMs);
    const off = inBody(body, position);
    const turned = multiply(rotateY(-body.yaw), rotation);
    const angles = eulerFromRotation(turned.map((value, at) => value * sign(at)));
    const motion = neutralMotion();
    motion.pose = {
      pitch: within(angles.pitch, MOST.pitch),
      yaw: within(angles.yaw, MOST.yaw),
      roll: within(angles.roll, MOST.roll),
      tx: within(-off.right * UNITS_PER_METRE, MOST_SHIFT),
      ty: within(-off.up * UNITS_PER_METRE, MOST_SHIFT),
      logScale: within(off.forwards * SCALE_PER_METRE, MOST_SCALE),
    };
    const alive = synthesizeMotion(timeMs / 1000, this.#seed).expression;
    for (const index of UNSEEN) motion.expression[index] = alive[index]!;
    return motion;
  }

  #follow(heading: number, { x, y, z }: HeadsetTransform['position'], timeMs: number) {
    const before = this.#body ?? { yaw: heading, x, y, z };
    const seconds = Math.max(0, timeMs - this.#atMs) / 1000;
    this.#atMs = Math.max(this.#atMs, timeMs);
    const left = LEFT_AFTER_A_SECOND ** seconds;
    const off = within(nearest(heading - before.yaw) * left, NECK_TURN);
    const towards = (now: number, was: number) => now + (was - now) * left;
    this.#body = { yaw: heading - off, x: towards(x, before.x), y: towards(y, before.y), z: towards(z, before.z) };
    return this.#body;
  }
}

/** Lids, gaze and brows. */
const UNSEEN = EXPRESSION_NAMES.flatMap((name, index) => (/^(eye|brow)/.test(name) ? [index] : []));

function rotationOf(x: number, y: number, z: number, w: number): Matrix3 {
  const s = 2 / (x * x + y * y + z * z + w * w || 1);
  return [
    ...[1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
    ...[s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
    ...[s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
  ];
}

/** How far the head is from where the body has it, metres. */
function inBody(body: { yaw: number; x: number; y: number; z: number }, { x, y, z }: HeadsetTransform['position']) {
  const [dx, dz] = [x - body.x, z - body.z];
  const [cosine, sine] = [Math.cos(body.yaw), Math.sin(body.yaw)];
  return { right: dx * cosine - dz * sine, up: y - body.y, forwards: -(dx * sine + dz * cosine) };
}

function sign(at: number): number {
  return TO_PICTURE[Math.floor(at / 3)]! * TO_PICTURE[at % 3]!;
}

function nearest(angle: number): number {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}

function within(value: number, most: number): number {
  return Math.min(most, Math.max(-most, value));
}
