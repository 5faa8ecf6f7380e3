import { describe, expect, it } from 'vitest';
import { DeviceBankMemory } from './DeviceBankMemory.ts';

const TENSORS = [
  { name: 'a', dtype: 'float32' as const, shape: [2, 3] },
  { name: 'b', dtype: 'uint8' as const, shape: [4] },
];

const avatar = (a: number, b: number) =>
  new Map([
    ['a', { data: new Uint8Array(new Float32Array(6).fill(a).buffer) }],
    ['b', { data: new Uint8Array(4).fill(b) }],
  ]);

/** The update graph on the CPU provider; the same code fills the bank of a GPU. */
describe('DeviceBankMemory', () => {
  it('changes one slot and leaves the others', async () => {
    const order: string[] = [];
    const memory = await DeviceBankMemory.create(TENSORS, 3, { kind: 'cpu', index: 0 }, async (task) => {
      order.push('exclusive');
      return task();
    });
    expect(memory.tensor('a').shape).toEqual([3, 2, 3]);
    const held = memory.tensor('a');
    for (const slot of [2, 0, 1, 0]) {
      await memory.write(slot, avatar(slot + order.length / 10, slot + 10 * order.length));
    }
    // Once alone for each avatar.
    expect(order).toHaveLength(4);
    // In place: once a bank of gigabytes is in memory, no second one is wanted for changing a slot.
    expect(memory.tensor('a')).toBe(held);
    const a = new Float32Array(memory.tensor('a').data!.buffer);
    expect([a[0], a[5], a[6], a[17]].map((value) => value!.toFixed(1))).toEqual(['0.3', '0.3', '1.2', '2.0']);
    expect([...memory.tensor('b').data!]).toEqual([30, 30, 30, 30, 21, 21, 21, 21, 2, 2, 2, 2]);
    memory.close();
    memory.close();
    await memory.write(0, avatar(9, 9));
  });
});
