import { CompactMotionDecoder, CompactMotionEncoder, type Motion } from '@facewire/proto';
import { MotionBudget } from '../../client-sdk/src/motion/MotionBudget.ts';
import type { Arrival } from './receiveSchemes.ts';

/** of a WebSocket client's frame header */
const OVERHEAD_BYTES = 6;

export interface Sent {
  arrivals: Arrival[];
  bytes: number;
}

/** What the SDK sends of motions at `rate` a second under a budget, and what the server's decoder makes of it. */
export function sendWithin(
  motions: readonly Motion[],
  rate: number,
  bytesPerSecond: number | undefined,
  wayMs: () => number,
): Sent {
  const budget = new MotionBudget({ bytesPerSecond, motionsPerSecond: rate, overheadBytes: OVERHEAD_BYTES });
  const encoder = new CompactMotionEncoder(budget.quality);
  const decoder = new CompactMotionDecoder();
  const arrivals: Arrival[] = [];
  let [bytes, sequence] = [0, 0];
  motions.forEach((motion, index) => {
    const sentMs = Math.round((index * 1000) / rate);
    if (!budget.admit(sentMs)) return;
    const packet = encoder.encode({ motion, sequence: sequence++ & 0xffff, timeMs: sentMs & 0xffff });
    bytes += packet.length + OVERHEAD_BYTES;
    arrivals.push({ sentMs, arrivedMs: sentMs + wayMs(), motion: decoder.decode(packet).motion });
    if (budget.report(packet.length)) encoder.configure(budget.quality);
  });
  return { arrivals: arrivals.sort((a, b) => a.sentMs - b.sentMs), bytes };
}
