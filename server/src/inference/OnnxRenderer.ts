import { availableParallelism } from 'node:os';
import { FacewireError } from '@facewire/proto';
import type { AvatarData, Picture, RenderedPicture, Renderer, RenderWanted } from '../contracts.ts';
import { AvatarBank, type AvatarBankCounters } from './AvatarBank.ts';
import { type BankMemory, HostBankMemory, slotsWithin } from './BankMemory.ts';
import { type Device, deviceCandidates, deviceName, openFirst, probeDevices } from './Device.ts';
import { DeviceBankMemory } from './DeviceBankMemory.ts';
import type { ModelPackage } from './ModelPackage.ts';
import { SizeRenderer } from './SizeRenderer.ts';
import { TaskQueue } from './TaskQueue.ts';
import { Traffic, type TrafficCounters } from './Traffic.ts';

export interface OnnxRendererOptions {
  package: ModelPackage;
  /** cpu | cuda | cuda:N | webgpu | auto; default cpu */
  device?: string;
  /** AvatarStore.load */
  loadAvatar: (id: string) => Promise<AvatarData>;
  /** pictures per run, 1…; default 8 */
  maxBatch?: number;
  /** threads of one operator; default: all cores, at most 8 */
  threads?: number;
  /** most avatars in memory; default 64 */
  bankSlots?: number;
  /** most bytes of avatar tensors in memory; default 1 GiB */
  bankBytes?: number;
  /** sizes to load, of those that the package has; default all */
  sizes?: readonly number[];
  /** `auto` passed over a device */
  onFallback?: (message: string) => void;
}

export interface OnnxRendererCounters extends AvatarBankCounters, TrafficCounters {
  /** runs of a graph */
  runs: number;
  /** pictures drawn */
  pictures: number;
}

/**
 * Draws avatars with a model package: one session per size, one avatar bank for all.
 *
 * Runs go one after the other: each already uses every thread it may. Waiting for avatars happens outside that queue.
 */
export class OnnxRenderer implements Renderer {
  readonly model: string;
  readonly device: string;
  readonly sizes: readonly number[];
  readonly maxBatch: number;
  readonly bank: AvatarBank;
  private readonly memory: BankMemory;
  private readonly renderers: ReadonlyMap<number, SizeRenderer>;
  private readonly queue: TaskQueue;
  private readonly traffic: Traffic;
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
    const maxBatch = positiveInteger('maxBatch', options.maxBatch ?? 8);
    const threads = positiveInteger('threads', options.threads ?? Math.min(availableParallelism(), 8));
    const slots = slotsWithin(
      { bankSlots: options.bankSlots ?? 64, bankBytes: options.bankBytes ?? 2 ** 30 },
      options.package.avatarTensors,
    );
    return openFirst(
      deviceCandidates(options.device ?? 'cpu', probeDevices()),
      async (device) => {
        const queue = new TaskQueue();
        const traffic = new Traffic();
        const renderers: SizeRenderer[] = [];
        let memory: BankMemory | undefined;
        try {
          memory =
            device.kind === 'cpu'
              ? new HostBankMemory(options.package.avatarTensors, slots)
              : await DeviceBankMemory.create(options.package.avatarTensors, slots, device, (task) => queue.run(task));
          for (const file of wanted) {
            const session = await options.package.open(file, { device, threads });
            renderers.push(new SizeRenderer(file, session, memory, maxBatch, traffic));
          }
          return new OnnxRenderer(options, device, maxBatch, memory, renderers, queue, traffic);
        } catch (error) {
          for (const renderer of renderers) renderer.close();
          memory?.close();
          throw error;
        }
      },
      (device, reason) => options.onFallback?.(`device ${deviceName(device)} passed over: ${reason.message}`),
    );
  }

  private constructor(
    options: OnnxRendererOptions,
    device: Device,
    maxBatch: number,
    memory: BankMemory,
    renderers: readonly SizeRenderer[],
    queue: TaskQueue,
    traffic: Traffic,
  ) {
    this.queue = queue;
    this.traffic = traffic;
    this.model = options.package.name;
    this.device = deviceName(device);
    this.maxBatch = maxBatch;
    this.memory = memory;
    this.renderers = new Map(renderers.map((renderer) => [renderer.size, renderer]));
    this.sizes = renderers.map(({ size }) => size);
    this.bank = new AvatarBank({ model: options.package.id, memory, load: options.loadAvatar });
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
   * the caller's: fresh memory that no later call touches.
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
    try {
      return await this.queue.run(async () => {
        if (this.closed) throw new FacewireError('inference_failed', 'the renderer is closed');
        const frames = await renderer.render(pictures, lease.slots, wanted);
        this.runs++;
        this.pictures += frames.length;
        return frames;
      });
    } finally {
      lease.release();
    }
  }

  /** Releases sessions and bank after the run under way; renders that wait fail. May be called twice. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.queue.run(async () => {
      for (const renderer of this.renderers.values()) renderer.close();
      this.memory.close();
    });
  }
}

function positiveInteger(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`${name} is ${value}, expected an integer of 1 or more`);
  return value;
}
