import { CompactMotionDecoder, CompactMotionEncoder, type Motion, receiveMotion, shownMotion } from '@facewire/proto';

/** Half of a picture's time at 30 a second: where in between packets and pictures meet on average, ms. */
const PHASE_MS = 1000 / 60;

/**
 * What a server would show of the motions, one picture for each: sent `packetsPerSecond` times a second in compact
 * packets, received in time, calmed and moved on between packets. Throws RangeError for a rate above that of the motions.
 */
export function asReceived(motions: readonly Motion[], framesPerSecond: number, packetsPerSecond: number): Motion[] {
  if (!(packetsPerSecond > 0 && packetsPerSecond <= framesPerSecond)) {
    throw new RangeError(`--packets ${packetsPerSecond}: expected 1…${framesPerSecond}, the track's own rate`);
  }
  const encoder = new CompactMotionEncoder();
  const decoder = new CompactMotionDecoder();
  let received: ReturnType<typeof receiveMotion> | undefined;
  let sent = 0;
  return motions.map((motion, frame) => {
    const frameMs = (frame * 1000) / framesPerSecond;
    if (frame >= Math.round((sent * framesPerSecond) / packetsPerSecond)) {
      const packet = encoder.encode({ motion, sequence: sent & 0xffff, timeMs: Math.round(frameMs) & 0xffff });
      received = receiveMotion(received, decoder.decode(packet), frameMs);
      sent++;
    }
    return shownMotion(received!, frameMs + PHASE_MS);
  });
}
