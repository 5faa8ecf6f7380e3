import { FacewireError } from '@facewire/proto';
import type { AvatarTensorSpec } from './manifest.ts';
import { byteLengthOf, OrtTensor } from './ort/OrtTensor.ts';

/** Where the bank's tensors [S,…] lie. */
export interface BankMemory {
  readonly slots: number;
  readonly tensors: readonly AvatarTensorSpec[];
  /** the tensor [S,…] that is the renderers' input bank.<name> */
  tensor(name: string): OrtTensor;
  /** Copies one avatar's tensors, all of them, into its slot. Runs under way must not read that slot. */
  write(slot: number, avatar: ReadonlyMap<string, { data: Uint8Array }>): Promise<void>;
  /** May be called twice; not while a run uses the tensors. */
  close(): void;
}

/** The bank of the CPU: plain memory, which the system hands out page by page as slots are first written. */
export class HostBankMemory implements BankMemory {
  readonly slots: number;
  readonly tensors: readonly AvatarTensorSpec[];
  private readonly values: ReadonlyMap<string, OrtTensor>;

  constructor(tensors: readonly AvatarTensorSpec[], slots: number) {
    this.tensors = tensors;
    this.slots = slots;
    this.values = new Map(tensors.map(({ name, dtype, shape }) => [name, OrtTensor.host(dtype, [slots, ...shape])]));
  }

  tensor(name: string): OrtTensor {
    return this.values.get(name)!;
  }

  async write(slot: number, avatar: ReadonlyMap<string, { data: Uint8Array }>): Promise<void> {
    for (const [name, value] of this.values) {
      const { data } = avatar.get(name)!;
      value.data!.set(data, slot * data.byteLength);
    }
  }

  close(): void {
    for (const value of this.values.values()) value.close();
  }
}

export interface BankLimits {
  /** most avatars in memory */
  bankSlots: number;
  /** most bytes of avatar tensors in memory */
  bankBytes: number;
}

/**
 * How many slots the bank gets: `bankSlots`, or fewer when they would not fit `bankBytes`.
 *
 * @throws FacewireError config_invalid when not even one avatar fits
 */
export function slotsWithin(limits: BankLimits, tensors: readonly AvatarTensorSpec[]): number {
  const avatarBytes = tensors.reduce((sum, { dtype, shape }) => sum + byteLengthOf(dtype, shape), 0);
  const slots = Math.min(limits.bankSlots, Math.floor(limits.bankBytes / avatarBytes));
  if (!(slots >= 1)) {
    throw new FacewireError('config_invalid', `the avatar bank has no room for one avatar of ${avatarBytes} bytes`, {
      received: limits,
      remedy: `set FACEWIRE_BANK_MIB to ${Math.ceil(avatarBytes / 2 ** 20)} or more`,
    });
  }
  return slots;
}
