import { ERROR_CODES, FacewireError } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import {
  internalError,
  isBadMessage,
  isErrorCode,
  toErrorControl,
  webSocketCloseCode,
  webSocketCloseReason,
} from './errorMessages.ts';

describe('error messages', () => {
  it('carry what the error has and leave out what it has not', () => {
    expect(toErrorControl(new FacewireError('not_joined', 'join first'))).toEqual({
      type: 'error',
      code: 'not_joined',
      message: 'join first',
    });
    expect(toErrorControl(new FacewireError('size_unsupported', 'm', { received: 7, remedy: 'r' }), 3)).toEqual({
      type: 'error',
      code: 'size_unsupported',
      message: 'm',
      received: '7',
      remedy: 'r',
      request: 3,
    });
  });

  it('say nothing about the inside of the server', () => {
    expect(JSON.stringify(toErrorControl(internalError(new Error('/home/secret'))))).not.toContain('secret');
  });

  it('count against their sender when the message was broken, not when it was late or refused', () => {
    expect(ERROR_CODES.filter(isBadMessage)).toEqual([
      'packet_truncated',
      'packet_oversized',
      'packet_unknown_kind',
      'packet_bad_value',
      'message_malformed',
    ]);
  });

  it('close a WebSocket with codes that may be sent, and reasons that fit', () => {
    for (const code of [...ERROR_CODES, 'left']) {
      expect([1000, 1001, 1008, 1009, 1011, 1013]).toContain(webSocketCloseCode(code));
    }
    expect(webSocketCloseCode('left')).toBe(1000);
    expect(webSocketCloseReason('packet_oversized')).toBe('packet_oversized');
    expect(Buffer.byteLength(webSocketCloseReason('ä'.repeat(200)))).toBeLessThanOrEqual(123);
    expect(webSocketCloseReason('ä'.repeat(200))).toMatch(/^ä+$/);
    expect(isErrorCode('left')).toBe(false);
  });
});
