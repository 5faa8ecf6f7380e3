import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import type { DeviceKind } from './Device.ts';

const NVIDIA_GPUS = '/proc/driver/nvidia/gpus';

/** Tells machines apart whose devices have one name: processor and cores, for a GPU the cards that the driver lists. */
export async function machineName(kind: DeviceKind): Promise<string> {
  const processor = `${cpus()[0]?.model ?? 'unknown'} x${availableParallelism()}`;
  return kind === 'cpu' ? processor : [processor, ...(await nvidiaCards())].join('; ');
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
