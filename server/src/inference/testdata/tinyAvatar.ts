import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { AvatarData, Tensor } from '../../contracts.ts';

/** The tests' model package: see build_model.py. */
export const TINY_MODEL = fileURLToPath(new URL('./tiny', import.meta.url));

/** Its ModelPackage.id. */
export const TINY_ID = `tiny@1.0.0+${encoderHash().slice(0, 8)}`;

/** An avatar of the tests' model whose whole picture is one grey, 0…1. */
export function tinyAvatar(id: string, grey: number): AvatarData {
  const picture = new Float32Array(3 * 32 * 32).fill(grey);
  const points = new Float32Array(68 * 2);
  return {
    id,
    name: id,
    model: TINY_ID,
    tensors: new Map<string, Tensor>([
      ['picture', { dtype: 'float32', shape: [3, 32, 32], data: new Uint8Array(picture.buffer) }],
      ['points', { dtype: 'float32', shape: [68, 2], data: new Uint8Array(points.buffer) }],
    ]),
  };
}

function encoderHash(): string {
  const manifest = JSON.parse(readFileSync(`${TINY_MODEL}/manifest.json`, 'utf8')) as { files: { sha256: string }[] };
  return manifest.files[0]!.sha256;
}
