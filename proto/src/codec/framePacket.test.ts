import { describe, expect, it } from 'vitest';
import { FacewireError } from '../errors.ts';
import { decodeFrame, encodeFrame, FRAME_HEADER_BYTES, type FrameHeader } from './framePacket.ts';

const header: FrameHeader = {
  keyFrame: false,
  codec: 'vp8',
  stream: 3,
  motionSequence: 10,
  motionTimeMs: 20,
  serverTimeMs: 30,
  width: 256,
  height: 256,
};
const payload = Uint8Array.of(1, 2, 3);

function patched(at: number, ...values: number[]): Uint8Array {
  const packet = encodeFrame(header, payload);
  packet.set(values, at);
  return packet;
}

describe('frame packet', () => {
  it('brings header and payload back and gives the payload as a view of the packet', () => {
    const packet = encodeFrame(header, payload);
    expect(packet).toHaveLength(FRAME_HEADER_BYTES + 3);
    const decoded = decodeFrame(packet);
    expect(decoded).toEqual({ header, payload });
    expect(decoded.payload.buffer).toBe(packet.buffer);
  });

  it('takes clocks modulo their width and drops fractions', () => {
    const decoded = decodeFrame(
      encodeFrame({ ...header, serverTimeMs: 2 ** 32 + 7.9, motionTimeMs: 65536 + 1, motionSequence: -1 }, payload),
    ).header;
    expect(decoded).toMatchObject({ serverTimeMs: 7, motionTimeMs: 1, motionSequence: 65535 });
  });

  it.each([
    ['an empty message', new Uint8Array(), 'packet_truncated'],
    ['half a header', encodeFrame(header, payload).subarray(0, 10), 'packet_truncated'],
    ['a header without payload', encodeFrame(header, payload).subarray(0, 20), 'packet_truncated'],
    ['another kind', patched(0, 1), 'packet_unknown_kind'],
    ['a reserved flag', patched(1, 0x81), 'packet_bad_value'],
    ['an unknown codec', patched(2, 3), 'packet_bad_value'],
    ['a reserved byte', patched(3, 1), 'packet_bad_value'],
    ['no width', patched(16, 0, 0), 'packet_bad_value'],
    ['no height', patched(18, 0, 0), 'packet_bad_value'],
  ])('refuses %s', (_, packet, code) => {
    expect(() => decodeFrame(packet)).toThrow(expect.objectContaining({ code, remedy: expect.any(String) }));
  });

  it.each([
    [{ stream: -1 }],
    [{ stream: 2 ** 32 }],
    [{ width: 0 }],
    [{ height: 70000 }],
    [{ serverTimeMs: Number.NaN }],
    [{ codec: 'av1' as 'vp8' }],
  ])('does not encode %o', (change) => {
    expect(() => encodeFrame({ ...header, ...change }, payload)).toThrow(FacewireError);
  });

  it('does not encode a frame without a picture', () => {
    expect(() => encodeFrame(header, new Uint8Array())).toThrow(expect.objectContaining({ code: 'packet_truncated' }));
  });
});
