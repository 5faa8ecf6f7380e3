/** Time is counted in slices, ms. */
const SLICE_MS = 250;

/**
 * Like setTimeout, but time during which the thread was blocked does not count: a page that compiles shaders for ten
 * seconds has not waited ten seconds for an answer, which may already lie in its queue.
 *
 * @returns a function that cancels it
 */
export function patientTimeout(task: () => void, delayMs: number): () => void {
  let leftMs = delayMs;
  let timer: ReturnType<typeof setTimeout>;
  const wait = (): void => {
    const sliceMs = Math.min(SLICE_MS, leftMs);
    timer = setTimeout(() => {
      leftMs -= sliceMs;
      if (leftMs > 0) wait();
      else task();
    }, sliceMs);
  };
  wait();
  return () => clearTimeout(timer);
}
