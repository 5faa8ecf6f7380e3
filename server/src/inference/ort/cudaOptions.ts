/** What Facewire chooses of the CUDA provider's options. */
export interface CudaChoice {
  /** of the GPU */
  index: number;
  /** record each run once and replay it: the host's share of a run of thousands of kernels goes */
  graphs: boolean;
}

/** Names and values for UpdateCUDAProviderOptions. */
export function cudaOptions({ index, graphs }: CudaChoice): Record<string, string> {
  return {
    device_id: String(index),
    // By default memory is taken in powers of two, which beside a bank of gigabytes may be what does not fit.
    arena_extend_strategy: 'kSameAsRequested',
    // TF32 has float16's mantissa: sampling coordinates of the float32 part would be off by a sixteenth of a pixel at 256.
    use_tf32: '0',
    ...(graphs && { enable_cuda_graph: '1' }),
  };
}
