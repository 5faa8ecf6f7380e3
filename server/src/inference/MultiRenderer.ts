import { FacewireError } from '@facewire/proto';
import type { BatchTime, Picture, RenderedPicture, Renderer, RenderWanted } from '../contracts.ts';
import { isDeviceError } from './Device.ts';
import { DevicePlacement, type PlacementDevice } from './DevicePlacement.ts';
import { DeviceReturn } from './DeviceReturn.ts';
import type { Precision } from './manifest.ts';
import type { OnnxRendererCounters } from './OnnxRenderer.ts';

/** A renderer with a bank: one device's, or several behind one face. */
export interface DeviceRenderer extends Renderer {
  readonly counters: OnnxRendererCounters;
  readonly bank: {
    readonly slots: number;
    /** an avatar was deleted or replaced */
    forget(id: string): void;
    /** resolves once the avatars are in the bank */
    ensure(ids: readonly string[]): Promise<void>;
  };
  /** what the learned part computes in; of several devices that of the first */
  readonly precision?: Precision;
  /** devices that have failed and not returned; undefined where there is only one */
  readonly failedDevices?: number;
  /** a run was given up and has not come back: the device refuses what it is asked, and opening it anew would wait too */
  readonly stuck?: boolean;
}

export interface MultiRendererOptions {
  /** of one model, one for each device; closed with this one */
  renderers: readonly DeviceRenderer[];
  /** opens a device anew that has failed and is closed; without it the failed one itself is tried again */
  reopen?: (device: number) => Promise<DeviceRenderer>;
  /** opens a device that draws while none of the others does (the CPU) */
  openStandby?: () => Promise<DeviceRenderer>;
  /** a device was taken out or has returned, or the standby was opened */
  onChange?: (message: string) => void;
  /** milliseconds; default performance.now() */
  now?: () => number;
}

/** A device takes the avatars of no more pictures than it draws so often, as long as another one does. */
const FRAMES_PER_SECOND = 30;

/** What tells on which device an avatar is drawn. */
type Placed = Pick<Picture, 'avatar' | 'room'>;

/**
 * Several devices as one renderer. Rooms and their avatars stick to a device (DevicePlacement); a batch is split by device
 * and its parts are drawn at the same time. An avatar that moves is drawn where it was until it lies on its new device,
 * so that nobody waits for it. A device whose run fails where another device draws the same pictures is taken out, and its
 * rooms move. From time to time a batch is drawn on it as well, unseen (DeviceReturn): when that succeeds the device
 * returns, and takes its share of the rooms; one that failed the first such try is closed and opened anew, unless a run that
 * was given up is still there. When two devices fail on the same pictures, those are to blame and the error
 * is theirs.
 */
export class MultiRenderer implements DeviceRenderer {
  readonly model: string;
  readonly sizes: readonly number[];
  readonly maxBatch: number;
  /** in the order of the devices; the standby, once it is open, is the last */
  readonly #renderers: DeviceRenderer[];
  readonly #devices: number;
  readonly #options: MultiRendererOptions;
  readonly #placement: DevicePlacement;
  readonly #return: DeviceReturn;
  #standby: Promise<number | undefined> | undefined;
  /** of renderers that were replaced */
  #past: OnnxRendererCounters = NOTHING_COUNTED;
  #closed = false;

  constructor(options: MultiRendererOptions) {
    const { renderers, now = () => performance.now() } = options;
    this.#options = options;
    this.#renderers = [...renderers];
    this.#placement = new DevicePlacement(renderers.map((_, device) => this.#placementOf(device)));
    this.#return = new DeviceReturn(now);
    const first = renderers[0]!;
    this.model = first.model;
    this.sizes = first.sizes;
    this.maxBatch = renderers.reduce((sum, { maxBatch }) => sum + maxBatch, 0);
    this.#devices = renderers.length;
  }

  /** the devices that draw now */
  get device(): string {
    return this.#placement.working.map((device) => this.#renderers[device]!.device).join('+') || 'none';
  }

  get precision(): Precision {
    return this.#renderers[0]!.precision ?? 'float32';
  }

  get failedDevices(): number {
    return this.#devices - this.#placement.working.filter((device) => device < this.#devices).length;
  }

  get rendersInFlight(): number {
    return Math.max(1, ...this.#working.map(({ rendersInFlight }) => rendersInFlight ?? 1));
  }

  isReady(avatar: string, room?: string): boolean {
    this.#placement.place(avatar, room);
    const device = this.#drawnBy(avatar);
    return device === undefined || this.#lies(avatar, device);
  }

  /** Of the device that was measured slowest at its largest batch, as if all had as many pictures as that one. */
  batchTimes(size: number): readonly BatchTime[] {
    const working = this.#working;
    const measured = working.map((renderer) => renderer.batchTimes?.(size) ?? []);
    if (measured.some((times) => times.length === 0)) return NO_TIMES;
    const rate = (times: readonly BatchTime[]) => times.at(-1)!.ms / times.at(-1)!.pictures;
    const slowest = measured.reduce<readonly BatchTime[]>(
      (worst, times) => (worst.length === 0 || rate(times) > rate(worst) ? times : worst),
      NO_TIMES,
    );
    if (working.length === 1) return slowest;
    return slowest.map(({ pictures, ms }) => ({ pictures: pictures * working.length, ms }));
  }

  /** sums over the devices, and over what a device did before it was opened anew: counters never fall */
  get counters(): OnnxRendererCounters {
    return this.#renderers.reduce((sum, { counters }) => sumOf(sum, counters), this.#past);
  }

  get bank(): DeviceRenderer['bank'] {
    return {
      slots: this.#working.reduce((sum, { bank }) => sum + bank.slots, 0),
      forget: (id) => {
        this.#placement.forget(id);
        for (const { bank } of this.#renderers) bank.forget(id);
      },
      ensure: async (ids) => {
        const parts = this.#split(ids.map((avatar) => ({ avatar })));
        await Promise.all(
          Array.from(parts, ([device, at]) => this.#renderers[device]!.bank.ensure(at.map((index) => ids[index]!))),
        );
      },
    };
  }

  /** As OnnxRenderer.render(); also throws device_unavailable when no device is left. */
  async render(pictures: readonly Picture[], wanted: RenderWanted): Promise<RenderedPicture[]> {
    if (pictures.length > this.maxBatch) {
      throw new RangeError(`${pictures.length} pictures in one call, at most ${this.maxBatch} are drawn at once`);
    }
    if (this.#closed) throw new FacewireError('inference_failed', 'the renderer is closed');
    this.#probeFailed(pictures, wanted);
    if (this.#placement.working.length === 0) await this.#useStandby();
    const frames = new Array<RenderedPicture>(pictures.length);
    const parts = this.#split(pictures);
    const drawn = await Promise.allSettled(
      Array.from(parts, async ([device, at]) => {
        const part = at.map((index) => pictures[index]!);
        const rendered = await this.#renderPart(device, part, wanted);
        for (const [order, index] of at.entries()) frames[index] = rendered[order]!;
      }),
    );
    // Every part has ended by now: nobody's frames are still being written when the caller hears of a failure.
    for (const result of drawn) if (result.status === 'rejected') throw result.reason;
    return frames;
  }

  /** Closes all devices; one that is being opened anew, which may take for ever, when it is open. May be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#standby;
    await Promise.all(this.#renderers.map((renderer) => renderer.close()));
  }

  get #working(): DeviceRenderer[] {
    return this.#placement.working.map((device) => this.#renderers[device]!);
  }

  /** Indices of `placed` by the device that draws them. */
  #split(placed: readonly Placed[]): Map<number, number[]> {
    // All first: the last of them may move those before it.
    const places = placed.map(({ avatar, room }) => this.#placement.place(avatar, room));
    const parts = new Map<number, number[]>();
    for (const [index, { avatar }] of placed.entries()) {
      // One that lost its slot to another of the same batch is drawn all the same.
      const device = this.#drawnBy(avatar) ?? places[index];
      if (device === undefined) throw noDevice(this.#renderers);
      const part = parts.get(device);
      if (part) part.push(index);
      else parts.set(device, [index]);
    }
    return parts;
  }

  /** Where an avatar is placed or, while it is being loaded there, where it was; undefined when it is placed nowhere. */
  #drawnBy(avatar: string): number | undefined {
    const device = this.#placement.deviceOf(avatar);
    const from = this.#placement.leaving(avatar);
    if (device === undefined || from === undefined) return device;
    if (!this.#lies(avatar, device) && this.#lies(avatar, from)) return from;
    this.#placement.arrived(avatar);
    this.#renderers[from]!.bank.forget(avatar);
    return device;
  }

  /** Whether the device draws the avatar without waiting; where not, loading begins. */
  #lies(avatar: string, device: number): boolean {
    return this.#renderers[device]!.isReady?.(avatar) ?? true;
  }

  #placementOf(device: number): PlacementDevice {
    // Asked anew each time: a device that is opened again may have other slots.
    const renderer = () => this.#renderers[device]!;
    return {
      get slots() {
        return renderer().bank.slots;
      },
      capacity: () => {
        const { sizes } = renderer();
        const largest = renderer()
          .batchTimes?.(sizes[sizes.length >> 1]!)
          .at(-1);
        return largest && Math.max(1, Math.floor((1000 * largest.pictures) / (largest.ms * FRAMES_PER_SECOND)));
      },
    };
  }

  async #renderPart(device: number, pictures: readonly Picture[], wanted: RenderWanted): Promise<RenderedPicture[]> {
    try {
      return await this.#draw(device, pictures, wanted);
    } catch (error) {
      if (!isDeviceError(error)) throw error;
      const frames = await this.#drawElsewhere(device, error, pictures, wanted);
      if (frames) return frames;
      // It says itself that it is the device: no other need have drawn the same.
      if (error.code === 'device_unavailable') this.#takeOut(device, error);
      throw error;
    }
  }

  /**
   * The pictures that one device could not draw, by another and, when that cannot either, by the standby. Those that
   * could not are taken out; undefined, and nobody is, when nobody can draw them.
   */
  async #drawElsewhere(
    device: number,
    reason: FacewireError,
    pictures: readonly Picture[],
    wanted: RenderWanted,
  ): Promise<RenderedPicture[] | undefined> {
    const failed = new Map([[device, reason]]);
    const tries = [async () => this.#placement.working.find((index) => index !== device), () => this.#openStandby()];
    for (const next of tries) {
      const other = await next();
      if (other === undefined || failed.has(other)) continue;
      try {
        const frames = await this.#draw(other, pictures, wanted);
        for (const [index, error] of failed) this.#takeOut(index, error);
        return frames;
      } catch (error) {
        if (!isDeviceError(error)) return undefined;
        failed.set(other, error);
      }
    }
    return undefined;
  }

  /** A part may be larger than one device's batch: then it is drawn in several runs. */
  async #draw(device: number, pictures: readonly Picture[], wanted: RenderWanted): Promise<RenderedPicture[]> {
    const renderer = this.#renderers[device]!;
    const frames: RenderedPicture[] = [];
    for (let from = 0; from < pictures.length; from += renderer.maxBatch) {
      frames.push(...(await renderer.render(pictures.slice(from, from + renderer.maxBatch), wanted)));
    }
    return frames;
  }

  #takeOut(device: number, reason: FacewireError): void {
    // Two parts may have found out at the same time.
    if (!this.#placement.working.includes(device)) return;
    this.#placement.fail(device);
    if (device < this.#devices) this.#return.failed(device);
    this.#options.onChange?.(`device ${this.#renderers[device]!.device} failed and is taken out: ${reason.message}`);
    const standby = this.#standbyIndex;
    if (this.#placement.working.length === 0 && standby !== undefined && standby !== device) {
      this.#placement.restore(standby);
    }
  }

  /** Draws on the failed devices whose pause is over too; nobody waits for that. */
  #probeFailed(pictures: readonly Picture[], wanted: RenderWanted): void {
    for (const { device, tries } of this.#return.takeDue()) {
      void this.#probe(device, tries, pictures, wanted);
    }
  }

  async #probe(device: number, tries: number, pictures: readonly Picture[], wanted: RenderWanted): Promise<void> {
    try {
      // The first time it is asked as it is: it may only have been slow to answer.
      if (tries > 1) await this.#reopen(device);
      const { maxBatch } = this.#renderers[device]!;
      await this.#renderers[device]!.render(pictures.slice(0, maxBatch), wanted);
    } catch (error) {
      // A picture that nobody can draw says nothing about the device; the next probe may have another.
      this.#return.failed(device, isDeviceError(error));
      return;
    }
    if (this.#closed) return;
    this.#return.returned(device);
    this.#placement.restore(device);
    const standby = this.#standbyIndex;
    if (standby !== undefined) this.#placement.fail(standby);
    this.#options.onChange?.(`device ${this.#renderers[device]!.device} has returned`);
  }

  /** One that is stuck stays as it is. */
  async #reopen(device: number): Promise<void> {
    const { reopen } = this.#options;
    const failed = this.#renderers[device]!;
    if (!reopen || failed.stuck) return;
    // First: how many avatars a bank holds depends on the memory that is free when it is made.
    await failed.close();
    const renderer = await reopen(device);
    if (this.#closed) return renderer.close();
    // The failed one holds no avatar that counts any more.
    this.#past = sumOf(this.#past, { ...failed.counters, used: 0 });
    this.#renderers[device] = renderer;
  }

  get #standbyIndex(): number | undefined {
    return this.#renderers.length > this.#devices ? this.#devices : undefined;
  }

  async #useStandby(): Promise<void> {
    const standby = await this.#openStandby();
    if (standby !== undefined && this.#placement.working.length === 0) this.#placement.restore(standby);
  }

  #openStandby(): Promise<number | undefined> {
    const { openStandby, onChange } = this.#options;
    if (!openStandby) return Promise.resolve(undefined);
    this.#standby ??= openStandby().then(
      (renderer) => {
        this.#renderers.push(renderer);
        this.#placement.add(this.#placementOf(this.#devices));
        onChange?.(`device ${renderer.device} stands by`);
        return this.#devices;
      },
      (error: Error) => {
        onChange?.(`no device to stand by: ${error.message}`);
        return undefined;
      },
    );
    return this.#standby;
  }
}

const NO_TIMES: readonly BatchTime[] = [];

const NOTHING_COUNTED: OnnxRendererCounters = {
  loads: 0,
  evictions: 0,
  bytesToDevice: 0,
  used: 0,
  inputBytesToDevice: 0,
  bankBytesRecopied: 0,
  bytesFromDevice: 0,
  runs: 0,
  pictures: 0,
};

function sumOf(a: OnnxRendererCounters, b: OnnxRendererCounters): OnnxRendererCounters {
  const sum = { ...a };
  for (const name of Object.keys(sum) as (keyof OnnxRendererCounters)[]) sum[name] += b[name];
  return sum;
}

function noDevice(renderers: readonly DeviceRenderer[]): FacewireError {
  const devices = renderers.map(({ device }) => device).join(', ');
  return new FacewireError('device_unavailable', `all devices have failed: ${devices}`, {
    received: devices,
    remedy: 'they are tried again; run `npm run gpu:check` and start the server again if none returns',
  });
}
