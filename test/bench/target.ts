import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelPath } from './modelPath.ts';

/** For parseArgs: what a bench measures. */
export const TARGET_OPTIONS = {
  /** as FACEWIRE_DEVICE, which is the default */
  device: { type: 'string' },
  /** a folder of models/; default FACEWIRE_MODEL, else portrait */
  model: { type: 'string' },
} as const;

export interface Target {
  /** cpu | cuda | cuda:N[,M] | webgpu | auto */
  device: string;
  /** environment of a server, or of readConfig, that makes it take them */
  env: { FACEWIRE_DEVICE: string; FACEWIRE_MODEL?: string };
}

export function targetOf(values: { device?: string | undefined; model?: string | undefined }): Target {
  const device = values.device ?? (process.env.FACEWIRE_DEVICE?.trim() || 'auto');
  return { device, env: { FACEWIRE_DEVICE: device, ...modelPath(values.model) } };
}

/** @throws RangeError for what is no whole number from `low` on */
export function wholeNumber(name: string, text: string, low = 1): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < low || text.trim() === '') {
    throw new RangeError(`--${name} ${text}: expected a whole number from ${low}`);
  }
  return value;
}

/** "1,2,4". Throws as wholeNumber() does. */
export function wholeNumbers(name: string, text: string, low = 1): number[] {
  return text.split(',').map((part) => wholeNumber(name, part, low));
}

/** Runs the bench with a data folder of its own, which is gone afterwards. */
export async function withDataDir<T>(name: string, bench: (dataDir: string) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), `facewire-${name}-`));
  try {
    return await bench(dataDir);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}
