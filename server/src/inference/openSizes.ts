import type { BankMemory } from './BankMemory.ts';
import type { Device } from './Device.ts';
import type { ModelPackage } from './ModelPackage.ts';
import type { RendererFile } from './manifest.ts';
import type { OrtSession, SessionTuning } from './ort/OrtSession.ts';
import type { Recording } from './recording.ts';
import { SizeRenderer } from './SizeRenderer.ts';
import type { Threading } from './threading.ts';

export interface OpenSizesOptions {
  package: ModelPackage;
  /** in the precision that is wanted */
  files: readonly RendererFile[];
  device: Device;
  threading: Threading;
  memory: BankMemory;
  maxBatch: number;
  tuning?: Partial<SessionTuning>;
  /** runs are recorded and replayed */
  recording?: Recording;
}

/**
 * Opens the graphs of some sizes. Lanes of several threads each have a session of their own, since a session has as many
 * threads as it was opened with and runs of one session share them.
 *
 * @throws FacewireError model_mismatch, inference_failed
 */
export async function openSizes(options: OpenSizesOptions): Promise<Map<number, SizeRenderer>> {
  const { device, threading, tuning, recording, memory, maxBatch } = options;
  const opened = new Map<number, SizeRenderer>();
  const copies = device.kind === 'cpu' && threading.threads > 1 ? threading.lanes : 1;
  const sessions: OrtSession[] = [];
  try {
    for (const file of options.files) {
      for (let copy = 0; copy < copies; copy++) {
        sessions.push(
          await options.package.open(file, {
            device,
            threads: threading.threads,
            ...(tuning && { tuning }),
            ...(recording && { thread: recording.thread, graphs: true }),
          }),
        );
      }
      const recorded = recording && { recorded: recording };
      opened.set(file.size, new SizeRenderer({ file, sessions: sessions.splice(0), memory, maxBatch, ...recorded }));
    }
    return opened;
  } catch (error) {
    for (const session of sessions) session.close();
    closeSizes(opened);
    throw error;
  }
}

export function closeSizes(renderers: ReadonlyMap<number, SizeRenderer>): void {
  for (const renderer of renderers.values()) renderer.close();
}
