import { FacewireError } from '@facewire/proto';
import { type BankMemory, HostBankMemory } from './BankMemory.ts';
import { type Device, type DeviceKind, deviceName } from './Device.ts';
import { DeviceBankMemory } from './DeviceBankMemory.ts';
import type { AvatarTensorSpec } from './manifest.ts';

/** Bytes of avatar tensors in memory unless a setting says otherwise. A WebGPU device may have little, and no way to ask. */
export const BANK_BYTES: Readonly<Record<DeviceKind, number>> = { cpu: 2 ** 30, cuda: 2 ** 30, webgpu: 2 ** 28 };

export interface OpenBankOptions {
  tensors: readonly AvatarTensorSpec[];
  slots: number;
  device: Device;
  /** runs a task while no renderer runs */
  exclusive: <T>(task: () => Promise<T>) => Promise<T>;
  /** told when the bank gets fewer slots than were asked for */
  warn?: (message: string) => void;
  /** for tests */
  create?: (slots: number) => Promise<BankMemory>;
}

/**
 * The bank with as many slots as asked for, or with half, a quarter, … where the device has not that much memory.
 *
 * @throws FacewireError inference_failed when there is no memory for one avatar, with the remedy
 */
export async function openBank(options: OpenBankOptions): Promise<BankMemory> {
  const { tensors, device, exclusive, warn } = options;
  const create =
    options.create ??
    (async (slots) =>
      device.kind === 'cpu'
        ? new HostBankMemory(tensors, slots)
        : DeviceBankMemory.create(tensors, slots, device, exclusive));
  for (let slots = options.slots; ; slots = slots >> 1) {
    try {
      const memory = await create(slots);
      if (slots < options.slots) {
        warn?.(
          `device ${deviceName(device)} has no memory for ${options.slots} avatars, the bank gets ${slots} slots: lower FACEWIRE_BANK_MIB to choose yourself`,
        );
      }
      return memory;
    } catch (cause) {
      if (!isOutOfMemory(cause)) throw cause;
      if (slots > 1) continue;
      throw new FacewireError('inference_failed', `device ${deviceName(device)} has no memory for one avatar`, {
        received: (cause as Error).message,
        remedy:
          'free memory on the device (other programs, larger models), or use another device or FACEWIRE_DEVICE=cpu',
        cause,
      });
    }
  }
}

/** ONNX Runtime's and the providers' messages, and V8's RangeError for an ArrayBuffer. */
function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && /memory|allocat(?:e|ion)|buffer.*size|size.*buffer/i.test(error.message);
}
