import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { FacewireError } from '@facewire/proto';
import koffi, { type LibraryHandle } from 'koffi';
import {
  bindOrtFunctions,
  functionAddress,
  ORT_API_VERSION,
  type OrtFunctionName,
  type OrtFunctions,
} from './ortApi.ts';

const LOGGING_LEVEL_ERROR = 3;
/** OrtAllocatorType, OrtMemType */
const [DEVICE_ALLOCATOR, ARENA_ALLOCATOR] = [0, 1];
const MEMORY_TYPE_DEFAULT = 0;

/**
 * Calls on worker threads at once: Node has four threads for them unless UV_THREADPOOL_SIZE says otherwise; more would
 * queue and hold stacks. Two runs in flight on more than two devices need more, see docs/gpu.md.
 */
const CALLS_AT_ONCE = Math.min(64, Math.max(1, Number(process.env.UV_THREADPOOL_SIZE) || 4));

/**
 * ONNX Runtime's native library, loaded once per process, with one environment.
 *
 * It is never unloaded: the library owns threads and static state, and sessions may outlive whoever asked for it first.
 */
export class OrtRuntime {
  /** e.g. "1.30.0" */
  readonly version: string;
  readonly libraryPath: string;
  readonly functions: OrtFunctions;
  /** the table of functions */
  readonly api: bigint;
  readonly env: bigint;
  /** the CPU allocator that ONNX Runtime returns names with; owned by the library */
  readonly allocator: bigint;
  /** memory info of host memory that the caller owns */
  readonly hostMemory: bigint;

  /** Koffi unloads a library whose handle is collected, under the feet of every pointer got from it. */
  readonly library: LibraryHandle;
  private calls = 0;
  private readonly waiting: (() => void)[] = [];

  private static instance: OrtRuntime | undefined;

  /** Throws device_unavailable when the native library is missing or cannot be loaded. */
  static get(): OrtRuntime {
    OrtRuntime.instance ??= new OrtRuntime();
    return OrtRuntime.instance;
  }

  private constructor() {
    // Koffi's 128 KiB for calls on worker threads overflow while shaders or kernels are compiled: a segmentation fault.
    koffi.config({ async_stack_size: 8 * 1024 * 1024 });
    this.libraryPath = findLibrary();
    let base: bigint;
    try {
      this.library = koffi.load(this.libraryPath);
      base = this.library.func('OrtGetApiBase', 'void *', [])() as bigint;
    } catch (cause) {
      throw new FacewireError('device_unavailable', `ONNX Runtime cannot be loaded: ${(cause as Error).message}`, {
        received: this.libraryPath,
        remedy: 'run `npm install` again on this machine, so that the library fits its system and processor',
        cause,
      });
    }
    // OrtApiBase is { GetApi, GetVersionString }
    const getApi = koffi.decode(koffi.decode(base, 0, 'void *'), koffi.proto('void *(uint32_t version)'));
    const getVersion = koffi.decode(
      koffi.decode(base, koffi.sizeof('void *'), 'void *'),
      koffi.proto('const char *(void)'),
    );
    this.version = getVersion() as string;
    const api = getApi(ORT_API_VERSION) as bigint | null;
    if (api === null) {
      throw new FacewireError('device_unavailable', `ONNX Runtime ${this.version} has no API version 12`, {
        received: this.version,
        remedy: 'install the onnxruntime-node that package-lock.json names',
      });
    }
    this.api = api;
    this.functions = bindOrtFunctions(api);
    this.env = this.create('CreateEnv', LOGGING_LEVEL_ERROR, 'facewire');
    this.check(this.functions.DisableTelemetryEvents(this.env), 'DisableTelemetryEvents');
    this.allocator = this.create('GetAllocatorWithDefaultOptions');
    this.hostMemory = this.create('CreateCpuMemoryInfo', DEVICE_ALLOCATOR, MEMORY_TYPE_DEFAULT);
    this.shareArena();
  }

  /**
   * One arena of host memory for all sessions that use the environment's allocators. Each with its own keeps what the
   * largest run of its own ever took; together they take no more than the runs of one moment do.
   */
  private shareArena(): void {
    const info = this.create('CreateCpuMemoryInfo', ARENA_ALLOCATOR, MEMORY_TYPE_DEFAULT);
    const arena = this.create('CreateArenaCfgV2', [], new BigUint64Array(0), 0);
    this.call('CreateAndRegisterAllocator', this.env, info, arena);
    this.functions.ReleaseArenaCfg(arena);
    this.functions.ReleaseMemoryInfo(info);
  }

  addressOf(name: OrtFunctionName): bigint {
    return functionAddress(this.api, name);
  }

  /** Calls a function whose last parameter returns the pointer it makes. */
  create(name: OrtFunctionName, ...values: unknown[]): bigint {
    const out: [bigint | null] = [null];
    this.check(this.functions[name](...values, out), name);
    if (out[0] === null) throw new FacewireError('inference_failed', `ONNX Runtime: ${name} returned nothing`);
    return out[0];
  }

  /** As create(), on a worker thread: for what takes long. The caller keeps every buffer passed in alive until then. */
  async createAsync(name: OrtFunctionName, ...values: unknown[]): Promise<bigint> {
    const out: [bigint | null] = [null];
    await this.callAsync(name, ...values, out);
    if (out[0] === null) throw new FacewireError('inference_failed', `ONNX Runtime: ${name} returned nothing`);
    return out[0];
  }

  call(name: OrtFunctionName, ...values: unknown[]): void {
    this.check(this.functions[name](...values), name);
  }

  /** Runs the function on a worker thread; rejects with inference_failed. Waits while CALLS_AT_ONCE are under way. */
  async callAsync(name: OrtFunctionName, ...values: unknown[]): Promise<void> {
    if (this.calls >= CALLS_AT_ONCE) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.calls++;
    try {
      await new Promise<void>((resolve, reject) => {
        this.functions[name].async(...values, (error: Error | null, status: unknown) => {
          try {
            if (error) throw error;
            this.check(status, name);
            resolve();
          } catch (cause) {
            reject(cause);
          }
        });
      });
    } finally {
      // The place goes to the next in line, or becomes free.
      const next = this.waiting.shift();
      if (next) next();
      else this.calls--;
    }
  }

  /** Throws inference_failed with ONNX Runtime's own message unless `status` is null; releases the status. */
  check(status: unknown, what: string): void {
    if (status === null) return;
    const message = this.functions.GetErrorMessage(status) as string;
    this.functions.ReleaseStatus(status);
    throw new FacewireError('inference_failed', `ONNX Runtime, ${what}: ${message.trim()}`);
  }

  /** Execution providers compiled into the library, e.g. ["CUDAExecutionProvider", …, "CPUExecutionProvider"]. */
  availableProviders(): string[] {
    const list: [bigint] = [0n];
    const count: [number] = [0];
    this.call('GetAvailableProviders', list, count);
    const names = Array.from({ length: count[0] }, (_, index) => stringAt(pointerAt(list[0], index)));
    this.call('ReleaseAvailableProviders', list[0], count[0]);
    return names;
  }
}

/** The pointer at `index` of a C array of pointers. */
export function pointerAt(array: bigint, index: number): bigint {
  return koffi.decode(array, index * koffi.sizeof('void *'), 'void *') as bigint;
}

export function stringAt(pointer: bigint): string {
  return koffi.decode.string(pointer);
}

function findLibrary(): string {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const directory = join(root, 'bin', 'napi-v6', process.platform, process.arch);
  const name = existsSync(directory)
    ? readdirSync(directory).find((file) =>
        /^(libonnxruntime\.so\.\d+|libonnxruntime\.\d+\.dylib|onnxruntime\.dll)$/.test(file),
      )
    : undefined;
  if (name === undefined) {
    throw new FacewireError('device_unavailable', 'onnxruntime-node ships no library for this machine', {
      received: `${process.platform} ${process.arch}`,
      remedy: 'use Linux x64/arm64, macOS arm64 or Windows x64/arm64',
    });
  }
  return join(directory, name);
}
