/**
 * The number of frames that a stream of `framesPerSecond` should have had by tick `tickIndex`. A stream is due when
 * this rises. All streams of one rate count from the same tick 0, so they are due together and can share encoders;
 * rates that do not divide the tick rate get the right mean (20 of 30: two ticks of three).
 */
export function dueSlot(tickIndex: number, ticksPerSecond: number, framesPerSecond: number): number {
  // The small number keeps 1/3 + 1/3 + 1/3 from falling short of 1.
  return Math.floor((tickIndex * framesPerSecond) / ticksPerSecond + 1e-9);
}
