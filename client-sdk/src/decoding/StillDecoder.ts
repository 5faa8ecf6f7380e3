import { FacewireError, type FrameHeader } from '@facewire/proto';
import type { PictureDecoder, PictureDecoderHandlers } from './FrameDecoder.ts';

/** JPEG. At most one picture is being decoded and one waits: the newest. */
export class StillDecoder implements PictureDecoder {
  readonly #handlers: PictureDecoderHandlers;
  #waiting: { header: FrameHeader; payload: Uint8Array } | undefined;
  #busy = false;
  #closed = false;

  constructor(handlers: PictureDecoderHandlers) {
    this.#handlers = handlers;
  }

  decode(header: FrameHeader, payload: Uint8Array): void {
    if (this.#waiting) this.#handlers.handleDropped(1);
    this.#waiting = { header, payload };
    if (!this.#busy) void this.#work();
  }

  close(): void {
    this.#closed = true;
    this.#waiting = undefined;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#waiting && !this.#closed) {
      const { header, payload } = this.#waiting;
      this.#waiting = undefined;
      let image: ImageBitmap;
      try {
        image = await createImageBitmap(new Blob([payload as Uint8Array<ArrayBuffer>], { type: 'image/jpeg' }));
      } catch (cause) {
        if (this.#closed) break;
        this.#handlers.handleDropped(1);
        this.#handlers.handleError(
          new FacewireError('decoder_failed', `a JPEG frame of ${payload.byteLength} bytes is unreadable`, { cause }),
        );
        continue;
      }
      if (this.#closed) image.close();
      else this.#handlers.handlePicture({ image, header });
    }
    this.#busy = false;
  }
}
