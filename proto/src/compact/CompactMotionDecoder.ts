import { FacewireError } from '../errors.ts';
import { type MotionSample, wrappedDifference } from '../motion/Motion.ts';
import { DEFAULT_SETTINGS } from './CompactSettings.ts';
import { CompactState, dequantise } from './CompactState.ts';
import type { CompactTables } from './CompactTables.ts';
import { LEARNED_TABLES } from './learnedTables.ts';
import { PacketBody } from './PacketBody.ts';
import { COUNTER_BITS, type CompactHeader, codeHeader, DISTANCE_LIMIT, SEQUENCE_BITS } from './packetHeader.ts';
import { RangeCoder } from './rangeCoder.ts';

/** The first byte of a compact motion packet is in 0x40…0xff, and already belongs to the coded data. */
export const isCompactMotion = (firstByte: number): boolean => firstByte >= 0x40;

const COUNTER_MASK = (1 << COUNTER_BITS) - 1;
const SEQUENCE_SPAN = 1 << SEQUENCE_BITS;
/** states kept for packets to build on: twice the farthest distance, for packets that come late */
const HISTORY = 2 * DISTANCE_LIMIT;
const NO_HEADER: CompactHeader = { kind: 'chained', counter: 0, step: 1 };

interface Chain {
  body: PacketBody;
  state: CompactState;
  counter: number;
  /** false before the first self-contained packet and after a gap */
  whole: boolean;
}

/**
 * Reads compact motion packets of one sender (docs/protocol-compact.md), of either delivery: the packets say what they
 * build on. A malformed, repeated or late packet leaves the decoder as it was.
 */
export class CompactMotionDecoder {
  private readonly coder = new RangeCoder();
  private readonly tables: CompactTables;
  /** state of the packet being decoded, where the one it builds on must stay */
  private scratch: CompactState;
  private chain: Chain;
  /** takes the start of a chain that follows a whole one; made with the first of them */
  private spare: PacketBody | undefined;
  /** for packets that may get lost; made with the first of them */
  private unchained: PacketBody | undefined;
  /** states after decoded packets, by sequence modulo HISTORY, and the newest sequence */
  private readonly history: CompactState[] = [];
  private newest: number | undefined;

  constructor(options: { tables?: CompactTables } = {}) {
    this.tables = options.tables ?? LEARNED_TABLES;
    this.scratch = new CompactState(this.tables.ranks);
    this.chain = {
      body: new PacketBody(this.coder, this.tables, true),
      state: new CompactState(this.tables.ranks),
      counter: 0,
      whole: false,
    };
  }

  /**
   * One packet. Nothing else writes to the result's arrays; those of several results may lie in one buffer, so copy
   * them before you transfer it.
   *
   * Throws packet_unknown_kind, packet_truncated, packet_oversized, packet_bad_value; packet_stale for a repeated
   * chained packet; packet_no_baseline when what it builds on is not here, and then the sender must reset().
   */
  decode(packet: Uint8Array): MotionSample {
    if (packet.length === 0) {
      throw new FacewireError('packet_truncated', 'compact motion packet is empty', { received: '0 bytes' });
    }
    if (!isCompactMotion(packet[0]!)) {
      throw new FacewireError('packet_unknown_kind', `packet kind 0x${packet[0]!.toString(16)} is no compact motion`, {
        received: packet[0],
        remedy: 'the first byte of a compact motion packet is 0x40 to 0xff',
      });
    }
    this.coder.startDecoding(packet);
    const header = codeHeader(this.coder, NO_HEADER);
    if (header.kind === 'chained') return this.decodeChained(header);
    if (header.kind === 'baseline') return this.decodeFromBaseline(header);
    return header.adaptive ? this.decodeChainStart(header) : this.decodeUnchainedStart(header);
  }

  private decodeChained(header: CompactHeader & { kind: 'chained' }): MotionSample {
    const { chain } = this;
    const expected = (chain.counter + 1) & COUNTER_MASK;
    if (chain.whole && header.counter === chain.counter) {
      throw new FacewireError('packet_stale', 'compact motion packet came twice', {
        received: `counter ${header.counter}, expected ${expected}`,
        remedy: 'send each packet once on an ordered transport',
      });
    }
    if (!chain.whole || header.counter !== expected) {
      chain.whole = false;
      throw noBaseline(`counter ${header.counter}`, 'the packet before it is missing');
    }
    const sequence = (chain.state.sequence + header.step) & 0xffff;
    chain.body.begin();
    try {
      this.decodeDifference(chain.body, chain.state, sequence, header.step);
    } catch (error) {
      chain.body.undo();
      throw error;
    }
    chain.counter = expected;
    return sampleOf(chain.state);
  }

  private decodeChainStart(header: CompactHeader & { kind: 'selfContained' }): MotionSample {
    const { chain, scratch } = this;
    let body = chain.body;
    if (chain.whole) {
      // in a body of its own, so that the chain stays whole should the packet be malformed
      this.spare ??= new PacketBody(this.coder, this.tables, true);
      body = this.spare;
    }
    body.forget();
    body.begin();
    this.decodeSelfContained(body, header);
    if (chain.whole) this.spare = chain.body;
    this.scratch = chain.state;
    this.chain = { body, state: scratch, counter: 0, whole: true };
    return sampleOf(scratch);
  }

  private decodeFromBaseline(header: CompactHeader & { kind: 'baseline' }): MotionSample {
    if (this.newest === undefined) throw noBaseline('no packet before', 'no self-contained packet has come');
    const ahead = (header.sequence - this.newest) & (SEQUENCE_SPAN - 1);
    const sequence = (this.newest + (ahead < SEQUENCE_SPAN / 2 ? ahead : ahead - SEQUENCE_SPAN)) & 0xffff;
    const baseline = (sequence - header.distance) & 0xffff;
    const known = this.history[baseline % HISTORY];
    if (known === undefined || known.sequence !== baseline) {
      throw noBaseline(`sequence ${sequence}, baseline ${baseline}`, 'its baseline was never decoded or is too old');
    }
    this.scratch.copyFrom(known);
    this.decodeDifference(this.unchainedBody(), this.scratch, sequence, header.distance);
    return this.remember();
  }

  private decodeUnchainedStart(header: CompactHeader & { kind: 'selfContained' }): MotionSample {
    this.decodeSelfContained(this.unchainedBody(), header);
    return this.remember();
  }

  private unchainedBody(): PacketBody {
    this.unchained ??= new PacketBody(this.coder, this.tables, false);
    return this.unchained;
  }

  private remember(): MotionSample {
    const { scratch, history } = this;
    const ahead = this.newest === undefined ? 0 : wrappedDifference(scratch.sequence, this.newest);
    if (Math.abs(ahead) >= SEQUENCE_SPAN / 2) {
      // a sender that starts anew: what was known belongs to its former life
      history.length = 0;
      this.newest = undefined;
    }
    const slot = scratch.sequence % HISTORY;
    const kept = history[slot];
    if (kept === undefined || wrappedDifference(scratch.sequence, kept.sequence) > 0) {
      history[slot] = kept ?? new CompactState(this.tables.ranks);
      history[slot].copyFrom(scratch);
    }
    if (this.newest === undefined || ahead > 0) this.newest = scratch.sequence;
    return sampleOf(scratch);
  }

  /** Moves `state` on by the packet, or throws and leaves it as it was. */
  private decodeDifference(body: PacketBody, state: CompactState, sequence: number, steps: number): void {
    const settings = body.codeSettingsChange(state.settings, state.settings);
    let from = state;
    if (settings !== state.settings) {
      from = new CompactState(this.tables.ranks);
      from.copyFrom(state);
      from.convert(settings);
    }
    body.codeTime(from, 0, Math.max(1, Math.min(steps, DISTANCE_LIMIT)));
    body.scalars.decode(this.coder, from, false);
    this.coder.finishDecoding();
    body.commit(from, sequence, false);
    if (from !== state) state.copyFrom(from);
  }

  private decodeSelfContained(body: PacketBody, header: CompactHeader & { kind: 'selfContained' }): void {
    const { scratch } = this;
    scratch.reset(body.codeSettings(DEFAULT_SETTINGS));
    body.startTime(header.timeMs);
    body.scalars.decode(this.coder, scratch, true);
    this.coder.finishDecoding();
    body.commit(scratch, header.sequence, true);
  }
}

function sampleOf(state: CompactState): MotionSample {
  return { motion: dequantise(state), sequence: state.sequence, timeMs: state.timeMs };
}

function noBaseline(received: string, why: string): FacewireError {
  return new FacewireError('packet_no_baseline', `compact motion packet builds on a state that is not here: ${why}`, {
    received,
    remedy: 'the sender resets its encoder, and the next packet is self-contained',
  });
}
