import { FacewireError, type ParticipantInfo } from '@facewire/proto';
import { Packr } from 'msgpackr';
import * as v from 'valibot';

/** Who of a server is in which rooms. */
export type Rosters = readonly (readonly [room: string, participants: readonly ParticipantInfo[]])[];

/**
 * What servers of a cluster tell each other of themselves, all under one subject, so that one server's messages come in
 * order. `sequence` counts a server's changes of rosters: who missed one, asks for everything.
 */
export type ServerMessage =
  /** a server has come, or its connection is back: everybody answers with `rosters` */
  | { type: 'hello'; server: string }
  /** one room as it is from change number `sequence` on; without participants nobody is left */
  | { type: 'roster'; server: string; sequence: number; room: string; participants: readonly ParticipantInfo[] }
  /** everything, in `parts` messages */
  | { type: 'rosters'; server: string; sequence: number; part: number; parts: number; rosters: Rosters }
  | { type: 'alive'; server: string; sequence: number }
  | { type: 'ask'; server: string; of: string }
  | { type: 'bye'; server: string };

/** Motions of one server's participants in one room, as they came in one turn of its event loop. */
export interface MotionMessage {
  server: string;
  room: string;
  /** the sender's clock when it was sent, ms */
  sentAtMs: number;
  /** packets of the fixed layout (proto/src/codec/motionPacket.ts) */
  motions: readonly (readonly [participant: string, packet: Uint8Array])[];
}

/** Of everything that one server tells. */
const MOST_PARTS = 10_000;

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(256));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const person = { id: name, name: v.pipe(v.string(), v.maxLength(256)), bot: v.boolean() };
const participant = v.variant('role', [
  v.object({ ...person, role: v.literal('player'), avatar: name }),
  v.object({ ...person, role: v.literal('viewer') }),
]);
const participants = v.pipe(v.array(participant), v.maxLength(65_536));

const serverMessage = v.variant('type', [
  v.object({ type: v.literal('hello'), server: name }),
  v.object({ type: v.literal('roster'), server: name, sequence: count, room: name, participants }),
  v.object({
    type: v.literal('rosters'),
    server: name,
    sequence: count,
    part: count,
    parts: v.pipe(count, v.minValue(1), v.maxValue(MOST_PARTS)),
    rosters: v.array(v.tuple([name, participants])),
  }),
  v.object({ type: v.literal('alive'), server: name, sequence: count }),
  v.object({ type: v.literal('ask'), server: name, of: name }),
  v.object({ type: v.literal('bye'), server: name }),
]);

const motionMessage = v.object({
  server: name,
  room: name,
  sentAtMs: v.pipe(v.number(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)),
  motions: v.array(v.tuple([name, v.instance(Uint8Array)])),
});

/** Plain MessagePack, which other programs can read: no records of msgpackr's own. */
const packr = new Packr({ useRecords: false });

export function encodeMessage(message: ServerMessage | MotionMessage): Uint8Array {
  return packr.pack(message);
}

/** Bytes of one room's roster within a message. */
export function sizeOf(roster: Rosters[number]): number {
  return packr.pack(roster).length;
}

/** Throws message_malformed. */
export function decodeServerMessage(data: Uint8Array): ServerMessage {
  return parse(serverMessage, data) as ServerMessage;
}

/** Throws message_malformed. The packets are views of `data` and are checked by whoever decodes them. */
export function decodeMotionMessage(data: Uint8Array): MotionMessage {
  return parse(motionMessage, data);
}

function parse<Schema extends v.GenericSchema>(schema: Schema, data: Uint8Array): v.InferOutput<Schema> {
  try {
    return v.parse(schema, packr.unpack(data));
  } catch (cause) {
    throw new FacewireError('message_malformed', 'a message of another server cannot be read', {
      received: `${data.length} bytes: ${(cause as Error).message}`,
      remedy: 'run the same release on all servers of a cluster, and let nothing else publish under its name',
      cause,
    });
  }
}
