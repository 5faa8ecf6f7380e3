import * as v from 'valibot';
import type { ClientControl, FrameCodec, ServerControl } from '../control.ts';
import { FacewireError } from '../errors.ts';

/** What a control message may hold; the same numbers stand in docs/protocol.md and facewire.proto. */
export const CONTROL_LIMITS = {
  /** Unicode code points of a room, a name, an avatar or a participant */
  nameLength: 64,
  /** pixels */
  size: [16, 1024],
  framesPerSecond: [0, 60],
  /** radians, either way, of a view's yaw and pitch */
  viewAngle: Math.PI / 2,
  codecs: 16,
} as const;

const U32_MAX = 0xffff_ffff;

const name = v.pipe(
  v.string(),
  v.check((text) => text.trim().length > 0, 'must not be empty'),
  v.check((text) => [...text].length <= CONTROL_LIMITS.nameLength, 'must have at most 64 characters'),
  v.check((text) => !/\p{Cc}/u.test(text), 'must hold no control characters'),
  // A lone surrogate is another text after any encoding: MessagePack's, protobuf's, a cluster's.
  v.check((text) => !/\p{Surrogate}/u.test(text), 'must be well-formed Unicode'),
);
const number = v.pipe(v.number(), v.finite('must be finite'));
const u32 = v.pipe(number, v.integer('must be a whole number'), between(0, U32_MAX));
const version = v.pipe(number, v.integer('must be a whole number'), between(0, 0xffff));
const size = v.pipe(number, v.integer('must be a whole number of pixels'), between(...CONTROL_LIMITS.size));
const framesPerSecond = v.pipe(number, between(...CONTROL_LIMITS.framesPerSecond));
const viewAngle = v.pipe(number, between(-CONTROL_LIMITS.viewAngle, CONTROL_LIMITS.viewAngle, '−π/2…π/2 radians'));
const view = v.object({ yaw: viewAngle, pitch: viewAngle });
const role = v.picklist(['player', 'viewer']);
const codec = v.picklist(['vp8', 'vp9', 'jpeg']);

const clientSchemas = {
  join: v.object({
    type: v.literal('join'),
    version,
    room: name,
    role,
    name,
    avatar: v.exactOptional(name),
    // Names of codecs that this version does not know are skipped: a newer client may list them first.
    codecs: v.pipe(
      v.array(v.pipe(v.string(), v.maxLength(32, 'must have at most 32 characters'))),
      v.maxLength(CONTROL_LIMITS.codecs, 'must have at most 16 entries'),
      v.transform((names) => [...new Set(names)].filter((each): each is FrameCodec => v.is(codec, each))),
    ),
  }),
  subscribe: v.object({
    type: v.literal('subscribe'),
    request: u32,
    participant: name,
    size,
    framesPerSecond,
    view: v.exactOptional(view),
  }),
  update: v.object({
    type: v.literal('update'),
    stream: u32,
    size: v.exactOptional(size),
    framesPerSecond: v.exactOptional(framesPerSecond),
    view: v.exactOptional(view),
  }),
  unsubscribe: v.object({ type: v.literal('unsubscribe'), stream: u32 }),
  keyFrame: v.object({ type: v.literal('keyFrame'), stream: u32 }),
  setAvatar: v.object({ type: v.literal('setAvatar'), avatar: name }),
  ping: v.object({ type: v.literal('ping'), clientTimeMs: number }),
  leave: v.object({ type: v.literal('leave') }),
} satisfies Schemas<ClientControl>;

const participant = v.object({ id: name, name, role, avatar: v.exactOptional(name), bot: v.boolean() });

const serverSchemas = {
  welcome: v.object({
    type: v.literal('welcome'),
    version,
    participant: name,
    room: name,
    serverTimeMs: number,
    codec,
    sizes: v.array(u32),
    participants: v.array(participant),
  }),
  participantJoined: v.object({ type: v.literal('participantJoined'), participant }),
  participantUpdated: v.object({ type: v.literal('participantUpdated'), participant }),
  participantLeft: v.object({ type: v.literal('participantLeft'), participant: name }),
  subscribed: v.object({
    type: v.literal('subscribed'),
    request: u32,
    stream: u32,
    participant: name,
    size: u32,
    codec,
  }),
  ended: v.object({ type: v.literal('ended'), stream: u32 }),
  pong: v.object({ type: v.literal('pong'), clientTimeMs: number, serverTimeMs: number }),
  error: v.object({
    type: v.literal('error'),
    code: v.string(),
    message: v.string(),
    received: v.exactOptional(v.string()),
    remedy: v.exactOptional(v.string()),
    request: v.exactOptional(u32),
  }),
} satisfies Schemas<ServerControl>;

/**
 * Checks that a value from outside is a client message and returns it without unknown fields.
 * Throws message_malformed, with the message's request number where that can be read, or codec_unsupported when a join lists no codec that this version knows.
 */
export function validateClientControl(value: unknown): ClientControl {
  const message = validate<ClientControl>(value, clientSchemas);
  if (message.type === 'join' && message.codecs.length === 0) {
    throw new FacewireError('codec_unsupported', 'join lists no codec that this version knows', {
      received: (value as { codecs: unknown }).codecs,
      remedy: 'list at least one of vp8, vp9, jpeg; every server can send jpeg',
    });
  }
  return message;
}

/** Checks that a value from outside is a server message and returns it without unknown fields. Throws message_malformed. */
export function validateServerControl(value: unknown): ServerControl {
  return validate<ServerControl>(value, serverSchemas);
}

type Schemas<Message extends { type: string }> = {
  [Type in Message['type']]: v.GenericSchema<unknown, Extract<Message, { type: Type }>>;
};

function validate<Message extends { type: string }>(
  value: unknown,
  schemas: Record<string, v.GenericSchema<unknown, unknown>>,
): Message {
  const type = typeof value === 'object' && value !== null ? (value as { type?: unknown }).type : undefined;
  if (typeof type !== 'string' || !Object.hasOwn(schemas, type)) {
    throw new FacewireError('message_malformed', `message type is ${describe(type)}, which is not known here`, {
      received: describe(type),
      remedy: `send a map whose "type" is one of ${Object.keys(schemas).join(', ')}`,
      request: requestOf(value),
    });
  }
  const result = v.safeParse(schemas[type]!, value, { abortEarly: true, abortPipeEarly: true });
  if (result.success) return result.output as Message;
  const issue = result.issues[0];
  const field = v.getDotPath(issue) ?? 'message';
  const expectation = issue.type === 'object' && issue.received === 'undefined' ? 'is required' : explain(issue);
  throw new FacewireError('message_malformed', `${type}.${field} is ${describe(issue.input)}: ${expectation}`, {
    received: describe(issue.input),
    remedy: `correct "${field}"; docs/protocol.md lists the fields of "${type}" with their ranges`,
    request: requestOf(value),
  });
}

/** So that whoever asked learns which question was refused, however broken the rest of it is. */
function requestOf(value: unknown): number | undefined {
  const request = (value as { request?: unknown } | null | undefined)?.request;
  return v.is(u32, request) ? request : undefined;
}

/** Own messages are kept; valibot's say "Invalid type: Expected …", which is said more shortly. */
function explain(issue: v.BaseIssue<unknown>): string {
  return issue.message.startsWith('Invalid') && issue.expected !== null
    ? `expected ${issue.expected.replaceAll('"', '')}`
    : issue.message;
}

function describe(value: unknown): string {
  if (value === undefined) return 'missing';
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function between(least: number, most: number, words = `${least}…${most}`) {
  return v.check<number, string>((value) => value >= least && value <= most, `must be within ${words}`);
}
