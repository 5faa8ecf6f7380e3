import { FacewireError } from '@facewire/proto';
import sharp, { type Sharp } from 'sharp';
import { type Crop, planCrop } from './cropPortrait.ts';

export const PORTRAIT_SIZE = 512;
export const THUMBNAIL_SIZE = 256;
/** what a tracker gets to see at most: finding a face needs no more */
const TRACKER_SIZE = 1024;

export interface ImageLimits {
  maxBytes: number;
  maxPixels: number;
}

/** An uploaded picture whose header has been read; its pixels are decoded when they are asked for. */
export interface Portrait {
  /** of the upright picture, that is, turned by its EXIF orientation */
  width: number;
  height: number;
  /** the crop as RGB, 512·512·3 */
  rgb(crop: Crop): Promise<Uint8Array>;
  /** the whole picture as RGB, at most 1024 pixels wide and high; `scale` = its width / `width` */
  preview(): Promise<{ rgb: Uint8Array; width: number; height: number; scale: number }>;
}

/**
 * Looks at an upload: JPEG, PNG or WebP only, told by its first bytes, so that no other decoder ever sees it.
 *
 * @throws FacewireError image_too_large (bytes or pixels), image_unreadable
 */
export async function readPortrait(bytes: Uint8Array, limits: ImageLimits): Promise<Portrait> {
  if (bytes.byteLength > limits.maxBytes) {
    throw tooLarge(`the picture has ${bytes.byteLength} bytes, at most ${limits.maxBytes} are taken`);
  }
  if (!isPicture(bytes)) throw unreadable('not a JPEG, PNG or WebP picture', bytes);
  // Corrupt data is an error, a JPEG's stray bytes are not.
  const open = () => sharp(bytes, { limitInputPixels: limits.maxPixels, failOn: 'error' });
  const { width = 0, height = 0 } = await guard(bytes, async () => {
    // Reads the header only, so that the answer can name the size.
    const metadata = await sharp(bytes, { limitInputPixels: false }).metadata();
    return metadata.autoOrient ?? metadata;
  });
  if (width * height > limits.maxPixels) {
    throw tooLarge(`the picture has ${width}×${height} pixels, at most ${limits.maxPixels} are taken`);
  }
  // Transparent parts become grey; any colour space becomes sRGB.
  const upright = () => open().autoOrient().flatten({ background: '#808080' }).toColourspace('srgb');
  const raw = (image: Sharp) => guard(bytes, () => image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true }));
  return {
    width,
    height,
    async rgb(crop) {
      const plan = planCrop(crop, width, height, PORTRAIT_SIZE);
      const image = upright()
        .extract(plan.extract)
        .resize({ ...plan.resize, fit: 'fill' });
      const { data, info } = await raw(image.extend({ ...plan.extend, extendWith: 'copy' }));
      if (info.channels !== 3 || data.length !== PORTRAIT_SIZE * PORTRAIT_SIZE * 3) {
        throw unreadable(`decoded to ${info.width}×${info.height} with ${info.channels} channels`, bytes);
      }
      return data;
    },
    async preview() {
      const image = upright().resize({
        width: TRACKER_SIZE,
        height: TRACKER_SIZE,
        fit: 'inside',
        withoutEnlargement: true,
      });
      const { data, info } = await raw(image);
      return { rgb: data, width: info.width, height: info.height, scale: info.width / width };
    },
  };
}

/** A portrait as a JPEG file, shrunk to `size`. */
export async function portraitJpeg(rgb: Uint8Array, size: number): Promise<Uint8Array> {
  return sharp(rgb, { raw: { width: PORTRAIT_SIZE, height: PORTRAIT_SIZE, channels: 3 } })
    .resize({ width: size, height: size })
    .jpeg({ quality: size === PORTRAIT_SIZE ? 95 : 85 })
    .toBuffer();
}

/** Throws Error with the reason unless this is what portraitJpeg() makes: a whole JPEG file, `size` pixels wide and high. */
export async function checkPortraitJpeg(file: Uint8Array, size: number): Promise<void> {
  if (!isJpeg(file)) throw new Error('not a JPEG picture');
  const image = sharp(file, { limitInputPixels: PORTRAIT_SIZE * PORTRAIT_SIZE, failOn: 'error' });
  const { info } = await image.raw().toBuffer({ resolveWithObject: true });
  if (info.width !== size || info.height !== size) {
    throw new Error(`${info.width}×${info.height} pixels, expected ${size}×${size}`);
  }
}

function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

function isPicture(bytes: Uint8Array): boolean {
  const ascii = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString('latin1');
  return isJpeg(bytes) || ascii(0, 8) === '\x89PNG\r\n\x1a\n' || (ascii(0, 4) === 'RIFF' && ascii(8, 12) === 'WEBP');
}

async function guard<T>(bytes: Uint8Array, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const { message } = cause as Error;
    if (/exceeds pixel limit/i.test(message)) throw tooLarge(message, cause);
    throw unreadable(message, bytes, cause);
  }
}

function unreadable(reason: string, bytes: Uint8Array, cause?: unknown): FacewireError {
  return new FacewireError('image_unreadable', `the picture cannot be read: ${reason}`, {
    received: `${bytes.byteLength} bytes, first ${Buffer.from(bytes.subarray(0, 8)).toString('hex')}`,
    remedy: 'send a whole JPEG, PNG or WebP file',
    cause,
  });
}

function tooLarge(message: string, cause?: unknown): FacewireError {
  return new FacewireError('image_too_large', message, {
    remedy: 'send a smaller picture; 1024×1024 is plenty',
    cause,
  });
}
