/**
 * Every error that leaves Facewire, on any transport. The message states what was received, what was expected and the
 * remedy; `code` is stable and listed in docs/protocol.md.
 */
export const ERROR_CODES = [
  // packets
  'packet_truncated',
  'packet_oversized',
  'packet_unknown_kind',
  'packet_bad_value',
  'packet_stale',
  'packet_no_baseline',
  'message_malformed',
  'message_unexpected',
  // session
  'version_unsupported',
  'not_joined',
  'already_joined',
  'role_forbidden',
  'rate_limited',
  'room_full',
  'too_many_streams',
  // names
  'room_unknown',
  'participant_unknown',
  'avatar_unknown',
  'stream_unknown',
  'codec_unsupported',
  'size_unsupported',
  // avatars
  'image_unreadable',
  'image_too_large',
  'landmarks_required',
  'landmarks_invalid',
  'face_not_found',
  'face_ambiguous',
  'face_cut_off',
  'face_too_small',
  'face_too_dark',
  'face_tilted',
  'face_turned',
  'face_blurred',
  'avatar_corrupt',
  'avatar_exists',
  'bank_full',
  // server
  'model_missing',
  'model_corrupt',
  'model_mismatch',
  'device_unavailable',
  'inference_failed',
  'encoder_failed',
  'server_closing',
  'server_full',
  'peer_too_slow',
  'port_in_use',
  'config_invalid',
  'cluster_unavailable',
  'not_found',
  'method_not_allowed',
  'internal',
  // client SDK
  'connection_failed',
  'decoder_failed',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export class FacewireError extends Error {
  readonly code: ErrorCode;
  /** what was received, printable, shortened */
  readonly received: string | undefined;
  /** what the reader can do about it */
  readonly remedy: string | undefined;
  /** the `request` number of the message that was refused, when it has one */
  readonly request: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    details: { received?: unknown; remedy?: string; request?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'FacewireError';
    this.code = code;
    this.received = details.received === undefined ? undefined : printable(details.received);
    this.remedy = details.remedy;
    this.request = details.request;
  }
}

function printable(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
