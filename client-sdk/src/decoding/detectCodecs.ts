import type { FrameCodec } from '@facewire/proto';

/** WebCodecs names: VP8; VP9 profile 0, level 1.0 (up to 512² at the rates used here fits its limits), 8 bit. */
export const CODEC_STRINGS = { vp8: 'vp8', vp9: 'vp09.00.10.08' } as const;

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
