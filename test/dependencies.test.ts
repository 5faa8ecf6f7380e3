import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const server = join(root, 'server/src');

/** Stages of server/src; each may import contracts, the shared helpers below and itself. Only the composer may import stages. */
const SHARED = ['contracts.ts'];
const COMPOSERS = ['compose.ts', 'engine.ts', 'main.ts', 'index.ts', 'config.ts'];

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(folder, name));
}

/** `stage → target` for every import of one stage by another. */
function crossings(): string[] {
  const found: string[] = [];
  for (const file of sources(server)) {
    const own = relative(server, file);
    if (COMPOSERS.includes(own)) continue;
    const stage = own.split('/')[0]!;
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
      const target = relative(server, resolve(dirname(file), specifier!));
      if (target.split('/')[0] !== stage && !SHARED.includes(target)) found.push(`${own} → ${target}`);
    }
  }
  return found;
}

describe('dependency direction', () => {
  it('no stage of the server imports another stage', () => {
    expect(sources(server).length).toBeGreaterThan(10);
    expect(crossings()).toEqual([]);
  });
});
