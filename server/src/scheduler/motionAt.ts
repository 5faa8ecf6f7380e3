import { EASE_MS, IDLE_AFTER_MS, type Motion, movesForMs, neutralMotion, shownMotion } from '@facewire/proto';
import type { Participant } from '../contracts.ts';

/** Pictures of one second of easing; more would only cost renders. */
const EASE_STEPS = 30;
/**
 * Between packets the face moves on in pictures so far apart. The first waits a little longer: the packet that is about
 * to come shall not find its turn taken by a guess at it.
 */
const STEP_MS = 1000 / 30;
const FIRST_STEP_MS = 1.25 * STEP_MS;

/** What a participant's face shows at one moment. */
export interface ResolvedMotion {
  readonly motion: Motion;
  /** of the packet it comes from; 0 before the first one */
  sequence: number;
  timeMs: number;
  /** server clock at which that packet arrived; undefined before the first one */
  arrivedAtMs: number | undefined;
  /** differs when the motion visibly does: pictures of one version need not be drawn twice */
  version: string;
  /** as received, not on its way to rest */
  fresh: boolean;
}

export type MotionAt = (participant: Participant, nowMs: number) => ResolvedMotion;

const REST = neutralMotion();

/**
 * The motion to show now, as `@facewire/proto` makes it of the packets: calmed, moving on between them, and eased to the
 * neutral face within a second once none came for two. Pure; worked out only when it is asked for, as most looks at a
 * participant end with "same version as before".
 */
export function motionAt(participant: Participant, nowMs: number): ResolvedMotion {
  const { received } = participant;
  if (!received) return { motion: REST, sequence: 0, timeMs: 0, arrivedAtMs: undefined, version: 'rest', fresh: false };
  const { sequence, timeMs } = received;
  const arrivedAtMs = received.clock.arrivedMs;
  const sinceMs = nowMs - arrivedAtMs;
  const easing = Math.min(EASE_STEPS, Math.ceil(((sinceMs - IDLE_AFTER_MS) / EASE_MS) * EASE_STEPS));
  const moved = stepAt(Math.min(sinceMs, movesForMs(received)));
  // The arrival tells two packets apart even when the sequence number has come round.
  const version = `${sequence}@${arrivedAtMs}${moved > 0 ? `+${moved}` : ''}${easing > 0 ? `~${easing}` : ''}`;
  let motion: Motion | undefined;
  return {
    get motion() {
      motion ??= shownMotion(received, nowMs);
      return motion;
    },
    sequence,
    timeMs,
    arrivedAtMs,
    version,
    fresh: easing <= 0,
  };
}

function stepAt(sinceMs: number): number {
  return sinceMs < FIRST_STEP_MS ? 0 : 1 + Math.floor((sinceMs - FIRST_STEP_MS) / STEP_MS);
}
