import type { FacewireError, FrameHeader } from '@facewire/proto';
import type { AvatarFrame, AvatarStream } from '../AvatarStream.ts';
import { throwLater } from '../throwLater.ts';
import { StillDecoder } from './StillDecoder.ts';
import { VideoStreamDecoder } from './VideoStreamDecoder.ts';

/** A decoded frame. Whoever receives it owns the image and must call `image.close()`. */
export interface DecodedPicture {
  image: VideoFrame | ImageBitmap;
  header: FrameHeader;
}

export interface PictureDecoder {
  decode(header: FrameHeader, payload: Uint8Array): void;
  /** may be called twice; no callback follows */
  close(): void;
}

/** What a decoder tells. None of these throws. */
export interface PictureDecoderHandlers {
  handlePicture(picture: DecodedPicture): void;
  /** frames that will not be shown */
  handleDropped(count: number): void;
  /** nothing can be decoded until a key frame comes */
  handleKeyFrameNeeded(): void;
  handleError(error: FacewireError): void;
}

export interface FrameDecoderCallbacks {
  /** when it throws, the picture is closed, the error is rethrown in a task of its own, and decoding goes on */
  handlePicture(picture: DecodedPicture): void;
  /** `decoder_failed`; default: the stream emits it as `error` */
  handleError?(error: FacewireError): void;
}

/**
 * Decodes one stream, whatever codec its frames have: VP8 and VP9 by WebCodecs, JPEG by createImageBitmap. Closes itself
 * when the stream ends.
 */
export class FrameDecoder {
  readonly #handlers: PictureDecoderHandlers;
  readonly #off: (() => void)[];
  #decoder: PictureDecoder | undefined;
  #video = false;
  #closed = false;

  constructor(stream: AvatarStream, callbacks: FrameDecoderCallbacks) {
    this.#handlers = {
      handlePicture(picture) {
        try {
          callbacks.handlePicture(picture);
        } catch (error) {
          picture.image.close();
          throwLater(error);
        }
      },
      handleDropped: (count) => stream.reportDropped(count),
      handleKeyFrameNeeded: () => stream.requestKeyFrame(),
      handleError(error) {
        if (!callbacks.handleError) return stream.handleError(error);
        try {
          callbacks.handleError(error);
        } catch (thrown) {
          throwLater(thrown);
        }
      },
    };
    this.#off = [stream.on('frame', (frame) => this.#handleFrame(frame)), stream.on('ended', () => this.close())];
  }

  /** Frees the decoder; the stream goes on. May be called twice. */
  close(): void {
    this.#closed = true;
    for (const off of this.#off) off();
    this.#decoder?.close();
    this.#decoder = undefined;
  }

  #handleFrame({ header, payload }: AvatarFrame): void {
    // A listener before this one may have ended the stream on this very frame.
    if (this.#closed) return;
    const video = header.codec !== 'jpeg';
    if (!this.#decoder || video !== this.#video) {
      this.#decoder?.close();
      this.#decoder = video ? new VideoStreamDecoder(this.#handlers) : new StillDecoder(this.#handlers);
      this.#video = video;
    }
    this.#decoder.decode(header, payload);
  }
}
