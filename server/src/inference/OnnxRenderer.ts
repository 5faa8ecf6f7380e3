import { FacewireError } from '@facewire/proto';
import type { AvatarData, BatchTime, Picture, RenderedPicture, Renderer, RenderWanted } from '../contracts.ts';
import { AvatarBank, type AvatarBankCounters } from './AvatarBank.ts';
import type { Calibration } from './calibrate.ts';
import { calibrateDevice } from './calibrateDevice.ts';
import { type Device, deviceCandidates, deviceName, openFirst, probeDevices } from './Device.ts';
import { DrawingDevice } from './DrawingDevice.ts';
import { deviceReason, deviceRemedy } from './deviceReason.ts';
import { IdleWatch } from './IdleWatch.ts';
import type { ModelPackage } from './ModelPackage.ts';
import type { Precision } from './manifest.ts';
import { filesOf, type Opened, openDevice, threadingOf } from './openDevice.ts';
import type { SessionTuning } from './ort/OrtSession.ts';
import { PrecisionProofs } from './PrecisionProofs.ts';
import { choosePrecision, provePrecision } from './precision.ts';
import type { RecordingGate } from './RecordingGate.ts';
import { type RenderLanes, renderTimeoutMs } from './RenderLanes.ts';
import { Traffic, type TrafficCounters } from './Traffic.ts';

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
  /** keeps recordings apart from what other GPUs of the process do */
  gate?: RecordingGate;
  /** pictures per run, 1…; default 8 on the CPU; on a GPU half of the bank's slots, at most 64 */
  maxBatch?: number;
  /** threads of all runs under way together; default: all cores, at most 8 */
  threads?: number;
  /** runs under way at once, which share the threads; default: as many as are fastest, see threadings() */
  lanes?: number;
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

/**
 * Draws avatars with a model package: one session per size, one avatar bank for all.
 *
 * As many runs are under way at once as the device gains from; waiting for avatars happens outside. When nothing was
 * drawn for a while after the start, the device is timed (calibrateDevice.ts), once for each machine and model.
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
  private readonly drawing: DrawingDevice;
  private readonly lanes: RenderLanes;
  private readonly timeoutMs: number | undefined;
  private readonly traffic = new Traffic();
  private readonly slowestMs = new Map<string, number>();
  private calibration: Calibration = { batchTimes: {} };
  private readonly idle = new IdleWatch();
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
    this.drawing = new DrawingDevice(opened, this.closing.signal);
    this.lanes = opened.lanes;
    this.timeoutMs = options.timeoutMs;
    this.model = options.package.name;
    this.device = deviceName(opened.sizes.device);
    this.maxBatch = opened.sizes.maxBatch;
    this.sizes = [...opened.renderers.keys()];
    this.bank = new AvatarBank({ model: options.package.id, memory: opened.sizes.memory, load: options.loadAvatar });
    const proven = prove?.(this.closing.signal)
      .catch((error: Error) => {
        if (!this.closed) options.onFallback?.(`${this.precision} could not be proven: ${error.message}`);
        return 'float32' as const;
      })
      .then((precision) => this.changePrecision(options, precision));
    this.proven = Promise.resolve(proven).catch((error: Error) => {
      if (!this.closed) options.onFallback?.(`${this.precision} stays, float32 does not open: ${error.message}`);
    });
    this.calibrated = this.proven
      .then(() => {
        const quietMs = options.calibrateAfterMs ?? 1000;
        return calibrateDevice(this.drawing, () => this.idle.untilQuiet(quietMs, this.closing.signal));
      })
      .then((calibration) => {
        if (calibration) this.calibration = calibration;
      })
      .catch((error: Error) => {
        if (!this.closed) options.onFallback?.(`device ${this.device} could not be measured: ${error.message}`);
      });
  }

  get precision(): Precision {
    return this.drawing.precision;
  }

  get rendersInFlight(): number {
    return this.lanes.lanes;
  }

  /** a run was given up and has not come back: until then everything is refused at once */
  get stuck(): boolean {
    return this.lanes.stuck;
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
    const renderer = this.drawing.renderers.get(size);
    if (renderer === undefined) {
      throw new FacewireError('size_unsupported', `model ${this.model} draws no pictures of ${size} pixels`, {
        received: size,
        remedy: `ask for one of ${this.sizes.join(', ')}`,
      });
    }
    if (this.closed) throw new FacewireError('inference_failed', 'the renderer is closed');
    await this.drawing.record(renderer, pictures.length, wanted);
    const lease = await this.bank.acquire(pictures.map((picture) => picture.avatar));
    const shape = `${size} ${pictures.length} ${wanted.i420} ${wanted.rgb}`;
    let begun = false;
    this.idle.begin();
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
        this.timeoutMs ?? renderTimeoutMs(this.drawing.opened.sizes.device.kind, this.slowestMs.get(shape)),
      );
    } finally {
      if (!begun) lease.release();
      this.idle.end();
    }
  }

  /**
   * Releases sessions and bank after the runs under way; renders that wait fail. Proof and calibration have ended when it
   * resolves, and write nothing afterwards. A device that does not answer keeps what it holds. May be called twice.
   */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closing.abort();
    await this.drawing.close();
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
    const renderer = this.drawing.renderers.get(pictures[0]!.size)!;
    const frames = await renderer.render(lane, pictures, slots, wanted, this.traffic);
    this.slowestMs.set(shape, Math.max(this.slowestMs.get(shape) ?? 0, performance.now() - startedAtMs));
    this.runs++;
    this.pictures += frames.length;
    return frames;
  }

  private async changePrecision(options: OnnxRendererOptions, precision: Precision): Promise<void> {
    if (this.closed || precision === this.precision) return;
    const { opened } = this.drawing;
    const key = { ...opened.key, precision };
    const files = filesOf(options, precision);
    const known = await opened.cache?.load(key);
    const threading = threadingOf(opened.ways, known);
    await this.drawing.change({ ...opened, precision, key, known, sizes: { ...opened.sizes, files, threading } });
  }
}

const NO_TIMES: readonly BatchTime[] = [];
