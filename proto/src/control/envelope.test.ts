import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import type { ClientControl, ServerControl } from '../control.ts';
import { PROTO_FILE } from '../node.ts';
import {
  clientControlToEnvelope,
  envelopeToClientControl,
  envelopeToServerControl,
  serverControlToEnvelope,
} from './envelope.ts';

const root = new protobuf.Root().loadSync(PROTO_FILE, { alternateCommentMode: true });
root.resolveAll();
const ClientEnvelope = root.lookupType('facewire.v1.ClientEnvelope');
const ServerEnvelope = root.lookupType('facewire.v1.ServerEnvelope');

function golden<Message>(file: string): { name: string; message: Message }[] {
  return JSON.parse(readFileSync(new URL(`../../golden/${file}.json`, import.meta.url), 'utf8'));
}

/** As a peer in another language would: zeroes of proto3 are not written, so drop them before encoding. */
function withoutZeroes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutZeroes);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== 0 && each !== '' && each !== false)
      .map(([key, each]) => [key, withoutZeroes(each)]),
  );
}

/** The three forms in which decoded envelopes come: instances, bare objects, and those of @grpc/proto-loader. */
function forms(type: protobuf.Type, envelope: object): object[] {
  const bytes = type.encode(type.fromObject(envelope)).finish();
  const sparse = type.encode(type.fromObject(withoutZeroes(envelope) as object)).finish();
  return [bytes, sparse].flatMap((each) => {
    const decoded = type.decode(each);
    return [
      decoded,
      type.toObject(decoded),
      type.toObject(decoded, { longs: String, enums: String, defaults: true, oneofs: true }),
    ];
  });
}

const optionalLeftOut: ClientControl[] = [
  { type: 'join', version: 1, room: 'r', role: 'viewer', name: 'n', codecs: ['jpeg'] },
  { type: 'subscribe', request: 0, participant: 'p', size: 128, framesPerSecond: 1 },
  { type: 'subscribe', request: 0, participant: 'p', size: 128, framesPerSecond: 1, view: { yaw: 0, pitch: 0 } },
  { type: 'update', stream: 0 },
  { type: 'ping', clientTimeMs: 0 },
];

describe('control messages in protobuf envelopes', () => {
  it.each([
    ...golden<ClientControl>('clientControl'),
    ...optionalLeftOut.map((message) => ({ name: `${message.type} with little set`, message })),
  ])('client message "$name" survives real protobuf bytes in every decoded form', ({ message }) => {
    for (const envelope of forms(ClientEnvelope, clientControlToEnvelope(message))) {
      expect(envelopeToClientControl(envelope)).toEqual(message);
    }
  });

  it.each([
    ...golden<ServerControl>('serverControl'),
    { name: 'a short error', message: { type: 'error', code: 'internal', message: 'x' } as ServerControl },
  ])('server message "$name" survives real protobuf bytes in every decoded form', ({ message }) => {
    for (const envelope of forms(ServerEnvelope, serverControlToEnvelope(message))) {
      expect(envelopeToServerControl(envelope)).toEqual(message);
    }
  });

  it('has a oneof field for every message type, and one for the packets', () => {
    const fields = (type: protobuf.Type) => type.fieldsArray.map((field) => field.name).sort();
    const types = (file: string) => golden<{ type: string }>(file).map(({ message }) => message.type);
    expect(fields(ClientEnvelope)).toEqual([...types('clientControl'), 'motion'].sort());
    expect(fields(ServerEnvelope)).toEqual([...types('serverControl'), 'frame'].sort());
  });

  it('carries packets as bytes, unchanged', () => {
    const motion = Uint8Array.of(1, 0, 255);
    const decoded = ClientEnvelope.decode(ClientEnvelope.encode(ClientEnvelope.fromObject({ motion })).finish());
    expect([...(decoded as unknown as { motion: Uint8Array }).motion]).toEqual([1, 0, 255]);
  });

  it.each([[{}], [{ motion: Uint8Array.of(1) }], [{ join: null }]])(
    'refuses %o, which holds no control message',
    (envelope) => {
      expect(() => envelopeToClientControl(envelope)).toThrow(
        expect.objectContaining({ code: 'message_malformed', remedy: expect.stringContaining('subscribe') }),
      );
    },
  );

  it('validates what it takes out: ranges and required messages', () => {
    expect(() => envelopeToClientControl({ subscribe: { participant: 'p', size: 9999, framesPerSecond: 1 } })).toThrow(
      /subscribe\.size is 9999/,
    );
    expect(() => envelopeToClientControl({ join: {} })).toThrow(expect.objectContaining({ code: 'message_malformed' }));
    expect(() => envelopeToServerControl({ participantJoined: {} })).toThrow(
      /participantJoined\.participant is missing/,
    );
  });
});

describe('facewire.proto', () => {
  it('explains every service, method and field', () => {
    const bare: string[] = [];
    const visit = (node: protobuf.ReflectionObject) => {
      if (node instanceof protobuf.Type) {
        for (const field of node.fieldsArray) if (!field.comment) bare.push(field.fullName);
      }
      if (node instanceof protobuf.Service) {
        if (!node.comment) bare.push(node.fullName);
        for (const method of node.methodsArray) if (!method.comment) bare.push(method.fullName);
      }
      if (node instanceof protobuf.Namespace) node.nestedArray.forEach(visit);
    };
    visit(root);
    expect(bare).toEqual([]);
    expect(root.lookupType('facewire.v1.Subscribe').fields.size?.comment).toContain('16 to 1024');
  });

  it('has the two services with their methods', () => {
    expect(root.lookupService('facewire.v1.Facewire').methods.Connect).toMatchObject({
      requestStream: true,
      responseStream: true,
    });
    expect(Object.keys(root.lookupService('facewire.v1.Avatars').methods)).toEqual([
      'CreateAvatar',
      'ListAvatars',
      'GetAvatar',
      'DeleteAvatar',
    ]);
  });
});
