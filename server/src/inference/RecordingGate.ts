interface Waiting {
  alone: boolean;
  begin: (leave: () => void) => void;
}

/**
 * Keeps recordings (CUDA graphs) apart from everything else that the process does on GPUs, whichever GPU it is on: ONNX
 * Runtime captures with `cudaStreamCaptureModeGlobal`, during which a call such as cudaMalloc fails in every thread, and
 * breaks the recording. Work enters together with other work and a recording alone, in the order they came.
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

  /** Runs a task together with others. */
  async share<T>(task: () => Promise<T>): Promise<T> {
    const leave = await new Promise<() => void>((resolve) => this.enter(false, resolve));
    try {
      return await task();
    } finally {
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
