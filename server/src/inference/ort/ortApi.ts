import koffi, { type TypeObject } from 'koffi';

/**
 * The part of ONNX Runtime's C API that Facewire calls. `OrtApi` is a table of function pointers that only ever grows at
 * its end, so an index holds for every later version of the library; the indices below were counted in
 * onnxruntime_c_api.h of version 29 (1.29) and the ones used here exist since version 12 (1.12), which is what is asked for.
 *
 * Every function that can fail returns an `OrtStatus *`, null on success. Koffi shows pointers as BigInt, null as null.
 */
export const ORT_API_VERSION = 12;

/** ORTCHAR_T: paths are UTF-16 on Windows */
const PATH = process.platform === 'win32' ? 'str16' : 'str';

/** name → [index in OrtApi, result, parameters] */
const SIGNATURES = {
  GetErrorMessage: [2, 'str', ['void *']],
  CreateEnv: [3, 'void *', ['int', 'str', '_Out_ void **']],
  DisableTelemetryEvents: [6, 'void *', ['void *']],
  CreateSession: [7, 'void *', ['void *', PATH, 'void *', '_Out_ void **']],
  CreateSessionFromArray: [8, 'void *', ['void *', 'void *', 'size_t', 'void *', '_Out_ void **']],
  /** the outputs are tensors that are there already */
  Run: [9, 'void *', ['void *', 'void *', 'str *', 'void **', 'size_t', 'str *', 'size_t', 'void **']],
  CreateSessionOptions: [10, 'void *', ['_Out_ void **']],
  EnableMemPattern: [16, 'void *', ['void *']],
  DisableMemPattern: [17, 'void *', ['void *']],
  EnableCpuMemArena: [18, 'void *', ['void *']],
  DisableCpuMemArena: [19, 'void *', ['void *']],
  SetSessionGraphOptimizationLevel: [23, 'void *', ['void *', 'int']],
  SetIntraOpNumThreads: [24, 'void *', ['void *', 'int']],
  SetInterOpNumThreads: [25, 'void *', ['void *', 'int']],
  SessionGetInputCount: [30, 'void *', ['void *', '_Out_ size_t *']],
  SessionGetOutputCount: [31, 'void *', ['void *', '_Out_ size_t *']],
  SessionGetInputTypeInfo: [33, 'void *', ['void *', 'size_t', '_Out_ void **']],
  SessionGetOutputTypeInfo: [34, 'void *', ['void *', 'size_t', '_Out_ void **']],
  SessionGetInputName: [36, 'void *', ['void *', 'size_t', 'void *', '_Out_ void **']],
  SessionGetOutputName: [37, 'void *', ['void *', 'size_t', 'void *', '_Out_ void **']],
  CreateRunOptions: [39, 'void *', ['_Out_ void **']],
  CreateTensorAsOrtValue: [48, 'void *', ['void *', 'int64_t *', 'size_t', 'int', '_Out_ void **']],
  CreateTensorWithDataAsOrtValue: [
    49,
    'void *',
    ['void *', 'void *', 'size_t', 'int64_t *', 'size_t', 'int', '_Out_ void **'],
  ],
  /** the second result points into the first's memory and is not released */
  CastTypeInfoToTensorInfo: [55, 'void *', ['void *', '_Out_ void **']],
  GetTensorElementType: [60, 'void *', ['void *', '_Out_ int *']],
  GetDimensionsCount: [61, 'void *', ['void *', '_Out_ size_t *']],
  GetDimensions: [62, 'void *', ['void *', '_Out_ int64_t *', 'size_t']],
  GetSymbolicDimensions: [63, 'void *', ['void *', '_Out_ void **', 'size_t']],
  CreateMemoryInfo: [68, 'void *', ['str', 'int', 'int', 'int', '_Out_ void **']],
  CreateCpuMemoryInfo: [69, 'void *', ['int', 'int', '_Out_ void **']],
  /** points into the OrtMemoryInfo */
  MemoryInfoGetName: [71, 'void *', ['void *', '_Out_ void **']],
  AllocatorAlloc: [75, 'void *', ['void *', 'size_t', '_Out_ void **']],
  AllocatorFree: [76, 'void *', ['void *', 'void *']],
  GetAllocatorWithDefaultOptions: [78, 'void *', ['_Out_ void **']],
  ReleaseStatus: [93, 'void', ['void *']],
  ReleaseMemoryInfo: [94, 'void', ['void *']],
  ReleaseSession: [95, 'void', ['void *']],
  ReleaseValue: [96, 'void', ['void *']],
  ReleaseRunOptions: [97, 'void', ['void *']],
  ReleaseTypeInfo: [98, 'void', ['void *']],
  ReleaseSessionOptions: [100, 'void', ['void *']],
  GetAvailableProviders: [125, 'void *', ['_Out_ void **', '_Out_ int *']],
  ReleaseAvailableProviders: [126, 'void *', ['void *', 'int']],
  AddSessionConfigEntry: [130, 'void *', ['void *', 'str', 'str']],
  CreateAllocator: [131, 'void *', ['void *', 'void *', '_Out_ void **']],
  ReleaseAllocator: [132, 'void', ['void *']],
  RunWithBinding: [133, 'void *', ['void *', 'void *', 'void *']],
  CreateIoBinding: [134, 'void *', ['void *', '_Out_ void **']],
  ReleaseIoBinding: [135, 'void', ['void *']],
  BindInput: [136, 'void *', ['void *', 'str', 'void *']],
  BindOutput: [137, 'void *', ['void *', 'str', 'void *']],
  CreateAndRegisterAllocator: [144, 'void *', ['void *', 'void *', 'void *']],
  ReleaseArenaCfg: [157, 'void', ['void *']],
  CreateArenaCfgV2: [164, 'void *', ['str *', 'size_t *', 'size_t', '_Out_ void **']],
  AddRunConfigEntry: [165, 'void *', ['void *', 'str', 'str']],
  /** belongs to the tensor */
  GetTensorMemoryInfo: [194, 'void *', ['void *', '_Out_ void **']],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 'void *', ['void *', 'void *']],
  CreateCUDAProviderOptions: [205, 'void *', ['_Out_ void **']],
  UpdateCUDAProviderOptions: [206, 'void *', ['void *', 'str *', 'str *', 'size_t']],
  ReleaseCUDAProviderOptions: [208, 'void', ['void *']],
  SessionOptionsAppendExecutionProvider: [216, 'void *', ['void *', 'str', 'str *', 'str *', 'size_t']],
} as const satisfies Record<string, readonly [number, string, readonly string[]]>;

export type OrtFunctionName = keyof typeof SIGNATURES;
/** Koffi's function: called as it is, or with `.async(…, callback)` on a worker thread. */
export interface OrtFunction {
  (...values: unknown[]): unknown;
  async(...values: unknown[]): void;
}
export type OrtFunctions = Readonly<Record<OrtFunctionName, OrtFunction>>;

/** Turns the table of function pointers at `api` into callable functions. */
export function bindOrtFunctions(api: bigint): OrtFunctions {
  const functions: Record<string, OrtFunction> = {};
  for (const [name, [, result, parameters]] of Object.entries(SIGNATURES)) {
    const pointer = functionAddress(api, name as OrtFunctionName);
    functions[name] = koffi.decode(pointer, prototype(name, result, parameters)) as OrtFunction;
  }
  return functions as OrtFunctions;
}

/** A function's C prototype without its name, for another thread to call it by its address. */
export function prototypeOf(name: OrtFunctionName): string {
  const [, result, parameters] = SIGNATURES[name];
  return `${result}(${parameters.join(', ')})`;
}

/** Where a function lies, for another thread to call. */
export function functionAddress(api: bigint, name: OrtFunctionName): bigint {
  return koffi.decode(api, SIGNATURES[name][0] * koffi.sizeof('void *'), 'void *') as bigint;
}

const prototypes = new Map<string, TypeObject>();

/** Koffi's types are global to the process: each prototype is made once. */
function prototype(name: string, result: string, parameters: readonly string[]): TypeObject {
  let type = prototypes.get(name);
  if (type === undefined) {
    type = koffi.proto(`${result} Ort_${name}(${parameters.join(', ')})`);
    prototypes.set(name, type);
  }
  return type;
}
