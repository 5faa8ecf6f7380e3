import { type FrameHeader, wrappedDifference } from '@facewire/proto';

/** Rates are means over this long, ms. */
const WINDOW_MS = 2_000;
/** Latencies kept for the percentiles. */
const LATENCIES = 256;

export interface StreamStats {
  /** frames received per second, mean of the last two seconds */
  framesPerSecond: number;
  /** bits per second of frame packets, mean of the last two seconds */
  bitrate: number;
  /** motion sent by the player → frame received here, ms; undefined until a frame has shown a new motion */
  latencyMs: { p50: number; p95: number } | undefined;
  /** frames received but never shown: the decoder was behind or had lost its key frame */
  dropped: number;
  /** frames received since the stream began */
  received: number;
  /** pixels of the newest frame (square); 0 before the first */
  size: number;
}

/** Counts what one stream receives. */
export class StreamMeter {
  readonly #arrivals: { atMs: number; bytes: number }[] = [];
  readonly #latencies: number[] = [];
  #lastMotionSequence: number | undefined;
  #firstAtMs: number | undefined;
  #dropped = 0;
  #received = 0;
  #size = 0;

  /**
   * @param nowMs local clock
   * @param serverNowMs estimate of the server's clock
   * @returns motion-to-photon latency of this frame, ms; undefined when it shows the same motion as the one before,
   *   whose age says nothing about the way
   */
  handleFrame(header: FrameHeader, bytes: number, nowMs: number, serverNowMs: number): number | undefined {
    this.#firstAtMs ??= nowMs;
    this.#received++;
    this.#size = header.width;
    this.#arrivals.push({ atMs: nowMs, bytes });
    this.#forget(nowMs);
    if (header.motionSequence === this.#lastMotionSequence) return undefined;
    this.#lastMotionSequence = header.motionSequence;
    // Clock estimates err by a fraction of the round trip: a small negative age is zero.
    const latencyMs = Math.max(0, wrappedDifference(Math.round(serverNowMs) & 0xffff, header.motionTimeMs));
    this.#latencies.push(latencyMs);
    if (this.#latencies.length > LATENCIES) this.#latencies.shift();
    return latencyMs;
  }

  handleDropped(count = 1): void {
    this.#dropped += count;
  }

  stats(nowMs: number): StreamStats {
    this.#forget(nowMs);
    const seconds = Math.min(WINDOW_MS, Math.max(250, nowMs - (this.#firstAtMs ?? nowMs))) / 1000;
    const bytes = this.#arrivals.reduce((sum, arrival) => sum + arrival.bytes, 0);
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    return {
      framesPerSecond: this.#arrivals.length / seconds,
      bitrate: (bytes * 8) / seconds,
      latencyMs: sorted.length === 0 ? undefined : { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95) },
      dropped: this.#dropped,
      received: this.#received,
      size: this.#size,
    };
  }

  #forget(nowMs: number): void {
    while (this.#arrivals.length > 0 && this.#arrivals[0]!.atMs <= nowMs - WINDOW_MS) this.#arrivals.shift();
  }
}

/** Nearest-rank percentile of ascending values; NaN of none. @param share 0…1 */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
