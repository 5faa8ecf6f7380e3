import { describe, expect, it } from 'vitest';
import { DeviceBankMemory } from './DeviceBankMemory.ts';

const TENSORS = [
  { name: 'a', dtype: 'float32' as const, shape: [2, 3] },
  { name: 'b', dtype: 'uint8' as const, shape: [4] },
];

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
      await memory.write('a', slot, new Uint8Array(new Float32Array(6).fill(slot + order.length / 10).buffer));
      await memory.write('b', slot, new Uint8Array(4).fill(slot + 10 * order.length));
    }
    expect(order).toHaveLength(8);
    // In place: once a bank of gigabytes is in memory, no second one is wanted for changing a slot.
    expect(memory.tensor('a')).toBe(held);
    const a = new Float32Array(memory.tensor('a').data!.buffer);
    expect([a[0], a[5], a[6], a[17]].map((value) => value!.toFixed(1))).toEqual(['0.6', '0.6', '1.4', '2.0']);
    expect([...memory.tensor('b').data!]).toEqual([70, 70, 70, 70, 51, 51, 51, 51, 12, 12, 12, 12]);
    memory.close();
    memory.close();
    await memory.write('a', 0, new Uint8Array(24));
  });
});
