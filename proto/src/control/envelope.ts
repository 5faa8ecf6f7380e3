import type { ClientControl, ServerControl } from '../control.ts';
import { FacewireError } from '../errors.ts';
import { validateClientControl, validateServerControl } from './validateControl.ts';

/**
 * Control messages as protobuf envelopes. An envelope is the plain object that protobufjs and @grpc/proto-loader make
 * of ClientEnvelope and ServerEnvelope in camelCase (`keepCase: false`): the set oneof field, named as `type` is.
 */
type Fields<Message extends { type: string }> = { [Type in Message['type']]?: BodyOf<Message, Type> };
type BodyOf<Message, Type> = Omit<Extract<Message, { type: Type }>, 'type'>;

export type ClientEnvelope = Fields<ClientControl> & {
  /** one motion packet, its kind byte included */
  motion?: Uint8Array;
};

export type ServerEnvelope = Fields<ServerControl> & {
  /** one frame packet, its kind byte included */
  frame?: Uint8Array;
};

export function clientControlToEnvelope(message: ClientControl): ClientEnvelope {
  return toEnvelope(message) as ClientEnvelope;
}

export function serverControlToEnvelope(message: ServerControl): ServerEnvelope {
  return toEnvelope(message) as ServerEnvelope;
}

/** Validates too. Throws message_malformed, also for an envelope that holds `motion` or nothing. */
export function envelopeToClientControl(envelope: object): ClientControl {
  return validateClientControl(fromEnvelope(envelope, Object.keys(CLIENT_ZEROES), CLIENT_ZEROES));
}

/** Validates too. Throws message_malformed, also for an envelope that holds `frame` or nothing. */
export function envelopeToServerControl(envelope: object): ServerControl {
  return validateServerControl(fromEnvelope(envelope, Object.keys(SERVER_ZEROES), SERVER_ZEROES));
}

/** What proto3 leaves out of a message because it is the type's zero. Optional fields are not listed. */
const CLIENT_ZEROES: Record<ClientControl['type'], object> = {
  join: { version: 0, room: '', role: '', name: '', codecs: [] },
  subscribe: { request: 0, participant: '', size: 0, framesPerSecond: 0 },
  update: { stream: 0 },
  unsubscribe: { stream: 0 },
  keyFrame: { stream: 0 },
  setAvatar: { avatar: '' },
  ping: { clientTimeMs: 0 },
  leave: {},
};

const SERVER_ZEROES: Record<ServerControl['type'], object> = {
  welcome: { version: 0, participant: '', room: '', serverTimeMs: 0, codec: '', sizes: [], participants: [] },
  participantJoined: {},
  participantUpdated: {},
  participantLeft: { participant: '' },
  subscribed: { request: 0, stream: 0, participant: '', size: 0, codec: '' },
  ended: { stream: 0 },
  pong: { clientTimeMs: 0, serverTimeMs: 0 },
  error: { code: '', message: '' },
};

/** Zeroes of the messages inside messages, by field name. */
const NESTED_ZEROES: Record<string, object> = {
  view: { yaw: 0, pitch: 0 },
  participant: { id: '', name: '', role: '', bot: false },
  participants: { id: '', name: '', role: '', bot: false },
};

function toEnvelope(message: ClientControl | ServerControl): object {
  const { type, ...fields } = message;
  return { [type]: fields };
}

function fromEnvelope(envelope: object, types: string[], zeroes: Record<string, object>): unknown {
  const fields = envelope as Record<string, unknown>;
  const type = types.find((each) => isSet(fields[each]));
  if (type === undefined) {
    throw new FacewireError('message_malformed', 'the envelope holds no control message', {
      received: Object.keys(envelope).filter((each) => isSet(fields[each])),
      remedy: `set one of ${types.join(', ')}`,
    });
  }
  return { type, ...filled(fields[type] as object, zeroes[type]!) };
}

/** Puts zeroes where proto3 left them out, and drops the nulls that stand for absent optional fields. */
function filled(message: object, zeroes: object): object {
  const result: Record<string, unknown> = { ...zeroes };
  for (const [field, value] of Object.entries(message)) {
    if (!isSet(value)) continue;
    const nested = NESTED_ZEROES[field];
    if (nested === undefined || typeof value !== 'object') result[field] = value;
    else if (Array.isArray(value)) result[field] = value.map((each) => filled(each as object, nested));
    else result[field] = filled(value as object, nested);
  }
  return result;
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}
