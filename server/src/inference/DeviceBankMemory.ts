import type { TensorType } from '../contracts.ts';
import type { BankMemory } from './BankMemory.ts';
import type { Device } from './Device.ts';
import type { AvatarTensorSpec } from './manifest.ts';
import type { OrtBinding } from './ort/OrtBinding.ts';
import { OrtSession } from './ort/OrtSession.ts';
import { OrtTensor } from './ort/OrtTensor.ts';
import { slotUpdateModel } from './slotUpdateModel.ts';

/** One bank tensor, twice: the graph reads one and writes the other, then they change roles. */
interface Pair {
  current: OrtTensor;
  next: OrtTensor;
  row: OrtTensor;
  session: OrtSession;
  binding: OrtBinding;
}

/**
 * The bank of a GPU: avatars stay in its memory between runs, only a new avatar's tensors travel.
 *
 * Device memory can be written by runs only (CopyTensors crashed with the WebGPU provider of ONNX Runtime 1.30), so a
 * one-node graph copies the bank with one slot exchanged. That costs the bank's size twice, and a copy within the device
 * per load: a fraction of a millisecond on a GPU.
 */
export class DeviceBankMemory implements BankMemory {
  readonly slots: number;
  readonly tensors: readonly AvatarTensorSpec[];
  private readonly exclusive: <T>(task: () => Promise<T>) => Promise<T>;
  private readonly pairs: ReadonlyMap<string, Pair>;
  private readonly slot: OrtTensor;
  private closed = false;

  /**
   * @param exclusive runs a task while no renderer runs: a run may still read the tensor that an update would write
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
      const pairs = new Map<string, Pair>();
      for (const { name, dtype, shape } of tensors) {
        const session = sessions.get(dtype) ?? (await OrtSession.open(slotUpdateModel(dtype), { device, threads: 1 }));
        sessions.set(dtype, session);
        const allocator = session.deviceAllocator();
        const bank = () =>
          keep(
            allocator === undefined
              ? OrtTensor.host(dtype, [slots, ...shape])
              : OrtTensor.device(allocator, dtype, [slots, ...shape]),
          );
        const row = keep(OrtTensor.host(dtype, [1, ...shape]));
        pairs.set(name, { current: bank(), next: bank(), row, session, binding: session.createBinding() });
      }
      return new DeviceBankMemory(tensors, slots, exclusive, pairs, slot);
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
    pairs: ReadonlyMap<string, Pair>,
    slot: OrtTensor,
  ) {
    this.tensors = tensors;
    this.slots = slots;
    this.exclusive = exclusive;
    this.pairs = pairs;
    this.slot = slot;
  }

  tensor(name: string): OrtTensor {
    return this.pairs.get(name)!.current;
  }

  write(name: string, slot: number, data: Uint8Array): Promise<void> {
    return this.exclusive(async () => {
      if (this.closed) return;
      const pair = this.pairs.get(name)!;
      pair.row.data!.set(data);
      new BigInt64Array(this.slot.data!.buffer)[0] = BigInt(slot);
      pair.binding.bindInput('bank', pair.current);
      pair.binding.bindInput('slot', this.slot);
      pair.binding.bindInput('row', pair.row);
      pair.binding.bindOutput('next', pair.next);
      pair.binding.synchronizeInputs();
      await pair.session.run(pair.binding);
      [pair.current, pair.next] = [pair.next, pair.current];
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // Tensors first: their memory belongs to the sessions' allocators.
    this.slot.close();
    for (const { current, next, row, binding } of this.pairs.values()) {
      binding.close();
      for (const tensor of [current, next, row]) tensor.close();
    }
    for (const { session } of this.pairs.values()) session.close();
  }
}
