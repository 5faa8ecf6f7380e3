import { describe, expect, it } from 'vitest';
import { RateGate } from './RateGate.ts';
import { TokenBucket } from './TokenBucket.ts';

describe('TokenBucket', () => {
  it('gives its burst at once and then its rate', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 3 }, 0);
    expect([1, 2, 3, 4].map(() => bucket.take(0))).toEqual([true, true, true, false]);
    expect(bucket.take(99)).toBe(false);
    expect(bucket.take(100)).toBe(true);
    expect(bucket.take(100)).toBe(false);
  });

  it('never holds more than its burst', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 2 }, 0);
    expect([1, 2, 3].map(() => bucket.take(1e9))).toEqual([true, true, false]);
  });

  it('lets a steady sender through for ever at exactly its rate', () => {
    const bucket = new TokenBucket({ perSecond: 240, burst: 2 }, 0);
    for (let index = 1; index <= 2400; index += 1) expect(bucket.take((index * 1000) / 240)).toBe(true);
  });

  it('survives a clock that goes back', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 1 }, 1000);
    expect(bucket.take(1000)).toBe(true);
    expect(bucket.take(0)).toBe(false);
    expect(bucket.take(100)).toBe(true);
  });

  it('refuses a rate or burst that is not positive', () => {
    expect(() => new TokenBucket({ perSecond: 0, burst: 1 }, 0)).toThrow(RangeError);
    expect(() => new TokenBucket({ perSecond: 1, burst: 0.5 }, 0)).toThrow(RangeError);
    expect(() => new TokenBucket({ perSecond: Number.NaN, burst: 1 }, 0)).toThrow(RangeError);
  });
});

describe('RateGate', () => {
  it('drops a short excess in silence and reports a sustained one once', () => {
    const gate = new RateGate({ perSecond: 4, burst: 2 }, 0);
    const verdicts = Array.from({ length: 10 }, () => gate.admit(0));
    expect(verdicts).toEqual(['pass', 'pass', 'drop', 'drop', 'drop', 'report', 'drop', 'drop', 'drop', 'drop']);
  });

  it('reports again after the sender had calmed down', () => {
    const gate = new RateGate({ perSecond: 2, burst: 1 }, 0);
    const burst = (nowMs: number) => Array.from({ length: 4 }, () => gate.admit(nowMs)).join(' ');
    expect(burst(0)).toBe('pass drop report drop');
    expect(burst(10_000)).toBe('pass drop report drop');
  });
});
