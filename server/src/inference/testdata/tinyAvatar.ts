import { fileURLToPath } from 'node:url';
import type { AvatarData, Tensor } from '../../contracts.ts';

/** The tests' model package: see build_model.py. */
export const TINY_MODEL = fileURLToPath(new URL('./tiny', import.meta.url));

/** An avatar of the tests' model whose whole picture is one grey, 0…1. */
export function tinyAvatar(id: string, grey: number): AvatarData {
  const picture = new Float32Array(3 * 32 * 32).fill(grey);
  const points = new Float32Array(68 * 2);
  return {
    id,
    name: id,
    model: 'tiny@1.0.0',
    tensors: new Map<string, Tensor>([
      ['picture', { dtype: 'float32', shape: [3, 32, 32], data: new Uint8Array(picture.buffer) }],
      ['points', { dtype: 'float32', shape: [68, 2], data: new Uint8Array(points.buffer) }],
    ]),
  };
}
