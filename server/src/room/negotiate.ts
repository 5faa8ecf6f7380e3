import { FacewireError, type FrameCodec, PROTOCOL_VERSION } from '@facewire/proto';

/** Frame rates that a stream may have, frames per second. */
export const MIN_FRAMES_PER_SECOND = 1;
export const MAX_FRAMES_PER_SECOND = 60;

/** The highest version that both ends speak. Throws version_unsupported when there is none. */
export function negotiateVersion(highestOfClient: number): number {
  const version = Math.min(highestOfClient, PROTOCOL_VERSION);
  if (Number.isInteger(version) && version >= 1) return version;
  throw new FacewireError(
    'version_unsupported',
    `no common protocol version: this server speaks 1…${PROTOCOL_VERSION}`,
    {
      received: highestOfClient,
      remedy: 'join with the highest version that your client speaks, at least 1',
    },
  );
}

/** The first of the client's codecs that the server can encode. Throws codec_unsupported when there is none. */
export function negotiateCodec(wanted: readonly FrameCodec[], offered: readonly FrameCodec[]): FrameCodec {
  const codec = wanted.find((each) => offered.includes(each));
  if (codec) return codec;
  throw new FacewireError(
    'codec_unsupported',
    `none of the codecs can be encoded here, which are ${offered.join(', ')}`,
    {
      received: wanted,
      remedy: "list 'jpeg' last: every server encodes it",
    },
  );
}

/**
 * The smallest supported size that is not below the requested one, so that a screen never shows fewer pixels than it
 * asked for. Above the largest: size_unsupported, as the client would otherwise upscale without knowing.
 */
export function chooseSize(requested: number, supported: readonly number[]): number {
  const size = requested > 0 ? supported.find((each) => each >= requested) : undefined;
  if (size !== undefined) return size;
  throw new FacewireError('size_unsupported', `frames are ${supported.join(', ')} pixels wide and high`, {
    received: requested,
    remedy: `ask for 1…${supported.at(-1)} pixels`,
  });
}

/** Into 1…60, but 0 stays: no frames. What is not a number becomes 1. */
export function clampFramesPerSecond(framesPerSecond: number): number {
  if (framesPerSecond === 0) return 0;
  if (Number.isNaN(framesPerSecond)) return MIN_FRAMES_PER_SECOND;
  return Math.min(MAX_FRAMES_PER_SECOND, Math.max(MIN_FRAMES_PER_SECOND, framesPerSecond));
}
