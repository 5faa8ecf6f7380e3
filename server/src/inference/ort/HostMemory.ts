import koffi from 'koffi';
import { OrtRuntime } from './OrtRuntime.ts';

/** Host memory over which tensors are made. */
export interface HostMemory {
  readonly buffer: ArrayBuffer;
  /** where it lies, for memory that is not JavaScript's own */
  readonly pointer?: bigint;
  /** OrtMemoryInfo of tensors over it */
  readonly info: bigint;
  /** May be called twice; not while a run uses it. */
  close(): void;
}

/** Zeroed memory of JavaScript's own. */
export function plainMemory(bytes: number): HostMemory {
  return { buffer: new ArrayBuffer(bytes), info: OrtRuntime.get().hostMemory, close: () => undefined };
}

/**
 * Memory of one of ONNX Runtime's allocators, e.g. pinned memory, to and from which a GPU copies without the driver's own
 * buffer in between.
 *
 * @param allocator must outlive it
 * @param info what ONNX Runtime is told of it
 */
export function allocatedMemory(allocator: bigint, info: bigint, bytes: number): HostMemory {
  const runtime = OrtRuntime.get();
  const pointer = runtime.create('AllocatorAlloc', allocator, bytes);
  const buffer = koffi.view(pointer, bytes);
  new Uint8Array(buffer).fill(0);
  let open = true;
  return {
    buffer,
    pointer,
    info,
    close: () => {
      if (open) runtime.call('AllocatorFree', allocator, pointer);
      open = false;
    },
  };
}
