import { existsSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { FacewireError } from '@facewire/proto';
import { deviceReason, deviceRemedy } from './deviceReason.ts';
import { OrtRuntime } from './ort/OrtRuntime.ts';

export type DeviceKind = 'cpu' | 'cuda' | 'webgpu';

/** Where a graph runs. */
export interface Device {
  kind: DeviceKind;
  /** of several GPUs; 0 otherwise */
  index: number;
}

/** What the machine offers, as far as can be seen without opening a device. */
export interface DeviceFacts {
  /** execution providers compiled into the library */
  providers: readonly string[];
  /** the CUDA provider is a library of its own, which the npm package does not ship */
  cudaLibrary: boolean;
  /** e.g. "linux" */
  platform: string;
}

const CPU: Device = { kind: 'cpu', index: 0 };

/** "cpu", "cuda:1", "webgpu" */
export function deviceName(device: Device): string {
  return device.index === 0 ? device.kind : `${device.kind}:${device.index}`;
}

/**
 * The devices to try for a setting, most wanted first. `auto` always ends with the CPU; a device asked for by name is the
 * only candidate, so that nobody who asked for a GPU gets a slow server without a word.
 *
 * `auto` takes WebGPU on macOS only: on Linux the adapter may be a software renderer, slower than the CPU provider.
 *
 * @param setting cpu | cuda | cuda:N | webgpu | auto
 * @throws FacewireError config_invalid, device_unavailable
 */
export function deviceCandidates(setting: string, facts: DeviceFacts): Device[] {
  const match = /^(?:(cpu|webgpu|auto)|(cuda)(?::(\d{1,2}))?)$/.exec(setting);
  if (match === null) {
    throw new FacewireError('config_invalid', `unknown device "${setting}"`, {
      received: setting,
      remedy: 'use cpu, cuda, cuda:N, cuda:N,M, webgpu or auto',
    });
  }
  const kind = match[1] ?? 'cuda';
  if (kind === 'cpu') return [CPU];
  const hasCuda = facts.providers.includes('CUDAExecutionProvider') && facts.cudaLibrary;
  const hasWebGpu = facts.providers.includes('WebGpuExecutionProvider');
  if (kind === 'auto') {
    const candidates: Device[] = [];
    if (hasCuda) candidates.push({ kind: 'cuda', index: 0 });
    if (hasWebGpu && facts.platform === 'darwin') candidates.push({ kind: 'webgpu', index: 0 });
    return [...candidates, CPU];
  }
  if (kind === 'cuda' && !hasCuda) {
    throw new FacewireError('device_unavailable', "ONNX Runtime's CUDA provider is not installed", {
      received: setting,
      remedy: 'run `npm run setup:cuda` once on a host with an NVIDIA GPU, or use device cpu',
    });
  }
  if (kind === 'webgpu' && !hasWebGpu) {
    throw new FacewireError('device_unavailable', 'this build of ONNX Runtime has no WebGPU provider', {
      received: setting,
      remedy: 'use Linux x64, Windows or macOS, or device cpu',
    });
  }
  return [{ kind: kind as DeviceKind, index: Number(match[3] ?? 0) }];
}

/**
 * The settings of the single devices that a setting of several names: "cuda:0,1" → ["cuda:0", "cuda:1"]; any other
 * setting is one device's.
 *
 * @throws FacewireError config_invalid for a device that is named twice
 */
export function splitDevices(setting: string): string[] {
  const match = /^cuda:(\d{1,2}(?:,\d{1,2})+)$/.exec(setting);
  if (match === null) return [setting];
  const indices = match[1]!.split(',').map(Number);
  if (new Set(indices).size !== indices.length) {
    throw new FacewireError('config_invalid', `device "${setting}" names a device twice`, {
      received: setting,
      remedy: 'name each once, e.g. cuda:0,1',
    });
  }
  return indices.map((index) => `cuda:${index}`);
}

export function probeDevices(runtime: OrtRuntime = OrtRuntime.get()): DeviceFacts {
  const directory = dirname(runtime.libraryPath);
  return {
    providers: runtime.availableProviders(),
    cudaLibrary: existsSync(directory) && readdirSync(directory).some((file) => file.includes('providers_cuda')),
    platform: process.platform,
  };
}

/** Whether a device may be to blame: it failed, or does not answer. */
export function isDeviceError(error: unknown): error is FacewireError {
  return error instanceof FacewireError && (error.code === 'inference_failed' || error.code === 'device_unavailable');
}

/**
 * Opens the first candidate that works. `open` does the real thing (loads the model's graphs there), because only that
 * shows whether drivers, libraries and operators are all present, and whether the device answers.
 *
 * @throws FacewireError device_unavailable naming the device, with the reason as cause where it does answer
 */
export async function openFirst<T>(
  candidates: readonly Device[],
  open: (device: Device) => Promise<T>,
  onFallback: (device: Device, reason: Error) => void,
): Promise<T> {
  for (const [index, device] of candidates.entries()) {
    try {
      return await open(device);
    } catch (cause) {
      // What the model's files are to blame for fails on every device: say that instead.
      if (device.kind === 'cpu' || !isDeviceError(cause)) throw cause;
      if (index === candidates.length - 1) {
        if (cause.code === 'device_unavailable') throw cause;
        const reason = deviceReason(cause.message);
        throw new FacewireError('device_unavailable', `device ${deviceName(device)} does not work: ${reason}`, {
          received: deviceName(device),
          remedy: cause.remedy ?? deviceRemedy(cause.message),
          cause,
        });
      }
      onFallback(device, cause);
    }
  }
  throw new RangeError('no device to open');
}
