import type { CompactTables } from './CompactTables.ts';
import { PlainScalarModel } from './PlainScalarModel.ts';
import type { ScalarModel } from './ScalarModel.ts';
import { WasmScalarModel } from './WasmScalarModel.ts';
import { wasmCore } from './wasmCore.ts';

/** A model in WebAssembly or, where that is refused, in plain code, which does the same and takes longer. */
export function createScalarModel(tables: CompactTables, adaptive: boolean): ScalarModel {
  const core = wasmCore();
  return core === undefined ? new PlainScalarModel(tables, adaptive) : new WasmScalarModel(core, tables, adaptive);
}
