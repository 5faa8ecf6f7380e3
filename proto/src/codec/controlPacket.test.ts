import { Packr } from 'msgpackr';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ClientControl } from '../control.ts';
import { decodeClientControl, decodeServerControl, encodeControl, MAX_CLIENT_CONTROL_BYTES } from './controlPacket.ts';

const plain = new Packr({ useRecords: false, variableMapSize: true });
const packet = (...map: number[]) => Uint8Array.of(0, ...map);
const packed = (value: unknown) => Uint8Array.of(0, ...plain.pack(value));
const leave = [0x81, 0xa4, ...Buffer.from('type'), 0xa5, ...Buffer.from('leave')];

describe('control packet', () => {
  it('leaves undefined fields out, at every depth', () => {
    const message = {
      type: 'update',
      stream: 1,
      size: undefined,
      view: { yaw: 0, pitch: 0, extra: undefined },
    } as unknown as ClientControl;
    expect(decodeClientControl(encodeControl(message))).toEqual({
      type: 'update',
      stream: 1,
      view: { yaw: 0, pitch: 0 },
    });
    expect(Buffer.from(encodeControl(message)).includes('size')).toBe(false);
  });

  it('drops fields that this version does not know', () => {
    expect(decodeClientControl(packed({ type: 'leave', mood: 'good' }))).toEqual({ type: 'leave' });
  });

  it('reads any well-formed msgpack of the same values, not only the shortest', () => {
    const longForms = packet(0xdf, 0, 0, 0, 1, 0xd9, 4, ...Buffer.from('type'), 0xda, 0, 5, ...Buffer.from('leave'));
    expect(decodeClientControl(longForms)).toEqual({ type: 'leave' });
    const float = packed({ type: 'ping', clientTimeMs: 0.5 });
    expect(decodeClientControl(float)).toEqual({ type: 'ping', clientTimeMs: 0.5 });
    const u64 = packet(0x82, 0xa4, ...Buffer.from('type'), 0xa4, ...Buffer.from('ping'));
    const name = Buffer.from('clientTimeMs');
    const whole = Uint8Array.of(...u64, 0xa0 | name.length, ...name, 0xcf, 0, 0, 0, 1, 0, 0, 0, 2);
    expect(decodeClientControl(whole)).toEqual({ type: 'ping', clientTimeMs: 2 ** 32 + 2 });
  });

  it.each([
    ['nothing', new Uint8Array(), 'packet_unknown_kind'],
    ['a motion packet', Uint8Array.of(1, 2, 3), 'packet_unknown_kind'],
    ['no map', packet(), 'message_malformed'],
    ['an array', packed(['leave']), 'message_malformed'],
    ['a number', packet(5), 'message_malformed'],
    ['bytes after the map', packet(...leave, 0), 'message_malformed'],
    ['a string that claims 4 GiB', packet(0x81, 0xdb, 0xff, 0xff, 0xff, 0xff, 0x41), 'message_malformed'],
    ['a map that claims 4 billion entries', packet(0xdf, 0xff, 0xff, 0xff, 0xff), 'message_malformed'],
    ['a key that is a number', packet(0x81, 0x05, 0x05), 'message_malformed'],
    ['binary data', packed({ type: 'leave', data: Buffer.from([1, 2]) }), 'message_malformed'],
    ['an extension type', packet(0x81, 0xa1, 0x61, 0xd4, 0x72, 0x40), 'message_malformed'],
    ['a timestamp', packed({ type: 'leave', at: new Date(0) }), 'message_malformed'],
    ['the reserved byte 0xc1', packet(0x81, 0xa1, 0x61, 0xc1), 'message_malformed'],
    ['nesting five deep', packed({ type: 'leave', a: { b: { c: { d: {} } } } }), 'message_malformed'],
    ['arrays a thousand deep', packet(0x81, 0xa1, 0x61, ...new Array(1000).fill(0x91), 0), 'message_malformed'],
    ['more than 16 KiB', packed({ type: 'leave', pad: 'x'.repeat(MAX_CLIENT_CONTROL_BYTES) }), 'message_malformed'],
  ])('refuses %s', (_, bytes, code) => {
    expect(() => decodeClientControl(bytes)).toThrow(
      expect.objectContaining({ code, received: expect.any(String), remedy: expect.any(String) }),
    );
  });

  it('refuses every truncation of a message', () => {
    const bytes = encodeControl({
      type: 'subscribe',
      request: 300,
      participant: 'p',
      size: 256,
      framesPerSecond: 29.97,
    });
    for (let length = 1; length < bytes.length; length++) {
      expect(() => decodeClientControl(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'message_malformed' }),
      );
    }
  });

  it('answers random bytes with a typed error or a message, never with anything else', () => {
    let state = 1;
    const random = () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return state >>> 16;
    };
    const base = encodeControl({ type: 'ping', clientTimeMs: 5.5 });
    for (let round = 0; round < 3000; round++) {
      const bytes = round % 2 === 0 ? base.slice() : new Uint8Array(1 + (random() % 40)).map(() => random() & 0xff);
      bytes[0] = 0;
      if (round % 2 === 0) bytes[1 + (random() % (bytes.length - 1))] = random() & 0xff;
      try {
        expect(decodeClientControl(bytes).type).toBe('ping');
      } catch (error) {
        expect(error).toMatchObject({ name: 'FacewireError', code: 'message_malformed' });
      }
    }
  });

  describe('without eval', () => {
    afterEach(() => {
      vi.unstubAllGlobals();
    });

    it('encodes and decodes where Function and eval are forbidden, however often a shape repeats', () => {
      const forbidden = () => {
        throw new Error('eval is forbidden by the content security policy');
      };
      vi.stubGlobal('Function', forbidden);
      vi.stubGlobal('eval', forbidden);
      const message = { type: 'participantLeft', participant: 'p1' } as const;
      for (let round = 0; round < 50; round++) expect(decodeServerControl(encodeControl(message))).toEqual(message);
    });
  });

  it('lets a server greet a client into a room of 500', () => {
    const participants = Array.from({ length: 500 }, (_, at) => ({
      id: `p${at}`,
      name: `Player ${at}`,
      role: 'player' as const,
      avatar: 'mira',
      bot: false,
    }));
    const welcome = {
      type: 'welcome',
      version: 1,
      participant: 'p0',
      room: 'arena',
      serverTimeMs: 1,
      codec: 'vp8',
      sizes: [128, 256, 512],
      participants,
    } as const;
    expect(decodeServerControl(encodeControl({ ...welcome, sizes: [...welcome.sizes] }))).toEqual(welcome);
  });
});
