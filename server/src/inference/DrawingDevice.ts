import { FacewireError } from '@facewire/proto';
import { allOrFirstError } from './allOrFirstError.ts';
import type { Precision } from './manifest.ts';
import type { Opened } from './openDevice.ts';
import { closeSizes, openSizes } from './openSizes.ts';
import type { SizeRenderer } from './SizeRenderer.ts';
import { Traffic } from './Traffic.ts';
import type { Threading } from './threading.ts';

/** A device that is open, with the graphs that it draws with now: they may be exchanged while it draws. */
export class DrawingDevice {
  #opened: Opened;
  readonly #closing: AbortSignal;

  /** @param closing aborted before close() is called: what waits for the device then fails */
  constructor(opened: Opened, closing: AbortSignal) {
    this.#opened = opened;
    this.#closing = closing;
  }

  get opened(): Opened {
    return this.#opened;
  }

  get renderers(): ReadonlyMap<number, SizeRenderer> {
    return this.#opened.renderers;
  }

  get precision(): Precision {
    return this.#opened.precision;
  }

  get threading(): Threading {
    return this.#opened.sizes.threading;
  }

  /**
   * Opens the graphs with other options and draws with those, on as many lanes, from then on, unless it is being closed.
   *
   * @throws FacewireError device_unavailable when the device does not answer; it draws with those that it has then
   */
  async change(wanted: Omit<Opened, 'renderers'>): Promise<void> {
    const renderers = await openSizes(wanted.sizes);
    let unused: ReadonlyMap<number, SizeRenderer> = renderers;
    try {
      await this.#opened.lanes.exclusive(async () => {
        if (this.#closing.aborted) return;
        unused = this.#opened.renderers;
        this.#opened = { ...wanted, renderers };
        wanted.lanes.lanes = wanted.sizes.threading.lanes;
      });
    } finally {
      await this.#opened.lanes.free(() => closeSizes(unused));
    }
  }

  /** Records what such runs have not recorded yet, on all lanes. */
  async record(renderer: SizeRenderer, count: number, wanted: { i420: boolean; rgb: boolean }): Promise<void> {
    const { lanes } = this.#opened;
    if (renderer.isRecorded(lanes.lanes, count, wanted)) return;
    await lanes.recording(async () => {
      if (!this.#closing.aborted) await renderer.record(lanes.lanes, count, wanted);
    });
  }

  /** Runs that nobody sees, `atOnce` side by side, of the bank's first slots as they are: their bytes are not counted. */
  async measure(renderer: SizeRenderer, count: number, atOnce: number): Promise<void> {
    const { lanes, sizes } = this.#opened;
    const wanted = { i420: true, rgb: false };
    const pictures = renderer.unseen(count);
    const slots = pictures.map((_, index) => index % sizes.memory.slots);
    await this.record(renderer, count, wanted);
    await lanes.exclusive(async () => {
      if (this.#closing.aborted) throw new FacewireError('inference_failed', 'the renderer is closed');
      const draw = (_: unknown, lane: number) => renderer.render(lane, pictures, slots, wanted, new Traffic());
      await allOrFirstError(Array.from({ length: atOnce }, draw));
    });
  }

  /**
   * Releases sessions and bank after the runs under way. A device that does not answer keeps what it holds until it does.
   */
  async close(): Promise<void> {
    const { lanes, sizes } = this.#opened;
    await lanes.free(() => {
      closeSizes(this.renderers);
      sizes.memory.close();
      sizes.recording?.close();
    });
  }
}
