import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompactMotionDecoder, FacewireError } from '@facewire/proto';
import { afterAll, expect, it } from 'vitest';
import { mulberry } from './bench/tracks.ts';

/** what fw_decode returns, by the code of the error that the TypeScript decoder throws */
const CODES: Record<string, number> = {
  packet_truncated: 1,
  packet_oversized: 2,
  packet_bad_value: 3,
  packet_unknown_kind: 4,
  packet_stale: 5,
  packet_no_baseline: 6,
};
const MUTATED = 4000;

interface GoldenScript {
  name: string;
  steps: { packet?: string; decoded?: { sequence: number; timeMs: number; denominators: number[]; steps: number[] } }[];
}

const path = (name: string): string => new URL(name, import.meta.url).pathname;
const golden = JSON.parse(readFileSync(path('../proto/golden/compact.json'), 'utf8')) as GoldenScript[];
const folder = mkdtempSync(join(tmpdir(), 'facewire-c-'));
const program = join(folder, 'decodePackets');
const compilerIsThere = spawnSync('cc', ['--version']).status === 0;
// a developer may lack a compiler; CI may not
const needed = Boolean(process.env.CI ?? process.env.FACEWIRE_CI);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function compile(...flags: string[]): void {
  const files = ['-I', path('../proto/c'), path('c/decodePackets.c'), '-o', program];
  const { status, stderr } = spawnSync('cc', [
    '-std=c99',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-pedantic',
    ...flags,
    ...files,
  ]);
  if (status !== 0) throw new Error(`cc: ${stderr}`);
}

function decodeInC(lines: readonly string[]): string[] {
  const { status, stdout, stderr } = spawnSync(program, { input: `${lines.join('\n')}\n`, maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`decodePackets: ${status} ${stderr}`);
  return stdout.toString().trimEnd().split('\n');
}

const lineOf = (sequence: number, timeMs: number, denominators: readonly number[], steps: readonly number[]): string =>
  ['0', sequence, timeMs, ...denominators, ...steps].join(' ');

it.skipIf(!compilerIsThere && !needed)('the C decoder reads the golden packets as the others do', () => {
  compile('-O2');
  const lines: string[] = [];
  const expected: string[] = [];
  for (const { steps } of golden) {
    lines.push('new');
    for (const { packet, decoded } of steps) {
      if (packet === undefined || decoded === undefined) continue;
      lines.push(packet);
      expected.push(lineOf(decoded.sequence, decoded.timeMs, decoded.denominators, decoded.steps));
    }
  }
  expect(decodeInC(lines)).toEqual(expected);
});

it.skipIf(!compilerIsThere && !needed)(
  'the C decoder treats altered packets as the TypeScript one does, and touches no byte that is not its own',
  () => {
    compile('-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all');
    const random = mulberry(9);
    const below = (limit: number): number => Math.floor(random() * limit);
    const lines: string[] = [];
    const expected: string[] = [];
    let decoder = new CompactMotionDecoder();
    const send = (packet: Uint8Array): number => {
      lines.push(packet.length === 0 ? '-' : Buffer.from(packet).toString('hex'));
      try {
        const { sequence, timeMs, motion } = decoder.decode(packet);
        expected.push(`0 ${sequence} ${timeMs} ${Array.from(motion.expression, (each) => each.toFixed(6)).join(' ')}`);
        return 0;
      } catch (error) {
        if (!(error instanceof FacewireError)) throw error;
        expected.push(String(CODES[error.code]));
        return CODES[error.code]!;
      }
    };
    const streams = golden.map(({ steps }) =>
      steps.flatMap(({ packet }) => (packet === undefined ? [] : [Uint8Array.from(Buffer.from(packet, 'hex'))])),
    );
    for (let count = 0, next = 0, stream = streams[0]!; count < MUTATED; count++) {
      if (count % 200 === 0) {
        lines.push('new');
        decoder = new CompactMotionDecoder();
        stream = streams[(count / 200) % streams.length]!;
        next = 0;
      }
      // the stream goes on between altered packets, so that they meet a decoder in the middle of its work
      if (next < stream.length && (next === 0 || random() < 0.4)) next = send(stream[next]!) === 0 ? next + 1 : 0;
      const packet = stream[below(stream.length)]!.slice();
      const kind = below(4);
      if (kind === 0) send(packet.subarray(0, below(packet.length + 1)));
      else if (kind === 1) send(Uint8Array.from({ length: 1 + below(60) }, () => below(256)));
      else {
        for (let each = below(3); each >= 0; each--) packet[below(packet.length)] = below(256);
        send(packet);
      }
    }
    const results = decodeInC(lines).map((line) => {
      const [code, sequence, timeMs, , denominator, , ...steps] = line.split(' ').map(Number);
      if (code !== 0) return String(code);
      const expression = steps.slice(6, 58).map((each) => Math.fround(each / denominator!).toFixed(6));
      return `0 ${sequence} ${timeMs} ${expression.join(' ')}`;
    });
    expect(results).toEqual(expected);
    expect(new Set(results.map((result) => result[0])).size).toBeGreaterThan(5);
  },
  120_000,
);
