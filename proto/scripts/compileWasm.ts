import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = new URL('../wasm/scalars.c', import.meta.url).pathname;
const FLAGS = [
  '--target=wasm32',
  '-std=c11',
  '-O2',
  '-msimd128',
  '-mbulk-memory',
  '-fwrapv',
  '-nostdlib',
  '-Wall',
  '-Wextra',
  '-Werror',
  ...['--no-entry', '--strip-all', '--export=work', '--export=__heap_base'].map((flag) => `-Wl,${flag}`),
];

export interface Compiled {
  bytes: Uint8Array;
  /** name and version of the compiler: others make other bytes */
  compiler: string;
}

/** The clang that can build the module, or undefined where there is none. */
export function wasmCompiler(): string | undefined {
  if (spawnSync('wasm-ld', ['--version']).status !== 0) return undefined;
  return spawnSync('clang', ['--version'], { encoding: 'utf8' }).stdout?.match(/clang version \d+\.\d+\.\d+/)?.[0];
}

/** Throws with the compiler's messages. */
export function compileWasm(): Compiled {
  const compiler = wasmCompiler();
  if (compiler === undefined) throw new Error('clang or wasm-ld is missing: apt-get install clang lld');
  const folder = mkdtempSync(join(tmpdir(), 'facewire-wasm-'));
  try {
    const file = join(folder, 'scalars.wasm');
    const { status, stderr } = spawnSync('clang', [...FLAGS, '-o', file, SOURCE], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`clang: ${stderr}`);
    return { bytes: readFileSync(file), compiler };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** scalarsWasm.ts with these bytes. */
export function wasmModule({ bytes, compiler }: Compiled): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,114}/g) ?? [];
  return `/** Written by proto/scripts/buildWasm.ts from proto/wasm/scalars.c: the module in base64. */
export const WASM_COMPILER = '${compiler}';
// biome-ignore format: base64
export const SCALARS_WASM =
${lines.map((line) => `  '${line}'`).join(' +\n')};
`;
}
