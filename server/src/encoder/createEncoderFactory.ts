import { FacewireError, type FrameCodec } from '@facewire/proto';
import type { EncoderFactory } from '../contracts.ts';
import { JpegEncoder, loadJpegCompressor } from './JpegEncoder.ts';
import { hasVpxEncoder, type NodeAv, VpxEncoder } from './VpxEncoder.ts';

export interface EncoderFactoryOptions {
  /** told once when a codec is missing here */
  warn?: (message: string) => void;
  /** how FFmpeg's binding is loaded; for tests */
  loadNodeAv?: () => Promise<NodeAv>;
}

/**
 * The encoders of this machine: VP8 and VP9 where node-av loads, and always JPEG. VP8 comes first: at these sizes it is as
 * quick as VP9, and every WebCodecs decodes it in hardware or quickly in software.
 */
export async function createEncoderFactory(options: EncoderFactoryOptions = {}): Promise<EncoderFactory> {
  const warn = options.warn ?? (() => {});
  const compress = await loadJpegCompressor(warn);
  const av = await (options.loadNodeAv ?? loadNodeAv)().catch((error: Error) => {
    warn(`node-av cannot be loaded, frames go out as JPEG only (run \`npm install\` again): ${error.message}`);
    return undefined;
  });
  const codecs: FrameCodec[] = [];
  if (av !== undefined) {
    av.Log.setLevel(av.AV_LOG_ERROR);
    for (const codec of ['vp8', 'vp9'] as const) if (hasVpxEncoder(av, codec)) codecs.push(codec);
  }
  codecs.push('jpeg');
  return {
    codecs,
    create(codec, size, framesPerSecond) {
      if (!codecs.includes(codec)) {
        throw new FacewireError('codec_unsupported', `this server does not encode ${codec}`, {
          received: codec,
          remedy: `ask for one of ${codecs.join(', ')}`,
        });
      }
      if (!Number.isInteger(size) || size < 2 || size % 2 !== 0) {
        throw new RangeError(`pictures of ${size} pixels: expected an even number`);
      }
      if (!(framesPerSecond > 0 && framesPerSecond <= 240)) {
        throw new RangeError(`${framesPerSecond} frames per second: expected more than 0, at most 240`);
      }
      return codec === 'jpeg' ? new JpegEncoder(compress, size) : new VpxEncoder(av!, codec, size, framesPerSecond);
    },
  };
}

async function loadNodeAv(): Promise<NodeAv> {
  const [lib, constants] = await Promise.all([import('node-av/lib'), import('node-av/constants')]);
  return { ...lib, ...constants };
}
