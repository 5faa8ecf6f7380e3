import * as v from 'valibot';
import type { Tensor, TensorType } from '../contracts.ts';

/**
 * The safetensors format: u64 little-endian length of the header, the header as JSON
 * `{"__metadata__": {…strings}, "<tensor>": {"dtype","shape","data_offsets":[begin,end]}}`, then the tensors' bytes,
 * without gaps, offsets counted from the header's end.
 */
const LENGTH_BYTES = 8;
/** Tensors begin at a multiple of this from the file's beginning: the header is padded with spaces, as the format allows. */
const ALIGNMENT = 8;
/** An avatar has a dozen tensors; anything near this is not one. */
const MAX_HEADER_BYTES = 1 << 20;

const DTYPES = { float32: 'F32', float16: 'F16', uint8: 'U8', int64: 'I64', int32: 'I32' } as const satisfies Record<
  TensorType,
  string
>;
const ELEMENT_BYTES: Readonly<Record<TensorType, number>> = { float32: 4, float16: 2, uint8: 1, int64: 8, int32: 4 };

const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const headerSchema = v.objectWithRest(
  { __metadata__: v.optional(v.record(v.string(), v.string()), {}) },
  v.strictObject({
    dtype: v.picklist(Object.values(DTYPES)),
    shape: v.pipe(v.array(offset), v.maxLength(8)),
    data_offsets: v.tuple([offset, offset]),
  }),
);

export interface SafetensorsHeader {
  metadata: Readonly<Record<string, string>>;
  tensors: ReadonlyMap<string, { dtype: TensorType; shape: readonly number[]; begin: number; end: number }>;
  /** where the tensors' bytes begin */
  dataStart: number;
  /** bytes of the whole file */
  totalBytes: number;
}

export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let position = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype: DTYPES[dtype], shape, data_offsets: [position, position + data.byteLength] };
    position += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const headerBytes = Math.ceil((LENGTH_BYTES + json.length) / ALIGNMENT) * ALIGNMENT - LENGTH_BYTES;
  const file = Buffer.alloc(LENGTH_BYTES + headerBytes + position, 0x20);
  file.writeBigUInt64LE(BigInt(headerBytes));
  json.copy(file, LENGTH_BYTES);
  let end = LENGTH_BYTES + headerBytes;
  for (const { data } of tensors.values()) {
    file.set(data, end);
    end += data.byteLength;
  }
  return file;
}

/** Bytes of the header, with its length field. Throws Error with the reason when that is no sensible length. */
export function headerLength(start: Uint8Array): number {
  if (start.byteLength < LENGTH_BYTES) throw new Error(`only ${start.byteLength} bytes`);
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length < 2n || length > BigInt(MAX_HEADER_BYTES)) throw new Error(`a header of ${length} bytes`);
  return LENGTH_BYTES + Number(length);
}

/**
 * Reads and checks the header: types, shapes, and that the tensors fill the file without gap or overlap.
 *
 * @param start at least the first headerLength() bytes of the file
 * @param fileBytes size of the whole file
 * @throws Error with the reason
 */
export function decodeSafetensorsHeader(start: Uint8Array, fileBytes: number): SafetensorsHeader {
  const dataStart = headerLength(start);
  if (start.byteLength < dataStart || fileBytes < dataStart) throw new Error('ends within its header');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(start.subarray(LENGTH_BYTES, dataStart)));
  } catch (cause) {
    throw new Error(`the header is not JSON: ${(cause as Error).message}`);
  }
  const parsed = v.safeParse(headerSchema, json);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new Error(`header, ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`);
  }
  const { __metadata__: metadata, ...entries } = parsed.output;
  const tensors = new Map<string, { dtype: TensorType; shape: readonly number[]; begin: number; end: number }>();
  for (const [name, entry] of Object.entries(entries)) {
    const dtype = (Object.keys(DTYPES) as TensorType[]).find((type) => DTYPES[type] === entry.dtype)!;
    const bytes = entry.shape.reduce((product, dimension) => product * dimension, ELEMENT_BYTES[dtype]);
    const [begin, end] = entry.data_offsets;
    if (end - begin !== bytes) throw new Error(`tensor ${name} has ${end - begin} bytes, its shape needs ${bytes}`);
    tensors.set(name, { dtype, shape: entry.shape, begin, end });
  }
  let position = 0;
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin)) {
    if (begin !== position) throw new Error(`tensor ${name} begins at ${begin}, expected ${position}`);
    position = end;
  }
  if (dataStart + position !== fileBytes) throw new Error(`${fileBytes} bytes, expected ${dataStart + position}`);
  return { metadata, tensors, dataStart, totalBytes: fileBytes };
}

/** The tensors are copies. Throws Error with the reason. */
export function decodeSafetensors(file: Uint8Array): { header: SafetensorsHeader; tensors: Map<string, Tensor> } {
  const header = decodeSafetensorsHeader(file, file.byteLength);
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, begin, end }] of header.tensors) {
    tensors.set(name, {
      dtype,
      shape,
      data: Uint8Array.from(file.subarray(header.dataStart + begin, header.dataStart + end)),
    });
  }
  return { header, tensors };
}
