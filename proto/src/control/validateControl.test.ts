import { describe, expect, it } from 'vitest';
import { validateClientControl, validateServerControl } from './validateControl.ts';

const join = { type: 'join', version: 1, room: 'lobby', role: 'player', name: 'Ada', avatar: 'mira', codecs: ['vp8'] };
const subscribe = { type: 'subscribe', request: 1, participant: 'p1', size: 256, framesPerSecond: 30 };
const update = { type: 'update', stream: 1 };

/** the error that a message is refused with */
function refusal(message: unknown): unknown {
  try {
    return validateClientControl(message);
  } catch (error) {
    return error;
  }
}

describe('validateClientControl', () => {
  it('names the request that it refuses, where its number can be read', () => {
    expect(refusal({ ...subscribe, size: 2048 })).toMatchObject({ code: 'message_malformed', request: 1 });
    for (const request of [-1, 1.5, 2 ** 32, '1', undefined]) {
      expect(refusal({ ...subscribe, request })).toMatchObject({ code: 'message_malformed', request: undefined });
    }
    expect(refusal({ ...update, size: 2048 })).toMatchObject({ request: undefined });
  });

  it.each([
    ['a room of 64 characters', { ...join, room: 'x'.repeat(64) }],
    ['64 characters outside the basic plane', { ...join, name: '🙂'.repeat(64) }],
    [
      'a viewer without an avatar',
      { type: 'join', version: 1, room: 'r', role: 'viewer', name: 'n', codecs: ['jpeg'] },
    ],
    ['the smallest size', { ...subscribe, size: 16 }],
    ['the largest size', { ...subscribe, size: 1024 }],
    ['one frame a second', { ...subscribe, framesPerSecond: 1 }],
    ['a fractional rate', { ...subscribe, framesPerSecond: 29.97 }],
    ['the widest view', { ...subscribe, view: { yaw: -Math.PI / 2, pitch: Math.PI / 2 } }],
    ['an update that changes nothing', update],
    ['an update of the view alone', { ...update, view: { yaw: 0, pitch: 0 } }],
    ['the largest stream number', { type: 'unsubscribe', stream: 0xffffffff }],
    ['a negative client clock', { type: 'ping', clientTimeMs: -5.5 }],
  ])('accepts %s', (_, message) => {
    expect(validateClientControl(message)).toEqual(message);
  });

  it.each([
    ['an unknown type', { type: 'dance' }, 'dance'],
    ['a type of the prototype', { type: 'toString' }, 'toString'],
    ['a server message', { type: 'pong', clientTimeMs: 1, serverTimeMs: 1 }, 'pong'],
    ['no type', { room: 'x' }, 'missing'],
    ['null', null, 'missing'],
    ['a string', 'join', 'missing'],
    ['a missing field', { type: 'setAvatar' }, 'missing'],
    ['an empty room', { ...join, room: '' }, '""'],
    ['a blank name', { ...join, name: '   ' }, '"   "'],
    ['a room of 65 characters', { ...join, room: 'x'.repeat(65) }, 'xxx'],
    ['a name with a line break', { ...join, name: 'a\nb' }, 'a\\nb'],
    ['a room that is no Unicode', { ...join, room: 'a\ud800' }, 'a'],
    ['an avatar of 65 characters', { type: 'setAvatar', avatar: 'x'.repeat(65) }, 'xxx'],
    ['an avatar of null', { ...join, avatar: null }, 'null'],
    ['an unknown role', { ...join, role: 'god' }, 'god'],
    ['a version of 1.5', { ...join, version: 1.5 }, '1.5'],
    ['codecs that are no list', { ...join, codecs: 'vp8' }, 'vp8'],
    ['17 codecs', { ...join, codecs: new Array(17).fill('vp8') }, 'vp8'],
    ['a codec that is a number', { ...join, codecs: [1] }, '1'],
    ['a size of 15', { ...subscribe, size: 15 }, '15'],
    ['a size of 1025', { ...subscribe, size: 1025 }, '1025'],
    ['half pixels', { ...subscribe, size: 256.5 }, '256.5'],
    ['a size as a string', { ...subscribe, size: '256' }, '256'],
    ['fewer than no frames a second', { ...subscribe, framesPerSecond: -1 }, '-1'],
    ['61 frames a second', { ...subscribe, framesPerSecond: 61 }, '61'],
    ['a rate of NaN', { ...subscribe, framesPerSecond: Number.NaN }, 'NaN'],
    ['a view beyond a right angle', { ...subscribe, view: { yaw: 1.6, pitch: 0 } }, '1.6'],
    ['an infinite view', { ...subscribe, view: { yaw: 0, pitch: Number.NEGATIVE_INFINITY } }, '-Infinity'],
    ['a view of NaN', { ...update, view: { yaw: Number.NaN, pitch: 0 } }, 'NaN'],
    ['half a view', { ...update, view: { yaw: 0 } }, 'missing'],
    ['a view that is a list', { ...update, view: [0, 0] }, 'missing'],
    ['a negative stream', { type: 'keyFrame', stream: -1 }, '-1'],
    ['a stream beyond 32 bits', { type: 'keyFrame', stream: 2 ** 32 }, '4294967296'],
    ['a clock of infinity', { type: 'ping', clientTimeMs: Number.POSITIVE_INFINITY }, 'Infinity'],
  ])('refuses %s and says what it received and what to do', (_, message, received) => {
    expect(() => validateClientControl(message)).toThrow(
      expect.objectContaining({
        code: 'message_malformed',
        received: expect.stringContaining(received),
        message: expect.stringContaining(received),
        remedy: expect.stringMatching(/correct|send/),
      }),
    );
  });

  it('names the field at fault', () => {
    expect(() => validateClientControl({ ...subscribe, view: { yaw: 9, pitch: 0 } })).toThrow(
      /subscribe\.view\.yaw is 9/,
    );
  });

  it('skips codecs that it does not know, and repeated ones', () => {
    expect(validateClientControl({ ...join, codecs: ['av1', 'vp9', 'vp9', 'jpeg'] })).toEqual({
      ...join,
      codecs: ['vp9', 'jpeg'],
    });
  });

  it.each([[['av1']], [[]]])('refuses a join with the codecs %o as codec_unsupported', (codecs) => {
    expect(() => validateClientControl({ ...join, codecs })).toThrow(
      expect.objectContaining({ code: 'codec_unsupported' }),
    );
  });
});

describe('validateServerControl', () => {
  it('refuses what is not a server message', () => {
    for (const bad of [{ type: 'leave' }, { type: 'ended' }, { type: 'participantJoined', participant: { id: 'x' } }]) {
      expect(() => validateServerControl(bad)).toThrow(expect.objectContaining({ code: 'message_malformed' }));
    }
  });

  it('accepts an error code that this version does not know', () => {
    const error = { type: 'error', code: 'from_the_future', message: 'hm' };
    expect(validateServerControl(error)).toEqual(error);
  });
});
