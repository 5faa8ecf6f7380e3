import { FacewireError } from '@facewire/proto';
import type { handleUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { AvatarInfo, AvatarStore } from '../../contracts.ts';
import { type BodyBudget, tooManyBodies } from '../BodyBudget.ts';
import { avatarName, avatarUnknown } from '../http/avatarRoutes.ts';
import { checkLandmarks } from '../http/parseLandmarks.ts';
import { plainBytes } from '../plainBytes.ts';
import type { TransportLog } from '../TransportLog.ts';
import { toGrpcStatus } from './grpcStatus.ts';

/** Fields that are zero are absent in proto3. */
interface CreateAvatarRequest {
  name?: string;
  portrait?: Buffer;
  landmarks?: Array<{ x?: number; y?: number }>;
}

/**
 * The unary service facewire.v1.Avatars on an avatar store: the same rules as POST /api/avatars and its kin. A portrait
 * counts in the budget while it is handled; while it is read it cannot, for grpc-js hands over whole messages.
 */
export function avatarsService(
  avatars: AvatarStore,
  bodies: BodyBudget,
  log: TransportLog,
): UntypedServiceImplementation {
  return {
    CreateAvatar: unary(log, async ({ name, portrait, landmarks = [] }: CreateAvatarRequest): Promise<AvatarInfo> => {
      if (portrait === undefined || portrait.length === 0) {
        throw new FacewireError('image_unreadable', 'portrait must hold a JPEG, PNG or WebP image', {
          received: '0 bytes',
          remedy: 'set portrait to the bytes of the image file',
        });
      }
      const points = landmarks.map(({ x = 0, y = 0 }) => [x, y]);
      if (!bodies.take(portrait.length)) throw tooManyBodies();
      try {
        return await avatars.create(plainBytes(portrait), {
          name: avatarName(name),
          ...(points.length === 0 ? {} : { landmarks: checkLandmarks(points) }),
        });
      } finally {
        bodies.give(portrait.length);
      }
    }),
    ListAvatars: unary(log, async () => ({ avatars: avatars.list() })),
    GetAvatar: unary(log, async ({ id = '', portrait = false }: { id?: string; portrait?: boolean }) => {
      const avatar = avatars.get(id);
      if (avatar === undefined) throw avatarUnknown(id);
      const image = portrait ? await avatars.portrait(id) : undefined;
      return { avatar, ...(image === undefined ? {} : { portrait: image }) };
    }),
    DeleteAvatar: unary(log, async ({ id = '' }: { id?: string }) => {
      if (avatars.get(id) === undefined) throw avatarUnknown(id);
      await avatars.delete(id);
      return {};
    }),
  };
}

function unary<Request, Response>(
  log: TransportLog,
  answer: (request: Request) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => {
        if (!(error instanceof FacewireError)) {
          log.error({ err: error, method: call.getPath() }, `gRPC method threw: ${String(error)}`);
        }
        callback(toGrpcStatus(error));
      },
    );
  };
}
