import { ERROR_CODES, type ErrorCode, FacewireError, type ServerControl } from '@facewire/proto';

export type ErrorControl = Extract<ServerControl, { type: 'error' }>;

const CODES: ReadonlySet<string> = new Set(ERROR_CODES);

export function isErrorCode(code: string): code is ErrorCode {
  return CODES.has(code);
}

export function toErrorControl(error: FacewireError, request = error.request): ErrorControl {
  return {
    type: 'error',
    code: error.code,
    message: error.message,
    ...(error.received === undefined ? {} : { received: error.received }),
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
    ...(request === undefined ? {} : { request }),
  };
}

/** What a stranger may know of an error that is ours: nothing but that it happened; the log has the rest. */
export function internalError(cause: unknown): FacewireError {
  return new FacewireError('internal', 'the server failed to handle this', {
    remedy: 'try again; if it happens again, report it with the time at which it happened',
    cause,
  });
}

/**
 * Is the message itself broken, so that its sender is suspect? Refusals (unknown avatar, room full) are not: they can
 * come in a row to a client that does nothing wrong. Nor are packets that are merely late.
 */
export function isBadMessage(code: ErrorCode): boolean {
  if (code === 'packet_stale' || code === 'packet_no_baseline') return false;
  return code.startsWith('packet_') || code === 'message_malformed';
}

/** WebSocket close code (RFC 6455, section 7.4.1) for a reason of ours. */
export function webSocketCloseCode(code: string): number {
  switch (code) {
    case 'packet_oversized':
      return 1009;
    case 'server_closing':
      return 1001;
    case 'server_full':
      return 1013;
    case 'internal':
      return 1011;
    default:
      return isErrorCode(code) ? 1008 : 1000;
  }
}

/** A close reason is at most 123 bytes of UTF-8. */
export function webSocketCloseReason(code: string): string {
  return Buffer.from(code)
    .subarray(0, 123)
    .toString('utf8')
    .replace(/\uFFFD+$/u, '');
}
