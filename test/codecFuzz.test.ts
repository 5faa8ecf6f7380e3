import { expect, it } from 'vitest';
import { fuzzCompact } from './bench/codecFuzz.ts';

it('20 000 mutated compact packets are refused with a typed error or decode to a valid motion', () => {
  const { decoded, refused, failures, beyondBound } = fuzzCompact(20_000, 4);
  expect(failures).toEqual([]);
  expect(beyondBound).toBe(0);
  // both outcomes occur, or the fuzz would show nothing
  expect(decoded).toBeGreaterThan(50);
  expect(Object.keys(refused).sort()).toEqual(
    expect.arrayContaining(['packet_bad_value', 'packet_no_baseline', 'packet_oversized', 'packet_truncated']),
  );
}, 120_000);
