import { describe, expect, it } from 'vitest';
import { slug } from './avatarInfo.ts';

describe('slug', () => {
  it('makes names into ids', () => {
    expect([slug('Zoë Müller'), slug('  --  '), slug('日本'), slug('A_b 3!')]).toEqual([
      'zoe-muller',
      'avatar',
      'avatar',
      'a-b-3',
    ]);
  });
});
