import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { FacewireError } from '@facewire/proto';
import { OrtRuntime } from './OrtRuntime.ts';
import { prototypeOf } from './ortApi.ts';

/** Runs in the worker: calls the functions by their addresses, and sends back the status. */
const SOURCE = `
const { parentPort, workerData } = require('node:worker_threads');
const koffi = require(workerData.koffi);
koffi.config({ sync_stack_size: 8 * 1024 * 1024 });
// Koffi 3.3 crashes in a thread that has called no library's function by name yet.
koffi.load(workerData.library).func('OrtGetApiBase', 'void *', [])();
const functions = Object.entries(workerData.functions).map(([name, [address, prototype]]) => [
  name,
  koffi.decode(address, koffi.proto(prototype)),
]);
const byName = Object.fromEntries(functions);
parentPort.on('message', ({ id, name, values }) => {
  if (name === undefined) return parentPort.close();
  parentPort.postMessage({ id, status: byName[name](...values) });
});
`;

const RUNS = ['Run', 'RunWithBinding'] as const;

/**
 * One thread of its own for runs, in the order they came. A CUDA graph belongs to the thread that recorded it; Node's
 * worker threads take runs as they come.
 */
export class DeviceThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: (status: bigint | null) => void; reject: (error: Error) => void }>();
  #last = 0;
  #closed = false;

  constructor() {
    this.#worker = new Worker(SOURCE, {
      eval: true,
      workerData: {
        koffi: createRequire(import.meta.url).resolve('koffi'),
        library: OrtRuntime.get().libraryPath,
        functions: Object.fromEntries(
          RUNS.map((name) => [name, [OrtRuntime.get().addressOf(name), prototypeOf(name)]] as const),
        ),
      },
    });
    this.#worker.unref();
    this.#worker.on('message', ({ id, status }: { id: number; status: bigint | null }) => {
      this.#waiting.get(id)?.resolve(status);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) this.#worker.unref();
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('it has ended')));
  }

  /**
   * As the function of OrtApi. The caller keeps what the pointers stand for alive until then.
   *
   * @throws FacewireError inference_failed
   */
  async call(name: (typeof RUNS)[number], values: readonly unknown[]): Promise<void> {
    if (this.#closed) throw new FacewireError('inference_failed', "the device's thread has ended");
    const id = ++this.#last;
    const status = await new Promise<bigint | null>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ id, name, values });
    });
    OrtRuntime.get().check(status, name);
  }

  /** Ends the thread after the runs under way. May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#worker.postMessage({});
  }

  #fail(cause: Error): void {
    this.#closed = true;
    const error = new FacewireError('inference_failed', `the device's thread failed: ${cause.message}`, { cause });
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
