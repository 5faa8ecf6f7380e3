import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import type { DeviceKind } from './Device.ts';

const NVIDIA_GPUS = '/proc/driver/nvidia/gpus';

/** By these CUDA numbers the cards, and leaves some out. */
const CUDA_NUMBERING = ['CUDA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER'] as const;

/**
 * Tells machines apart whose devices have one name: processor and cores, for a GPU the cards that the driver lists, and what
 * else decides which of them has which number.
 */
export async function machineName(kind: DeviceKind, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const processor = `${cpus()[0]?.model ?? 'unknown'} x${availableParallelism()}`;
  if (kind === 'cpu') return processor;
  const numbering = CUDA_NUMBERING.flatMap((name) => (env[name] === undefined ? [] : [`${name}=${env[name]}`]));
  return [processor, ...(await nvidiaCards()), ...numbering].join('; ');
}

/** Empty where there is no such driver. */
async function nvidiaCards(): Promise<string[]> {
  try {
    const cards = await readdir(NVIDIA_GPUS);
    const texts = await Promise.all(
      cards.sort().map((card) => readFile(join(NVIDIA_GPUS, card, 'information'), 'utf8')),
    );
    return texts.map((text) => /^Model:\s*(.+)$/m.exec(text)?.[1] ?? 'unknown card');
  } catch {
    return [];
  }
}
