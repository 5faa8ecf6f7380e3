import { describe, expect, it } from 'vitest';
import type { Tensor } from '../contracts.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';

const TENSORS = new Map<string, Tensor>([
  ['picture', { dtype: 'uint8', shape: [2, 3], data: Uint8Array.from([1, 2, 3, 4, 5, 6]) }],
  ['half', { dtype: 'float16', shape: [3], data: new Uint8Array(6).fill(7) }],
  ['scalar', { dtype: 'int64', shape: [], data: Uint8Array.from([9, 0, 0, 0, 0, 0, 0, 0]) }],
  ['nothing', { dtype: 'float32', shape: [0, 4], data: new Uint8Array(0) }],
]);

/** A file with this header and `dataBytes` zeroes. */
function fileWith(header: unknown, dataBytes = 0): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const file = Buffer.alloc(8 + json.length + dataBytes);
  file.writeBigUInt64LE(BigInt(json.length));
  json.copy(file, 8);
  return file;
}

describe('safetensors', () => {
  it('reads back what it wrote', () => {
    const { header, tensors } = decodeSafetensors(encodeSafetensors(TENSORS, { name: 'Zoë' }));
    expect(tensors).toEqual(TENSORS);
    expect(header.metadata).toEqual({ name: 'Zoë' });
    expect(header.dataStart % 8).toBe(0);
  });

  it('has the layout that the format prescribes', () => {
    const one = new Map([['x', { dtype: 'uint8', shape: [2], data: Uint8Array.from([0xaa, 0xbb]) } satisfies Tensor]]);
    const file = Buffer.from(encodeSafetensors(one, {}));
    const headerBytes = Number(file.readBigUInt64LE(0));
    expect(JSON.parse(file.subarray(8, 8 + headerBytes).toString())).toEqual({
      __metadata__: {},
      x: { dtype: 'U8', shape: [2], data_offsets: [0, 2] },
    });
    expect(file.subarray(8 + headerBytes).toString('hex')).toBe('aabb');
  });

  const entry = (begin: number, end: number, shape = [end - begin]) => ({
    dtype: 'U8',
    shape,
    data_offsets: [begin, end],
  });
  const bad: [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(0), /only 0 bytes/],
    ['a giant header', Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 127, 1]), /header of/],
    ['half a header', fileWith({ x: entry(0, 2) }, 2).subarray(0, 20), /ends within/],
    ['no JSON', fileWith('{"x": '), /not JSON/],
    ['an unknown type', fileWith({ x: { dtype: 'Q4', shape: [2], data_offsets: [0, 2] } }, 2), /dtype/],
    ['a negative dimension', fileWith({ x: entry(0, 2, [-2]) }, 2), /shape/],
    ['a shape that its bytes do not fit', fileWith({ x: entry(0, 2, [3]) }, 2), /2 bytes, its shape needs 3/],
    ['a gap', fileWith({ x: entry(0, 2), y: entry(3, 4) }, 4), /begins at 3, expected 2/],
    ['an overlap', fileWith({ x: entry(0, 2), y: entry(1, 3) }, 3), /begins at 1, expected 2/],
    ['offsets beyond the end', fileWith({ x: entry(0, 9) }, 2), /expected/],
    ['bytes behind the end', fileWith({ x: entry(0, 2) }, 3), /expected/],
    ['metadata that is no text', fileWith({ __metadata__: { a: 1 } }), /__metadata__/],
  ];
  for (const [what, file, message] of bad) {
    it(`refuses ${what}`, () => expect(() => decodeSafetensors(file)).toThrow(message));
  }

  it('refuses every truncation of a file', () => {
    const file = encodeSafetensors(TENSORS, {});
    for (let length = 0; length < file.length; length++)
      expect(() => decodeSafetensors(file.subarray(0, length))).toThrow();
  });
});
