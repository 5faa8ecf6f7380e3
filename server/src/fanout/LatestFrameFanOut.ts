import { encodeFrame } from '@facewire/proto';
import type { FanOut, FrameDelivery, Metrics, Peer, Stream } from '../contracts.ts';
import { decideSlot } from './slotPolicy.ts';

export interface LatestFrameFanOutOptions {
  metrics: Metrics;
  /** a peer with this many bytes buffered gets nothing more until it drains; default 48 KiB, a few frames of 256² */
  maxBufferedBytes?: number;
}

interface Slot {
  readonly stream: Stream;
  /** undefined when nothing waits */
  waiting: FrameDelivery | undefined;
  broken: boolean;
}

const DEFAULT_MAX_BUFFERED_BYTES = 48 * 1024;

/**
 * Hands every frame to its viewer at once while the viewer's transport keeps up, and otherwise holds one frame per
 * stream, the newest. What a viewer that never reads can cost is `maxBufferedBytes` and one frame in its transport,
 * and one frame per stream here.
 */
export class LatestFrameFanOut implements FanOut {
  readonly #metrics: Metrics;
  readonly #maxBufferedBytes: number;
  /** In each map, insertion order is the order in which the streams are served; a served stream goes to the end. */
  readonly #peers = new Map<Peer, Map<number, Slot>>();
  /** a frame may still be in an encoder when its stream or peer is forgotten; it must not bring them back */
  readonly #forgotten = new WeakSet<object>();

  constructor(options: LatestFrameFanOutOptions) {
    this.#metrics = options.metrics;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? DEFAULT_MAX_BUFFERED_BYTES;
  }

  /** streams that hold a frame back right now */
  get waiting(): number {
    let count = 0;
    for (const slots of this.#peers.values()) for (const slot of slots.values()) if (slot.waiting) count++;
    return count;
  }

  deliver(stream: Stream, delivery: FrameDelivery): void {
    if (this.#forgotten.has(stream) || this.#forgotten.has(stream.peer)) return;
    const slot = this.#slot(stream);
    const waiting = slot.waiting === undefined ? 'none' : slot.waiting.frame.keyFrame ? 'key' : 'delta';
    const decision = decideSlot({ waiting, broken: slot.broken }, delivery.frame.keyFrame);
    if (decision.dropWaiting) {
      slot.waiting = undefined;
      this.#metrics.count('frames_dropped_total');
    }
    slot.broken = decision.broken;
    if (decision.broken) stream.needsKeyFrame = true;
    if (decision.takeNew) slot.waiting = delivery;
    else this.#metrics.count('frames_dropped_total');
    this.#flush(stream.peer);
  }

  handleDrain(peer: Peer): void {
    this.#flush(peer);
  }

  /** Also sends what waits, for transports whose buffer empties without an event. */
  isCongested(peer: Peer): boolean {
    this.#flush(peer);
    return peer.bufferedBytes() >= this.#maxBufferedBytes;
  }

  forgetStream(stream: Stream): void {
    this.#forgotten.add(stream);
    const slots = this.#peers.get(stream.peer);
    slots?.delete(stream.id);
    if (slots?.size === 0) this.#peers.delete(stream.peer);
  }

  /** Frees all that is held for this peer; frames that still come for it are ignored. */
  forgetPeer(peer: Peer): void {
    this.#forgotten.add(peer);
    this.#peers.delete(peer);
  }

  #slot(stream: Stream): Slot {
    let slots = this.#peers.get(stream.peer);
    if (!slots) {
      slots = new Map();
      this.#peers.set(stream.peer, slots);
    }
    let slot = slots.get(stream.id);
    if (!slot) {
      slot = { stream, waiting: undefined, broken: false };
      slots.set(stream.id, slot);
    }
    return slot;
  }

  #flush(peer: Peer): void {
    const slots = this.#peers.get(peer);
    if (!slots) return;
    for (const slot of [...slots.values()]) {
      if (!slot.waiting) continue;
      if (peer.bufferedBytes() >= this.#maxBufferedBytes) return;
      const delivery = slot.waiting;
      slot.waiting = undefined;
      // To the end: where a peer takes one frame at a time, its streams take turns.
      slots.delete(slot.stream.id);
      slots.set(slot.stream.id, slot);
      this.#send(slot, delivery);
    }
  }

  #send(slot: Slot, delivery: FrameDelivery): void {
    const { stream } = slot;
    const { frame, size } = delivery;
    const header = {
      keyFrame: frame.keyFrame,
      codec: frame.codec,
      stream: stream.id,
      motionSequence: delivery.motionSequence,
      motionTimeMs: delivery.motionTimeMs,
      serverTimeMs: delivery.serverTimeMs,
      width: size,
      height: size,
    };
    const packet = encodeFrame(header, frame.data);
    try {
      stream.peer.sendFrame(packet);
    } catch {
      // A peer whose transport fails loses its frame; the transport itself reports and closes it.
      slot.broken = true;
      stream.needsKeyFrame = true;
      this.#metrics.count('frame_send_errors_total');
      return;
    }
    if (frame.keyFrame && !slot.broken) stream.needsKeyFrame = false;
    this.#metrics.count('frames_sent_total');
    this.#metrics.count('frame_bytes_sent_total', packet.byteLength);
  }
}
