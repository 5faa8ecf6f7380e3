import { describe, expect, it } from 'vitest';
import { BodyBudget } from '../BodyBudget.ts';
import { BodyCollector } from './BodyCollector.ts';

const collector = (budget: BodyBudget, announced?: string) => new BodyCollector({ maxBytes: 10, budget, announced });

describe('BodyCollector', () => {
  it('puts the chunks together', () => {
    const body = collector(new BodyBudget(100));
    body.push(Uint8Array.of(1, 2));
    body.push(Uint8Array.of(3));
    expect([...body.body()]).toEqual([1, 2, 3]);
    expect(body.refusal).toBeUndefined();
  });

  it('refuses what is announced to be too large before a byte is read, and what turns out to be', () => {
    expect(collector(new BodyBudget(100), '11').refusal).toMatchObject({
      code: 'image_too_large',
      received: '11 bytes',
    });
    expect(collector(new BodyBudget(100), '10').refusal).toBeUndefined();
    const body = collector(new BodyBudget(100));
    body.push(new Uint8Array(10));
    body.push(new Uint8Array(1));
    expect(body.refusal).toMatchObject({ code: 'image_too_large' });
    expect(body.body()).toHaveLength(0);
  });

  it('refuses bodies over the budget of all of them, until others are done', () => {
    const budget = new BodyBudget(15);
    const [first, second, third] = [collector(budget), collector(budget), collector(budget)];
    first.push(new Uint8Array(10));
    second.push(new Uint8Array(4));
    second.push(new Uint8Array(2));
    expect(second.refusal).toMatchObject({ code: 'server_full' });
    first.release();
    first.release();
    third.push(new Uint8Array(10));
    expect(third.refusal).toBeUndefined();
  });
});
