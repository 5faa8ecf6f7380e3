import { TokenBucket } from './TokenBucket.ts';

/** pass: handle it; drop: forget it; report: forget it and tell the peer, once per episode. */
export type Verdict = 'pass' | 'drop' | 'report';

/**
 * A token bucket that knows a hiccup from a flood: a short excess is dropped in silence (newest wins), a second's worth
 * of it is reported. An episode ends when the bucket has been full again.
 */
export class RateGate {
  readonly #bucket: TokenBucket;
  readonly #reportAfter: number;
  #dropped = 0;

  constructor(options: { perSecond: number; burst: number }, nowMs: number) {
    this.#bucket = new TokenBucket(options, nowMs);
    this.#reportAfter = Math.max(1, Math.ceil(options.perSecond));
  }

  admit(nowMs: number): Verdict {
    if (this.#bucket.isFull(nowMs)) this.#dropped = 0;
    if (this.#bucket.take(nowMs)) return 'pass';
    this.#dropped += 1;
    return this.#dropped === this.#reportAfter ? 'report' : 'drop';
  }
}
