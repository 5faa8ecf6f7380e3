import { describe, expect, it } from 'vitest';
import { assignScreens } from './assignScreens.ts';

const bot = (id: string) => ({ id, bot: true });
const person = (id: string) => ({ id, bot: false });

describe('assignScreens', () => {
  it('fills the best screens first, people before bots', () => {
    expect(assignScreens([undefined, undefined, undefined], [bot('b'), person('p')])).toEqual(['p', 'b', undefined]);
  });

  it('moves nobody who is still there', () => {
    expect(assignScreens(['a', 'b', 'c'], [bot('c'), bot('a'), bot('d')])).toEqual(['a', 'd', 'c']);
  });

  it('gives a person the last bot’s screen when all are taken, and a bot nothing', () => {
    const current = ['p', 'b1', 'b2'];
    const there = [person('p'), bot('b1'), bot('b2')];
    expect(assignScreens(current, [...there, person('q')])).toEqual(['p', 'b1', 'q']);
    expect(assignScreens(current, [...there, bot('b3')])).toEqual(current);
  });

  it('leaves people out when people have all screens', () => {
    expect(assignScreens(['p'], [person('p'), person('q')])).toEqual(['p']);
  });
});
