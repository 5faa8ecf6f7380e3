import { allOrFirstError } from './allOrFirstError.ts';
import type { BankMemory } from './BankMemory.ts';
import type { Device } from './Device.ts';
import type { ModelPackage } from './ModelPackage.ts';
import type { RendererFile } from './manifest.ts';
import type { OrtSession, SessionTuning } from './ort/OrtSession.ts';
import { RecordingGate } from './RecordingGate.ts';
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
  /** of the process, on CUDA: to open a graph takes memory of the device */
  gate?: RecordingGate;
}

/**
 * Opens the graphs of some sizes, on the CPU all at once: each takes a second of one core. Lanes of several threads each
 * have a session of their own, since a session has as many threads as it was opened with and runs of one session share
 * them.
 *
 * @throws FacewireError model_mismatch, inference_failed
 */
export async function openSizes(options: OpenSizesOptions): Promise<Map<number, SizeRenderer>> {
  const opened = new Map<number, SizeRenderer>();
  const openInto = async (file: RendererFile) => {
    opened.set(file.size, await openSize(options, file));
  };
  try {
    if (options.device.kind === 'cpu') await allOrFirstError(options.files.map(openInto));
    else for (const file of options.files) await openInto(file);
  } catch (error) {
    closeSizes(opened);
    throw error;
  }
  // Ascending, whichever was opened first.
  return new Map(options.files.map(({ size }) => [size, opened.get(size)!]));
}

async function openSize(options: OpenSizesOptions, file: RendererFile): Promise<SizeRenderer> {
  const { device, threading, tuning, recording, memory, maxBatch, gate = new RecordingGate() } = options;
  const copies = device.kind === 'cpu' && threading.threads > 1 ? threading.lanes : 1;
  const sessions: OrtSession[] = [];
  try {
    for (let copy = 0; copy < copies; copy++) {
      const open = () =>
        options.package.open(file, {
          device,
          threads: threading.threads,
          ...(tuning && { tuning }),
          ...(recording && { thread: recording.thread, graphs: true }),
        });
      sessions.push(await gate.share(open));
    }
    return new SizeRenderer({ file, sessions, memory, maxBatch, ...(recording && { recorded: recording }) });
  } catch (error) {
    for (const session of sessions) session.close();
    throw error;
  }
}

/** Through RenderLanes.free() once they have drawn. */
export function closeSizes(renderers: ReadonlyMap<number, SizeRenderer>): void {
  for (const renderer of renderers.values()) renderer.close();
}
