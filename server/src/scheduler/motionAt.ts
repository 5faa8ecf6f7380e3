import { EXPRESSION_COUNT, type HeadPose, type Motion, neutralMotion } from '@facewire/proto';
import type { Participant } from '../contracts.ts';

/** After this long without a packet a face begins to rest: its sender is gone or stuck. */
export const IDLE_AFTER_MS = 2000;
/** How long it takes to come to rest. */
export const EASE_MS = 1000;
/** Pictures of one second of easing; more would only cost renders. */
const EASE_STEPS = 30;

/** What a participant's face shows at one moment. */
export interface ResolvedMotion {
  motion: Motion;
  /** of the packet it comes from; 0 before the first one */
  sequence: number;
  timeMs: number;
  /** server clock at which that packet arrived; undefined before the first one */
  arrivedAtMs: number | undefined;
  /** differs whenever the motion differs: pictures of one version need not be drawn twice */
  version: string;
  /** the packet's own motion, not on its way to rest */
  fresh: boolean;
}

export type MotionAt = (participant: Participant, nowMs: number) => ResolvedMotion;

const REST = neutralMotion();

/** The newest motion, eased to the neutral face within a second once no packet came for two. Pure. */
export function motionAt(participant: Participant, nowMs: number): ResolvedMotion {
  const { latest, latestAtMs } = participant;
  if (!latest) return { motion: REST, sequence: 0, timeMs: 0, arrivedAtMs: undefined, version: 'rest', fresh: false };
  const { sequence, timeMs } = latest;
  // The arrival tells two packets apart even when the sequence number has come round.
  const packet = `${sequence}@${latestAtMs}`;
  const idleMs = nowMs - latestAtMs - IDLE_AFTER_MS;
  const step = Math.min(EASE_STEPS, Math.ceil((idleMs / EASE_MS) * EASE_STEPS));
  if (step <= 0) {
    return { motion: latest.motion, sequence, timeMs, arrivedAtMs: latestAtMs, version: packet, fresh: true };
  }
  const motion = easeToRest(latest.motion, smoothstep(step / EASE_STEPS));
  return { motion, sequence, timeMs, arrivedAtMs: latestAtMs, version: `${packet}~${step}`, fresh: false };
}

/** `amount` 0: the motion itself; 1: the neutral face. */
function easeToRest(motion: Motion, amount: number): Motion {
  const keep = 1 - amount;
  const { pitch, yaw, roll, tx, ty, logScale } = motion.pose;
  const pose: HeadPose = {
    pitch: pitch * keep,
    yaw: yaw * keep,
    roll: roll * keep,
    tx: tx * keep,
    ty: ty * keep,
    logScale: logScale * keep,
  };
  const expression = new Float32Array(EXPRESSION_COUNT);
  for (let index = 0; index < EXPRESSION_COUNT; index++) expression[index] = motion.expression[index]! * keep;
  if (!motion.keypoints) return { pose, expression };
  return { pose, expression, keypoints: motion.keypoints.map((value) => value * keep) };
}

function smoothstep(t: number): number {
  return t * t * (3 - 2 * t);
}
