import type { RenderedPicture, RenderWanted } from '../contracts.ts';

/** Bytes that wait to be used again at most: a second of 30 frames at 256² for some twenty avatars. */
const MOST_FREE_BYTES = 64 * 2 ** 20;

/**
 * Memory of finished frames that is used again. At 9,000 frames a second fresh memory for each would be 900 MB a second,
 * and the garbage collector busier than the scheduler.
 */
export class FramePool {
  readonly #free = new Map<number, Uint8Array[]>();
  #freeBytes = 0;

  /** A picture of copies of these bytes; it is the holder's until release(). */
  picture(size: number, wanted: RenderWanted, i420: () => Uint8Array, rgb: () => Uint8Array): RenderedPicture {
    return new PooledPicture(
      this,
      size,
      wanted.i420 ? this.#copy(i420()) : undefined,
      wanted.rgb ? this.#copy(rgb()) : undefined,
    );
  }

  give(bytes: Uint8Array): void {
    // Detached memory was handed to somebody else for good.
    if (bytes.byteLength === 0 || this.#freeBytes + bytes.byteLength > MOST_FREE_BYTES) return;
    const list = this.#free.get(bytes.byteLength);
    if (list) list.push(bytes);
    else this.#free.set(bytes.byteLength, [bytes]);
    this.#freeBytes += bytes.byteLength;
  }

  #copy(bytes: Uint8Array): Uint8Array {
    const free = this.#free.get(bytes.byteLength)?.pop();
    if (!free) return bytes.slice();
    this.#freeBytes -= free.byteLength;
    free.set(bytes);
    return free;
  }
}

class PooledPicture implements RenderedPicture {
  readonly size: number;
  declare i420?: Uint8Array;
  declare rgb?: Uint8Array;
  #pool: FramePool | undefined;

  constructor(pool: FramePool, size: number, i420: Uint8Array | undefined, rgb: Uint8Array | undefined) {
    this.#pool = pool;
    this.size = size;
    if (i420) this.i420 = i420;
    if (rgb) this.rgb = rgb;
  }

  release(): void {
    const pool = this.#pool;
    this.#pool = undefined;
    for (const bytes of [this.i420, this.rgb]) if (bytes) pool?.give(bytes);
  }
}
