import * as constants from 'node-av/constants';
import * as lib from 'node-av/lib';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import type { EncodedFrame, EncoderFactory, RenderedPicture } from '../contracts.ts';
import { targetBitrate } from './bitrate.ts';
import { createEncoderFactory } from './createEncoderFactory.ts';

const SIZE = 128;

/** A soft picture with a disc that moves by a pixel a frame, as I420 and as RGB (grey). */
function testPicture(frame: number, size = SIZE): RenderedPicture {
  const i420 = new Uint8Array((size * size * 3) / 2).fill(128);
  const rgb = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const inside = Math.hypot(x - size / 2 - frame, y - size / 2) < size / 4;
      const luma = Math.round(60 + 60 * (x / size) + 40 * Math.sin(y / 12) + (inside ? 50 : 0));
      i420[y * size + x] = luma;
      rgb.fill(luma, (y * size + x) * 3, (y * size + x) * 3 + 3);
    }
  }
  return { size, i420, rgb };
}

function psnr(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return 10 * Math.log10(255 ** 2 / (sum / a.length));
}

/** Decodes with FFmpeg's own decoder; every packet must give a picture at once. */
function decode(codec: 'vp8' | 'vp9', packets: readonly EncodedFrame[]): Uint8Array[] {
  const decoder = lib.Codec.findDecoder(codec === 'vp8' ? constants.AV_CODEC_ID_VP8 : constants.AV_CODEC_ID_VP9)!;
  const context = new lib.CodecContext();
  context.allocContext3(decoder);
  context.threadCount = 1;
  expect(context.open2Sync(decoder, null)).toBe(0);
  const packet = new lib.Packet();
  const frame = new lib.Frame();
  packet.alloc();
  frame.alloc();
  const pictures = packets.map(({ data }) => {
    packet.data = Buffer.from(data);
    expect(context.sendPacketSync(packet)).toBe(0);
    packet.unref();
    expect(context.receiveFrameSync(frame)).toBe(0);
    return Uint8Array.from(frame.toBuffer());
  });
  frame.free();
  packet.free();
  context.freeContext();
  return pictures;
}

describe('the encoders of this machine', () => {
  let factory: EncoderFactory;
  beforeAll(async () => {
    factory = await createEncoderFactory();
  });

  it('are VP8, VP9 and JPEG, most wanted first', () => {
    expect(factory.codecs).toEqual(['vp8', 'vp9', 'jpeg']);
  });

  for (const codec of ['vp8', 'vp9'] as const) {
    describe(codec, () => {
      it('gives one packet a picture, a key frame first and where it is asked for, and looks like the picture', async () => {
        const encoder = factory.create(codec, SIZE, 30);
        const frames: EncodedFrame[] = [];
        for (let i = 0; i < 10; i++) {
          frames.push(await encoder.encode(testPicture(i), { keyFrame: i === 6, timestampMs: i * 33.3 }));
        }
        encoder.close();
        expect(frames.map(({ keyFrame }) => keyFrame)).toEqual(
          Array.from({ length: 10 }, (_, i) => i === 0 || i === 6),
        );
        const pictures = decode(codec, frames);
        for (const [i, picture] of pictures.entries()) {
          expect(psnr(picture, testPicture(i).i420!), `frame ${i}`).toBeGreaterThan(30);
        }
        // A viewer who joins at the second key frame sees the same.
        expect(decode(codec, frames.slice(6)).at(-1)).toEqual(pictures.at(-1));
        expect(frames[1]!.data.length).toBeLessThan(frames[0]!.data.length / 2);
      });

      it('bears times that stand still or go back', async () => {
        const encoder = factory.create(codec, SIZE, 30);
        for (const timestampMs of [1000, 1000, 500, 1001]) {
          expect((await encoder.encode(testPicture(0), { keyFrame: false, timestampMs })).data.length).toBeGreaterThan(
            0,
          );
        }
        encoder.close();
      });

      it('refuses a picture of another size, or without I420, and goes on', async () => {
        const encoder = factory.create(codec, SIZE, 30);
        const options = { keyFrame: false, timestampMs: 0 };
        await expect(encoder.encode(testPicture(0, 64), options)).rejects.toMatchObject({ code: 'encoder_failed' });
        await expect(encoder.encode({ size: SIZE, rgb: testPicture(0).rgb! }, options)).rejects.toMatchObject({
          code: 'encoder_failed',
          message: expect.stringContaining('no bytes of I420'),
        });
        expect((await encoder.encode(testPicture(0), options)).keyFrame).toBe(true);
        encoder.close();
      });

      it('closes twice, also during a picture, and encodes nothing afterwards', async () => {
        const encoder = factory.create(codec, SIZE, 30);
        const last = encoder.encode(testPicture(0), { keyFrame: false, timestampMs: 0 });
        await expect(encoder.encode(testPicture(1), { keyFrame: false, timestampMs: 33 })).rejects.toThrow(
          /one at a time/,
        );
        encoder.close();
        encoder.close();
        expect((await last).keyFrame).toBe(true);
        await expect(encoder.encode(testPicture(1), { keyFrame: false, timestampMs: 33 })).rejects.toMatchObject({
          code: 'encoder_failed',
        });
      });
    });
  }

  describe('jpeg', () => {
    it('makes every frame a key frame that looks like the picture', async () => {
      const encoder = factory.create('jpeg', SIZE, 30);
      const { rgb } = testPicture(3);
      const frame = await encoder.encode(testPicture(3), { keyFrame: false, timestampMs: 0 });
      expect(frame).toMatchObject({ codec: 'jpeg', keyFrame: true });
      const { data, info } = await sharp(frame.data).raw().toBuffer({ resolveWithObject: true });
      expect([info.width, info.height, info.channels]).toEqual([SIZE, SIZE, 3]);
      expect(psnr(data, rgb!)).toBeGreaterThan(30);
      encoder.close();
      encoder.close();
      await expect(encoder.encode(testPicture(0), { keyFrame: false, timestampMs: 0 })).rejects.toThrow(/closed/);
    });

    it('refuses a picture of another size', async () => {
      const encoder = factory.create('jpeg', SIZE, 30);
      await expect(encoder.encode(testPicture(0, 64), { keyFrame: false, timestampMs: 0 })).rejects.toMatchObject({
        code: 'encoder_failed',
      });
    });
  });

  it('refuse codecs, sizes and rates that they do not have', async () => {
    const warnings: string[] = [];
    const plain = await createEncoderFactory({
      loadNodeAv: () => Promise.reject(new Error('no binary')),
      warn: (message) => warnings.push(message),
    });
    expect(plain.codecs).toEqual(['jpeg']);
    expect(warnings).toEqual([expect.stringContaining('no binary')]);
    expect(() => plain.create('vp8', SIZE, 30)).toThrow(expect.objectContaining({ code: 'codec_unsupported' }));
    expect(() => factory.create('vp8', 127, 30)).toThrow(RangeError);
    expect(() => factory.create('vp8', SIZE, 0)).toThrow(RangeError);
  });
});

describe('targetBitrate', () => {
  it('gives 256² at 30 frames/s 400 kbit/s and 512² three times as much', () => {
    expect(targetBitrate(256, 30)).toBe(400_000);
    expect(targetBitrate(512, 30) / 400_000).toBeCloseTo(3.03, 1);
    expect(targetBitrate(256, 60)).toBeLessThan(800_000);
  });
});
