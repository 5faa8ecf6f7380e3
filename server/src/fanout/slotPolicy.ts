/** Where one viewer's stream stands with the decoder at its other end. */
export interface SlotState {
  /** the frame that waits is a key frame, a delta, or there is none */
  waiting: 'none' | 'key' | 'delta';
  /** a delta was dropped since the last key frame: whatever delta comes next cannot be decoded */
  broken: boolean;
}

export interface SlotDecision {
  /** what becomes of the frame that just came: it takes the slot, or is dropped */
  takeNew: boolean;
  /** the frame that waited is dropped */
  dropWaiting: boolean;
  broken: boolean;
}

/**
 * One slot per stream, newest wins, and nothing is sent that the viewer's decoder could not use.
 *
 * - A key frame (every JPEG is one) replaces whatever waits.
 * - A delta goes into an empty slot of an unbroken stream.
 * - A delta that finds a delta waiting needs it, but a backlog of two is what this slot exists to avoid: both go, and
 *   the stream is broken until a key frame comes.
 * - A delta that finds a key frame waiting is dropped alone: the key frame stands on its own, and is the quickest
 *   picture that this viewer can have.
 */
export function decideSlot(state: SlotState, keyFrame: boolean): SlotDecision {
  if (keyFrame) return { takeNew: true, dropWaiting: state.waiting !== 'none', broken: false };
  if (state.broken) return { takeNew: false, dropWaiting: false, broken: true };
  if (state.waiting === 'none') return { takeNew: true, dropWaiting: false, broken: false };
  return { takeNew: false, dropWaiting: state.waiting === 'delta', broken: true };
}
