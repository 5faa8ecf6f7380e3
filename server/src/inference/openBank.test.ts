import { FacewireError } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { HostBankMemory, slotsWithin } from './BankMemory.ts';
import { openBank } from './openBank.ts';

const TENSORS = [{ name: 'a', dtype: 'float32' as const, shape: [256, 1024] }];
const cuda = { kind: 'cuda', index: 1 } as const;

/** A device that has memory for so many slots. */
function openOn(room: number, message = 'Failed to allocate memory for requested buffer of size 1073741824') {
  const tried: number[] = [];
  const warnings: string[] = [];
  const create = async (slots: number) => {
    tried.push(slots);
    if (slots > room) throw new FacewireError('inference_failed', `ONNX Runtime: ${message}`);
    return new HostBankMemory(TENSORS, slots);
  };
  const exclusive = <T>(task: () => Promise<T>) => task();
  const warn = (text: string) => void warnings.push(text);
  return {
    tried,
    warnings,
    open: () => openBank({ tensors: TENSORS, slots: 1000, device: cuda, exclusive, warn, create }),
  };
}

describe('openBank', () => {
  it('takes as many slots as it is asked for where there is memory', async () => {
    const { open, warnings } = openOn(1000);
    expect((await open()).slots).toBe(1000);
    expect(warnings).toEqual([]);
  });

  it('takes fewer slots where there is not, and says how to choose', async () => {
    const { open, warnings, tried } = openOn(300);
    expect((await open()).slots).toBe(250);
    expect(tried).toEqual([1000, 500, 250]);
    expect(warnings).toEqual([expect.stringMatching(/cuda:1 .*1000 avatars.*250 slots.*FACEWIRE_BANK_MIB/)]);
  });

  it('fails with the remedy when there is no memory for a single avatar', async () => {
    await expect(openOn(0).open()).rejects.toMatchObject({
      code: 'inference_failed',
      message: expect.stringContaining('one avatar'),
      remedy: expect.stringContaining('FACEWIRE_DEVICE=cpu'),
    });
  });

  it('does not mistake another failure for a lack of memory', async () => {
    const { open, tried } = openOn(0, 'CUDA driver version is insufficient for CUDA runtime version');
    await expect(open()).rejects.toMatchObject({ message: expect.stringContaining('insufficient') });
    expect(tried).toEqual([1000]);
  });
});

describe('slotsWithin', () => {
  it('as many avatars as the budget has room for, but no more than are asked for', () => {
    expect(slotsWithin({ bankSlots: 100_000, bankBytes: 10 * 2 ** 20 }, TENSORS)).toBe(10);
    expect(slotsWithin({ bankSlots: 4, bankBytes: 10 * 2 ** 20 }, TENSORS)).toBe(4);
  });

  it('names the least budget when not one fits', () => {
    expect(() => slotsWithin({ bankSlots: 4, bankBytes: 1000 }, TENSORS)).toThrow(
      expect.objectContaining({ code: 'config_invalid', remedy: 'set FACEWIRE_BANK_MIB to 1 or more' }),
    );
  });
});
