/**
 * Walks a msgpack value without building it, so that what a stranger sends is refused before any decoder touches it:
 * nesting, trailing bytes, lengths that lie, and everything beyond plain msgpack. Extension types matter most: msgpackr
 * reads some of them as record definitions, which it compiles with `new Function`; refusing them keeps eval out of
 * the browser and the peer's bytes out of a compiler.
 */
export interface MsgpackLimits {
  /** the outermost map is depth 1 */
  depth: number;
  /** entries of one map or array */
  entries: number;
}

/** Returns what is wrong with the bytes from `start` on, or undefined when they are exactly one plain msgpack map. */
export function inspectMsgpack(bytes: Uint8Array, start: number, limits: MsgpackLimits): string | undefined {
  const first = bytes[start];
  if (first === undefined) return 'the message is empty';
  if (!isMap(first)) return `the message starts with 0x${hex(first)}, not with a map`;
  const cursor = { at: start };
  const problem = inspectValue(bytes, cursor, limits, 1);
  if (problem !== undefined) return problem;
  return cursor.at === bytes.length ? undefined : `${bytes.length - cursor.at} bytes follow the map`;
}

function inspectValue(
  bytes: Uint8Array,
  cursor: { at: number },
  limits: MsgpackLimits,
  depth: number,
): string | undefined {
  const at = cursor.at;
  const tag = bytes[at];
  if (tag === undefined) return `the message ends at byte ${at}, inside a value`;
  const skip = scalarLength(bytes, at, tag);
  if (skip !== undefined) {
    if (at + skip > bytes.length) return `a value at byte ${at} claims more bytes than there are`;
    cursor.at = at + skip;
    return undefined;
  }
  const container = containerHead(bytes, at, tag);
  if (container === undefined) return `byte ${at} is 0x${hex(tag)}: binary and extension types are not used`;
  if (depth > limits.depth) return `nesting is deeper than ${limits.depth}`;
  if (container.entries > limits.entries)
    return `${container.entries} entries at byte ${at}, at most ${limits.entries}`;
  cursor.at = at + container.headBytes;
  for (let entry = 0; entry < container.entries; entry++) {
    if (container.map) {
      const key = bytes[cursor.at];
      if (key === undefined) return `the message ends at byte ${cursor.at}, inside a map`;
      if (!isString(key)) return `the key at byte ${cursor.at} is not a string`;
      const problem = inspectValue(bytes, cursor, limits, depth + 1);
      if (problem !== undefined) return problem;
    }
    const problem = inspectValue(bytes, cursor, limits, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Bytes of a nil, boolean, number or string with its head; undefined for every other type. */
function scalarLength(bytes: Uint8Array, at: number, tag: number): number | undefined {
  if (tag <= 0x7f || tag >= 0xe0) return 1; // positive and negative fixint
  if (tag >= 0xa0 && tag <= 0xbf) return 1 + (tag & 0x1f); // fixstr
  switch (tag) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return 1;
    case 0xcc: // uint 8
    case 0xd0: // int 8
      return 2;
    case 0xcd: // uint 16
    case 0xd1: // int 16
      return 3;
    case 0xca: // float 32
    case 0xce: // uint 32
    case 0xd2: // int 32
      return 5;
    case 0xcb: // float 64
    case 0xcf: // uint 64
    case 0xd3: // int 64
      return 9;
    case 0xd9: // str 8
      return 2 + bigEndian(bytes, at + 1, 1);
    case 0xda: // str 16
      return 3 + bigEndian(bytes, at + 1, 2);
    case 0xdb: // str 32
      return 5 + bigEndian(bytes, at + 1, 4);
    default:
      return undefined;
  }
}

function containerHead(
  bytes: Uint8Array,
  at: number,
  tag: number,
): { map: boolean; entries: number; headBytes: number } | undefined {
  if (tag >= 0x80 && tag <= 0x8f) return { map: true, entries: tag & 0x0f, headBytes: 1 };
  if (tag >= 0x90 && tag <= 0x9f) return { map: false, entries: tag & 0x0f, headBytes: 1 };
  if (tag === 0xdc || tag === 0xde) return { map: tag === 0xde, entries: bigEndian(bytes, at + 1, 2), headBytes: 3 };
  if (tag === 0xdd || tag === 0xdf) return { map: tag === 0xdf, entries: bigEndian(bytes, at + 1, 4), headBytes: 5 };
  return undefined;
}

/** Missing bytes read as zero; the length check that follows reports the truncation. */
function bigEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = 0; index < count; index++) value = value * 256 + (bytes[at + index] ?? 0);
  return value;
}

function isMap(tag: number): boolean {
  return (tag >= 0x80 && tag <= 0x8f) || tag === 0xde || tag === 0xdf;
}

function isString(tag: number): boolean {
  return (tag >= 0xa0 && tag <= 0xbf) || (tag >= 0xd9 && tag <= 0xdb);
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
