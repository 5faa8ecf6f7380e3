import { FacewireError } from '@facewire/proto';
import type { TensorType } from '../../contracts.ts';
import type { Device } from '../Device.ts';
import { cudaOptions } from './cudaOptions.ts';
import type { DeviceThread } from './DeviceThread.ts';
import { allocatedMemory, type HostMemory, plainMemory } from './HostMemory.ts';
import { OrtBinding } from './OrtBinding.ts';
import { OrtRuntime, stringAt } from './OrtRuntime.ts';
import { OrtTensor, tensorTypeOf } from './OrtTensor.ts';
import type { OrtFunctionName } from './ortApi.ts';

/** GraphOptimizationLevel */
const OPTIMISATIONS = { none: 0, basic: 1, extended: 2, all: 99 } as const;
const ONNX_DEVICE_ALLOCATOR = 0;
const MEMORY_TYPE_DEFAULT = 0;
/** OrtMemTypeCPUOutput: memory of the host */
const MEMORY_TYPE_HOST = -1;
/** a run that is neither recorded nor replayed */
const NO_GRAPH = -1;

export interface OrtSessionOptions {
  device: Device;
  /** threads of one operator, 1… */
  threads: number;
  /** what differs from DEFAULT_TUNING; for measurements (`npm run bench -- render --ladder`) */
  tuning?: Partial<SessionTuning>;
  /** runs go to this thread; default Node's worker threads */
  thread?: DeviceThread;
  /** on CUDA: runs that name a graph are recorded and replayed (OrtSession.runBound) */
  graphs?: boolean;
}

/** What ONNX Runtime lets one choose, beside threads. */
export interface SessionTuning {
  optimisation: keyof typeof OPTIMISATIONS;
  /** threads that spin between two operators win a little latency and take the cores from encoders and sockets */
  spinning: boolean;
  /** plans one block of memory for all intermediate tensors of a shape that was seen before: each batch size a block more */
  memoryPattern: boolean;
  /** keeps freed memory for the next run, of whatever session */
  arena: boolean;
  /** flushes subnormal numbers, on which processors are slow, to zero */
  denormalAsZero: boolean;
}

/** The fastest of those that were measured, beside other work, and of equals the one that holds least memory: docs/gpu.md. */
export const DEFAULT_TUNING: SessionTuning = {
  optimisation: 'all',
  spinning: false,
  memoryPattern: false,
  arena: true,
  denormalAsZero: false,
};

/** An input or output as the ONNX file declares it; a symbolic dimension is its name, or "?" when it has none. */
export interface ValueInfo {
  name: string;
  /** undefined for a type that Facewire does not carry (strings, sequences, …) */
  dtype: TensorType | undefined;
  shape: readonly (number | string)[];
}

/** What one run reads and writes, by name. Outputs that are not named are not brought off the device. */
export interface RunTensors {
  inputs: Readonly<Record<string, OrtTensor>>;
  outputs: Readonly<Record<string, OrtTensor>>;
}

/** One loaded ONNX graph on one device. */
export class OrtSession {
  readonly device: Device;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  private readonly runtime = OrtRuntime.get();
  /** by the graph that a run records and replays; undefined: none */
  private readonly runOptions = new Map<number | undefined, bigint>();
  private readonly thread: DeviceThread | undefined;
  private pinned: { pointer: bigint; memory: bigint } | undefined;
  private handle: bigint | undefined;
  private allocator: { pointer: bigint; memory: bigint } | undefined;
  /** keeps the memory of their tensors from being collected */
  private readonly underWay = new Set<RunTensors | OrtBinding>();
  private closing = false;

  private constructor(handle: bigint, { device, thread }: OrtSessionOptions) {
    this.handle = handle;
    this.device = device;
    this.thread = thread;
    this.inputs = this.describe('SessionGetInputCount', 'SessionGetInputName', 'SessionGetInputTypeInfo');
    this.outputs = this.describe('SessionGetOutputCount', 'SessionGetOutputName', 'SessionGetOutputTypeInfo');
  }

  /**
   * Loads and optimises the graph on a worker thread.
   *
   * @param model path of an ONNX file, or its bytes
   * @throws FacewireError inference_failed, with ONNX Runtime's message
   */
  static async open(model: string | Uint8Array, options: OrtSessionOptions): Promise<OrtSession> {
    const runtime = OrtRuntime.get();
    const sessionOptions = runtime.create('CreateSessionOptions');
    try {
      const tuning = { ...DEFAULT_TUNING, ...options.tuning };
      runtime.call('SetSessionGraphOptimizationLevel', sessionOptions, OPTIMISATIONS[tuning.optimisation]);
      runtime.call('SetIntraOpNumThreads', sessionOptions, options.threads);
      runtime.call('SetInterOpNumThreads', sessionOptions, 1);
      runtime.call(tuning.memoryPattern ? 'EnableMemPattern' : 'DisableMemPattern', sessionOptions);
      runtime.call(tuning.arena ? 'EnableCpuMemArena' : 'DisableCpuMemArena', sessionOptions);
      const flag = (value: boolean) => (value ? '1' : '0');
      runtime.call('AddSessionConfigEntry', sessionOptions, 'session.intra_op.allow_spinning', flag(tuning.spinning));
      runtime.call(
        'AddSessionConfigEntry',
        sessionOptions,
        'session.set_denormal_as_zero',
        flag(tuning.denormalAsZero),
      );
      // Host memory comes from the one arena of OrtRuntime.
      runtime.call('AddSessionConfigEntry', sessionOptions, 'session.use_env_allocators', flag(tuning.arena));
      appendProvider(runtime, sessionOptions, options);
      const handle =
        typeof model === 'string'
          ? await runtime.createAsync('CreateSession', runtime.env, model, sessionOptions)
          : await runtime.createAsync('CreateSessionFromArray', runtime.env, model, model.byteLength, sessionOptions);
      return new OrtSession(handle, options);
    } finally {
      runtime.functions.ReleaseSessionOptions(sessionOptions);
    }
  }

  /** Throws inference_failed once closed. */
  get pointer(): bigint {
    if (this.handle === undefined || this.closing) throw new FacewireError('inference_failed', 'the session is closed');
    return this.handle;
  }

  /**
   * Computes the outputs into their tensors, on another thread; the event loop stays free. What lies in host memory is
   * copied to the device and back by the run, in its own order; what lies on the device stays there. Several runs may be
   * under way at once.
   *
   * @throws FacewireError inference_failed, with ONNX Runtime's message
   */
  run({ inputs, outputs }: RunTensors): Promise<void> {
    const read = Object.entries(inputs);
    const written = Object.entries(outputs);
    const namesOf = (tensors: typeof read) => tensors.map(([name]) => name);
    const pointersOf = (tensors: typeof read) => tensors.map(([, { pointer }]) => pointer);
    return this.call('Run', { inputs, outputs }, () => [
      ...[this.pointer, this.optionsOf(undefined)],
      ...[namesOf(read), pointersOf(read), read.length],
      ...[namesOf(written), written.length, pointersOf(written)],
    ]);
  }

  /**
   * Tensors for runs in place, to be closed before this.
   *
   * @param tensors in this session's device memory (on the CPU: the host's)
   * @throws RangeError for a tensor that lies elsewhere
   * @throws FacewireError inference_failed, with ONNX Runtime's message
   */
  bind(tensors: RunTensors): OrtBinding {
    for (const [name, { data }] of Object.entries({ ...tensors.inputs, ...tensors.outputs })) {
      if ((data === undefined) === (this.device.kind === 'cpu')) {
        throw new RangeError(`${name} does not lie in the memory of ${this.device.kind}`);
      }
    }
    return new OrtBinding(this.pointer, tensors);
  }

  /**
   * As run(), from and into bound tensors; one run at a time for each binding.
   *
   * @param graph of a session with graphs: the first runs of this number are recorded, later ones replay that, and need
   *   the same binding every time. Undefined: as it is
   * @throws FacewireError inference_failed, with ONNX Runtime's message
   */
  runBound(binding: OrtBinding, graph?: number): Promise<void> {
    return this.call('RunWithBinding', binding, () => [this.pointer, this.optionsOf(graph), binding.pointer]);
  }

  private async call(
    name: 'Run' | 'RunWithBinding',
    run: RunTensors | OrtBinding,
    values: () => unknown[],
  ): Promise<void> {
    const given = values();
    this.underWay.add(run);
    try {
      if (this.thread) await this.thread.call(name, given);
      else await this.runtime.callAsync(name, ...given);
    } finally {
      this.underWay.delete(run);
      if (this.closing && this.underWay.size === 0) this.release();
    }
  }

  private optionsOf(graph: number | undefined): bigint {
    let options = this.runOptions.get(graph);
    if (options === undefined) {
      options = this.runtime.create('CreateRunOptions');
      this.runtime.call('AddRunConfigEntry', options, 'gpu_graph_id', String(graph ?? NO_GRAPH));
      this.runOptions.set(graph, options);
    }
    return options;
  }

  /** The allocator of this session's device, for OrtTensor.device; undefined on the CPU, where host memory serves. */
  deviceAllocator(): bigint | undefined {
    if (this.device.kind === 'cpu') return undefined;
    if (this.allocator === undefined) {
      this.allocator = this.openAllocator(this.device.kind === 'cuda' ? 'Cuda' : 'WebGPU_Buf', MEMORY_TYPE_DEFAULT);
    }
    return this.allocator.pointer;
  }

  /**
   * Host memory to which this session's device copies fastest: pinned on CUDA, plain elsewhere. To be closed before this.
   *
   * ONNX Runtime is told that tensors over it are in plain memory: into one that is declared `CudaPinned` version 1.30
   * copies no output (`dst_data != src_data was false`), and the driver knows pinned memory by its address.
   */
  hostMemory(bytes: number): HostMemory {
    if (this.device.kind !== 'cuda') return plainMemory(bytes);
    this.pinned ??= this.openAllocator('CudaPinned', MEMORY_TYPE_HOST);
    return allocatedMemory(this.pinned.pointer, this.runtime.hostMemory, bytes);
  }

  /** A tensor in this session's device memory, uninitialised there; zeroed host memory on the CPU. */
  deviceTensor(dtype: TensorType, shape: readonly number[]): OrtTensor {
    const allocator = this.deviceAllocator();
    return allocator === undefined ? OrtTensor.host(dtype, shape) : OrtTensor.device(allocator, dtype, shape);
  }

  /** Releases the graph, after the runs under way. May be called twice. Tensors belong to their makers. */
  close(): void {
    if (this.closing) return;
    this.closing = true;
    if (this.underWay.size === 0) this.release();
  }

  private release(): void {
    for (const allocator of [this.allocator, this.pinned]) {
      if (allocator === undefined) continue;
      this.runtime.functions.ReleaseAllocator(allocator.pointer);
      this.runtime.functions.ReleaseMemoryInfo(allocator.memory);
    }
    this.allocator = undefined;
    this.pinned = undefined;
    for (const options of this.runOptions.values()) this.runtime.functions.ReleaseRunOptions(options);
    this.runOptions.clear();
    this.runtime.functions.ReleaseSession(this.handle);
    this.handle = undefined;
  }

  private openAllocator(name: string, memoryType: number): { pointer: bigint; memory: bigint } {
    const memory = this.runtime.create('CreateMemoryInfo', name, ONNX_DEVICE_ALLOCATOR, this.device.index, memoryType);
    return { memory, pointer: this.runtime.create('CreateAllocator', this.pointer, memory) };
  }

  private describe(countOf: OrtFunctionName, nameOf: OrtFunctionName, typeOf: OrtFunctionName): ValueInfo[] {
    const count: [number] = [0];
    this.runtime.call(countOf, this.handle, count);
    return Array.from({ length: count[0] }, (_, index) => {
      const text = this.runtime.create(nameOf, this.handle, index, this.runtime.allocator);
      const name = stringAt(text);
      this.runtime.call('AllocatorFree', this.runtime.allocator, text);
      const type = this.runtime.create(typeOf, this.handle, index);
      try {
        return { name, ...describeTensor(this.runtime, type) };
      } finally {
        this.runtime.functions.ReleaseTypeInfo(type);
      }
    });
  }
}

function describeTensor(runtime: OrtRuntime, type: bigint): Omit<ValueInfo, 'name'> {
  const tensor: [bigint | null] = [null];
  runtime.call('CastTypeInfoToTensorInfo', type, tensor);
  if (tensor[0] === null) return { dtype: undefined, shape: [] };
  const code: [number] = [0];
  const rank: [number] = [0];
  runtime.call('GetTensorElementType', tensor[0], code);
  runtime.call('GetDimensionsCount', tensor[0], rank);
  const dimensions = new BigInt64Array(rank[0]);
  const symbols = new BigUint64Array(rank[0]);
  if (rank[0] > 0) {
    runtime.call('GetDimensions', tensor[0], dimensions, rank[0]);
    runtime.call('GetSymbolicDimensions', tensor[0], symbols, rank[0]);
  }
  const shape = Array.from(dimensions, (dimension, axis) => {
    if (dimension >= 0n) return Number(dimension);
    return stringAt(symbols[axis]!) || '?';
  });
  return { dtype: tensorTypeOf(code[0]), shape };
}

/** The CPU provider is always there, behind whatever is appended, and takes the operators that the device lacks. */
function appendProvider(runtime: OrtRuntime, sessionOptions: bigint, { device, graphs }: OrtSessionOptions): void {
  if (device.kind === 'webgpu') {
    runtime.call('SessionOptionsAppendExecutionProvider', sessionOptions, 'WebGPU', [], [], 0);
  } else if (device.kind === 'cuda') {
    const cuda = runtime.create('CreateCUDAProviderOptions');
    try {
      const options = cudaOptions({ index: device.index, graphs: graphs ?? false });
      const names = Object.keys(options);
      runtime.call('UpdateCUDAProviderOptions', cuda, names, Object.values(options), names.length);
      runtime.call('SessionOptionsAppendExecutionProvider_CUDA_V2', sessionOptions, cuda);
    } finally {
      runtime.functions.ReleaseCUDAProviderOptions(cuda);
    }
  }
}
