import { FacewireError } from '@facewire/proto';
import type { Picture, RenderedPicture, Renderer, RenderWanted } from '../contracts.ts';
import { DevicePlacement } from './DevicePlacement.ts';
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
}

export interface MultiRendererOptions {
  /** of one model, one for each device; closed with this one */
  renderers: readonly DeviceRenderer[];
  /** a device was taken out, its avatars move to the others */
  onDeviceFailed?: (message: string) => void;
}

/**
 * Several devices as one renderer. Avatars stick to their device (DevicePlacement); a batch is split by device and its
 * parts are drawn at the same time. A device whose run fails where another device draws the same pictures is taken out
 * until the server is started again. When the other one fails too, the pictures are to blame and the error is theirs.
 */
export class MultiRenderer implements DeviceRenderer {
  readonly model: string;
  readonly device: string;
  readonly sizes: readonly number[];
  readonly maxBatch: number;
  readonly #renderers: readonly DeviceRenderer[];
  readonly #placement: DevicePlacement;
  readonly #onDeviceFailed: (message: string) => void;

  constructor({ renderers, onDeviceFailed = () => {} }: MultiRendererOptions) {
    this.#placement = new DevicePlacement(renderers.map(({ bank }) => ({ slots: bank.slots })));
    const first = renderers[0]!;
    this.model = first.model;
    this.sizes = first.sizes;
    this.device = renderers.map(({ device }) => device).join('+');
    this.maxBatch = renderers.reduce((sum, { maxBatch }) => sum + maxBatch, 0);
    this.#renderers = renderers;
    this.#onDeviceFailed = onDeviceFailed;
  }

  /** sums over the devices */
  get counters(): OnnxRendererCounters {
    const sum = { ...this.#renderers[0]!.counters };
    for (const { counters } of this.#renderers.slice(1)) {
      for (const name of Object.keys(sum) as (keyof OnnxRendererCounters)[]) sum[name] += counters[name];
    }
    return sum;
  }

  get bank(): DeviceRenderer['bank'] {
    return {
      slots: this.#placement.working.reduce((sum, device) => sum + this.#renderers[device]!.bank.slots, 0),
      forget: (id) => {
        this.#placement.forget(id);
        for (const { bank } of this.#renderers) bank.forget(id);
      },
      ensure: async (ids) => {
        const parts = this.#split(ids);
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
    const frames = new Array<RenderedPicture>(pictures.length);
    const parts = this.#split(pictures.map(({ avatar }) => avatar));
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

  /** Closes all devices. May be called twice. */
  async close(): Promise<void> {
    await Promise.all(this.#renderers.map((renderer) => renderer.close()));
  }

  /** Indices of `avatars` by the device that draws them. */
  #split(avatars: readonly string[]): Map<number, number[]> {
    const parts = new Map<number, number[]>();
    for (const [index, avatar] of avatars.entries()) {
      const device = this.#placement.place(avatar);
      if (device === undefined) throw noDevice(this.device);
      const part = parts.get(device);
      if (part) part.push(index);
      else parts.set(device, [index]);
    }
    return parts;
  }

  async #renderPart(device: number, pictures: readonly Picture[], wanted: RenderWanted): Promise<RenderedPicture[]> {
    try {
      return await this.#draw(device, pictures, wanted);
    } catch (error) {
      const other = this.#placement.working.find((index) => index !== device);
      if (!(error instanceof FacewireError) || error.code !== 'inference_failed' || other === undefined) throw error;
      const frames = await this.#draw(other, pictures, wanted).catch(() => {
        throw error;
      });
      this.#takeOut(device, error);
      return frames;
    }
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
    this.#onDeviceFailed(`device ${this.#renderers[device]!.device} failed and is taken out: ${reason.message}`);
  }
}

function noDevice(devices: string): FacewireError {
  return new FacewireError('device_unavailable', `all devices have failed: ${devices}`, {
    received: devices,
    remedy: 'run `npm run gpu:check`, and start the server again',
  });
}
