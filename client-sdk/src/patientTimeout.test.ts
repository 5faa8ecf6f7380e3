import { expect, it, vi } from 'vitest';
import { patientTimeout } from './patientTimeout.ts';

it('fires after its delay, unless it is cancelled', () => {
  vi.useFakeTimers();
  const task = vi.fn();
  patientTimeout(task, 1_000);
  const cancel = patientTimeout(task, 1_000);
  cancel();
  vi.advanceTimersByTime(999);
  expect(task).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(task).toHaveBeenCalledTimes(1);
  vi.useRealTimers();
});

it('does not count the time during which the thread was blocked', async () => {
  const task = vi.fn();
  patientTimeout(task, 700);
  const until = performance.now() + 800;
  while (performance.now() < until);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(task).not.toHaveBeenCalled();
  await vi.waitFor(() => expect(task).toHaveBeenCalledTimes(1), { timeout: 30_000 });
});
