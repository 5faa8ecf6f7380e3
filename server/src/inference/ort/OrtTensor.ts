import { FacewireError } from '@facewire/proto';
import type { TensorType } from '../../contracts.ts';
import { type HostMemory, plainMemory } from './HostMemory.ts';
import { OrtRuntime, stringAt } from './OrtRuntime.ts';

/** ONNXTensorElementDataType of the types that Facewire's tensors may have, and their size in bytes. */
const ELEMENT_TYPES: Readonly<Record<TensorType, { code: number; bytes: number }>> = {
  float32: { code: 1, bytes: 4 },
  uint8: { code: 2, bytes: 1 },
  int32: { code: 6, bytes: 4 },
  int64: { code: 7, bytes: 8 },
  float16: { code: 10, bytes: 2 },
};

/** Plain and pinned. */
const HOST_MEMORIES: ReadonlySet<string> = new Set(['Cpu', 'CudaPinned']);

/** ONNXTensorElementDataType, which is also onnx.proto's TensorProto.DataType */
export function elementTypeCode(dtype: TensorType): number {
  return ELEMENT_TYPES[dtype].code;
}

/** undefined for a type that Facewire does not carry */
export function tensorTypeOf(code: number): TensorType | undefined {
  return (Object.keys(ELEMENT_TYPES) as TensorType[]).find((type) => ELEMENT_TYPES[type].code === code);
}

/** Bytes of a tensor of that type and shape. */
export function byteLengthOf(dtype: TensorType, shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, ELEMENT_TYPES[dtype].bytes);
}

/**
 * An OrtValue over host memory that JavaScript owns, or over memory of a device.
 *
 * Host memory is always an ArrayBuffer made as such: V8 moves the contents of small typed arrays, but never those of an
 * ArrayBuffer, so its address may be kept. This object keeps the buffer alive, and whoever runs it keeps this object.
 */
export class OrtTensor {
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  /** undefined for device memory */
  readonly data: Uint8Array | undefined;
  private handle: bigint | undefined;

  private constructor(handle: bigint, dtype: TensorType, shape: readonly number[], data: Uint8Array | undefined) {
    this.handle = handle;
    this.dtype = dtype;
    this.shape = shape;
    this.data = data;
  }

  /** A tensor over the first bytes of `memory`, which must hold it and outlive it; several tensors may share one. */
  static over(memory: HostMemory, dtype: TensorType, shape: readonly number[]): OrtTensor {
    const length = byteLengthOf(dtype, shape);
    if (length > memory.buffer.byteLength) {
      throw new RangeError(
        `a ${dtype} tensor of [${shape}] needs ${length} bytes, the buffer has ${memory.buffer.byteLength}`,
      );
    }
    const data = new Uint8Array(memory.buffer, 0, length);
    const handle = OrtRuntime.get().create(
      'CreateTensorWithDataAsOrtValue',
      memory.info,
      memory.pointer ?? data,
      length,
      shape.map(BigInt),
      shape.length,
      ELEMENT_TYPES[dtype].code,
    );
    return new OrtTensor(handle, dtype, shape, data);
  }

  /** A zeroed tensor in host memory. */
  static host(dtype: TensorType, shape: readonly number[]): OrtTensor {
    return OrtTensor.over(plainMemory(byteLengthOf(dtype, shape)), dtype, shape);
  }

  /** An uninitialised tensor in the memory of `allocator` (see OrtSession.deviceAllocator), which must outlive it. */
  static device(allocator: bigint, dtype: TensorType, shape: readonly number[]): OrtTensor {
    const handle = OrtRuntime.get().create(
      'CreateTensorAsOrtValue',
      allocator,
      shape.map(BigInt),
      shape.length,
      ELEMENT_TYPES[dtype].code,
    );
    return new OrtTensor(handle, dtype, shape, undefined);
  }

  /** Whether it lies in the host's memory, by what ONNX Runtime says of it: a graph on a GPU brings it along for every run. */
  get isOnHost(): boolean {
    const runtime = OrtRuntime.get();
    const info = runtime.create('GetTensorMemoryInfo', this.pointer);
    return HOST_MEMORIES.has(stringAt(runtime.create('MemoryInfoGetName', info)));
  }

  /** Throws inference_failed once closed. */
  get pointer(): bigint {
    if (this.handle === undefined) throw new FacewireError('inference_failed', 'the tensor is closed');
    return this.handle;
  }

  /** Releases the OrtValue, and device memory with it. May be called twice; not while a run uses it. */
  close(): void {
    if (this.handle === undefined) return;
    OrtRuntime.get().functions.ReleaseValue(this.handle);
    this.handle = undefined;
  }
}
