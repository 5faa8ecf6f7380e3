import { Packr } from 'msgpackr';
import { validateClientControl, validateServerControl } from '../control/validateControl.ts';
import type { ClientControl, ServerControl } from '../control.ts';
import { FacewireError } from '../errors.ts';
import { inspectMsgpack } from './inspectMsgpack.ts';
import { PACKET_KIND } from './packetKind.ts';

/** A client's message, with its kind byte, is at most this long. */
export const MAX_CLIENT_CONTROL_BYTES = 16 * 1024;
/** The server's may be longer: `welcome` lists everyone in the room. */
export const MAX_SERVER_CONTROL_BYTES = 1024 * 1024;

const CLIENT_LIMITS = { depth: 4, entries: 64 };
const SERVER_LIMITS = { depth: 4, entries: 4096 };

/** Plain msgpack: no records, no bundled strings, no extension types, shortest map heads. Any language reads it. */
const packr = new Packr({ useRecords: false, variableMapSize: true, mapsAsObjects: true, int64AsType: 'number' });

/** The byte 0x00 followed by one msgpack map. Fields that are undefined are left out. */
export function encodeControl(message: ClientControl | ServerControl): Uint8Array {
  const map = packr.pack(withoutUndefined(message));
  const packet = new Uint8Array(1 + map.length);
  packet[0] = PACKET_KIND.control;
  packet.set(map, 1);
  return packet;
}

/**
 * Decodes and validates what a client sent; unknown fields are dropped. Throws message_malformed for anything that
 * is not one of the messages within its limits, packet_unknown_kind when it is not a control packet at all, and
 * codec_unsupported when a join names no codec of this version.
 */
export function decodeClientControl(packet: Uint8Array): ClientControl {
  return validateClientControl(unpack(packet, MAX_CLIENT_CONTROL_BYTES, CLIENT_LIMITS));
}

/** The client's side of the same; throws the same errors. */
export function decodeServerControl(packet: Uint8Array): ServerControl {
  return validateServerControl(unpack(packet, MAX_SERVER_CONTROL_BYTES, SERVER_LIMITS));
}

function unpack(packet: Uint8Array, maxBytes: number, limits: { depth: number; entries: number }): unknown {
  if (packet.length === 0 || packet[0] !== PACKET_KIND.control) {
    throw new FacewireError('packet_unknown_kind', `packet kind ${packet[0] ?? 'missing'} is no control message (0)`, {
      received: packet[0] ?? 'an empty message',
      remedy: 'the first byte of a control message is 0x00',
    });
  }
  if (packet.length > maxBytes) {
    throw malformed(`control message has ${packet.length} bytes, at most ${maxBytes} are allowed`, packet.length);
  }
  const problem = inspectMsgpack(packet, 1, limits);
  if (problem !== undefined) throw malformed(`control message: ${problem}`, `${packet.length} bytes`);
  try {
    // A fresh view: msgpackr caches a DataView on the array that it is given.
    return packr.unpack(packet.subarray(1));
  } catch (cause) {
    throw malformed(`control message cannot be read: ${(cause as Error).message}`, `${packet.length} bytes`, cause);
  }
}

function malformed(message: string, received: unknown, cause?: unknown): FacewireError {
  return new FacewireError('message_malformed', message, {
    received,
    remedy: 'send one plain msgpack map with string keys after the byte 0x00, as docs/protocol.md lists it',
    cause,
  });
}

/** msgpackr writes undefined as an extension type, which other languages cannot read. */
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([name, field]) => [name, withoutUndefined(field)]),
  );
}
