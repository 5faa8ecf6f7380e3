import { FacewireError } from '@facewire/proto';
import { Packr } from 'msgpackr';
import * as v from 'valibot';
import { MAX_SHARED_FILE_BYTES } from '../contracts.ts';
import { type AvatarRecord, corrupt, decodeAvatarFile } from './avatarFile.ts';
import { checkPortraitJpeg, PORTRAIT_SIZE, THUMBNAIL_SIZE } from './readPortrait.ts';

/** All that is kept of an avatar. */
export interface AvatarFiles {
  /** .safetensors, as avatarFile.ts writes it */
  avatar: Uint8Array;
  /** JPEG, 512²: from it the avatar is made again for another model */
  portrait: Uint8Array;
  /** JPEG, 256² */
  thumbnail: Uint8Array;
}

const FORMAT = 'facewire-shared-avatar/1';
const packr = new Packr({ useRecords: false });
const bytes = v.instance(Uint8Array);
const fileSchema = v.strictObject({ format: v.literal(FORMAT), avatar: bytes, portrait: bytes, thumbnail: bytes });

/**
 * One avatar as one file, for other servers: a MessagePack map of the files that are kept of it.
 *
 * @throws FacewireError model_mismatch when the model's avatars are too large for that
 */
export function encodeSharedFile({ avatar, portrait, thumbnail }: AvatarFiles): Uint8Array {
  const data = packr.pack({ format: FORMAT, avatar, portrait, thumbnail });
  if (data.byteLength > MAX_SHARED_FILE_BYTES) {
    throw new FacewireError(
      'model_mismatch',
      `an avatar shared between servers has at most ${MAX_SHARED_FILE_BYTES} bytes`,
      {
        received: `${data.byteLength} bytes`,
        remedy: 'run a model with smaller avatars, or this server without a cluster',
      },
    );
  }
  return data;
}

/** Checks all of it: the tensors by their hash, the pictures by decoding them. Throws avatar_corrupt. */
export async function decodeSharedFile(
  id: string,
  data: Uint8Array,
): Promise<{ record: AvatarRecord; files: AvatarFiles }> {
  const path = `${id}, shared by another server`;
  try {
    if (data.byteLength > MAX_SHARED_FILE_BYTES) throw new Error(`${data.byteLength} bytes`);
    const { format: _, ...files } = v.parse(fileSchema, packr.unpack(data));
    const { record } = decodeAvatarFile(files.avatar, id, path);
    if (record.info.builtIn) throw new Error('it says that it is built into a server');
    await checkPortraitJpeg(files.portrait, PORTRAIT_SIZE);
    await checkPortraitJpeg(files.thumbnail, THUMBNAIL_SIZE);
    return { record, files };
  } catch (cause) {
    if (cause instanceof FacewireError) throw cause;
    throw corrupt(path, (cause as Error).message, cause);
  }
}
