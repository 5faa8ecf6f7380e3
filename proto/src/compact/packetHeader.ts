import type { RangeCoder } from './rangeCoder.ts';

/**
 * What a packet predicts from. `chained`: the packet before it, on ordered transports. `baseline`: a packet that the
 * receiver acknowledged, `distance` sequence numbers back. `selfContained`: nothing; `adaptive` when chained packets
 * follow, whose tables adapt from this packet on.
 */
export type CompactHeader =
  | { kind: 'chained'; counter: number; step: number }
  | { kind: 'baseline'; sequence: number; distance: number }
  | { kind: 'selfContained'; sequence: number; timeMs: number; adaptive: boolean };

const NOT_CHAINED = 1024; // probability out of 65536
const SELF_CONTAINED = 4096;
const SKIPPED = 256;
export const COUNTER_BITS = 2;
export const SEQUENCE_BITS = 10;
export const DISTANCE_BITS = 6;
/** the farthest baseline, in sequence numbers */
export const DISTANCE_LIMIT = 1 << DISTANCE_BITS;

/** The header in front of every compact packet, in either direction (the coder says which). */
export function codeHeader(coder: RangeCoder, header: CompactHeader): CompactHeader {
  if (coder.code(header.kind === 'chained' ? 0 : 1, NOT_CHAINED) === 0) {
    const chained = header.kind === 'chained' ? header : undefined;
    const counter = coder.codeRaw(chained?.counter ?? 0, COUNTER_BITS);
    const skipped = coder.code(chained !== undefined && chained.step !== 1 ? 1 : 0, SKIPPED);
    const step = skipped === 1 ? coder.codeRaw(chained?.step ?? 0, 16) : 1;
    return { kind: 'chained', counter, step };
  }
  if (coder.code(header.kind === 'selfContained' ? 1 : 0, SELF_CONTAINED) === 1) {
    const own = header.kind === 'selfContained' ? header : undefined;
    const adaptive = coder.codeRaw(own?.adaptive === true ? 1 : 0, 1) === 1;
    const sequence = coder.codeRaw(own?.sequence ?? 0, 16);
    return { kind: 'selfContained', adaptive, sequence, timeMs: coder.codeRaw(own?.timeMs ?? 0, 16) };
  }
  const own = header.kind === 'baseline' ? header : undefined;
  const sequence = coder.codeRaw(own?.sequence ?? 0, SEQUENCE_BITS);
  return { kind: 'baseline', sequence, distance: coder.codeRaw((own?.distance ?? 1) - 1, DISTANCE_BITS) + 1 };
}
