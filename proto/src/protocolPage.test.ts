import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MAX_CLIENT_CONTROL_BYTES } from './codec/controlPacket.ts';
import { FRAME_CODECS } from './codec/framePacket.ts';
import { MOTION_PACKET_BYTES } from './codec/motionPacket.ts';
import { CONTROL_LIMITS } from './control/validateControl.ts';
import { PROTOCOL_VERSION } from './control.ts';
import { ERROR_CODES } from './errors.ts';
import { EXPRESSION_NAMES } from './motion/expressions.ts';

const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');

/** The text from a heading to the next of the same or a higher level. */
function section(heading: string): string {
  const start = page.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`docs/protocol.md has no heading "${heading}"`);
  const level = heading.indexOf(' ');
  const rest = page.slice(start + heading.length + 2);
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'));
  return end < 0 ? rest : rest.slice(0, end);
}

const rowsOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => /^\|(?!-)/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

describe('docs/protocol.md', () => {
  it('has one row for every error code, in the order of ERROR_CODES, with meaning and remedy', () => {
    const rows = rowsOf(section('## Errors')).slice(1);
    expect(rows.map(([code]) => code)).toEqual(ERROR_CODES.map((code) => `\`${code}\``));
    for (const [code, , meaning, remedy] of rows) {
      expect([code, meaning!.length > 10, remedy!.length > 10]).toEqual([code, true, true]);
    }
    expect(new Set(ERROR_CODES).size).toBe(ERROR_CODES.length);
  });

  it('numbers the 52 coefficients as the packets do', () => {
    const cells = rowsOf(section('## The 52 coefficients')).slice(1).flat();
    const numbered = new Map(
      cells.flatMap((cell, at) => (at % 2 === 0 ? [[Number(cell), cells[at + 1]] as const] : [])),
    );
    expect(numbered.size).toBe(52);
    EXPRESSION_NAMES.forEach((name, index) => {
      expect(numbered.get(index)).toBe(`\`${name}\``);
    });
  });

  it.each(['clientControl', 'serverControl'])('names every message and field of the golden %s', (file) => {
    const vectors = JSON.parse(readFileSync(new URL(`../golden/${file}.json`, import.meta.url), 'utf8')) as {
      message: { type: string };
    }[];
    const text = section(file === 'clientControl' ? '### Client → server' : '### Server → client');
    for (const { message } of vectors) {
      const table = text.includes(`#### ${message.type}\n`)
        ? section(`#### ${message.type}`)
        : rowsOf(text)
            .find(([type]) => type === `\`${message.type}\``)
            ?.join('|');
      for (const field of Object.keys(message)) {
        if (field !== 'type') expect(table, `${message.type}.${field}`).toContain(`\`${field}\``);
      }
      expect(table, message.type).toBeDefined();
    }
  });

  it('states the sizes and limits that the code has', () => {
    expect(section('## Motion packet')).toContain(`exactly ${MOTION_PACKET_BYTES} bytes`);
    expect(section('## Frame packet')).toContain(
      FRAME_CODECS.map((codec, byte) => `${byte} ${codec.toUpperCase()}`).join(', '),
    );
    expect(section('## Limits')).toContain(`${MAX_CLIENT_CONTROL_BYTES}`);
    expect(section('#### subscribe')).toContain(`whole number ${CONTROL_LIMITS.size.join('…')}`);
    expect(section('#### subscribe')).toContain(`number ${CONTROL_LIMITS.framesPerSecond.join('…')}`);
    expect(section('## Control messages')).toContain(`1–${CONTROL_LIMITS.nameLength} Unicode code points`);
    expect(page).toContain(`# The Facewire protocol, version ${PROTOCOL_VERSION}\n`);
  });

  it('has no link to a heading of its own that is missing', () => {
    const anchors = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .trim()
        .replaceAll(' ', '-'),
    );
    for (const [, anchor] of page.matchAll(/\]\(#([^)]+)\)/g)) expect(anchors).toContain(anchor);
  });
});

describe('the main entry', () => {
  it('imports nothing of Node, so that browsers can load it', () => {
    const seen = new Set<string>();
    const foreign = new Set<string>();
    const visit = (file: URL) => {
      if (seen.has(file.href)) return;
      seen.add(file.href);
      for (const [, from] of readFileSync(file, 'utf8').matchAll(/^(?:import|export)\b[^;]*?\bfrom '([^']+)'/gm)) {
        if (from!.startsWith('.')) visit(new URL(from!, file));
        else foreign.add(from!);
      }
    };
    visit(new URL('./index.ts', import.meta.url));
    expect(seen.size).toBeGreaterThan(10);
    expect([...foreign].filter((name) => !['msgpackr', 'valibot'].includes(name))).toEqual([]);
    expect(existsSync(new URL('./node.ts', import.meta.url))).toBe(true);
    expect(seen.has(new URL('./node.ts', import.meta.url).href)).toBe(false);
  });
});
