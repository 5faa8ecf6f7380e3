/**
 * What a callback of the application throws is the application's: it is rethrown in a task of its own, where the browser
 * reports it (and Node ends the process), and what called it goes on.
 */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
