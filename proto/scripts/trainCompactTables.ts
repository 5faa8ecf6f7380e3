/**
 * Writes what the compact codec knows before its first packet: proto/src/compact/learnedTables.ts, and the same numbers
 * for other languages as docs/compact-tables.json.
 *
 *     npx tsx proto/scripts/trainCompactTables.ts [--tracks DIR]
 */
import { writeFileSync } from 'node:fs';
import { codecTrainer } from '../../test/bench/codecTraining.ts';
import { loadTracks } from '../../test/bench/tracks.ts';
import type { CompactTables } from '../src/compact/CompactTables.ts';
import { cTables } from './cTables.ts';

const at = process.argv.indexOf('--tracks');
const { from, tracks } = loadTracks(at < 0 ? undefined : process.argv[at + 1]);
if (from === 'synthetic') throw new Error('no tracks: pass --tracks with a folder of motion tracks');
const tables = codecTrainer().train(tracks);

const rows = (numbers: ArrayLike<number>): string => {
  const lines: string[] = [];
  let line = ' ';
  for (const number of Array.from(numbers)) {
    if (line.length + String(number).length + 2 > 120) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${number},`;
  }
  lines.push(line);
  return lines.join('\n');
};

const field = (name: keyof CompactTables): string =>
  `  ${name}: ${tables[name].constructor.name}.of(\n${rows(tables[name]).replace(/,$/, '')}\n  ),`;

writeFileSync(
  new URL('../src/compact/learnedTables.ts', import.meta.url),
  `import type { CompactTables } from './CompactTables.ts';

/** Written by proto/scripts/trainCompactTables.ts from ${tracks.length} motion tracks; docs/compact-tables.json holds the same. */
// biome-ignore format: numbers
export const LEARNED_TABLES: CompactTables = {
${(['predecessors', 'weights', 'questions', 'ranks'] as const).map(field).join('\n')}
};
`,
);
writeFileSync(new URL('../c/facewire_tables.h', import.meta.url), cTables(tables, rows));
const plain = Object.fromEntries(Object.entries(tables).map(([name, numbers]) => [name, Array.from(numbers)]));
writeFileSync(
  new URL('../../docs/compact-tables.json', import.meta.url),
  `${JSON.stringify(plain).replaceAll('],"', '],\n"')}\n`,
);
console.log(`trained on ${tracks.map(({ source }) => source).join(', ')}`);
