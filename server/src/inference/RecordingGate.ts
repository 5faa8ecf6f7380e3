interface Waiting {
  alone: boolean;
  begin: (leave: () => void) => void;
}

/** To open a graph on a GPU that answers takes seconds, with kernels to be compiled for it at worst a minute. */
const SHARE_MS = 60_000;

/**
 * Keeps recordings (CUDA graphs) apart from everything else that the process does on GPUs, whichever GPU it is on: ONNX
 * Runtime captures with `cudaStreamCaptureModeGlobal`, during which a call such as cudaMalloc fails in every thread, and
 * breaks the recording. Work enters together with other work and a recording alone, in the order they came.
 *
 * Whoever enters must leave in time, also when the device does not answer: RenderLanes gives its runs up, and share() the
 * opening of a device.
 */
export class RecordingGate {
  readonly #waiting: Waiting[] = [];
  #inside = 0;
  #alone = false;

  /** Calls `begin` when there is room, at once if there is; what it gets is to be called at the end, and may be twice. */
  enter(alone: boolean, begin: (leave: () => void) => void): void {
    this.#waiting.push({ alone, begin });
    this.#next();
  }

  /**
   * Runs a task together with others. One that takes longer than `timeoutMs` goes on outside: a device that does not answer
   * makes no other device wait.
   */
  async share<T>(task: () => Promise<T>, timeoutMs = SHARE_MS): Promise<T> {
    const leave = await new Promise<() => void>((resolve) => this.enter(false, resolve));
    const timer = setTimeout(leave, timeoutMs);
    try {
      return await task();
    } finally {
      clearTimeout(timer);
      leave();
    }
  }

  #next(): void {
    for (let first = this.#waiting[0]; first && !this.#alone; first = this.#waiting[0]) {
      if (first.alone && this.#inside > 0) return;
      this.#waiting.shift();
      this.#inside++;
      this.#alone = first.alone;
      let left = false;
      first.begin(() => {
        if (left) return;
        left = true;
        this.#inside--;
        // While a recording is inside, it alone is.
        this.#alone = false;
        this.#next();
      });
    }
  }
}
