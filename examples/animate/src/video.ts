import { AV_PIX_FMT_YUV420P, Encoder, FF_ENCODER_LIBVPX_VP9, Frame, Muxer } from 'node-av';

export interface VideoFile {
  /** planar I420, size·size·3/2 bytes */
  write(i420: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** A VP9 file in WebM, at a quality for judging a model by eye rather than for the network. */
export async function openVideo(file: string, size: number, framesPerSecond: number): Promise<VideoFile> {
  const encoder = await Encoder.create(FF_ENCODER_LIBVPX_VP9, {
    bitrate: `${Math.round((size * size) / 32)}k`,
    options: { deadline: 'good', 'cpu-used': 5 },
  });
  const muxer = await Muxer.open(file);
  const stream = muxer.addStream(encoder);
  let count = 0n;
  const drain = async (frame: Frame | null) => {
    for await (const packet of encoder.packets(frame)) {
      if (packet) await muxer.writePacket(packet, stream);
      packet?.free();
    }
  };
  return {
    async write(i420) {
      const frame = Frame.fromVideoBuffer(Buffer.from(i420.buffer, i420.byteOffset, i420.byteLength), {
        width: size,
        height: size,
        format: AV_PIX_FMT_YUV420P,
        timeBase: { num: 1, den: Math.round(framesPerSecond) },
        pts: count++,
      });
      await drain(frame);
      frame.free();
    },
    async close() {
      await drain(null);
      await muxer.close();
      encoder.close();
    },
  };
}
