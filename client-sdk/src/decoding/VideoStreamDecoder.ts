import { FacewireError, type FrameCodec, type FrameHeader } from '@facewire/proto';
import { CODEC_STRINGS } from './detectCodecs.ts';
import type { PictureDecoder, PictureDecoderHandlers } from './FrameDecoder.ts';

/**
 * More frames than these waiting in the decoder: it is behind; start over at a key frame. Generous, because after a
 * busy second on the page's thread a second's worth of frames arrives at once, and starting over then would never end.
 */
const MAX_QUEUE = 30;
/** So many failures without one picture in between are reported. */
const MAX_FAILURES = 3;

/**
 * VP8 and VP9 by WebCodecs. A failure costs the pictures up to the next key frame, which is asked for at once; deltas
 * that come before it are dropped.
 */
export class VideoStreamDecoder implements PictureDecoder {
  readonly #handlers: PictureDecoderHandlers;
  #decoder: VideoDecoder | undefined;
  #codec: FrameCodec | undefined;
  #width = 0;
  #needsKeyFrame = true;
  #failures = 0;
  #timestamp = 0;
  /** headers of the frames inside the decoder, by timestamp */
  readonly #headers = new Map<number, FrameHeader>();
  #closed = false;

  constructor(handlers: PictureDecoderHandlers) {
    this.#handlers = handlers;
  }

  decode(header: FrameHeader, payload: Uint8Array): void {
    if (this.#closed) return;
    if (this.#decoder && this.#decoder.decodeQueueSize > MAX_QUEUE) this.#startOver();
    if (this.#needsKeyFrame && !header.keyFrame) {
      this.#handlers.handleDropped(1);
      this.#handlers.handleKeyFrameNeeded();
      return;
    }
    try {
      const decoder = this.#prepared(header);
      const timestamp = this.#timestamp++;
      this.#headers.set(timestamp, header);
      decoder.decode(
        new EncodedVideoChunk({
          type: header.keyFrame ? 'key' : 'delta',
          timestamp,
          data: payload as Uint8Array<ArrayBuffer>,
        }),
      );
      this.#needsKeyFrame = false;
    } catch (error) {
      this.#handleFailure(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#discard();
  }

  /** The decoder for this frame: a new codec or size starts with a key frame and needs a new configuration. */
  #prepared(header: FrameHeader): VideoDecoder {
    if (this.#decoder && (header.codec !== this.#codec || header.width !== this.#width)) this.#discard();
    if (!this.#decoder) {
      if (header.codec === 'jpeg') throw new TypeError('a JPEG frame is no video');
      this.#codec = header.codec;
      this.#width = header.width;
      const decoder = new VideoDecoder({
        output: (frame) => this.#handleOutput(decoder, frame),
        error: (error) => {
          if (this.#decoder === decoder) this.#handleFailure(error);
        },
      });
      decoder.configure({
        codec: CODEC_STRINGS[header.codec],
        codedWidth: header.width,
        codedHeight: header.height,
        optimizeForLatency: true,
      });
      this.#decoder = decoder;
    }
    return this.#decoder;
  }

  #handleOutput(decoder: VideoDecoder, image: VideoFrame): void {
    const header = this.#headers.get(image.timestamp);
    this.#headers.delete(image.timestamp);
    if (this.#closed || this.#decoder !== decoder || !header) {
      image.close();
      return;
    }
    this.#failures = 0;
    this.#handlers.handlePicture({ image, header });
  }

  #handleFailure(cause: unknown): void {
    this.#failures++;
    this.#startOver();
    this.#handlers.handleKeyFrameNeeded();
    if (this.#failures === MAX_FAILURES) {
      this.#handlers.handleError(
        new FacewireError('decoder_failed', `${this.#codec} could not be decoded ${MAX_FAILURES} times in a row`, {
          cause,
          remedy: "offer only ['jpeg'] as codecs",
        }),
      );
    }
  }

  #startOver(): void {
    this.#handlers.handleDropped(this.#headers.size);
    this.#discard();
    this.#needsKeyFrame = true;
  }

  #discard(): void {
    this.#headers.clear();
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = undefined;
  }
}
