/** How many of the newest round trips the filter looks back on. */
const WINDOW = 12;

interface RoundTrip {
  roundTripMs: number;
  offsetMs: number;
}

/**
 * Estimates the server's clock from ping/pong, as NTP does: of the newest round trips the shortest one is the least
 * disturbed by queues, so its offset is believed (the minimum filter of RFC 5905, section 10).
 */
export class ClockSync {
  readonly #now: () => number;
  #trips: RoundTrip[] = [];
  #guessMs: number | undefined;

  /** @param now the local clock in ms, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The `clientTimeMs` to put into a ping. */
  now(): number {
    return this.#now();
  }

  /** A first guess without a round trip (from `welcome`); replaced by the first pong. */
  handleServerTime(serverTimeMs: number): void {
    this.#trips = [];
    this.#guessMs = serverTimeMs - this.#now();
  }

  handlePong(clientTimeMs: number, serverTimeMs: number): void {
    const receivedMs = this.#now();
    const roundTripMs = receivedMs - clientTimeMs;
    // A pong from the future or with a broken number is no measurement.
    if (!(roundTripMs >= 0) || !Number.isFinite(serverTimeMs)) return;
    this.#trips.push({ roundTripMs, offsetMs: serverTimeMs + roundTripMs / 2 - receivedMs });
    if (this.#trips.length > WINDOW) this.#trips.shift();
  }

  /** Estimate of the server's clock, ms. */
  serverNow(): number {
    return this.#now() + this.offsetMs;
  }

  /** server clock − local clock, ms */
  get offsetMs(): number {
    return this.#best?.offsetMs ?? this.#guessMs ?? 0;
  }

  /** The shortest of the newest round trips, ms; undefined before the first pong. */
  get roundTripMs(): number | undefined {
    return this.#best?.roundTripMs;
  }

  get #best(): RoundTrip | undefined {
    let best: RoundTrip | undefined;
    for (const trip of this.#trips) if (!best || trip.roundTripMs <= best.roundTripMs) best = trip;
    return best;
  }
}
