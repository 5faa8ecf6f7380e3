import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OrtRuntime } from '../../../server/src/inference/ort/OrtRuntime.ts';

const RUNTIME = fileURLToPath(new URL('./runtime.c', import.meta.url));
/** Functions that make a handle, which must not be null. */
const MAKES_HANDLE = /^(cublasCreate_v2|cublasLtCreate|cudnnCreate\w*)$/;
/** Functions that return a text. */
const RETURNS_TEXT = /Status(Name|String)$|^cudnnGetErrorString$/;

/** ONNX Runtime's CUDA provider, where `npm run setup:cuda` puts it. */
export function cudaProvider(): string {
  return join(dirname(OrtRuntime.get().libraryPath), 'libonnxruntime_providers_cuda.so');
}

/**
 * Compiles doubles of the libraries that ONNX Runtime's CUDA provider wants: of the runtime runtime.c, of the others (cuBLAS,
 * cuRAND, cuDNN, the driver) functions that do nothing. Needs `cc` and `nm`.
 *
 * @param directory where they go, for LD_LIBRARY_PATH
 */
export function buildDouble(directory: string): void {
  const written = new Set(readFileSync(RUNTIME, 'utf8').match(/\b(?:__)?cuda\w+(?=\()/g));
  const libraries = new Map<string, string[]>([['libcurand.so.10', []]]);
  for (const line of nm('--undefined-only', cudaProvider())) {
    const [, name, library] = /\s([\w]+)@(lib(?:cudart|cublasLt|cublas|curand)\.so\.\d+)$/.exec(line) ?? [];
    if (name && library) libraries.set(library, [...(libraries.get(library) ?? []), name]);
  }
  for (const [library, names] of libraries) {
    const isRuntime = library.startsWith('libcudart');
    compile(directory, library, isRuntime ? names.filter((name) => !written.has(name)) : names, isRuntime);
  }
  // Both are found by name when they are needed, so that nobody lists what is wanted of them.
  compile(directory, 'libcudnn.so.9', ['cudnnCreate', 'cudnnSetStream', 'cudnnDestroy', 'cudnnGetVersion'], false);
  compile(directory, 'libcuda.so.1', ['cuTensorMapEncodeTiled'], false);
}

function compile(directory: string, library: string, names: readonly string[], isRuntime: boolean): void {
  const source = join(directory, `${library}.c`);
  const versions = join(directory, `${library}.map`);
  writeFileSync(source, names.map(doNothing).join('\n'));
  // The provider asks for each function by the version that has the library's name.
  writeFileSync(versions, `${library} { global: *; };\n`);
  const sources = isRuntime ? [source, RUNTIME] : [source];
  const output = ['-o', join(directory, library), `-Wl,-soname,${library}`, `-Wl,--version-script=${versions}`];
  execFileSync('cc', ['-w', '-O1', '-shared', '-fPIC', ...sources, ...output, '-lpthread']);
}

function doNothing(name: string): string {
  if (MAKES_HANDLE.test(name)) return `int ${name}(void **handle) { *handle = (void *)1; return 0; }`;
  if (RETURNS_TEXT.test(name)) return `const char *${name}(int status) { return "double"; }`;
  return `int ${name}() { return 0; }`;
}

function nm(...options: string[]): string[] {
  return execFileSync('nm', ['-D', ...options], { encoding: 'utf8', maxBuffer: 2 ** 26 }).split('\n');
}
