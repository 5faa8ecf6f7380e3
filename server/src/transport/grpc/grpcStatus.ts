import { FacewireError } from '@facewire/proto';
import { status as GrpcStatus, Metadata, type StatusObject } from '@grpc/grpc-js';
import { internalError, isErrorCode } from '../errorMessages.ts';

/** The status that says best, to a client that knows gRPC and not Facewire, what kind of failure this is. */
export function grpcStatusOf(code: string): GrpcStatus {
  if (!isErrorCode(code)) return GrpcStatus.OK;
  switch (code) {
    case 'not_found':
    case 'room_unknown':
    case 'participant_unknown':
    case 'avatar_unknown':
    case 'stream_unknown':
      return GrpcStatus.NOT_FOUND;
    case 'avatar_exists':
    case 'already_joined':
      return GrpcStatus.ALREADY_EXISTS;
    case 'role_forbidden':
      return GrpcStatus.PERMISSION_DENIED;
    case 'rate_limited':
    case 'room_full':
    case 'server_full':
    case 'bank_full':
    case 'too_many_streams':
    case 'peer_too_slow':
      return GrpcStatus.RESOURCE_EXHAUSTED;
    case 'server_closing':
    case 'device_unavailable':
    case 'cluster_unavailable':
      return GrpcStatus.UNAVAILABLE;
    case 'version_unsupported':
    case 'not_joined':
    case 'message_unexpected':
    case 'model_missing':
    case 'model_mismatch':
    case 'config_invalid':
    case 'port_in_use':
      return GrpcStatus.FAILED_PRECONDITION;
    case 'avatar_corrupt':
    case 'model_corrupt':
      return GrpcStatus.DATA_LOSS;
    case 'method_not_allowed':
      return GrpcStatus.UNIMPLEMENTED;
    case 'inference_failed':
    case 'encoder_failed':
    case 'internal':
      return GrpcStatus.INTERNAL;
    default:
      return GrpcStatus.INVALID_ARGUMENT;
  }
}

/**
 * Details are "code: message (received …; remedy)"; the metadata facewire-code, facewire-received and facewire-remedy
 * carry the parts for programs. What is not a FacewireError is `internal` and says nothing about the inside.
 */
export function toGrpcStatus(thrown: unknown): StatusObject {
  const error = thrown instanceof FacewireError ? thrown : internalError(thrown);
  const metadata = new Metadata();
  metadata.set('facewire-code', error.code);
  if (error.received !== undefined) metadata.set('facewire-received', asciiOnly(error.received));
  if (error.remedy !== undefined) metadata.set('facewire-remedy', asciiOnly(error.remedy));
  const more = [
    ...(error.received === undefined ? [] : [`received ${error.received}`]),
    ...(error.remedy === undefined ? [] : [error.remedy]),
  ];
  const details = `${error.code}: ${error.message}${more.length > 0 ? ` (${more.join('; ')})` : ''}`;
  return { code: grpcStatusOf(error.code), details: wellFormed(details), metadata };
}

/** Metadata values are printable ASCII; grpc-js throws at others. */
function asciiOnly(text: string): string {
  return text.replace(/[^ -~]/g, '?');
}

/** grpc-js passes details through encodeURI, which throws at a lone surrogate. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\uFFFD');
}
