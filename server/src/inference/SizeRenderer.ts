import { EXPRESSION_COUNT, type Motion, type View } from '@facewire/proto';
import type { Picture, RenderedPicture, RenderWanted } from '../contracts.ts';
import type { BankMemory } from './BankMemory.ts';
import { FramePool } from './FramePool.ts';
import { MOTION_COLUMNS, type RendererFile, VIEW_COLUMNS } from './manifest.ts';
import type { OrtBinding } from './ort/OrtBinding.ts';
import type { OrtSession } from './ort/OrtSession.ts';
import { byteLengthOf, OrtTensor } from './ort/OrtTensor.ts';
import type { Traffic } from './Traffic.ts';

/** The tensors of one batch size, over the beginnings of a lane's buffers. */
interface Batch {
  slots: OrtTensor;
  motion: OrtTensor;
  view: OrtTensor;
  rgb: OrtTensor;
  i420: OrtTensor;
}

/** The buffers of one run at a time, which every run of the lane uses again. */
interface Lane {
  slots: ArrayBuffer;
  motion: ArrayBuffer;
  view: ArrayBuffer;
  rgb: ArrayBuffer;
  i420: ArrayBuffer;
  batches: Map<number, Batch>;
  bindings: Map<string, OrtBinding>;
}

/**
 * One size's graph with its input and output buffers. Runs of one lane must not overlap; those of different lanes may.
 */
export class SizeRenderer {
  readonly size: number;
  private readonly session: OrtSession;
  private readonly memory: BankMemory;
  private readonly maxBatch: number;
  private readonly bankNames: readonly string[];
  private readonly lanes = new Map<number, Lane>();
  private readonly pool = new FramePool();

  constructor(file: RendererFile, session: OrtSession, memory: BankMemory, maxBatch: number) {
    this.size = file.size;
    this.session = session;
    this.memory = memory;
    this.maxBatch = maxBatch;
    this.bankNames = memory.tensors.map(({ name }) => name).filter((name) => hasInput(file, `bank.${name}`));
  }

  /**
   * @param slots of the pictures' avatars, pinned until the promise settles
   * @param traffic counts the bytes that cross
   */
  async render(
    laneIndex: number,
    pictures: readonly Picture[],
    slots: readonly number[],
    wanted: RenderWanted,
    traffic: Traffic,
  ): Promise<RenderedPicture[]> {
    const lane = this.lane(laneIndex);
    const batch = this.batch(lane, pictures.length);
    const slotValues = new BigInt64Array(lane.slots);
    const motion = new Float32Array(lane.motion);
    const view = new Float32Array(lane.view);
    for (const [index, picture] of pictures.entries()) {
      slotValues[index] = BigInt(slots[index]!);
      writeMotion(motion, index * MOTION_COLUMNS, picture.motion);
      writeView(view, index * VIEW_COLUMNS, picture.view);
    }
    await this.session.run(this.bind(lane, pictures.length, batch, wanted, traffic));
    for (const name of ['rgb', 'i420'] as const) {
      if (wanted[name]) traffic.bytesFromDevice += batch[name].data!.byteLength;
    }
    return pictures.map((_, index) =>
      this.pool.picture(
        this.size,
        wanted,
        () => row(batch.i420, index),
        () => row(batch.rgb, index),
      ),
    );
  }

  /** May be called twice; not during a run. */
  close(): void {
    this.session.close();
    for (const { batches } of this.lanes.values()) {
      for (const batch of batches.values()) for (const tensor of Object.values(batch)) tensor.close();
    }
    this.lanes.clear();
  }

  private get rgbShape(): number[] {
    return [this.size, this.size, 3];
  }

  private get i420Shape(): number[] {
    return [(this.size * 3) / 2, this.size];
  }

  /** Made when it is first used: a lane more costs nothing where none is needed. */
  private lane(index: number): Lane {
    let lane = this.lanes.get(index);
    if (lane === undefined) {
      const { maxBatch } = this;
      lane = {
        slots: new ArrayBuffer(byteLengthOf('int64', [maxBatch])),
        motion: new ArrayBuffer(byteLengthOf('float32', [maxBatch, MOTION_COLUMNS])),
        view: new ArrayBuffer(byteLengthOf('float32', [maxBatch, VIEW_COLUMNS])),
        rgb: new ArrayBuffer(byteLengthOf('uint8', [maxBatch, ...this.rgbShape])),
        i420: new ArrayBuffer(byteLengthOf('uint8', [maxBatch, ...this.i420Shape])),
        batches: new Map(),
        bindings: new Map(),
      };
      this.lanes.set(index, lane);
    }
    return lane;
  }

  private batch(lane: Lane, count: number): Batch {
    let batch = lane.batches.get(count);
    if (batch === undefined) {
      batch = {
        slots: OrtTensor.overBuffer(lane.slots, 'int64', [count]),
        motion: OrtTensor.overBuffer(lane.motion, 'float32', [count, MOTION_COLUMNS]),
        view: OrtTensor.overBuffer(lane.view, 'float32', [count, VIEW_COLUMNS]),
        rgb: OrtTensor.overBuffer(lane.rgb, 'uint8', [count, ...this.rgbShape]),
        i420: OrtTensor.overBuffer(lane.i420, 'uint8', [count, ...this.i420Shape]),
      };
      lane.batches.set(count, batch);
    }
    return batch;
  }

  /** A binding per batch size and outputs wanted: an output that is not bound is not copied off the device. */
  private bind(lane: Lane, count: number, batch: Batch, wanted: RenderWanted, traffic: Traffic): OrtBinding {
    const key = `${count} ${wanted.rgb} ${wanted.i420}`;
    let binding = lane.bindings.get(key);
    if (binding === undefined) {
      binding = this.session.createBinding();
      if (wanted.rgb) binding.bindOutput('rgb', batch.rgb);
      if (wanted.i420) binding.bindOutput('i420', batch.i420);
      lane.bindings.set(key, binding);
    }
    for (const name of this.bankNames) this.bindBank(binding, name, traffic);
    for (const name of ['slots', 'motion', 'view'] as const) {
      binding.bindInput(name, batch[name]);
      traffic.inputBytesToDevice += batch[name].data!.byteLength;
    }
    binding.synchronizeInputs();
    return binding;
  }

  private bindBank(binding: OrtBinding, name: string, traffic: Traffic): void {
    const tensor = this.memory.tensor(name);
    binding.bindInput(`bank.${name}`, tensor);
    const copied = tensor.data !== undefined && this.session.device.kind !== 'cpu';
    if (copied) traffic.bankBytesRecopied += tensor.data.byteLength;
  }
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

/** One picture's bytes, until the lane's next run overwrites them. */
function row(tensor: OrtTensor, index: number): Uint8Array {
  const length = tensor.data!.byteLength / tensor.shape[0]!;
  return tensor.data!.subarray(index * length, (index + 1) * length);
}

function hasInput(file: RendererFile, name: string): boolean {
  return file.inputs.some((input) => input.name === name);
}
