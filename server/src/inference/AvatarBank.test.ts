import { FacewireError } from '@facewire/proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AvatarData } from '../contracts.ts';
import { AvatarBank } from './AvatarBank.ts';
import { HostBankMemory, slotsWithin } from './BankMemory.ts';
import { TINY_ID, tinyAvatar } from './testdata/tinyAvatar.ts';

const TENSORS = [
  { name: 'picture', dtype: 'float32' as const, shape: [3, 32, 32] },
  { name: 'points', dtype: 'float32' as const, shape: [68, 2] },
];
const AVATAR_BYTES = (3 * 32 * 32 + 68 * 2) * 4;

function bankOf(slots: number, load: (id: string) => Promise<AvatarData> = async (id) => tinyAvatar(id, Number(id))) {
  const memory = new HostBankMemory(TENSORS, slots);
  const bank = new AvatarBank({ model: TINY_ID, memory, load });
  const greyIn = (slot: number) => new Float32Array(memory.tensor('picture').data!.buffer)[slot * 3 * 32 * 32];
  return { bank, greyIn };
}

/** A load that ends when the test says so. */
function heldLoads() {
  const waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
  const load = (id: string) =>
    new Promise<AvatarData>((resolve, reject) => {
      waiting.set(id, { resolve: () => resolve(tinyAvatar(id, Number(id))), reject });
    });
  return { load, waiting };
}

afterEach(() => void vi.useRealTimers());

describe('AvatarBank', () => {
  it('loads an avatar once and finds it again in its slot', async () => {
    const { bank, greyIn } = bankOf(3);
    const first = await bank.acquire(['0.5', '0.25', '0.5']);
    expect(first.slots[0]).toBe(first.slots[2]);
    expect(greyIn(first.slots[0]!)).toBe(0.5);
    expect(greyIn(first.slots[1]!)).toBe(0.25);
    first.release();
    const second = await bank.acquire(['0.5']);
    expect(second.slots).toEqual([first.slots[0]]);
    expect(bank.counters).toEqual({ loads: 2, evictions: 0, bytesToDevice: 2 * AVATAR_BYTES, used: 2 });
  });

  it('loads ahead who is asked for, a few at a time, and tells who can be drawn at once', async () => {
    const { load, waiting } = heldLoads();
    const { bank } = bankOf(32, load);
    const ids = ['0.1', '0.2', '0.3', '0.4', '0.5', '0.6'];
    expect(ids.map((id) => bank.isReady(id))).toEqual(ids.map(() => false));
    expect([...waiting.keys()]).toEqual(ids.slice(0, 4));
    waiting.get('0.1')!.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(ids.map((id) => bank.isReady(id))).toEqual([true, ...ids.slice(1).map(() => false)]);
    expect(waiting.has('0.5')).toBe(true);
    expect(waiting.has('0.6')).toBe(false);
  });

  it('tells whoever draws an avatar whose load ahead failed why, at once, and tries again later', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    let loads = 0;
    const { bank } = bankOf(8, async (id) => {
      loads++;
      throw new FacewireError('avatar_corrupt', `${id} is broken`);
    });
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    expect(bank.isReady('bad')).toBe(false);
    await settle();
    // A batch that fails is drawn again one by one.
    for (let draw = 0; draw < 2; draw++) {
      expect(bank.isReady('bad')).toBe(true);
      await expect(bank.acquire(['bad'])).rejects.toMatchObject({ code: 'avatar_corrupt' });
    }
    expect(loads).toBe(1);
    vi.advanceTimersByTime(10_000);
    expect(bank.isReady('bad')).toBe(false);
    await settle();
    expect(loads).toBe(2);
    bank.forget('bad');
    expect(bank.isReady('bad')).toBe(false);
    await settle();
    expect(loads).toBe(3);
  });

  it('evicts the avatar that was used longest ago', async () => {
    const { bank } = bankOf(2);
    for (const id of ['0.1', '0.2', '0.1', '0.3']) (await bank.acquire([id])).release();
    expect(bank.counters).toMatchObject({ loads: 3, evictions: 1 });
    (await bank.acquire(['0.1'])).release(); // stayed
    expect(bank.counters.loads).toBe(3);
    (await bank.acquire(['0.2'])).release(); // went
    expect(bank.counters.loads).toBe(4);
  });

  it('never evicts an avatar that a run holds, and says bank_full', async () => {
    const { bank, greyIn } = bankOf(2);
    const held = await bank.acquire(['0.1', '0.2']);
    await expect(bank.acquire(['0.3'])).rejects.toMatchObject({ code: 'bank_full' });
    expect(held.slots.map(greyIn).map((grey) => grey!.toFixed(1))).toEqual(['0.1', '0.2']);
    held.release();
    held.release();
    const next = await bank.acquire(['0.3', '0.4']);
    await expect(bank.acquire(['0.5'])).rejects.toMatchObject({ code: 'bank_full' });
    next.release();
  });

  it('lets go of what it pinned when a later avatar of the same call finds no room', async () => {
    const { bank } = bankOf(2);
    await expect(bank.acquire(['0.1', '0.2', '0.3'])).rejects.toMatchObject({ code: 'bank_full' });
    await new Promise(setImmediate);
    (await bank.acquire(['0.4', '0.5'])).release();
  });

  it('does not give a slot away while it is being filled', async () => {
    const { load, waiting } = heldLoads();
    const { bank, greyIn } = bankOf(1, load);
    await expect(bank.acquire(['0.1', '0.2'])).rejects.toMatchObject({ code: 'bank_full' });
    await expect(bank.acquire(['0.3'])).rejects.toMatchObject({ code: 'bank_full' });
    waiting.get('0.1')!.resolve();
    await new Promise(setImmediate);
    const lease = bank.acquire(['0.3']);
    waiting.get('0.3')!.resolve();
    expect(greyIn((await lease).slots[0]!)).toBeCloseTo(0.3);
  });

  it('stalls only those who wait for the avatar that loads slowly', async () => {
    const { load, waiting } = heldLoads();
    const { bank } = bankOf(3, load);
    const order: string[] = [];
    const take = async (id: string) => {
      (await bank.acquire([id])).release();
      order.push(id);
    };
    const both = Promise.all([take('0.1'), take('0.2')]);
    waiting.get('0.2')!.resolve();
    await new Promise(setImmediate);
    expect(order).toEqual(['0.2']);
    waiting.get('0.1')!.resolve();
    await both;
    expect(order).toEqual(['0.2', '0.1']);
  });

  it('tells everyone who waits that a load failed, frees the slot and tries again', async () => {
    let fail = true;
    const { bank } = bankOf(1, async (id) => {
      if (fail) throw new FacewireError('avatar_unknown', `no avatar ${id}`);
      return tinyAvatar(id, 0.5);
    });
    const results = await Promise.allSettled([bank.acquire(['a']), bank.acquire(['a'])]);
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected']);
    fail = false;
    (await bank.acquire(['b'])).release();
    (await bank.acquire(['a'])).release();
  });

  it('refuses avatars of another model and of other shapes', async () => {
    const other = bankOf(1, async (id) => ({ ...tinyAvatar(id, 0.5), model: 'warp@2.0.0' }));
    await expect(other.bank.acquire(['a'])).rejects.toMatchObject({ code: 'model_mismatch' });
    const broken = bankOf(1, async (id) => ({ ...tinyAvatar(id, 0.5), tensors: new Map() }));
    await expect(broken.bank.acquire(['a'])).rejects.toMatchObject({
      code: 'avatar_corrupt',
      message: expect.stringContaining('float32 [3,32,32]'),
    });
  });

  it('loads anew what was forgotten, also while it is held', async () => {
    const { bank } = bankOf(2);
    const held = await bank.acquire(['0.1']);
    bank.forget('0.1');
    const again = await bank.acquire(['0.1']);
    expect(again.slots).not.toEqual(held.slots);
    expect(bank.counters.loads).toBe(2);
    held.release();
    (await bank.acquire(['0.2'])).release();
    expect(bank.counters.evictions).toBe(0);
  });
});

describe('slotsWithin', () => {
  it('takes the smaller of slots and bytes, and refuses a bank of none', () => {
    expect(slotsWithin({ bankSlots: 64, bankBytes: 2 ** 30 }, TENSORS)).toBe(64);
    expect(slotsWithin({ bankSlots: 64, bankBytes: AVATAR_BYTES * 3 + 1 }, TENSORS)).toBe(3);
    expect(() => slotsWithin({ bankSlots: 64, bankBytes: 10 }, TENSORS)).toThrow(/no room/);
    expect(() => slotsWithin({ bankSlots: 0, bankBytes: 2 ** 30 }, TENSORS)).toThrow(/no room/);
  });
});
