import type { Motion, MotionSample } from '@facewire/proto';
import { motionEncoder } from './motion/motionEncoder.ts';

/** Above so many bytes waiting in the socket a new packet would only queue behind stale ones. */
const CONGESTED_BYTES = 2_048;

export interface MotionEncoder {
  /** every packet that is encoded is sent */
  encode(sample: MotionSample): Uint8Array;
  /** the next packet must stand on its own */
  reset(): void;
}

export interface MotionPublisherOptions {
  send(packet: Uint8Array): void;
  bufferedBytes(): number;
  /** estimate of the server's clock, ms */
  serverNow(): number;
  /** packets per second at most */
  rate: number;
  /** default: the fixed layout */
  encoder?: MotionEncoder;
}

export interface PublishStats {
  packets: number;
  bytes: number;
  /** size of the newest packet, bytes */
  lastPacketBytes: number;
  /** motions that a newer one replaced before they were sent */
  replaced: number;
}

/**
 * Sends motions: the newest wins, never more often than `rate`, never while the socket is congested. A motion is dated
 * when it is handed in, not when it is sent, so that waiting counts as latency.
 */
export class MotionPublisher {
  readonly #options: MotionPublisherOptions;
  readonly #encoder: MotionEncoder;
  readonly #intervalMs: number;
  #pending: { motion: Motion; timeMs: number } | undefined;
  #newest: Motion | undefined;
  #sequence = 0;
  #nextAtMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #paused = true;
  #stats: PublishStats = { packets: 0, bytes: 0, lastPacketBytes: 0, replaced: 0 };

  constructor(options: MotionPublisherOptions) {
    if (!(options.rate > 0 && options.rate <= 120)) {
      throw new RangeError(`motion rate ${options.rate} per second: expected 1…120`);
    }
    this.#options = options;
    this.#encoder = options.encoder ?? motionEncoder('fixed');
    this.#intervalMs = 1000 / options.rate;
  }

  get stats(): PublishStats {
    return { ...this.#stats };
  }

  publish(motion: Motion): void {
    if (this.#pending) this.#stats.replaced++;
    this.#newest = motion;
    this.#pending = { motion, timeMs: this.#options.serverNow() };
    this.#flush();
  }

  /** The connection is open: sends what waits, or else the last motion again, so that a restored player has a face. */
  resume(): void {
    this.#paused = false;
    this.#encoder.reset();
    if (!this.#pending && this.#newest) this.publish(this.#newest);
    else this.#flush();
  }

  /** The server lost the thread (packet_no_baseline): the next packet stands on its own. */
  handleNoBaseline(): void {
    this.#encoder.reset();
  }

  /** The connection is gone: keeps only the newest motion. */
  pause(): void {
    this.#paused = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #flush(): void {
    if (this.#paused || this.#timer !== undefined || !this.#pending) return;
    const nowMs = performance.now();
    const congested = this.#options.bufferedBytes() > CONGESTED_BYTES;
    // One millisecond of grace: a source at exactly `rate` with timer jitter must not lose every other motion.
    if (nowMs >= this.#nextAtMs - 1 && !congested) {
      this.#nextAtMs = Math.max(this.#nextAtMs + this.#intervalMs, nowMs + this.#intervalMs / 2);
      this.#send();
      return;
    }
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#flush();
      },
      congested ? this.#intervalMs : this.#nextAtMs - nowMs,
    );
  }

  #send(): void {
    const { motion, timeMs } = this.#pending!;
    this.#pending = undefined;
    // Rounded down before the wrap: 65535.6 must not become 65536.
    const packet = this.#encoder.encode({ motion, sequence: this.#sequence, timeMs: Math.floor(timeMs) & 0xffff });
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#stats.packets++;
    this.#stats.bytes += packet.byteLength;
    this.#stats.lastPacketBytes = packet.byteLength;
    this.#options.send(packet);
  }
}
