import { availableParallelism } from 'node:os';
import { FacewireError, neutralMotion } from '@facewire/proto';
import type { AvatarData, BatchTime, Picture, RenderedPicture, Renderer, RenderWanted } from '../contracts.ts';
import { AvatarBank, type AvatarBankCounters } from './AvatarBank.ts';
import { type BankMemory, HostBankMemory, slotsWithin } from './BankMemory.ts';
import { CalibrationCache } from './CalibrationCache.ts';
import { type Calibration, calibrate, lanesFor, trusted } from './calibrate.ts';
import { type Device, type DeviceKind, deviceCandidates, deviceName, openFirst, probeDevices } from './Device.ts';
import { DeviceBankMemory } from './DeviceBankMemory.ts';
import type { ModelPackage } from './ModelPackage.ts';
import { machineName } from './machineName.ts';
import { OrtRuntime } from './ort/OrtRuntime.ts';
import type { SessionTuning } from './ort/OrtSession.ts';
import { RenderLanes, renderTimeoutMs } from './RenderLanes.ts';
import { SizeRenderer } from './SizeRenderer.ts';
import { Traffic, type TrafficCounters } from './Traffic.ts';

export interface OnnxRendererOptions {
  package: ModelPackage;
  /** cpu | cuda | cuda:N | webgpu | auto; default cpu */
  device?: string;
  /** AvatarStore.load */
  loadAvatar: (id: string) => Promise<AvatarData>;
  /** pictures per run, 1…; default 8 on the CPU; on a GPU half of the bank's slots, at most 64 */
  maxBatch?: number;
  /** threads of one operator; default: all cores, at most 8 */
  threads?: number;
  /** ONNX Runtime's options that differ from the default */
  tuning?: Partial<SessionTuning>;
  /** most avatars in memory; default 64 */
  bankSlots?: number;
  /** most bytes of avatar tensors in memory; default 1 GiB */
  bankBytes?: number;
  /** sizes to load, of those that the package has; default all */
  sizes?: readonly number[];
  /** `auto` passed over a device; a device does not answer; a calibration cannot be kept */
  onFallback?: (message: string) => void;
  /** folder in which measured times of this machine are kept; without it nothing is measured */
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

/** A run that would take longer is not measured while the server is there for players, ms. */
const LONGEST_CALIBRATION_RUN_MS = { cpu: 120, cuda: 500, webgpu: 500 } as const;

interface Opened {
  device: Device;
  maxBatch: number;
  threads: number;
  memory: BankMemory;
  renderers: readonly SizeRenderer[];
  lanes: RenderLanes;
}

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
  private readonly kind: DeviceKind;
  private readonly memory: BankMemory;
  private readonly renderers: ReadonlyMap<number, SizeRenderer>;
  private readonly lanes: RenderLanes;
  private readonly timeoutMs: number | undefined;
  private readonly traffic = new Traffic();
  private readonly slowestMs = new Map<string, number>();
  private calibration: Calibration = { batchTimes: {} };
  private lastDrawnMs = performance.now();
  private drawing = 0;
  private closed = false;
  private runs = 0;
  private pictures = 0;

  /**
   * Loads the package's renderers on the device.
   *
   * @throws FacewireError device_unavailable, model_mismatch, inference_failed, config_invalid
   */
  static async create(options: OnnxRendererOptions): Promise<OnnxRenderer> {
    const available = options.package.renderers;
    const wanted =
      options.sizes === undefined ? available : available.filter(({ size }) => options.sizes!.includes(size));
    const absent = options.sizes?.find((size) => !available.some((file) => file.size === size));
    if (absent !== undefined || wanted.length === 0) {
      throw new FacewireError('config_invalid', `model ${options.package.id} has no renderer of size ${absent}`, {
        received: options.sizes,
        remedy: `choose among ${available.map(({ size }) => size).join(', ')}`,
      });
    }
    const threads = positiveInteger('threads', options.threads ?? Math.min(availableParallelism(), 8));
    const slots = slotsWithin(
      { bankSlots: options.bankSlots ?? 64, bankBytes: options.bankBytes ?? 2 ** 30 },
      options.package.avatarTensors,
    );
    return openFirst(
      deviceCandidates(options.device ?? 'cpu', probeDevices()),
      async (device) => {
        // A GPU has two batches in flight, whose avatars are all in the bank at once.
        const most = device.kind === 'cpu' ? 8 : Math.max(1, Math.min(64, slots >> 1));
        const maxBatch = positiveInteger('maxBatch', options.maxBatch ?? most);
        const lanes = new RenderLanes({
          device: deviceName(device),
          lanes: lanesFor(device.kind, undefined),
          timeoutMs: options.timeoutMs ?? renderTimeoutMs(undefined),
          ...(options.onFallback && { onStuck: options.onFallback }),
        });
        const renderers: SizeRenderer[] = [];
        let memory: BankMemory | undefined;
        try {
          memory =
            device.kind === 'cpu'
              ? new HostBankMemory(options.package.avatarTensors, slots)
              : await DeviceBankMemory.create(options.package.avatarTensors, slots, device, (task) =>
                  lanes.exclusive(task),
                );
          for (const file of wanted) {
            const session = await options.package.open(file, {
              device,
              threads,
              ...(options.tuning && { tuning: options.tuning }),
            });
            renderers.push(new SizeRenderer(file, session, memory, maxBatch));
          }
          return new OnnxRenderer(options, { device, maxBatch, threads, memory, renderers, lanes });
        } catch (error) {
          for (const renderer of renderers) renderer.close();
          memory?.close();
          throw error;
        }
      },
      (device, reason) => options.onFallback?.(`device ${deviceName(device)} passed over: ${reason.message}`),
    );
  }

  private constructor(options: OnnxRendererOptions, opened: Opened) {
    const { device, maxBatch, memory, renderers, lanes } = opened;
    this.kind = device.kind;
    this.lanes = lanes;
    this.timeoutMs = options.timeoutMs;
    this.model = options.package.name;
    this.device = deviceName(device);
    this.maxBatch = maxBatch;
    this.memory = memory;
    this.renderers = new Map(renderers.map((renderer) => [renderer.size, renderer]));
    this.sizes = renderers.map(({ size }) => size);
    this.bank = new AvatarBank({ model: options.package.id, memory, load: options.loadAvatar });
    this.calibrated = this.calibrate(options, opened.threads).catch((error: Error) => {
      if (!this.closed) options.onFallback?.(`device ${this.device} could not be measured: ${error.message}`);
    });
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
    const lease = await this.bank.acquire(pictures.map((picture) => picture.avatar));
    const shape = `${size} ${pictures.length} ${wanted.i420} ${wanted.rgb}`;
    let begun = false;
    this.drawing++;
    try {
      return await this.lanes.run(
        async (lane) => {
          begun = true;
          try {
            return await this.draw(renderer, lane, pictures, lease.slots, wanted, shape);
          } finally {
            // Not before: a run that was given up still reads its slots.
            lease.release();
          }
        },
        this.timeoutMs ?? renderTimeoutMs(this.slowestMs.get(shape)),
      );
    } finally {
      if (!begun) lease.release();
      this.drawing--;
      this.lastDrawnMs = performance.now();
    }
  }

  /**
   * Releases sessions and bank after the runs under way; renders that wait fail. A device that does not answer keeps
   * what it holds. May be called twice.
   */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    const release = async () => {
      for (const renderer of this.renderers.values()) renderer.close();
      this.memory.close();
    };
    await this.lanes.exclusive(release).catch(() => undefined);
  }

  private async draw(
    renderer: SizeRenderer,
    lane: number,
    pictures: readonly Picture[],
    slots: readonly number[],
    wanted: RenderWanted,
    shape: string,
  ): Promise<RenderedPicture[]> {
    if (this.closed) throw new FacewireError('inference_failed', 'the renderer is closed');
    const startedAtMs = performance.now();
    const frames = await renderer.render(lane, pictures, slots, wanted, this.traffic);
    this.slowestMs.set(shape, Math.max(this.slowestMs.get(shape) ?? 0, performance.now() - startedAtMs));
    this.runs++;
    this.pictures += frames.length;
    return frames;
  }

  private async calibrate(options: OnnxRendererOptions, threads: number): Promise<void> {
    if (options.calibrationDir === undefined) return;
    const cache = new CalibrationCache(options.calibrationDir, options.onFallback);
    const key = {
      model: options.package.id,
      device: this.device,
      machine: await machineName(this.kind),
      onnxruntime: OrtRuntime.get().version,
      threads,
      maxBatch: this.maxBatch,
    };
    const known = await cache.load(key);
    if (known) return this.adopt(known);
    const found = await calibrate({
      sizes: this.sizes,
      maxBatch: this.maxBatch,
      longestRunMs: LONGEST_CALIBRATION_RUN_MS[this.kind],
      mayGoOn: () => this.untilQuiet(options.calibrateAfterMs ?? 1000),
      run: (size, pictures, atOnce) => this.measure(size, pictures, atOnce),
    });
    if (!found) return;
    const { calibration, keep } = trusted(found);
    this.adopt(calibration);
    if (keep) await cache.save(key, calibration);
  }

  private adopt(calibration: Calibration): void {
    this.calibration = calibration;
    this.lanes.lanes = lanesFor(this.kind, calibration.overlap);
  }

  /** Runs that nobody sees, of the bank's first slots as they are: their bytes are not counted. */
  private measure(size: number, count: number, atOnce: number): Promise<void> {
    const renderer = this.renderers.get(size)!;
    const view = { yaw: 0, pitch: 0 };
    const pictures = Array.from({ length: count }, () => ({ avatar: '', size, view, motion: neutralMotion() }));
    const slots = pictures.map((_, index) => index % this.bank.slots);
    return this.lanes.exclusive(async () => {
      if (this.closed) throw new FacewireError('inference_failed', 'the renderer is closed');
      const wanted = { i420: true, rgb: false };
      const lanes = Array.from({ length: atOnce }, (_, lane) => lane);
      await Promise.all(lanes.map((lane) => renderer.render(lane, pictures, slots, wanted, new Traffic())));
    });
  }

  /** Waits until nothing was drawn for so long; false when the renderer was closed. */
  private async untilQuiet(quietMs: number): Promise<boolean> {
    while (!this.closed) {
      const waitMs = this.drawing > 0 ? quietMs : this.lastDrawnMs + quietMs - performance.now();
      if (waitMs <= 0) return true;
      // Asks again often enough that close() need not wait long, and keeps no process alive.
      await new Promise<void>((resolve) => setTimeout(resolve, Math.min(waitMs, 50)).unref());
    }
    return false;
  }
}

const NO_TIMES: readonly BatchTime[] = [];

function positiveInteger(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`${name} is ${value}, expected an integer of 1 or more`);
  return value;
}
