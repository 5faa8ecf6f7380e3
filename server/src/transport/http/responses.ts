import { type ErrorCode, FacewireError } from '@facewire/proto';
import type { HttpResponse } from '../../contracts.ts';
import { internalError } from '../errorMessages.ts';

export function jsonResponse(status: number, value: unknown, headers: Record<string, string> = {}): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', ...headers },
    body: `${JSON.stringify(value)}\n`,
  };
}

/** {code, message, received, remedy}; what is not a FacewireError is `internal` and says nothing about the inside. */
export function errorResponse(thrown: unknown, headers: Record<string, string> = {}): HttpResponse {
  const error = thrown instanceof FacewireError ? thrown : internalError(thrown);
  const { code, message, received, remedy } = error;
  return jsonResponse(httpStatusOf(code), { code, message, received, remedy }, headers);
}

export function httpStatusOf(code: ErrorCode): number {
  switch (code) {
    case 'not_found':
    case 'room_unknown':
    case 'participant_unknown':
    case 'avatar_unknown':
    case 'stream_unknown':
      return 404;
    case 'method_not_allowed':
      return 405;
    case 'role_forbidden':
      return 403;
    case 'avatar_exists':
      return 409;
    case 'image_too_large':
    case 'packet_oversized':
      return 413;
    case 'image_unreadable':
      return 415;
    case 'landmarks_required':
    case 'landmarks_invalid':
    case 'face_not_found':
    case 'face_ambiguous':
    case 'face_cut_off':
    case 'face_too_small':
    case 'face_too_dark':
    case 'face_tilted':
    case 'face_turned':
    case 'face_blurred':
    case 'size_unsupported':
    case 'codec_unsupported':
      return 422;
    case 'rate_limited':
      return 429;
    case 'bank_full':
    case 'room_full':
    case 'server_full':
    case 'server_closing':
    case 'device_unavailable':
    case 'cluster_unavailable':
    case 'model_missing':
      return 503;
    case 'avatar_corrupt':
    case 'model_corrupt':
    case 'model_mismatch':
    case 'inference_failed':
    case 'encoder_failed':
    case 'port_in_use':
    case 'config_invalid':
    case 'internal':
      return 500;
    default:
      return 400;
  }
}
