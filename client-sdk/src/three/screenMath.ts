import { CONTROL_LIMITS, type View } from '@facewire/proto';

/** A point in a screen's own frame: x to the right of whoever faces the screen, y up, z out of the screen. */
export interface LocalPoint {
  x: number;
  y: number;
  z: number;
}

export interface FollowOptions {
  /** how much of the true angle is shown; 1 = as a real head would */
  gain: number;
  /** radians; more than π/2 counts as π/2, which is all that servers render */
  maxYaw: number;
  /** radians; likewise */
  maxPitch: number;
}

export const DEFAULT_FOLLOW: FollowOptions = { gain: 1, maxYaw: 0.6, maxPitch: 0.35 };

/**
 * The view under which a head at the screen's centre, facing out of it, is seen from `camera`.
 *
 * Facewire's image axes are x right, y down, z into the picture; a head that faces the camera has its nose along
 * (0, 0, −1), and R_view = Ry(yaw)·Rx(pitch) moves it to (−sin yaw·cos pitch, sin pitch, −cos yaw·cos pitch): positive
 * yaw to the image's left, positive pitch down. Walk to the right of a statue and its nose points to your left: so a
 * camera at an angle θ to the right wants yaw = +θ, and more of the side of the head that is nearer to it appears, at
 * the image's right. A camera above looks down on the nose: pitch = +elevation.
 *
 * With d the unit vector to the camera, the nose in the camera's image is (−d_xz, d_y·d_z/d_h, …): yaw and pitch below
 * reproduce its direction exactly; the small roll that remains is left out, heads on screens stay upright.
 */
export function followView(camera: LocalPoint, options: FollowOptions = DEFAULT_FOLLOW): View {
  const horizontal = Math.hypot(camera.x, camera.z);
  const azimuth = Math.atan2(camera.x, camera.z);
  const elevation = Math.atan2(camera.y, horizontal);
  const yaw = Math.atan2(Math.sin(azimuth), Math.cos(elevation) * Math.cos(azimuth));
  // Behind the screen there is nothing to see: the cosine would turn the pitch over.
  const pitch = Math.asin(Math.sin(elevation) * Math.max(0, Math.cos(azimuth)));
  return {
    yaw: clamp(yaw * options.gain, options.maxYaw),
    pitch: clamp(pitch * options.gain, options.maxPitch),
  };
}

/**
 * Height in pixels at which something `height` high appears at `distance`.
 *
 * @param fovY vertical field of view, radians
 * @param viewportHeight pixels of the drawing buffer
 */
export function projectedPixels(height: number, distance: number, fovY: number, viewportHeight: number): number {
  return (height / Math.max(distance, 1e-3) / (2 * Math.tan(fovY / 2))) * viewportHeight;
}

/** A screen must outgrow its picture by this factor before a larger one is asked for, and fall as far below … */
const GROW = 1.15;
/** … the next smaller size before it shrinks, so that a viewer who sways does not flip between two sizes. */
const SHRINK = 0.85;

/**
 * The size to ask for: the smallest that is not much coarser than the screen, with hysteresis around `current`.
 *
 * @param pixels the screen's height on the display
 * @param sizes what the server renders, ascending
 */
export function chooseSize(pixels: number, current: number, sizes: readonly number[], maxSize = Infinity): number {
  const allowed = sizes.filter((size) => size <= maxSize);
  if (allowed.length === 0) return sizes[0] ?? current;
  const fitting = (wanted: number): number => allowed.find((size) => size >= wanted) ?? allowed.at(-1)!;
  const larger = fitting(pixels / GROW);
  if (larger > current) return larger;
  const smaller = fitting(pixels / SHRINK);
  if (smaller < current) return smaller;
  return allowed.includes(current) ? current : fitting(pixels);
}

/** Rates that are asked for: coarse steps, so that a rate seldom changes. */
const RATES = [2, 3, 5, 8, 10, 12, 15, 20, 24, 30, 48, 60];
/** A display that draws 29 times a second shows 30 frames a second well enough. */
const RATE_SLACK = 1.1;

/**
 * Frames per second to ask for: all of them for a screen in front of the viewer, half for one that is small, none for one
 * that is out of sight (it keeps its last picture until the viewer turns). Never more than are drawn: Chromium
 * decodes about one frame per stream and drawn frame when its main thread is busy, and the others would only queue.
 *
 * @param pixels the screen's height on the display
 * @param drawnPerSecond frames that the application draws
 */
export function chooseRate(visible: boolean, pixels: number, maxRate: number, drawnPerSecond: number): number {
  if (!visible) return 0;
  const wanted = pixels < 48 ? maxRate / 2 : maxRate;
  const drawable = Math.max(RATES[0]!, RATES.findLast((rate) => rate <= drawnPerSecond * RATE_SLACK) ?? 0);
  return Math.max(1, Math.min(Math.round(wanted), drawable));
}

function clamp(angle: number, most: number): number {
  const limit = Math.min(most, CONTROL_LIMITS.viewAngle);
  // `+ 0` turns −0 into 0.
  return Math.min(limit, Math.max(-limit, angle)) + 0;
}
