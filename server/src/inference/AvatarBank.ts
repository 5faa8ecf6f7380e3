import { FacewireError } from '@facewire/proto';
import type { AvatarData } from '../contracts.ts';
import type { BankMemory } from './BankMemory.ts';
import { type AvatarTensorSpec, describe } from './manifest.ts';

export interface AvatarBankOptions {
  /** ModelPackage.id, e.g. "warp@1.0.0+3fa9c2d1": avatars of another model are refused */
  model: string;
  memory: BankMemory;
  /** AvatarStore.load */
  load: (id: string) => Promise<AvatarData>;
}

export interface AvatarBankCounters {
  /** avatars copied into a slot */
  loads: number;
  /** avatars that lost their slot to another */
  evictions: number;
  /** bytes of avatar tensors copied into the bank */
  bytesToDevice: number;
  /** slots that hold an avatar now */
  used: number;
}

/** Avatars held in place for one run. */
export interface BankLease {
  /** slot of each avatar asked for, in that order */
  readonly slots: readonly number[];
  /** Lets the avatars be evicted again. May be called twice. */
  release(): void;
}

interface Entry {
  slot: number;
  pins: number;
  /** of the last acquire, for LRU */
  usedAt: number;
  ready: Promise<void>;
  /** deleted while pinned: goes with its last pin */
  forgotten: boolean;
  loaded: boolean;
}

/** Loads begun ahead, at once: more would push out what was loaded for a picture that is not drawn yet. */
const MOST_AHEAD = 4;
/** A load that failed ahead is not tried again within so long, ms. */
const FAILED_MS = 10_000;
/** Of so many slots one may be filled ahead. */
const SLOTS_AHEAD = 8;
const MOST_FAILURES = 1000;

/**
 * The avatars that are in device memory: S slots, each with one avatar's tensors. The least recently used avatar that no
 * run holds makes room for a new one. Loading one avatar stalls only who waits for that avatar.
 */
export class AvatarBank {
  private readonly options: AvatarBankOptions;
  private readonly entries = new Map<string, Entry>();
  private readonly free: number[];
  private clock = 0;
  private loads = 0;
  private evictions = 0;
  private ahead = 0;
  /** avatars whose load ahead failed, and why */
  private readonly failed = new Map<string, { error: unknown; atMs: number }>();
  private bytesToDevice = 0;

  constructor(options: AvatarBankOptions) {
    this.options = options;
    this.free = Array.from({ length: options.memory.slots }, (_, index) => options.memory.slots - 1 - index);
  }

  get slots(): number {
    return this.options.memory.slots;
  }

  get counters(): AvatarBankCounters {
    return {
      loads: this.loads,
      evictions: this.evictions,
      bytesToDevice: this.bytesToDevice,
      used: this.entries.size,
    };
  }

  /**
   * Pins the avatars and resolves once they all are in the bank.
   *
   * @throws FacewireError bank_full when every slot is pinned, and what `load` throws (avatar_unknown, avatar_corrupt)
   */
  async acquire(ids: readonly string[]): Promise<BankLease> {
    const pinned: Entry[] = [];
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      for (const entry of pinned) this.unpin(entry);
    };
    try {
      for (const id of ids) pinned.push(this.pin(id));
      await Promise.all(pinned.map((entry) => entry.ready));
      return { slots: pinned.map((entry) => entry.slot), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Resolves once the avatars are in the bank; they may be evicted again at once. Throws as acquire() does. */
  async ensure(ids: readonly string[]): Promise<void> {
    (await this.acquire(ids)).release();
  }

  /**
   * Whether the avatar can be drawn without waiting. Where not it is loaded in the background, when not enough others
   * are. Also true when that has failed a moment ago: whoever draws it is told why, without loading it again, for which
   * everybody in its batch would wait.
   */
  isReady(id: string): boolean {
    const entry = this.entries.get(id);
    if (entry !== undefined) return entry.loaded;
    if (this.hasFailed(id)) return true;
    if (this.ahead >= Math.max(1, Math.min(MOST_AHEAD, Math.floor(this.slots / SLOTS_AHEAD)))) return false;
    this.ahead++;
    this.acquire([id])
      .then(
        (lease) => lease.release(),
        (error: unknown) => {
          // No room just now is no failure of the avatar.
          if (error instanceof FacewireError && error.code === 'bank_full') return;
          if (this.failed.size >= MOST_FAILURES) this.failed.clear();
          this.failed.set(id, { error, atMs: performance.now() });
        },
      )
      .finally(() => this.ahead--);
    return false;
  }

  /** An avatar was deleted or replaced: the next acquire loads it anew. Runs under way keep what they hold. */
  forget(id: string): void {
    this.failed.delete(id);
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    this.entries.delete(id);
    entry.forgotten = true;
    if (entry.pins === 0) this.free.push(entry.slot);
  }

  private pin(id: string): Entry {
    let entry = this.entries.get(id);
    if (entry === undefined) {
      if (this.hasFailed(id)) throw this.failed.get(id)!.error;
      // The load holds a pin of its own: nobody else gets the slot while it may still be written.
      const loading: Entry = {
        slot: this.takeSlot(id),
        pins: 1,
        usedAt: 0,
        ready: Promise.resolve(),
        forgotten: false,
        loaded: false,
      };
      entry = loading;
      this.entries.set(id, loading);
      loading.ready = this.fill(id, loading).finally(() => this.unpin(loading));
      loading.ready.catch(() => undefined); // reported by acquire
    }
    entry.pins++;
    entry.usedAt = ++this.clock;
    return entry;
  }

  private hasFailed(id: string): boolean {
    return performance.now() - (this.failed.get(id)?.atMs ?? -Infinity) < FAILED_MS;
  }

  private unpin(entry: Entry): void {
    entry.pins--;
    if (entry.pins === 0 && entry.forgotten) this.free.push(entry.slot);
  }

  private takeSlot(id: string): number {
    const free = this.free.pop();
    if (free !== undefined) return free;
    let oldest: [string, Entry] | undefined;
    for (const candidate of this.entries) {
      if (candidate[1].pins === 0 && (oldest === undefined || candidate[1].usedAt < oldest[1].usedAt))
        oldest = candidate;
    }
    if (oldest === undefined) {
      throw new FacewireError('bank_full', `no room for avatar ${id}: all ${this.slots} slots are being drawn`, {
        received: id,
        remedy: 'raise FACEWIRE_BANK_MIB (and FACEWIRE_BANK_SLOTS where it is set), or ask for fewer avatars at once',
      });
    }
    this.entries.delete(oldest[0]);
    this.evictions++;
    return oldest[1].slot;
  }

  private async fill(id: string, entry: Entry): Promise<void> {
    try {
      const avatar = await this.options.load(id);
      checkAvatar(avatar, this.options.model, this.options.memory.tensors);
      await this.options.memory.write(entry.slot, avatar.tensors);
      for (const { name } of this.options.memory.tensors) {
        this.bytesToDevice += avatar.tensors.get(name)!.data.byteLength;
      }
      this.loads++;
      entry.loaded = true;
    } catch (error) {
      // Its waiters hold pins: the slot is free when the last of them has heard of the failure.
      if (this.entries.get(id) === entry) this.forget(id);
      throw error;
    }
  }
}

/** Throws model_mismatch or avatar_corrupt unless the avatar has exactly the tensors that the model's bank holds. */
export function checkAvatar(avatar: AvatarData, model: string, tensors: readonly AvatarTensorSpec[]): void {
  if (avatar.model !== model) {
    throw new FacewireError('model_mismatch', `avatar ${avatar.id} was made for ${avatar.model}, this is ${model}`, {
      received: avatar.model,
      remedy: 'create the avatar again from its portrait',
    });
  }
  for (const spec of tensors) {
    const tensor = avatar.tensors.get(spec.name);
    if (tensor === undefined || describe(tensor) !== describe(spec)) {
      const found = tensor === undefined ? 'missing' : describe(tensor);
      throw new FacewireError(
        'avatar_corrupt',
        `avatar ${avatar.id}: ${spec.name} is ${found}, not ${describe(spec)}`,
        {
          received: avatar.id,
          remedy: 'delete the avatar and create it again from its portrait',
        },
      );
    }
  }
}
