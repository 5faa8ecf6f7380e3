import type { GpuCheckReport } from './gpuCheck.ts';

export interface Problem {
  code: string;
  message: string;
  remedy: string;
}

/** What goes up for a picture: 58 float32 of motion, 2 float32 of view, an int64 slot. */
export const INPUT_BYTES = 58 * 4 + 2 * 4 + 8;

/** Recorded runs (CUDA graphs) are filled up with rows that nobody asked for, by less than half. */
const MOST_PADDING = 1.5;

/** What a finished check found wrong, with what to do about it. Pure. */
export function findProblems(
  report: Pick<GpuCheckReport, 'parity' | 'residency' | 'asked' | 'device' | 'facts'>,
): Problem[] {
  const problems: Problem[] = [];
  const { parity, residency } = report;
  if (parity !== undefined && !parity.kept) {
    problems.push({
      code: 'parity',
      message: `frames differ from the CPU's by ${parity.mean} of 255 on average (allowed ${parity.tolerance.mean}), and a share of ${parity.farShare} of the samples by more than 16 (allowed ${parity.tolerance.farShare})`,
      remedy:
        'update the driver; if it stays, use FACEWIRE_DEVICE=cpu and report the last line of this check with --json',
    });
  }
  if (residency !== undefined && residency.bytesInPerPicture > MOST_PADDING * residency.expected) {
    problems.push({
      code: 'not_resident',
      message: `${residency.bytesInPerPicture} bytes went up per picture, expected ${residency.expected}: the avatars do not stay on the device`,
      remedy:
        'the device gave no memory of its own; check its driver, and report the last line of this check with --json',
    });
  }
  if (residency !== undefined && residency.avatarUploads > 0) {
    problems.push({
      code: 'bank_thrashing',
      message: `${residency.avatarUploads} avatars had to be uploaded again while they were drawn`,
      remedy: 'raise FACEWIRE_BANK_MIB until the bank holds the avatars in use',
    });
  }
  return problems;
}
