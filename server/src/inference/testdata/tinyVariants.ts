import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Manifest } from '../manifest.ts';
import { TINY_MODEL } from './tinyAvatar.ts';

const bytesOf = (value: number) => Buffer.from(new Float32Array([value]).buffer);

/**
 * A copy of the tests' package in a temporary folder, with variants of its renderers: float16 draws the same (it is the same
 * graph by another name), int8 draws everything half as bright (its constant 255 is 128).
 */
export async function tinyWithVariants(precisions: readonly ('float16' | 'int8')[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'facewire-variants-'));
  await cp(TINY_MODEL, directory, { recursive: true });
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest;
  for (const entry of manifest.files) {
    if (entry.role !== 'renderer') continue;
    entry.variants = [];
    for (const precision of precisions) {
      const bytes = await readFile(join(directory, entry.file));
      if (precision === 'int8') bytesOf(128).copy(bytes, bytes.indexOf(bytesOf(255)));
      const file = entry.file.replace('.onnx', `.${precision}.onnx`);
      await writeFile(join(directory, file), bytes);
      entry.variants.push({ precision, file, sha256: createHash('sha256').update(bytes).digest('hex') });
    }
  }
  await writeFile(path, JSON.stringify(manifest));
  return directory;
}
