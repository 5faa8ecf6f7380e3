import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { FacewireError } from '@facewire/proto';
import * as v from 'valibot';
import type { AvatarInfo, Landmarks, Tensor } from '../contracts.ts';
import { AVATAR_ID, AVATAR_NAME } from './avatarInfo.ts';
import { LANDMARK_COUNT } from './checkLandmarks.ts';
import {
  decodeSafetensors,
  decodeSafetensorsHeader,
  encodeSafetensors,
  headerLength,
  type SafetensorsHeader,
} from './safetensors.ts';

/** What an avatar's file says besides the tensors. */
export interface AvatarRecord {
  info: AvatarInfo;
  /** in coordinates −1…1 of the portrait, 136 values: to make the avatar again for another model */
  landmarks: Float32Array;
  /** SHA-256 of what it was made from, so that another portrait under its id is noticed; '' when unknown */
  source: string;
}

const FORMAT = 'facewire-avatar/1';

const metadataSchema = v.object({
  format: v.literal(FORMAT),
  id: v.pipe(v.string(), v.regex(AVATAR_ID)),
  name: v.pipe(v.string(), v.regex(AVATAR_NAME)),
  model: v.pipe(v.string(), v.minLength(1)),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  builtIn: v.picklist(['true', 'false']),
  landmarks: v.pipe(v.string(), v.parseJson(), v.array(v.pipe(v.number(), v.finite())), v.length(LANDMARK_COUNT * 2)),
  source: v.string(),
  /** of the tensors' bytes, in the file's order */
  sha256: v.string(),
});

/** AvatarRecord.source of what an avatar is made from. */
export function sourceOf(portrait: Uint8Array, name: string, landmarks: Landmarks | undefined): string {
  const rest = JSON.stringify([name, landmarks]);
  return createHash('sha256').update(portrait).update(rest).digest('hex');
}

export function encodeAvatarFile(record: AvatarRecord, tensors: ReadonlyMap<string, Tensor>): Uint8Array {
  const hash = createHash('sha256');
  for (const { data } of tensors.values()) hash.update(data);
  return encodeSafetensors(tensors, {
    format: FORMAT,
    id: record.info.id,
    name: record.info.name,
    model: record.info.model,
    createdAt: record.info.createdAt,
    builtIn: String(record.info.builtIn),
    landmarks: JSON.stringify(Array.from(record.landmarks, (value) => Number(value.toFixed(6)))),
    source: record.source,
    sha256: hash.digest('hex'),
  });
}

/** Reads the header only: quick for thousands of files. Throws avatar_corrupt. */
export async function readAvatarRecord(path: string, id: string): Promise<AvatarRecord> {
  const file = await open(path, 'r').catch((cause) => {
    throw corrupt(path, (cause as Error).message, cause);
  });
  try {
    const { size } = await file.stat();
    const start = Buffer.alloc(Math.min(8, size));
    await file.read(start, 0, start.length, 0);
    const header = Buffer.alloc(Math.min(headerLength(start), size));
    await file.read(header, 0, header.length, 0);
    return recordOf(decodeSafetensorsHeader(header, size), id).record;
  } catch (cause) {
    throw corrupt(path, (cause as Error).message, cause);
  } finally {
    await file.close();
  }
}

/** Reads and checks the whole file, with its tensors' hash. Throws avatar_corrupt. */
export async function readAvatarFile(
  path: string,
  id: string,
): Promise<{ record: AvatarRecord; tensors: Map<string, Tensor> }> {
  const bytes = await readFile(path).catch((cause: Error) => {
    throw corrupt(path, cause.message, cause);
  });
  return decodeAvatarFile(bytes, id, path);
}

/**
 * Checks a whole file, with its tensors' hash. Throws avatar_corrupt.
 *
 * @param path where it is from, for the error
 */
export function decodeAvatarFile(
  bytes: Uint8Array,
  id: string,
  path: string,
): { record: AvatarRecord; tensors: Map<string, Tensor> } {
  try {
    const { header, tensors } = decodeSafetensors(bytes);
    const { record, sha256 } = recordOf(header, id);
    const actual = createHash('sha256').update(bytes.subarray(header.dataStart)).digest('hex');
    if (actual !== sha256) throw new Error(`its tensors have SHA-256 ${actual}, written was ${sha256}`);
    return { record, tensors };
  } catch (cause) {
    throw corrupt(path, (cause as Error).message, cause);
  }
}

export function corrupt(path: string, reason: string, cause?: unknown): FacewireError {
  return new FacewireError('avatar_corrupt', `avatar file ${path}: ${reason}`, {
    received: path,
    remedy: 'restore the file from a backup, or delete it and create the avatar again from its portrait',
    cause,
  });
}

function recordOf(header: SafetensorsHeader, id: string): { record: AvatarRecord; sha256: string } {
  const parsed = v.safeParse(metadataSchema, header.metadata);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new Error(`metadata, ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`);
  }
  const { name, model, createdAt, builtIn, landmarks, source, sha256 } = parsed.output;
  if (parsed.output.id !== id) throw new Error(`it holds avatar ${parsed.output.id}, its name says ${id}`);
  if (header.tensors.size === 0) throw new Error('it holds no tensors');
  return {
    record: {
      info: { id, name, model, createdAt, builtIn: builtIn === 'true' },
      landmarks: Float32Array.from(landmarks),
      source,
    },
    sha256,
  };
}
