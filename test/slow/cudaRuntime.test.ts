import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildDouble, cudaProvider } from './cuda/buildDouble.ts';
import { writeKernelModel } from './cuda/kernelModel.ts';

const DRAW = fileURLToPath(new URL('./cuda/drawOnDouble.ts', import.meta.url));
/** A replayed graph takes 40 ms. */
const GRAPH_US = 40_000;
/** In flight, where copies hide behind them: those of eight frames take about 20 ms, and a busy machine begins them late. */
const LONG_GRAPH_US = 160_000;
const BYTES_PER_US = 1;
const CAPTURE_US = 30_000;
/** 58 float32 of motion, 2 float32 of view, one int64 slot; uint8 of RGB and I420 at 16² */
const [INPUT_BYTES, FRAME_BYTES] = [248, 16 * 16 * 3 + 24 * 16] as const;
const PICTURES = 16 * 8;
const COUNTED = {
  pictures: PICTURES,
  inputBytes: PICTURES * INPUT_BYTES,
  frameBytes: PICTURES * FRAME_BYTES,
  bankBytesRecopied: 0,
};
/** cudaMemcpyKind */
const [UP, DOWN] = ['1', '2'] as const;

interface Span {
  stream: string;
  what: string;
  kind: string;
  bytes: number;
  fromUs: number;
  toUs: number;
}

function spansOf(lines: readonly string[]): Span[] {
  return lines.flatMap((line) => {
    const [type, stream, what, kind, bytes, fromUs, toUs] = line.split(' ');
    if (type !== 'span') return [];
    return [{ stream: stream!, what: what!, kind: kind!, bytes: +bytes!, fromUs: +fromUs!, toUs: +toUs! }];
  });
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const bytes = (spans: readonly Span[], kind: string) =>
  sum(spans.filter((span) => span.kind === kind).map((span) => span.bytes));

describe.skipIf(!existsSync(cudaProvider()))("ONNX Runtime's CUDA provider over a double of CUDA's runtime", () => {
  const directory = mkdtempSync(join(tmpdir(), 'facewire-cuda-'));
  const model = join(directory, 'model');
  beforeAll(() => {
    buildDouble(directory);
    writeKernelModel(model);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  async function run(what: string, graphUs = GRAPH_US) {
    const log = join(directory, `${what}.log`);
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', DRAW, model, what], {
      env: {
        ...process.env,
        LD_LIBRARY_PATH: directory,
        DOUBLE_LOG: log,
        DOUBLE_GRAPH_US: String(graphUs),
        DOUBLE_BYTES_PER_US: String(BYTES_PER_US),
        DOUBLE_CAPTURE_US: String(CAPTURE_US),
      },
    });
    const lines = readFileSync(log, 'utf8').split('\n');
    return { lines, ...JSON.parse(stdout.trim().split('\n').at(-1)!) };
  }

  /** As run(), with the lines of the flight alone. */
  async function flight(what: string) {
    const seen = await run(what, LONG_GRAPH_US);
    return { ...seen, lines: seen.lines.slice(seen.lines.indexOf('mark begin'), seen.lines.indexOf('mark end')) };
  }

  describe('two recorded batches in flight', () => {
    let seen: Awaited<ReturnType<typeof run>>;
    let spans: Span[];
    beforeAll(async () => {
      seen = await flight('recorded');
      spans = spansOf(seen.lines);
    });

    it('are replayed one after the other, their copies beside the replays', () => {
      expect(seen.warnings).toEqual([]);
      const graphs = spans.filter(({ what }) => what === 'graph');
      expect(graphs).toHaveLength(16);
      expect(new Set(graphs.map(({ stream }) => stream)).size).toBe(1);
      const copies = spans.filter(({ what }) => what === 'copy');
      const hidden = copies.filter(({ fromUs, toUs }) =>
        graphs.some((graph) => graph.fromUs <= fromUs && toUs <= graph.toUs + 1000),
      );
      const time = (some: readonly Span[]) => sum(some.map(({ fromUs, toUs }) => toUs - fromUs));
      // The first batch's inputs and the last one's frames have nothing to hide behind.
      expect(time(hidden) / time(copies)).toBeGreaterThan(0.7);
    });

    it('make no call of the runtime on the main thread, and wait for no whole device', () => {
      expect(seen.lines.filter((line: string) => /^call main/.test(line))).toEqual([]);
      expect(seen.lines.filter((line: string) => /cudaDeviceSynchronize|cudaMalloc|cudaFree/.test(line))).toEqual([]);
    });

    it('bring up and down what the counters say', () => {
      expect(seen.result).toEqual(COUNTED);
      expect([bytes(spans, UP), bytes(spans, DOWN)]).toEqual([COUNTED.inputBytes, COUNTED.frameBytes]);
    });
  });

  it('batches that are not recorded come down whole as well, with no call on the main thread', async () => {
    const { lines, result, warnings } = await flight('plain');
    expect({ result, warnings }).toEqual({ result: COUNTED, warnings: [] });
    expect(spansOf(lines).filter(({ what }) => what === 'graph')).toEqual([]);
    expect(bytes(spansOf(lines), DOWN)).toBe(COUNTED.frameBytes);
    expect(lines.filter((line: string) => /^call main|cudaDeviceSynchronize/.test(line))).toEqual([]);
  });

  it('two devices that record and draw at once break each other’s recordings, kept apart they do not', async () => {
    const refused = (lines: readonly string[]) => lines.filter((line) => line.startsWith('fail'));
    // A race: on some days two devices get by one another for a whole run.
    let together = await run('together');
    for (let tries = 1; tries < 40 && together.result.failed === 0; tries++) together = await run('together');
    expect(together.result.failed).toBeGreaterThan(0);
    expect(refused(together.lines).length).toBeGreaterThan(0);
    const apart = await run('apart');
    expect(apart).toMatchObject({ result: { failed: 0 }, warnings: [] });
    expect(refused(apart.lines)).toEqual([]);
    expect(apart.lines.filter((line: string) => line.includes('BeginCapture-global')).length).toBeGreaterThan(20);
  });
});
