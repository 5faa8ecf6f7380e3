import { synthesizeMotion } from '@facewire/proto';
import { type Config, openEngine } from '@facewire/server';
import type { Precision } from '../../server/src/inference/manifest.ts';
import { OnnxRenderer } from '../../server/src/inference/OnnxRenderer.ts';
import { DEFAULT_TUNING, OrtSession, type SessionTuning } from '../../server/src/inference/ort/OrtSession.ts';
import { OrtTensor } from '../../server/src/inference/ort/OrtTensor.ts';
import { choosePrecision } from '../../server/src/inference/precision.ts';
import { threadings } from '../../server/src/inference/threading.ts';
import { GraphWriter } from './renderGraph.ts';

interface Rung {
  name: string;
  /** of one run */
  threads: number;
  precision: Precision;
  tuning: Partial<SessionTuning>;
}

const SPINNING_ENDS_MS = 150;

/**
 * Each rung changes one thing against the default.
 *
 * @param threads of one run by default
 * @param cores that there are
 * @param precisions that there are, the default first
 */
function rungs(threads: number, cores: number, precisions: readonly Precision[]): Rung[] {
  const [precision, ...others] = precisions as readonly [Precision, ...Precision[]];
  const changes: Partial<SessionTuning>[] = [
    { optimisation: 'extended' },
    { optimisation: 'basic' },
    { memoryPattern: !DEFAULT_TUNING.memoryPattern },
    { arena: !DEFAULT_TUNING.arena },
    { denormalAsZero: !DEFAULT_TUNING.denormalAsZero },
    // The last of a turn, and given time to end: its threads go on spinning after the run.
    { spinning: !DEFAULT_TUNING.spinning },
  ];
  const counts = [1, threads - 1, threads + 1, cores, cores + 1].filter((count) => count >= 1 && count !== threads);
  return [
    { name: `default (${precision}, threads ${threads})`, threads, precision, tuning: {} },
    ...others.map((other) => ({ name: other, threads, precision: other, tuning: {} })),
    ...[...new Set(counts)].map((count) => ({ name: `threads ${count}`, threads: count, precision, tuning: {} })),
    ...changes.map((tuning) => {
      const [[option, value]] = Object.entries(tuning) as [[string, unknown]];
      return { name: `${option} ${value}`, threads, precision, tuning };
    }),
  ];
}

/** What a rung runs again and again. */
interface Subject {
  run(turn: number): Promise<unknown>;
  close(): Promise<void> | void;
}

/**
 * Precisions and ONNX Runtime's session options on the CPU, one changed at a time, with the model's renderers and with a
 * plain convolutional decoder. All rungs take turns, run by run, so that a noisy machine is noisy for all of them. `ms` is of
 * the fastest run, as others share the machine; `cpuMs` the median of the processor time that a run took, on all threads,
 * which hardly depends on what else runs. Ratios above 1 are worse than the default.
 */
export async function measureLadder(config: Config, sizes: readonly number[], rowMs: number): Promise<object> {
  // It draws nothing: left to itself, it would take that for the time to measure the device, beside what is measured here.
  const engine = await openEngine({ ...config, device: 'cpu' }, { calibrate: false });
  const avatar = engine.avatars.list()[0]!.id;
  const picture = (size: number, turn: number) => ({
    avatar,
    size,
    view: { yaw: 0, pitch: 0 },
    motion: synthesizeMotion(turn / 30, 1),
  });
  const renderer = async (size: number, { threads, precision, tuning }: Rung): Promise<Subject> => {
    const opened = await OnnxRenderer.create({
      package: engine.package,
      // One run has them all.
      threads,
      lanes: 1,
      precision,
      tuning,
      sizes: [size],
      maxBatch: 1,
      bankSlots: 4,
      loadAvatar: (id) => engine.avatars.load(id),
    });
    return {
      run: (turn) => opened.render([picture(size, turn)], { i420: true, rgb: false }),
      close: () => opened.close(),
    };
  };
  try {
    const rows: object[] = [];
    const { precisions } = engine.package;
    const usual = choosePrecision('auto', 'cpu', precisions);
    // The CPU provider has hardly a kernel for half precision: it would only be converted to and fro.
    const others = precisions.filter((each) => each !== usual && each !== 'float16');
    for (const size of sizes) {
      const all = rungs(threadings('cpu', config.threads)[0]!.threads, config.threads, [usual, ...others]);
      rows.push(...(await climb(`${engine.renderer.model} ${size}`, all, rowMs, (rung) => renderer(size, rung))));
    }
    rows.push(...(await climb('decoder', rungs(config.threads, config.threads, ['float32']), rowMs, decoder)));
    return { bench: 'render', ladder: true, device: 'cpu', rows };
  } finally {
    await engine.close();
  }
}

async function climb(
  what: string,
  all: readonly Rung[],
  rowMs: number,
  open: (rung: Rung) => Promise<Subject>,
): Promise<object[]> {
  const opened = [];
  for (const rung of all) {
    opened.push({ name: rung.name, subject: await open(rung), times: [] as number[], cpuTimes: [] as number[] });
  }
  const untilMs = performance.now() + rowMs * opened.length;
  for (let turn = 0; turn < 4 || performance.now() < untilMs; turn++) {
    await new Promise((resolve) => setTimeout(resolve, SPINNING_ENDS_MS));
    for (const { subject, times, cpuTimes } of opened) {
      const cpuBefore = process.cpuUsage();
      const startedAtMs = performance.now();
      await subject.run(turn);
      const elapsedMs = performance.now() - startedAtMs;
      const { user, system } = process.cpuUsage(cpuBefore);
      if (turn === 0) continue;
      times.push(elapsedMs);
      cpuTimes.push((user + system) / 1000);
    }
  }
  const fastest = ({ times }: { times: number[] }) => Math.min(...times);
  const median = ({ cpuTimes }: { cpuTimes: number[] }) => cpuTimes.sort((a, b) => a - b)[cpuTimes.length >> 1]!;
  const [baseMs, baseCpuMs] = [fastest(opened[0]!), median(opened[0]!)];
  const rows = [];
  for (const each of opened) {
    const [ms, cpuMs] = [fastest(each), median(each)];
    const ratios = { ratio: round(ms / baseMs), cpuRatio: round(cpuMs / baseCpuMs) };
    const row = { what, name: each.name, ms: round(ms), cpuMs: round(cpuMs), ...ratios };
    rows.push(row);
    console.log(JSON.stringify(row));
    await each.subject.close();
  }
  return rows;
}

/** 64 channels at 64² to three at 256²: 2.7 GFLOP of 3×3 convolutions, as a neural renderer of this size has. */
async function decoder({ threads, tuning }: Rung): Promise<Subject> {
  const graph = new GraphWriter();
  let x = graph.input('x', [1, 64, 64, 64]);
  for (let layer = 0; layer < 3; layer++) x = graph.relu(graph.conv(x, 64, 3));
  for (const channels of [32, 16]) {
    x = graph.relu(graph.conv(graph.enlarge(x, 2), channels, 3));
    x = graph.relu(graph.conv(x, channels, 3));
  }
  const output = graph.add('Sigmoid', [graph.conv(x, 3, 3)], [1, 3, 256, 256]);
  const device = { kind: 'cpu', index: 0 } as const;
  const session = await OrtSession.open(graph.model('decoder', output), { device, threads, tuning });
  const tensors = [OrtTensor.host('float32', [1, 64, 64, 64]), OrtTensor.host('float32', output.shape)] as const;
  new Float32Array(tensors[0].data!.buffer).fill(0.5);
  return {
    run: () => session.run({ inputs: { x: tensors[0] }, outputs: { [output.name]: tensors[1] } }),
    close: () => {
      session.close();
      for (const tensor of tensors) tensor.close();
    },
  };
}

function round(value: number): number {
  return Math.round(100 * value) / 100;
}
