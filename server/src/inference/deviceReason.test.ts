import { describe, expect, it } from 'vitest';
import { deviceReason, deviceRemedy } from './deviceReason.ts';

/** As ONNX Runtime 1.30 said them on a machine without a GPU, with CUDA 13's libraries and a double of the driver. */
const BEFORE =
  'ONNX Runtime, UpdateCUDAProviderOptions: /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:62 static onnxruntime::CUDAExecutionProviderInfo onnxruntime::CUDAExecutionProviderInfo::FromProviderOptions(const onnxruntime::ProviderOptions&) [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse Failed to parse provider option "device_id": ';
const AFTER =
  ' ; GPU=-1 ; hostname=vm ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc ; line=69 ; expr=cudaGetDeviceCount(&num_devices);';
const OLD = `${BEFORE}CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version${AFTER}`;
const NONE = `${BEFORE}CUDA failure 100: no CUDA-capable device is detected${AFTER}`;
const LIBRARY =
  'ONNX Runtime, UpdateCUDAProviderOptions: /onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:1988 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /facewire/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory';

describe('why a device does not open', () => {
  it('is told without the source files of ONNX Runtime', () => {
    expect(deviceReason(OLD)).toMatch(
      /device_id": CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version$/,
    );
    expect(deviceReason(LIBRARY)).toMatch(/^Failed to load library .*libcublasLt\.so\.13: cannot open shared object/);
    expect(deviceReason('another message')).toBe('another message');
  });

  it('comes with what to do about it: driver, GPU, libraries, memory', () => {
    expect(deviceRemedy(OLD)).toContain('580 or newer');
    expect(deviceRemedy(NONE)).toMatch(/no NVIDIA GPU is visible.*--gpus all/);
    expect(deviceRemedy(LIBRARY)).toMatch(/CUDA 13 and cuDNN 9, of which libcublasLt\.so\.13 is a part.*setup:cuda/);
    expect(deviceRemedy(LIBRARY.replace('libcublasLt.so.13', 'libcuda.so.1'))).toContain("install NVIDIA's driver");
    expect(deviceRemedy(`${BEFORE}Invalid device ID: 5, must be between 0 and 2 (exclusive).`)).toContain('nvidia-smi');
    expect(deviceRemedy('CUDA failure 2: out of memory')).toContain('FACEWIRE_BANK_MIB');
    expect(deviceRemedy('something else')).toContain('use device cpu or auto');
  });
});
