import { setTimeout as pause } from 'node:timers/promises';
import { FacewireError } from '@facewire/proto';
import type { AvatarData, BatchTime, Picture, RenderedPicture, Renderer, RenderWanted } from '../contracts.ts';
import { AvatarBank, type AvatarBankCounters } from './AvatarBank.ts';
import type { BankMemory } from './BankMemory.ts';
import { type Calibration, calibrate, lanesFor, trusted } from './calibrate.ts';
import { type Device, deviceCandidates, deviceName, openFirst, probeDevices } from './Device.ts';
import { deviceReason, deviceRemedy } from './deviceReason.ts';
import type { ModelPackage } from './ModelPackage.ts';
import type { Precision } from './manifest.ts';
import { filesOf, type Opened, openDevice } from './openDevice.ts';
import { closeSizes, openSizes } from './openSizes.ts';
import type { SessionTuning } from './ort/OrtSession.ts';
import { PrecisionProofs } from './PrecisionProofs.ts';
import { choosePrecision, provePrecision } from './precision.ts';
import { type RenderLanes, renderTimeoutMs } from './RenderLanes.ts';
import type { SizeRenderer } from './SizeRenderer.ts';
import { Traffic, type TrafficCounters } from './Traffic.ts';
import { fastestThreading, type Threading } from './threading.ts';

export interface OnnxRendererOptions {
  package: ModelPackage;
  /** cpu | cuda | cuda:N | webgpu | auto; default cpu */
  device?: string;
  /** AvatarStore.load */
  loadAvatar: (id: string) => Promise<AvatarData>;
  /** auto | float32 | float16 | int8; default float32 */
  precision?: string;
  /** avatars that are drawn at the start to see whether another precision draws the same; without, auto is float32 */
  parityAvatars?: readonly string[];
  /** record runs as CUDA graphs where that works; default true */
  graphs?: boolean;
  /** pictures per run, 1…; default 8 on the CPU; on a GPU half of the bank's slots, at most 64 */
  maxBatch?: number;
  /** threads of all runs under way together; default: all cores, at most 8 */
  threads?: number;
  /** ONNX Runtime's options that differ from the default */
  tuning?: Partial<SessionTuning>;
  /** most avatars in memory; default 64 */
  bankSlots?: number;
  /** most bytes of avatar tensors in memory; default BANK_BYTES of the device */
  bankBytes?: number;
  /** sizes to load, of those that the package has; default all */
  sizes?: readonly number[];
  /** `auto` passed over a device; a device does not answer; a calibration cannot be kept */
  onFallback?: (message: string) => void;
  /** `auto` on the CPU draws at once in the precision that it wants, and goes back to float32 should the proof fail */
  proveLater?: boolean;
  /** folder in which measured times and proofs of this machine are kept; without it nothing is measured */
  calibrationDir?: string;
  /** how long nothing must have been drawn before the device is measured; default 1000 */
  calibrateAfterMs?: number;
  /** when a run that does not come back is given up; default renderTimeoutMs() */
  timeoutMs?: number;
}

export interface OnnxRendererCounters extends AvatarBankCounters, TrafficCounters {
  /** runs of a graph */
  runs: number;
  /** pictures drawn */
  pictures: number;
}

/** A precision that was found slow beside what was drawn then is looked at again after so long, ms. */
const LOOK_AGAIN_MS = 3000;

/** A run that would take longer is not measured while the server is there for players, ms. */
const LONGEST_CALIBRATION_RUN_MS = { cpu: 120, cuda: 500, webgpu: 500 } as const;

/**
 * Draws avatars with a model package: one session per size, one avatar bank for all.
 *
 * As many runs are under way at once as the device gains from; waiting for avatars happens outside. When nothing was
 * drawn for a while after the start, the device is timed (calibrate.ts), once for each machine and model.
 */
export class OnnxRenderer implements Renderer {
  readonly model: string;
  readonly device: string;
  readonly sizes: readonly number[];
  readonly maxBatch: number;
  readonly bank: AvatarBank;
  /** resolves when the device's times are known, from disk or measured, or will not be */
  readonly calibrated: Promise<void>;
  /** resolves when the precision is what it will be */
  readonly proven: Promise<void>;
  private opened: Opened;
  private readonly memory: BankMemory;
  private readonly lanes: RenderLanes;
  private readonly timeoutMs: number | undefined;
  private readonly traffic = new Traffic();
  private readonly slowestMs = new Map<string, number>();
  private calibration: Calibration = { batchTimes: {} };
  private lastDrawnMs = performance.now();
  private drawing = 0;
  private readonly closing = new AbortController();
  private runs = 0;
  private pictures = 0;

  /**
   * Loads the package's renderers on the device, in the precision that the setting names; `auto` keeps another than float32
   * only when it draws the same.
   *
   * @throws FacewireError device_unavailable, model_mismatch, inference_failed, config_invalid
   */
  static async create(options: OnnxRendererOptions): Promise<OnnxRenderer> {
    const available = options.package.renderers.map(({ size }) => size);
    const absent = options.sizes?.find((size) => !available.includes(size));
    if (absent !== undefined || options.sizes?.length === 0) {
      throw new FacewireError('config_invalid', `model ${options.package.id} has no renderer of size ${absent}`, {
        received: options.sizes,
        remedy: `choose among ${available.join(', ')}`,
      });
    }
    const setting = options.precision ?? 'float32';
    return openFirst(
      deviceCandidates(options.device ?? 'cpu', probeDevices()),
      async (device) => {
        const precision = choosePrecision(setting, device.kind, options.package.precisions);
        if (setting !== 'auto' || precision === 'float32') return OnnxRenderer.open(options, device, precision);
        const proofs = await PrecisionProofs.of(options, device, precision);
        if (await proofs.isProven()) return OnnxRenderer.open(options, device, precision);
        const prove = async (signal?: AbortSignal) => {
          const proven = await OnnxRenderer.prove(options, device, precision, signal);
          if (proven === precision && !signal?.aborted) await proofs.keep();
          return proven;
        };
        if (options.proveLater && device.kind === 'cpu' && options.parityAvatars?.length) {
          return new OnnxRenderer(options, await openDevice(options, device, precision), prove);
        }
        return OnnxRenderer.open(options, device, await prove());
      },
      (device, { message }) => {
        const why = `${deviceReason(message)}; ${deviceRemedy(message)}`;
        options.onFallback?.(`device ${deviceName(device)} passed over: ${why}`);
      },
    );
  }

  /** Opens one device, as it is named. */
  static async open(options: OnnxRendererOptions, device: Device, precision: Precision): Promise<OnnxRenderer> {
    return new OnnxRenderer(options, await openDevice(options, device, precision));
  }

  /** The precision when it draws what float32 draws on this device, else float32. */
  private static prove(
    options: OnnxRendererOptions,
    device: Device,
    precision: Precision,
    signal: AbortSignal | undefined,
  ): Promise<Precision> {
    const { calibrationDir: _, parityAvatars: avatars = [], ...rest } = options;
    const sizes = options.sizes ?? options.package.renderers.map(({ size }) => size);
    const one = { sizes: [sizes[sizes.length >> 1]!], bankSlots: Math.max(1, avatars.length), maxBatch: 1, threads: 1 };
    return provePrecision({
      device,
      precision,
      avatars,
      open: (each) => OnnxRenderer.open({ ...rest, ...one, graphs: false }, device, each),
      // Beside the first pictures; before them, somebody waits.
      ...(signal && { signal, pauseMs: LOOK_AGAIN_MS }),
      ...(options.onFallback && { warn: options.onFallback }),
    });
  }

  private constructor(
    options: OnnxRendererOptions,
    opened: Opened,
    prove?: (signal: AbortSignal) => Promise<Precision>,
  ) {
    this.opened = opened;
    this.lanes = opened.lanes;
    this.timeoutMs = options.timeoutMs;
    this.model = options.package.name;
    this.device = deviceName(opened.sizes.device);
    this.maxBatch = opened.sizes.maxBatch;
    this.memory = opened.sizes.memory;
    this.sizes = [...opened.renderers.keys()];
    this.bank = new AvatarBank({ model: options.package.id, memory: this.memory, load: options.loadAvatar });
    const proven = prove?.(this.closing.signal).then((precision) => this.changePrecision(options, precision));
    this.proven = Promise.resolve(proven).catch((error: Error) => {
      if (!this.closed) options.onFallback?.(`${this.precision} could not be proven: ${error.message}`);
    });
    this.calibrated = this.proven
      .then(() => this.calibrate(options))
      .catch((error: Error) => {
        if (!this.closed) options.onFallback?.(`device ${this.device} could not be measured: ${error.message}`);
      });
  }

  get precision(): Precision {
    return this.opened.precision;
  }

  get rendersInFlight(): number {
    return this.lanes.lanes;
  }

  isReady(avatar: string): boolean {
    return this.bank.isReady(avatar);
  }

  batchTimes(size: number): readonly BatchTime[] {
    return this.calibration.batchTimes[size] ?? NO_TIMES;
  }

  get counters(): OnnxRendererCounters {
    return {
      ...this.bank.counters,
      ...this.traffic.snapshot(),
      runs: this.runs,
      pictures: this.pictures,
    };
  }

  /**
   * Draws pictures of one size, up to maxBatch of them; loads the avatars that are missing first. The frames returned are
   * the caller's: no later call touches their memory, unless the caller releases it.
   *
   * @throws RangeError for pictures of several sizes or more than maxBatch
   * @throws FacewireError size_unsupported, bank_full, avatar_unknown, avatar_corrupt, inference_failed
   */
  async render(pictures: readonly Picture[], wanted: RenderWanted): Promise<RenderedPicture[]> {
    if (pictures.length === 0) return [];
    if (pictures.length > this.maxBatch) {
      throw new RangeError(`${pictures.length} pictures in one call, at most ${this.maxBatch} are drawn at once`);
    }
    const size = pictures[0]!.size;
    if (pictures.some((picture) => picture.size !== size))
      throw new RangeError('pictures of several sizes in one call');
    const renderer = this.renderers.get(size);
    if (renderer === undefined) {
      throw new FacewireError('size_unsupported', `model ${this.model} draws no pictures of ${size} pixels`, {
        received: size,
        remedy: `ask for one of ${this.sizes.join(', ')}`,
      });
    }
    if (this.closed) throw new FacewireError('inference_failed', 'the renderer is closed');
    if (!renderer.isRecorded(this.lanes.lanes, pictures.length, wanted)) {
      await this.lanes.exclusive(async () => {
        if (!this.closed) await renderer.record(this.lanes.lanes, pictures.length, wanted);
      });
    }
    const lease = await this.bank.acquire(pictures.map((picture) => picture.avatar));
    const shape = `${size} ${pictures.length} ${wanted.i420} ${wanted.rgb}`;
    let begun = false;
    this.drawing++;
    try {
      return await this.lanes.run(
        async (lane) => {
          begun = true;
          try {
            return await this.draw(lane, pictures, lease.slots, wanted, shape);
          } finally {
            // Not before: a run that was given up still reads its slots.
            lease.release();
          }
        },
        this.timeoutMs ?? renderTimeoutMs(this.opened.sizes.device.kind, this.slowestMs.get(shape)),
      );
    } finally {
      if (!begun) lease.release();
      this.drawing--;
      this.lastDrawnMs = performance.now();
    }
  }

  /**
   * Releases sessions and bank after the runs under way; renders that wait fail. Proof and calibration have ended when it
   * resolves, and write nothing afterwards. A device that does not answer keeps what it holds. May be called twice.
   */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closing.abort();
    const release = async () => {
      closeSizes(this.renderers);
      this.memory.close();
      this.opened.sizes.recording?.close();
    };
    await this.lanes.exclusive(release).catch(() => undefined);
    await this.calibrated;
  }

  private get closed(): boolean {
    return this.closing.signal.aborted;
  }

  private async draw(
    lane: number,
    pictures: readonly Picture[],
    slots: readonly number[],
    wanted: RenderWanted,
    shape: string,
  ): Promise<RenderedPicture[]> {
    if (this.closed) throw new FacewireError('inference_failed', 'the renderer is closed');
    const startedAtMs = performance.now();
    const renderer = this.renderers.get(pictures[0]!.size)!;
    const frames = await renderer.render(lane, pictures, slots, wanted, this.traffic);
    this.slowestMs.set(shape, Math.max(this.slowestMs.get(shape) ?? 0, performance.now() - startedAtMs));
    this.runs++;
    this.pictures += frames.length;
    return frames;
  }

  private get renderers(): ReadonlyMap<number, SizeRenderer> {
    return this.opened.renderers;
  }

  private get threading(): Threading {
    return this.opened.sizes.threading;
  }

  private async calibrate(options: OnnxRendererOptions): Promise<void> {
    const { cache, key, known, ways } = this.opened;
    const { kind } = this.opened.sizes.device;
    if (cache === undefined) return;
    if (known) return this.adopt(known);
    const mayGoOn = () => this.untilQuiet(options.calibrateAfterMs ?? 1000);
    if (ways.length > 1 && !(await this.chooseThreading(mayGoOn))) return;
    const found = await calibrate({
      sizes: this.sizes,
      maxBatch: this.maxBatch,
      longestRunMs: LONGEST_CALIBRATION_RUN_MS[kind],
      mayGoOn,
      run: (size, pictures, atOnce) => this.measure(this.renderers.get(size)!, pictures, atOnce),
      // The CPU's ways were measured against each other.
      overlapping: kind !== 'cpu',
    });
    if (!found) return;
    const { calibration, keep } = trusted(found);
    if (kind === 'cpu') calibration.lanes = this.threading.lanes;
    this.adopt(calibration);
    if (keep) await cache.save(key, calibration);
  }

  private adopt(calibration: Calibration): void {
    const { kind } = this.opened.sizes.device;
    this.calibration = calibration;
    this.lanes.lanes = kind === 'cpu' ? this.threading.lanes : lanesFor(kind, calibration.overlap);
  }

  /** Measures the ways to use the threads and takes the fastest; false when the measurement was ended. */
  private async chooseThreading(mayGoOn: () => Promise<boolean>): Promise<boolean> {
    const { ways, sizes: options } = this.opened;
    const size = this.sizes[this.sizes.length >> 1]!;
    const files = options.files.filter((file) => file.size === size);
    const trials = new Map<Threading, ReadonlyMap<number, SizeRenderer>>();
    try {
      for (const way of ways) {
        const isCurrent = way.lanes === this.threading.lanes;
        trials.set(way, isCurrent ? this.renderers : await openSizes({ ...options, files, threading: way }));
      }
      const count = Math.min(2, this.maxBatch);
      const run = (way: Threading) => this.measure(trials.get(way)!.get(size)!, count, way.lanes);
      const chosen = await fastestThreading(ways, run, mayGoOn);
      if (chosen === undefined || this.closed) return false;
      if (trials.get(chosen) !== this.renderers) await this.changeThreading(chosen);
      return true;
    } finally {
      for (const trial of trials.values()) if (trial !== this.renderers) closeSizes(trial);
    }
  }

  private async changeThreading(threading: Threading): Promise<void> {
    await this.change({ ...this.opened, sizes: { ...this.opened.sizes, threading } });
    this.lanes.lanes = threading.lanes;
  }

  private async changePrecision(options: OnnxRendererOptions, precision: Precision): Promise<void> {
    if (this.closed || precision === this.precision) return;
    const { sizes, cache } = this.opened;
    const key = { ...this.opened.key, precision };
    const files = filesOf(options, precision);
    await this.change({ ...this.opened, precision, key, known: await cache?.load(key), sizes: { ...sizes, files } });
  }

  /** Opens the graphs in another way and draws with those from then on. */
  private async change(wanted: Opened): Promise<void> {
    const renderers = await openSizes(wanted.sizes);
    await this.lanes.exclusive(async () => {
      if (this.closed) return closeSizes(renderers);
      closeSizes(this.renderers);
      this.opened = { ...wanted, renderers };
    });
  }

  /** Runs that nobody sees, of the bank's first slots as they are: their bytes are not counted. */
  private measure(renderer: SizeRenderer, count: number, atOnce: number): Promise<void> {
    const pictures = renderer.unseen(count);
    const slots = pictures.map((_, index) => index % this.bank.slots);
    return this.lanes.exclusive(async () => {
      if (this.closed) throw new FacewireError('inference_failed', 'the renderer is closed');
      const wanted = { i420: true, rgb: false };
      await renderer.record(atOnce, count, wanted);
      const lanes = Array.from({ length: atOnce }, (_, lane) => lane);
      await Promise.all(lanes.map((lane) => renderer.render(lane, pictures, slots, wanted, new Traffic())));
    });
  }

  /** Waits until nothing was drawn for so long; false when the renderer was closed. */
  private async untilQuiet(quietMs: number): Promise<boolean> {
    while (!this.closed) {
      const waitMs = this.drawing > 0 ? quietMs : this.lastDrawnMs + quietMs - performance.now();
      if (waitMs <= 0) return true;
      // Keeps no process alive.
      await pause(waitMs, undefined, { ref: false, signal: this.closing.signal }).catch(() => undefined);
    }
    return false;
  }
}

const NO_TIMES: readonly BatchTime[] = [];
