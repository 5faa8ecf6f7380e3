/**
 * Writes proto/golden/compact.json: what an encoder is told, the packets it writes and what they decode to. Other
 * implementations must write and read the same bytes.
 *
 *     npx tsx proto/scripts/makeCompactGolden.ts
 */
import { writeFileSync } from 'node:fs';
import { compactGolden } from './compactGolden.ts';

const scripts = compactGolden();
writeFileSync(
  new URL('../golden/compact.json', import.meta.url),
  `[\n${scripts.map((script) => JSON.stringify(script)).join(',\n')}\n]\n`,
);
console.log(`${scripts.length} scripts, ${scripts.reduce((sum, { steps }) => sum + steps.length, 0)} steps`);
