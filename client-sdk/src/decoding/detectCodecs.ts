import type { FrameCodec } from '@facewire/proto';

/**
 * WebCodecs names: VP8; VP9 profile 0, level 3, 8 bit. Level 3 allows 552,960 luma samples a picture and 20,736,000 a
 * second, which 512² at 60 frames a second fits (262,144 and 15,728,640) and level 2.1 does not (245,760 a picture):
 * https://www.webmproject.org/vp9/levels
 */
export const CODEC_STRINGS = { vp8: 'vp8', vp9: 'vp09.00.30.08' } as const;

/**
 * What this browser can decode, most wanted first; `jpeg` is always last. WebCodecs exists only in secure contexts
 * (https or localhost), elsewhere JPEG it is. In Node, which shows nothing, the answer is `['jpeg']`.
 */
export async function detectCodecs(): Promise<FrameCodec[]> {
  const codecs: FrameCodec[] = [];
  if (typeof VideoDecoder !== 'undefined') {
    for (const codec of ['vp8', 'vp9'] as const) {
      try {
        const { supported } = await VideoDecoder.isConfigSupported({ codec: CODEC_STRINGS[codec] });
        if (supported) codecs.push(codec);
      } catch {
        // A browser that does not know the name throws: it cannot decode it.
      }
    }
  }
  codecs.push('jpeg');
  return codecs;
}
