import { FacewireError } from '@facewire/proto';
import type { EncodedFrame, RenderedPicture, VideoEncoder } from '../contracts.ts';

/** 82 with 4:2:0 chroma: a 256² face in about 7 KB. */
export const JPEG_QUALITY = 82;

/** Compresses interleaved RGB of a square picture, off the event loop. */
export type JpegCompressor = (rgb: Uint8Array, size: number) => Promise<Uint8Array>;

/** Stills for clients without WebCodecs: every frame is a key frame. */
export class JpegEncoder implements VideoEncoder {
  readonly codec = 'jpeg';
  private readonly compress: JpegCompressor;
  private readonly size: number;
  private closed = false;

  constructor(compress: JpegCompressor, size: number) {
    this.compress = compress;
    this.size = size;
  }

  /**
   * @param picture with rgb of this encoder's size; kept until the promise settles
   * @throws FacewireError encoder_failed
   */
  async encode(picture: RenderedPicture): Promise<EncodedFrame> {
    if (this.closed) throw new FacewireError('encoder_failed', 'the encoder is closed');
    const { rgb } = picture;
    const expected = this.size * this.size * 3;
    if (picture.size !== this.size || rgb?.byteLength !== expected) {
      throw new FacewireError(
        'encoder_failed',
        `a ${picture.size}² picture with ${rgb?.byteLength ?? 'no'} bytes of RGB reached the JPEG encoder of ` +
          `${this.size}², which takes ${expected}`,
      );
    }
    try {
      return { codec: 'jpeg', keyFrame: true, data: await this.compress(rgb, this.size) };
    } catch (cause) {
      throw new FacewireError('encoder_failed', `JPEG: ${(cause as Error).message}`, { cause });
    }
  }

  /** Holds nothing; encode() fails afterwards. May be called twice. */
  close(): void {
    this.closed = true;
  }
}

/**
 * libjpeg-turbo where its binary loads, else sharp, four times slower.
 *
 * @param warn called at most once
 */
export async function loadJpegCompressor(warn: (message: string) => void): Promise<JpegCompressor> {
  try {
    // CommonJS: Node sees its functions, but not its constants, as named exports.
    const { default: turbo } = (await import('@julusian/jpeg-turbo')) as unknown as {
      default: typeof import('@julusian/jpeg-turbo');
    };
    return (rgb, size) =>
      turbo.compress(Buffer.from(rgb.buffer, rgb.byteOffset, rgb.byteLength), {
        format: turbo.FORMAT_RGB,
        width: size,
        height: size,
        quality: JPEG_QUALITY,
        subsampling: turbo.SAMP_420,
      });
  } catch (error) {
    warn(`@julusian/jpeg-turbo cannot be loaded, stills are encoded by sharp: ${(error as Error).message}`);
    const { default: sharp } = await import('sharp');
    return (rgb, size) =>
      sharp(rgb, { raw: { width: size, height: size, channels: 3 } })
        .jpeg({ quality: JPEG_QUALITY })
        .toBuffer();
  }
}
