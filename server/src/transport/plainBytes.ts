/**
 * The same memory without Node's Buffer around it. Buffer.slice() is a view where Uint8Array.slice() is a copy, so a
 * Buffer handed out as Uint8Array makes liars of those who copy with slice().
 */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
