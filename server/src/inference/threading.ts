import type { DeviceKind } from './Device.ts';

/** How many runs are under way at once, and how many threads each of them has. */
export interface Threading {
  lanes: number;
  threads: number;
}

/**
 * The ways to use a device's threads that are worth a measurement, the usual one first. A renderer is thousands of small
 * operators, over which many threads gain little: on the CPU two runs with half of the threads each are the rule.
 * A GPU has its own way (lanesFor).
 */
export function threadings(kind: DeviceKind, threads: number): readonly Threading[] {
  if (kind !== 'cpu') return [{ lanes: kind === 'cuda' ? 2 : 1, threads }];
  const whole = { lanes: 1, threads };
  return threads < 2 ? [whole] : [{ lanes: 2, threads: Math.ceil(threads / 2) }, whole];
}

/** Another way must be faster by so much; less is noise. */
const WORTH_CHANGING = 1.05;
const ROUNDS = 6;

/**
 * The way that draws most pictures, or undefined when the measurement was ended. Runs take turns and the fastest of each
 * counts, since other programs come and go.
 *
 * @param run `lanes` batches at once, of equal size, in that way
 */
export async function fastestThreading(
  ways: readonly Threading[],
  run: (way: Threading) => Promise<void>,
  mayGoOn: () => Promise<boolean>,
  now: () => number = () => performance.now(),
): Promise<Threading | undefined> {
  const best = ways.map(() => Number.POSITIVE_INFINITY);
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [index, way] of ways.entries()) {
      if (!(await mayGoOn())) return undefined;
      const startedAtMs = now();
      await run(way);
      if (round > 0) best[index] = Math.min(best[index]!, (now() - startedAtMs) / way.lanes);
    }
  }
  return ways.reduce((chosen, way, index) =>
    best[ways.indexOf(chosen)]! > WORTH_CHANGING * best[index]! ? way : chosen,
  );
}
