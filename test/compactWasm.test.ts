import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compileWasm, wasmCompiler, wasmModule } from '../proto/scripts/compileWasm.ts';
import { WASM_COMPILER } from '../proto/src/compact/scalarsWasm.ts';

// a developer may have no compiler or another one, which makes other bytes; CI may not
const needed = Boolean(process.env.CI ?? process.env.FACEWIRE_CI);

it.skipIf(wasmCompiler() !== WASM_COMPILER && !needed)('the WebAssembly module is what its source compiles to', () => {
  const committed = readFileSync(new URL('../proto/src/compact/scalarsWasm.ts', import.meta.url), 'utf8');
  expect(wasmModule(compileWasm())).toBe(committed);
});
