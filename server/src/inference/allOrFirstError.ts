/** Waits for all of them, also when one fails: none is left under way. Throws what the first that failed threw. */
export async function allOrFirstError(tasks: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
