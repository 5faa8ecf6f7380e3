import { FacewireError } from '@facewire/proto';

/**
 * Lets so many uploads be worked on at once and so many more wait, in the order they came. One more is refused: what an
 * upload grows to in memory is many times its file, and a client that goes away does not take its upload back.
 */
export class UploadGate {
  readonly #atOnce: number;
  readonly #mostWaiting: number;
  readonly #waiting: { begin: () => void; refuse: (error: FacewireError) => void }[] = [];
  readonly #working = new Set<Promise<unknown>>();
  #closed = false;

  constructor(options: { atOnce: number; waiting: number }) {
    this.#atOnce = options.atOnce;
    this.#mostWaiting = options.waiting;
  }

  /**
   * Runs a task when it is its turn.
   *
   * @throws FacewireError server_full when too many wait, server_closing after close(); else what the task throws
   */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closed) throw serverClosing();
    if (this.#working.size < this.#atOnce) return this.#start(task);
    if (this.#waiting.length >= this.#mostWaiting) {
      throw new FacewireError('server_full', 'too many uploads at once', {
        received: `one more than ${this.#working.size} in work and ${this.#waiting.length} waiting`,
        remedy: 'send it again in a few seconds',
      });
    }
    return new Promise((resolve, refuse) => {
      this.#waiting.push({ begin: () => void this.#start(task).then(resolve, refuse), refuse });
    });
  }

  /** Refuses those that wait and those to come, and resolves when the work under way has ended. May be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { refuse } of this.#waiting.splice(0)) refuse(serverClosing());
    await Promise.allSettled([...this.#working]);
  }

  #start<T>(task: () => Promise<T>): Promise<T> {
    const work = task().finally(() => {
      this.#working.delete(work);
      this.#waiting.shift()?.begin();
    });
    this.#working.add(work);
    return work;
  }
}

function serverClosing(): FacewireError {
  return new FacewireError('server_closing', 'the server is closing', { remedy: 'send it again in a while' });
}
