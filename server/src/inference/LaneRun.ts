import { EXPRESSION_COUNT, type Motion, type View } from '@facewire/proto';
import type { Picture, RenderWanted, TensorType } from '../contracts.ts';
import type { BankMemory } from './BankMemory.ts';
import type { DeviceTransfer } from './DeviceTransfer.ts';
import { MOTION_COLUMNS, VIEW_COLUMNS } from './manifest.ts';
import type { HostMemory } from './ort/HostMemory.ts';
import type { OrtBinding } from './ort/OrtBinding.ts';
import type { OrtSession, RunTensors } from './ort/OrtSession.ts';
import { byteLengthOf, OrtTensor } from './ort/OrtTensor.ts';
import type { Traffic } from './Traffic.ts';

export const INPUTS = ['slots', 'motion', 'view'] as const;
export const OUTPUTS = ['rgb', 'i420'] as const;
export type LaneTensorName = (typeof INPUTS)[number] | (typeof OUTPUTS)[number];
export type LaneTensors = Readonly<Record<LaneTensorName, OrtTensor>>;

export interface LaneRunOptions {
  /** the graph */
  session: OrtSession;
  memory: BankMemory;
  /** names of the bank's tensors that the graph reads */
  bankNames: readonly string[];
  /** pixels */
  size: number;
  maxBatch: number;
  /** runs are recorded and replayed between tensors that stay on the device; copies are runs of their own */
  recorded?: { transfer: DeviceTransfer; nextGraph: () => number };
}

interface Closeable {
  close(): void;
}

/** A batch size with its tensors, over the beginnings of the lane's memory. */
interface Batch {
  host: LaneTensors;
  /** of recorded runs */
  device?: LaneTensors;
}

/** Runs in place: all tensors lie where the device computes. */
interface Bound {
  binding: OrtBinding;
  /** of recorded runs, for ONNX Runtime */
  graph?: number;
  /** a run came back: later ones replay it where runs are recorded */
  ran: boolean;
}

/** The memory of one run at a time, which every run of the lane uses again. Runs must not overlap. */
export class LaneRun {
  private readonly options: LaneRunOptions;
  private readonly memory: Readonly<Record<LaneTensorName, HostMemory>>;
  /** of the bank that travel with every run: all that lies in the host's memory while the graph is on a GPU */
  private readonly bankBytesARun: number;
  private readonly batches = new Map<number, Batch>();
  /** by keyOf() */
  private readonly bound = new Map<string, Bound>();

  /** @throws FacewireError inference_failed when there is not that much memory */
  constructor(options: LaneRunOptions) {
    this.options = options;
    const { session, bankNames, memory } = options;
    const bank = session.device.kind === 'cpu' ? [] : bankNames.map((name) => memory.tensor(name));
    const travelling = bank.filter((tensor) => tensor.isOnHost);
    this.bankBytesARun = travelling.reduce((sum, { dtype, shape }) => sum + byteLengthOf(dtype, shape), 0);
    this.memory = each((name) => {
      const [dtype, shape] = tensorOf(name, options.maxBatch, options.size);
      return options.session.hostMemory(byteLengthOf(dtype, shape));
    });
  }

  /**
   * Draws the pictures into the lane's memory.
   *
   * @param slots of the pictures' avatars, pinned until the promise settles
   * @param traffic counts the bytes that cross
   * @throws FacewireError inference_failed, also when there is no memory for so many pictures
   */
  async draw(
    pictures: readonly Picture[],
    slots: readonly number[],
    wanted: RenderWanted,
    traffic: Traffic,
  ): Promise<void> {
    this.fill(pictures, slots);
    const { session, recorded } = this.options;
    const rows = recorded ? recordedBatch(pictures.length, this.options.maxBatch) : pictures.length;
    const { host, device } = this.batch(rows);
    if (recorded) {
      await recorded.transfer.copy(INPUTS, host, device!);
      await this.runBound(rows, wanted, device!);
      const outputs = OUTPUTS.filter((name) => wanted[name]);
      await recorded.transfer.copy(outputs, device!, host);
    } else if (session.device.kind === 'cpu') {
      await this.runBound(rows, wanted, host);
    } else {
      await session.run(this.tensors(host, wanted));
    }
    this.count(host, wanted, traffic);
  }

  /** Whether so many pictures are drawn without recording a run; true where runs are not recorded. */
  isRecorded(count: number, wanted: RenderWanted): boolean {
    if (!this.options.recorded) return true;
    return this.bound.get(keyOf(recordedBatch(count, this.options.maxBatch), wanted))?.ran ?? false;
  }

  /** One picture's bytes, until the lane's next run overwrites them. */
  row(name: (typeof OUTPUTS)[number], index: number): Uint8Array {
    const [dtype, shape] = tensorOf(name, 1, this.options.size);
    const length = byteLengthOf(dtype, shape);
    return new Uint8Array(this.memory[name].buffer, index * length, length);
  }

  /** May be called twice; not during a run. Before its session. */
  close(): void {
    for (const { binding } of this.bound.values()) binding.close();
    this.bound.clear();
    for (const { host, device } of this.batches.values()) {
      closeAll(host);
      if (device) closeAll(device);
    }
    this.batches.clear();
    closeAll(this.memory);
  }

  private fill(pictures: readonly Picture[], slots: readonly number[]): void {
    const slotValues = new BigInt64Array(this.memory.slots.buffer, 0, this.options.maxBatch);
    const motion = new Float32Array(this.memory.motion.buffer, 0, this.options.maxBatch * MOTION_COLUMNS);
    const view = new Float32Array(this.memory.view.buffer, 0, this.options.maxBatch * VIEW_COLUMNS);
    for (const [index, picture] of pictures.entries()) {
      slotValues[index] = BigInt(slots[index]!);
      writeMotion(motion, index * MOTION_COLUMNS, picture.motion);
      writeView(view, index * VIEW_COLUMNS, picture.view);
    }
  }

  private batch(count: number): Batch {
    let batch = this.batches.get(count);
    if (batch === undefined) {
      const { size, session, recorded } = this.options;
      const host = (name: LaneTensorName) => OrtTensor.over(this.memory[name], ...tensorOf(name, count, size));
      const device = (name: LaneTensorName) => session.deviceTensor(...tensorOf(name, count, size));
      batch = { host: each(host) };
      try {
        if (recorded) batch.device = each(device);
      } catch (error) {
        closeAll(batch.host);
        throw error;
      }
      this.batches.set(count, batch);
    }
    return batch;
  }

  private async runBound(rows: number, wanted: RenderWanted, tensors: LaneTensors): Promise<void> {
    const { session, recorded } = this.options;
    const key = keyOf(rows, wanted);
    let bound = this.bound.get(key);
    if (bound === undefined) {
      const binding = session.bind(this.tensors(tensors, wanted));
      bound = { binding, ...(recorded && { graph: recorded.nextGraph() }), ran: false };
      this.bound.set(key, bound);
    }
    await session.runBound(bound.binding, bound.graph);
    bound.ran = true;
  }

  private tensors(tensors: LaneTensors, wanted: RenderWanted): RunTensors {
    const { bankNames, memory } = this.options;
    const bank = bankNames.map((name) => [`bank.${name}`, memory.tensor(name)] as const);
    const inputs = INPUTS.map((name) => [name, tensors[name]] as const);
    const outputs = OUTPUTS.filter((name) => wanted[name]).map((name) => [name, tensors[name]] as const);
    return { inputs: Object.fromEntries([...bank, ...inputs]), outputs: Object.fromEntries(outputs) };
  }

  private count(host: LaneTensors, wanted: RenderWanted, traffic: Traffic): void {
    for (const name of INPUTS) traffic.inputBytesToDevice += host[name].data!.byteLength;
    for (const name of OUTPUTS) if (wanted[name]) traffic.bytesFromDevice += host[name].data!.byteLength;
    traffic.bankBytesRecopied += this.bankBytesARun;
  }
}

/**
 * Rows of the recorded run that draws `count` pictures: each recording holds memory, so there are few sizes, less than
 * half as large again as what is asked for.
 */
export function recordedBatch(count: number, maxBatch: number): number {
  let rows = 1;
  // 1, 2, 3, 4, 6, 8, 12, 16, 24, …
  while (rows < count) rows = rows < 4 ? rows + 1 : (rows & (rows - 1)) === 0 ? rows * 1.5 : (rows / 3) * 4;
  return Math.min(rows, maxBatch);
}

function keyOf(rows: number, wanted: RenderWanted): string {
  return `${rows} ${wanted.rgb} ${wanted.i420}`;
}

function tensorOf(name: LaneTensorName, count: number, size: number): [TensorType, number[]] {
  switch (name) {
    case 'slots':
      return ['int64', [count]];
    case 'motion':
      return ['float32', [count, MOTION_COLUMNS]];
    case 'view':
      return ['float32', [count, VIEW_COLUMNS]];
    case 'rgb':
      return ['uint8', [count, size, size, 3]];
    case 'i420':
      return ['uint8', [count, (size * 3) / 2, size]];
  }
}

/** One for each tensor, or none: when one cannot be made those before it are closed. */
function each<Value extends Closeable>(make: (name: LaneTensorName) => Value): Record<LaneTensorName, Value> {
  const made: Partial<Record<LaneTensorName, Value>> = {};
  try {
    for (const name of [...INPUTS, ...OUTPUTS]) made[name] = make(name);
  } catch (error) {
    closeAll(made);
    throw error;
  }
  return made as Record<LaneTensorName, Value>;
}

function closeAll(values: Partial<Record<LaneTensorName, Closeable>>): void {
  for (const value of Object.values(values)) value.close();
}

/** Writes pitch, yaw, roll, tx, ty, logScale and the 52 coefficients at `offset`. */
export function writeMotion(out: Float32Array, offset: number, { pose, expression }: Motion): void {
  out[offset] = pose.pitch;
  out[offset + 1] = pose.yaw;
  out[offset + 2] = pose.roll;
  out[offset + 3] = pose.tx;
  out[offset + 4] = pose.ty;
  out[offset + 5] = pose.logScale;
  if (expression.length !== EXPRESSION_COUNT) {
    throw new RangeError(`a motion has ${expression.length} coefficients, expected ${EXPRESSION_COUNT}`);
  }
  out.set(expression, offset + 6);
}

function writeView(out: Float32Array, offset: number, view: View): void {
  out[offset] = view.yaw;
  out[offset + 1] = view.pitch;
}
