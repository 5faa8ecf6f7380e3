import type { TensorType } from '../contracts.ts';
import type { BankMemory } from './BankMemory.ts';
import type { Device } from './Device.ts';
import type { AvatarTensorSpec } from './manifest.ts';
import { OrtSession } from './ort/OrtSession.ts';
import { OrtTensor } from './ort/OrtTensor.ts';
import { slotUpdateModel } from './slotUpdateModel.ts';

/** One bank tensor [S,…] with the row [1,…] through which a slot of it is written. */
interface Part {
  bank: OrtTensor;
  row: OrtTensor;
  session: OrtSession;
}

/**
 * The bank of a GPU: avatars stay in its memory between runs, only a new avatar's tensors travel.
 *
 * Device memory can be written by runs only (CopyTensors crashed with the WebGPU provider of ONNX Runtime 1.30). A one-node
 * graph, ScatterND, exchanges one slot; its input and its output are the same tensor, and where they are the
 * same memory the kernels of all three providers leave out the copy and write the slot in place.
 */
export class DeviceBankMemory implements BankMemory {
  readonly slots: number;
  readonly tensors: readonly AvatarTensorSpec[];
  private readonly exclusive: <T>(task: () => Promise<T>) => Promise<T>;
  private readonly parts: ReadonlyMap<string, Part>;
  private readonly slot: OrtTensor;
  private closed = false;

  /**
   * @param exclusive runs a task while no renderer runs: a run may still read the tensor that an update writes
   * @throws FacewireError inference_failed, also when the device has too little memory
   */
  static async create(
    tensors: readonly AvatarTensorSpec[],
    slots: number,
    device: Device,
    exclusive: <T>(task: () => Promise<T>) => Promise<T>,
  ): Promise<DeviceBankMemory> {
    const sessions = new Map<TensorType, OrtSession>();
    const made: OrtTensor[] = [];
    const keep = (tensor: OrtTensor) => {
      made.push(tensor);
      return tensor;
    };
    try {
      const slot = keep(OrtTensor.host('int64', [1, 1]));
      const parts = new Map<string, Part>();
      for (const { name, dtype, shape } of tensors) {
        const session = sessions.get(dtype) ?? (await OrtSession.open(slotUpdateModel(dtype), { device, threads: 1 }));
        sessions.set(dtype, session);
        const bank = keep(session.deviceTensor(dtype, [slots, ...shape]));
        const row = keep(OrtTensor.host(dtype, [1, ...shape]));
        parts.set(name, { bank, row, session });
      }
      return new DeviceBankMemory(tensors, slots, exclusive, parts, slot);
    } catch (error) {
      for (const tensor of made) tensor.close();
      for (const session of sessions.values()) session.close();
      throw error;
    }
  }

  private constructor(
    tensors: readonly AvatarTensorSpec[],
    slots: number,
    exclusive: <T>(task: () => Promise<T>) => Promise<T>,
    parts: ReadonlyMap<string, Part>,
    slot: OrtTensor,
  ) {
    this.tensors = tensors;
    this.slots = slots;
    this.exclusive = exclusive;
    this.parts = parts;
    this.slot = slot;
  }

  tensor(name: string): OrtTensor {
    return this.parts.get(name)!.bank;
  }

  /** Once alone on the device for all tensors: runs before and after it wait as little as can be. */
  write(slot: number, avatar: ReadonlyMap<string, { data: Uint8Array }>): Promise<void> {
    return this.exclusive(async () => {
      if (this.closed) return;
      new BigInt64Array(this.slot.data!.buffer)[0] = BigInt(slot);
      for (const [name, { bank, row, session }] of this.parts) {
        row.data!.set(avatar.get(name)!.data);
        await session.run({ inputs: { bank, slot: this.slot, row }, outputs: { next: bank } });
      }
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // Tensors first: their memory belongs to the sessions' allocators.
    this.slot.close();
    for (const { bank, row } of this.parts.values()) {
      bank.close();
      row.close();
    }
    for (const { session } of this.parts.values()) session.close();
  }
}
