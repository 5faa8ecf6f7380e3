import type { ReceivedMotion } from './receiveMotion.ts';

/** Half of the time that a picture stays on the screen at 30 a second. */
export const HALF_FRAME_MS = 1000 / 60;
/** A speed is believed for about so long: dead reckoning runs out softly instead of overshooting. */
export const REACH_MS = 25;
/** Time constant of the critically damped spring that wears corrections off. */
const SPRING_MS = 14;
/** Past this nothing of a correction or a speed is left to see. */
export const SETTLED_MS = 150;

/** How far a speed of 1 carries in so many ms: τ(1 − exp(−t/τ)); linear before the packet's own time. */
export function reach(ageMs: number): number {
  return ageMs <= 0 ? ageMs : REACH_MS * (1 - Math.exp(-ageMs / REACH_MS));
}

type Course = Pick<ReceivedMotion, 'clock' | 'delayMs' | 'value' | 'speed'> &
  ({ offset: undefined } | Pick<ReceivedMotion, 'offset' | 'offsetSpeed'>);

/** Where the face is on its way at the receiver's `nowMs`, and how fast it moves (a millisecond). */
export function trajectoryAt(course: Course, nowMs: number): { place: Float64Array; speed: Float64Array } {
  const { clock, delayMs, value } = course;
  const ageMs = nowMs - clock.shortestMs - delayMs - clock.sentMs;
  const carried = reach(ageMs);
  const left = ageMs <= 0 ? 1 : Math.exp(-ageMs / REACH_MS);
  const place = new Float64Array(value.length);
  const speed = new Float64Array(value.length);
  for (let index = 0; index < value.length; index++) {
    place[index] = value[index]! + course.speed[index]! * carried;
    speed[index] = course.speed[index]! * left;
  }
  if (course.offset === undefined) return { place, speed };
  // a picture drawn now stays for a frame: half of it is counted in
  const sinceMs = Math.max(0, nowMs - clock.arrivedMs) + HALF_FRAME_MS;
  const worn = Math.exp(-sinceMs / SPRING_MS);
  for (let index = 0; index < value.length; index++) {
    const pull = course.offsetSpeed[index]! + course.offset[index]! / SPRING_MS;
    place[index] = place[index]! + (course.offset[index]! + pull * sinceMs) * worn;
    speed[index] = speed[index]! + (course.offsetSpeed[index]! - (pull * sinceMs) / SPRING_MS) * worn;
  }
  return { place, speed };
}
