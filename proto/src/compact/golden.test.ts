import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compactGolden, type GoldenScript } from '../../scripts/compactGolden.ts';

it('writes and reads the golden packets, byte for byte', () => {
  const file = new URL('../../golden/compact.json', import.meta.url);
  const golden = JSON.parse(readFileSync(file, 'utf8')) as GoldenScript[];
  expect(JSON.parse(JSON.stringify(compactGolden()))).toEqual(golden);
});
