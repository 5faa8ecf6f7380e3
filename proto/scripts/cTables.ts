import type { CompactTables } from '../src/compact/CompactTables.ts';
import { EXPRESSION_ORDER } from '../src/compact/scalars.ts';

/** The tables for proto/c/facewire_motion.h. `rows`: numbers as text, in lines. */
export function cTables(tables: CompactTables, rows: (numbers: ArrayLike<number>) => string): string {
  const array = (type: string, name: string, numbers: ArrayLike<number>): string =>
    `static const ${type} ${name}[${numbers.length}] = {\n${rows(numbers).replace(/,$/, '')}\n};\n`;
  return `/* Written by proto/scripts/trainCompactTables.ts; docs/compact-tables.json holds the same. */
#ifndef FACEWIRE_TABLES_H
#define FACEWIRE_TABLES_H

#include <stdint.h>

/* coefficients in the order in which packets code them */
${array('uint8_t', 'fw_expression_order', EXPRESSION_ORDER)}
${array('uint8_t', 'fw_predecessors', tables.predecessors)}
${array('int16_t', 'fw_weights', tables.weights)}
${array('int8_t', 'fw_questions', tables.questions)}
${array('uint8_t', 'fw_ranks', tables.ranks)}
#endif
`;
}
