import { FacewireError } from '@facewire/proto';
import type { DeviceKind } from './Device.ts';
import { RecordingGate } from './RecordingGate.ts';

export interface RenderLanesOptions {
  /** for messages */
  device: string;
  /** most runs under way at once; may be changed later */
  lanes: number;
  /** when a task is given up that names no time of its own */
  timeoutMs: number;
  /** keeps recordings apart from what other devices of the process do; without it only from this one's */
  gate?: RecordingGate;
  /** told when a run is given up, and when it has come back after all */
  onStuck?: (message: string) => void;
}

/** with other runs | alone on the device | alone on the device and in the process */
type Company = 'lane' | 'exclusive' | 'recording';

interface Waiting {
  company: Company;
  begin: (lane: number) => void;
  refuse: (error: FacewireError) => void;
}

/**
 * Lets runs onto a device: so many at once as it has lanes, in the order they came, and tasks that must not overlap with
 * any run (the bank's updates) alone.
 *
 * A run that does not come back in time fails for whoever waits for it, and so does everything else from then on, at
 * once: the device still holds its buffers. When it comes back after all, the lanes go on. What runs use is freed through
 * free() only, and so never under a run that is still there.
 */
export class RenderLanes {
  readonly #options: RenderLanesOptions;
  readonly #gate: RecordingGate;
  readonly #busy = new Set<number>();
  readonly #waiting: Waiting[] = [];
  /** for when the device answers again */
  readonly #unfreed: (() => void)[] = [];
  #lanes: number;
  #exclusive = false;
  #stuck = 0;

  constructor(options: RenderLanesOptions) {
    this.#options = options;
    this.#gate = options.gate ?? new RecordingGate();
    this.#lanes = options.lanes;
  }

  get lanes(): number {
    return this.#lanes;
  }

  set lanes(lanes: number) {
    this.#lanes = lanes;
    this.#next();
  }

  /** a run was given up and has not come back */
  get stuck(): boolean {
    return this.#stuck > 0;
  }

  /** Runs a task on a lane of its own. @throws FacewireError device_unavailable when the device does not answer */
  run<T>(task: (lane: number) => Promise<T>, timeoutMs = this.#options.timeoutMs): Promise<T> {
    return this.#enter('lane', task, timeoutMs);
  }

  /** Runs a task while nothing else runs. Throws as run() does. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.#enter('exclusive', task, this.#options.timeoutMs);
  }

  /** Runs a task that records while nothing else runs, also on the other devices of the gate. Throws as run() does. */
  recording<T>(task: () => Promise<T>): Promise<T> {
    return this.#enter('recording', task, this.#options.timeoutMs);
  }

  /**
   * Frees what runs use, once none is under way, also none that was given up. Resolves when that is done or, while the
   * device does not answer, at once: it is done then when the device answers again.
   */
  async free(release: () => void): Promise<void> {
    try {
      await this.exclusive(async () => release());
    } catch (error) {
      if (!this.stuck) throw error;
      this.#unfreed.push(release);
    }
  }

  #enter<T>(company: Company, task: (lane: number) => Promise<T>, timeoutMs: number): Promise<T> {
    if (this.stuck) return Promise.reject(this.#refusal());
    return new Promise<T>((resolve, reject) => {
      const enter = (lane: number, leaveGate: () => void) => {
        let given = false;
        const timer = setTimeout(() => {
          given = true;
          // What does not come back makes no other device wait.
          leaveGate();
          this.#giveUp(timeoutMs);
          reject(this.#refusal());
        }, timeoutMs);
        const end = () => {
          clearTimeout(timer);
          leaveGate();
          this.#leave(lane, given);
        };
        task(lane).then(resolve, reject).then(end, end);
      };
      const begin = (lane: number) => this.#gate.enter(company === 'recording', (leave) => enter(lane, leave));
      this.#waiting.push({ company, begin, refuse: reject });
      this.#next();
    });
  }

  #next(): void {
    for (let first = this.#waiting[0]; first && !this.stuck && !this.#exclusive; first = this.#waiting[0]) {
      const shares = first.company === 'lane';
      if (this.#busy.size >= (shares ? this.#lanes : 1)) return;
      this.#waiting.shift();
      let lane = 0;
      while (this.#busy.has(lane)) lane++;
      this.#busy.add(lane);
      this.#exclusive = !shares;
      first.begin(lane);
    }
  }

  #leave(lane: number, given: boolean): void {
    this.#busy.delete(lane);
    // While an exclusive task runs, it alone does.
    this.#exclusive = false;
    if (given) {
      this.#stuck--;
      this.#options.onStuck?.(`device ${this.#options.device} answers again`);
      if (!this.stuck) for (const release of this.#unfreed.splice(0)) void this.free(release);
    }
    this.#next();
  }

  #giveUp(timeoutMs: number): void {
    this.#stuck++;
    this.#options.onStuck?.(`device ${this.#options.device} has not finished a run within ${timeoutMs} ms`);
    for (const { refuse } of this.#waiting.splice(0)) refuse(this.#refusal());
  }

  #refusal(): FacewireError {
    return new FacewireError('device_unavailable', `device ${this.#options.device} does not answer`, {
      received: this.#options.device,
      remedy: 'it is used again when it answers; if it does not, check the driver and start the server again',
    });
  }
}

const FIRST_RUN_MS = { cpu: 60_000, cuda: 60_000, webgpu: 180_000 } as const;
const LEAST_MS = 3000;
const TIMES_SLOWEST = 50;

/**
 * When a run is given up. The first run of a shape may compile its kernels (over WebGPU a software device takes a minute
 * for that); later ones are known, and even on a machine that does much else do not take fifty times what they took before.
 *
 * @param slowestMs of the runs of this shape that came back; undefined before the first
 */
export function renderTimeoutMs(kind: DeviceKind, slowestMs: number | undefined): number {
  const firstMs = FIRST_RUN_MS[kind];
  if (slowestMs === undefined) return firstMs;
  return Math.min(firstMs, Math.max(LEAST_MS, TIMES_SLOWEST * slowestMs));
}
