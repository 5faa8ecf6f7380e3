export interface ReconnectOptions {
  /** delay before the first retry, ms */
  firstDelayMs: number;
  /** no delay is longer, ms */
  maxDelayMs: number;
  /** give up after so many failed attempts in a row; one whose connection held for less than five seconds failed, too */
  maxAttempts: number;
}

export const DEFAULT_RECONNECT: ReconnectOptions = { firstDelayMs: 250, maxDelayMs: 10_000, maxAttempts: Infinity };

/**
 * Delay before retry `attempt` (1, 2, …): doubles up to the maximum, of which a random part between one half and the
 * whole is taken ("equal jitter"), so that a thousand clients do not return in the same instant.
 *
 * @param random 0…1
 */
export function backoffDelay(attempt: number, options: ReconnectOptions, random: number): number {
  const whole = Math.min(options.maxDelayMs, options.firstDelayMs * 2 ** (attempt - 1));
  return whole * (0.5 + 0.5 * random);
}
