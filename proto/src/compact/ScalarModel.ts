import type { CompactState } from './CompactState.ts';
import type { RangeCoder } from './rangeCoder.ts';

/**
 * What one end knows of how scalars change, and the coding of a packet's scalars with it (docs/protocol-compact.md,
 * sections 5 and 6). A packet is one call of encode() or decode() and, when it is whole, one of advance(); nothing else
 * of any model may come between them. All arithmetic is on integers modulo 2^32: every model codes alike, bit for bit.
 */
export interface ScalarModel {
  /** the scalars of the packet in steps, by index, 0 where they do not travel; all models may share them */
  readonly values: Int32Array;

  /** Writes `values`, which must lie in the range that `state`'s settings give them. */
  encode(coder: RangeCoder, state: CompactState, selfContained: boolean): void;

  /** Reads `values`. Throws packet_truncated, packet_bad_value; what was learned until then, undo() takes back. */
  decode(coder: RangeCoder, state: CompactState, selfContained: boolean): void;

  /** Takes back what decode() has learned since mark(): the packet proved malformed. */
  undo(): void;

  /** Marks what undo() goes back to: before a packet, which may go wrong before its first scalar. */
  mark(): void;

  /** After a whole packet: learns how well its changes were predicted, and moves `state` on to `values`. */
  advance(state: CompactState, selfContained: boolean): void;

  /** Everything learned from packets goes: before a self-contained one. */
  forget(): void;
}
