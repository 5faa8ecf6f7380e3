import { FacewireError } from '../errors.ts';
import { badValue } from './compactErrors.ts';

/** Bits of the coder's window; low and range stay below 2^25, so that every step is exact in 32-bit integers. */
const WINDOW = 1 << 24;
const RENORMALISE_BELOW = 1 << 16;
/** Room for the largest packet: 442 scalars of 16 questions of at most 11.6 bits and an escape of 31 take 12 KiB. */
export const PACKET_BYTES = 16384;
const ESCAPE_BITS = 15;
/** The first byte of a packet lies in 0x40…0xff: the coder starts with this part of its window. */
export const FIRST_BYTE_LOW = 0x40;
const FIRST_BYTE_SPAN = 0xc0;

/**
 * Binary range coder with a 24-bit window, both directions in one class so that a walk over a packet is written once.
 * Encoding, carries run back into the bytes already written. The end is the shortest byte string inside the last
 * interval (the reader takes zeros past the end), and its length is exact: a reader can tell a cut or padded packet.
 */
export class RangeCoder {
  encoding = false;
  bytes: Uint8Array = new Uint8Array(0);
  /** bytes written, or read including the virtual zeros past the end */
  position = 0;
  /** the registers; WasmScalarModel works on copies of them */
  low = 0;
  range = 0;
  /** decoding: the window's value minus the encoder's low */
  offset = 0;

  /** `buffer`: PACKET_BYTES. */
  startEncoding(buffer: Uint8Array): void {
    this.encoding = true;
    this.bytes = buffer;
    this.position = 0;
    this.low = FIRST_BYTE_LOW << 16;
    this.range = FIRST_BYTE_SPAN << 16;
    this.offset = 0;
  }

  startDecoding(packet: Uint8Array): void {
    this.encoding = false;
    this.bytes = packet;
    this.position = 3;
    this.low = 0;
    this.range = FIRST_BYTE_SPAN << 16;
    const window = ((packet[0] ?? 0) << 16) | ((packet[1] ?? 0) << 8) | (packet[2] ?? 0);
    this.offset = window - (FIRST_BYTE_LOW << 16);
  }

  /** Codes one bit whose probability of being 1 is `one` / 65536 (1…65535); returns the bit. */
  code(bit: number, one: number): number {
    const bound = ((this.range >>> 8) * (one >>> 1)) >>> 7;
    let result = bit;
    if (this.encoding) {
      if (bit !== 0) {
        this.range = bound;
      } else {
        this.low += bound;
        this.range -= bound;
      }
    } else {
      if (this.offset < bound) {
        this.range = bound;
        result = 1;
      } else {
        this.offset -= bound;
        this.range -= bound;
        result = 0;
      }
    }
    if (this.range < RENORMALISE_BELOW) this.renormalise();
    return result;
  }

  /** Codes `count` (at most 16) equally likely bits, the most significant first; returns the number. */
  codeRaw(value: number, count: number): number {
    let result = 0;
    for (let shift = count - 1; shift >= 0; shift--) result = (result << 1) | this.code((value >>> shift) & 1, 32768);
    return result;
  }

  /** A number from 0 on, Elias gamma of it + 1 in equally likely bits. Throws packet_bad_value beyond 16 bits. */
  codeEscape(rest: number): number {
    let bits = 0;
    while (this.codeRaw((rest + 1) >> (bits + 1) !== 0 ? 1 : 0, 1) === 1) {
      bits++;
      if (bits > ESCAPE_BITS) throw badValue('escape', `${bits} bits`);
    }
    return ((1 << bits) | this.codeRaw((rest + 1) & ((1 << bits) - 1), bits)) - 1;
  }

  private renormalise(): void {
    if (this.encoding) this.shiftOut();
    else while (this.range < RENORMALISE_BELOW) this.shiftIn();
  }

  /** Throws packet_truncated when more has been read than there is and three zeros past the end, the window's own. */
  checkEnd(): void {
    if (this.position > this.bytes.length + 3) throw truncated(this.bytes.length);
  }

  /** Ends an encoding; returns the packet's length in the buffer. */
  finishEncoding(): number {
    const { value, count } = shortestEnd(this.low, this.range);
    this.low = value;
    for (let index = 0; index < count; index++) this.putByte();
    if (count === 0) this.carry();
    return this.position;
  }

  /** Checks that the packet ends where and how an encoder ends it. Throws packet_truncated, packet_oversized, packet_bad_value. */
  finishDecoding(): void {
    const shifted = this.position - 3;
    let window = 0;
    for (let index = shifted; index < this.position; index++) window = (window << 8) | (this.bytes[index] ?? 0);
    // the encoder's low, from before a carry if there was one
    let low = window - this.offset;
    if (low < 0) low += WINDOW;
    const { value, count } = shortestEnd(low, this.range);
    const length = shifted + count;
    if (this.bytes.length < length) throw truncated(this.bytes.length);
    if (this.bytes.length > length) {
      throw new FacewireError('packet_oversized', `compact motion packet goes on after its end at byte ${length}`, {
        received: `${this.bytes.length} bytes`,
        remedy: 'send exactly the bytes that the encoder returned',
      });
    }
    if ((value & (WINDOW - 1)) !== window) {
      throw new FacewireError('packet_bad_value', 'compact motion packet does not end as an encoder ends it', {
        received: `${this.bytes.length} bytes`,
        remedy: 'send exactly the bytes that the encoder returned, from a baseline that the receiver has',
      });
    }
  }

  /** Encoding: moves whole bytes out of the window until the range is wide enough for the next bit. */
  shiftOut(): void {
    while (this.range < RENORMALISE_BELOW) this.putByte();
  }

  private putByte(): void {
    this.carry();
    this.bytes[this.position++] = this.low >>> 16;
    this.low = (this.low & 0xffff) << 8;
    this.range <<= 8;
  }

  private carry(): void {
    if (this.low < WINDOW) return;
    this.low -= WINDOW;
    let index = this.position - 1;
    while (this.bytes[index] === 0xff) this.bytes[index--] = 0;
    this.bytes[index] = this.bytes[index]! + 1;
  }

  private shiftIn(): void {
    const { bytes, position } = this;
    this.offset = (this.offset << 8) | (position < bytes.length ? bytes[position]! : 0);
    this.position = position + 1;
    this.range <<= 8;
    this.checkEnd();
  }
}

/** The multiple of the largest power 2^24, 2^16, 2^8, 1 inside [low, low + range), and the bytes that it needs (0…3). */
function shortestEnd(low: number, range: number): { value: number; count: number } {
  for (let count = 0; count < 3; count++) {
    const mask = (1 << (24 - 8 * count)) - 1;
    const value = (low + mask) & ~mask;
    if (value < low + range) return { value, count };
  }
  return { value: low, count: 3 };
}

function truncated(length: number): FacewireError {
  return new FacewireError('packet_truncated', 'compact motion packet ends before its motion does', {
    received: `${length} bytes`,
    remedy: 'send exactly the bytes that the encoder returned',
  });
}
