import {
  EASE_MS,
  IDLE_AFTER_MS,
  type Motion,
  movesForMs,
  neutralMotion,
  type ReceivedMotion,
  shownMotion,
} from '@facewire/proto';
import type { Participant } from '../contracts.ts';

/** Pictures of one second of easing; more would only cost renders. */
const EASE_STEPS = 30;
/** The packet that is about to come shall not find its turn taken by a guess at it: it may be late by this share of a picture */
const PATIENCE_PICTURES = 0.25;
/** or so many times its sender's mean lateness. */
const PATIENCE = 2;

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

/** `framesPerSecond`: of the fastest stream that looks on; between packets the face moves on in so many pictures */
export type MotionAt = (participant: Participant, nowMs: number, framesPerSecond: number) => ResolvedMotion;

const REST = neutralMotion();

/**
 * The motion to show now, as `@facewire/proto` makes it of the packets: calmed, moving on between them, and eased to the
 * neutral face within a second once none came for two. Pure; worked out only when it is asked for, as most looks at a
 * participant end with "same version as before".
 */
export function motionAt(participant: Participant, nowMs: number, framesPerSecond = 30): ResolvedMotion {
  const { received } = participant;
  if (!received) return { motion: REST, sequence: 0, timeMs: 0, arrivedAtMs: undefined, version: 'rest', fresh: false };
  const { sequence, timeMs } = received;
  const arrivedAtMs = received.clock.arrivedMs;
  const sinceMs = nowMs - arrivedAtMs;
  const easing = Math.min(EASE_STEPS, Math.ceil(((sinceMs - IDLE_AFTER_MS) / EASE_MS) * EASE_STEPS));
  const moved = stepAt(Math.min(sinceMs, movesForMs(received)), received.clock, 1000 / framesPerSecond);
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

/** How many pictures after the packet's own one the face is: evenly up to the next packet, and on when that is overdue. */
function stepAt(sinceMs: number, { intervalMs, jitterMs }: ReceivedMotion['clock'], pictureMs: number): number {
  const steps = Math.max(1, Math.round(intervalMs / pictureMs));
  if (sinceMs < intervalMs) return Math.floor((sinceMs * steps) / intervalMs);
  const overdueMs = sinceMs - intervalMs - Math.max(PATIENCE_PICTURES * pictureMs, PATIENCE * jitterMs);
  return overdueMs < 0 ? steps - 1 : steps + Math.floor(overdueMs / pictureMs);
}
