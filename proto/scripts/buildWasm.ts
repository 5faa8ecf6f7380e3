/**
 * Compiles proto/wasm/scalars.c and writes it as proto/src/compact/scalarsWasm.ts. Needs clang and lld
 * (Debian: `apt-get install clang lld`).
 *
 *     npx tsx proto/scripts/buildWasm.ts
 */
import { writeFileSync } from 'node:fs';
import { compileWasm, wasmModule } from './compileWasm.ts';

writeFileSync(new URL('../src/compact/scalarsWasm.ts', import.meta.url), wasmModule(compileWasm()));
