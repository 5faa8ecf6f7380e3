import type { FrameCodec } from '@facewire/proto';
import type { EncodedFrame, EncoderFactory, RenderedPicture, VideoEncoder } from '../contracts.ts';
import type { LineageState } from './assignEncoders.ts';

export interface EncodeOptions {
  keyFrame: boolean;
  timestampMs: number;
}

/** One encoder through its life: it is opened with its first frame, and encodes one frame at a time in order. */
export class EncoderLineage implements LineageState {
  readonly id: number;
  readonly codec: FrameCodec;
  readonly size: number;
  readonly framesPerSecond: number;
  members = new Set<number>();
  lastKeyMs = Number.NEGATIVE_INFINITY;
  lastUsedMs = 0;
  pending = 0;
  readonly #factory: EncoderFactory;
  #encoder: VideoEncoder | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(id: number, factory: EncoderFactory, codec: FrameCodec, size: number, framesPerSecond: number) {
    this.id = id;
    this.#factory = factory;
    this.codec = codec;
    this.size = size;
    this.framesPerSecond = framesPerSecond;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Encodes the picture once it is there and all frames before it are done, then calls `done` before the next frame is
   * begun. Resolves to undefined when the lineage was closed meanwhile; rejects with what the render or encoder threw.
   */
  encode(
    rendered: Promise<RenderedPicture>,
    options: EncodeOptions,
    done: (frame: EncodedFrame, encodeMs: number) => void,
  ): Promise<void> {
    this.pending++;
    const result = this.#tail.then(async () => {
      const picture = await rendered;
      if (this.#closed) return;
      this.#encoder ??= this.#factory.create(this.codec, this.size, this.framesPerSecond);
      const startMs = performance.now();
      const frame = await this.#encoder.encode(picture, options);
      if (!this.#closed) done(frame, performance.now() - startMs);
    });
    this.#tail = result.then(
      () => this.pending--,
      () => this.pending--,
    );
    return result;
  }

  /** Frames that wait are dropped, the encoder closes after the one in work. May be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
    this.#encoder?.close();
    this.#encoder = undefined;
  }
}
