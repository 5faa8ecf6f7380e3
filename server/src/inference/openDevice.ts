import { availableParallelism } from 'node:os';
import { FacewireError } from '@facewire/proto';
import { slotsWithin } from './BankMemory.ts';
import { CalibrationCache, type CalibrationKey } from './CalibrationCache.ts';
import type { Calibration } from './calibrate.ts';
import { type Device, type DeviceKind, deviceName } from './Device.ts';
import { machineName } from './machineName.ts';
import type { Precision, RendererFile } from './manifest.ts';
import type { OnnxRendererOptions } from './OnnxRenderer.ts';
import { BANK_BYTES, openBank } from './openBank.ts';
import { closeSizes, type OpenSizesOptions, openSizes } from './openSizes.ts';
import { OrtRuntime } from './ort/OrtRuntime.ts';
import { RecordingGate } from './RecordingGate.ts';
import { RenderLanes, renderTimeoutMs } from './RenderLanes.ts';
import { checkRecording, openRecording, type Recording } from './recording.ts';
import type { SizeRenderer } from './SizeRenderer.ts';
import { type Threading, threadings } from './threading.ts';

/** One device with the bank and the graphs of a package. */
export interface Opened {
  precision: Precision;
  lanes: RenderLanes;
  /** what the sizes were opened with */
  sizes: OpenSizesOptions;
  renderers: ReadonlyMap<number, SizeRenderer>;
  ways: readonly Threading[];
  cache: CalibrationCache | undefined;
  key: CalibrationKey;
  known: Calibration | undefined;
}

/** Devices whose lost run is still there after it ended their opening: to open them again would wait behind it. */
const lost = new Set<string>();

/**
 * @throws FacewireError device_unavailable when it does not answer, which ends the next tries at once as long as it does
 *   not; inference_failed, model_mismatch; RangeError for bad options
 */
export async function openDevice(options: OnnxRendererOptions, device: Device, precision: Precision): Promise<Opened> {
  const { package: model, onFallback: warn, tuning } = options;
  const { kind } = device;
  const name = deviceName(device);
  if (lost.has(name)) {
    throw new FacewireError('device_unavailable', `device ${name} does not answer`, {
      received: name,
      remedy: 'check the driver, and start the server again if it does not answer before long',
    });
  }
  // What is no CUDA device goes on while those record.
  const gate = (kind === 'cuda' && options.gate) || new RecordingGate();
  const threads = positiveInteger('threads', options.threads ?? Math.min(availableParallelism(), 8));
  const lanes = new RenderLanes({
    device: name,
    lanes: 1,
    timeoutMs: options.timeoutMs ?? renderTimeoutMs(kind, undefined),
    gate,
    ...(warn && { onStuck: warn }),
  });
  const limits = { bankSlots: options.bankSlots ?? 64, bankBytes: options.bankBytes ?? BANK_BYTES[kind] };
  const memory = await gate.share(() =>
    openBank({
      tensors: model.avatarTensors,
      slots: slotsWithin(limits, model.avatarTensors),
      device,
      exclusive: (task) => lanes.exclusive(task),
      ...(warn && { warn }),
    }),
  );
  let recording: Recording | undefined;
  try {
    // A GPU has two large batches in flight, whose avatars are all in the bank at once.
    const most = kind === 'cpu' ? 8 : Math.max(1, Math.min(64, memory.slots >> 1));
    const maxBatch = positiveInteger('maxBatch', options.maxBatch ?? most);
    const cache = options.calibrationDir === undefined ? undefined : new CalibrationCache(options.calibrationDir, warn);
    const machine = { machine: await machineName(kind), onnxruntime: OrtRuntime.get().version };
    const key = { package: model.digest, device: name, precision, ...machine, threads, maxBatch };
    const known = await cache?.load(key);
    const ways = waysOf(options, kind, threads);
    const threading = threadingOf(ways, known);
    const files = filesOf(options, precision);
    const plain = { package: model, files, device, threading, memory, maxBatch, gate, ...(tuning && { tuning }) };
    const common = { precision, lanes, ways, cache, key, known };
    lanes.lanes = threading.lanes;
    if (kind === 'cuda' && (options.graphs ?? true)) {
      recording = openRecording(device);
      const sizes = { ...plain, recording };
      const renderers = await openRecorded(sizes, lanes).catch((reason: Error) => {
        if (lanes.stuck) throw reason;
        warn?.(`device ${name} draws without CUDA graphs: ${reason.message}`);
      });
      if (renderers) return { ...common, sizes, renderers };
      recording.close();
    }
    return { ...common, sizes: plain, renderers: await openSizes(plain) };
  } catch (error) {
    if (lanes.stuck) lost.add(name);
    await lanes.free(() => {
      recording?.close();
      memory.close();
      lost.delete(name);
    });
    throw error;
  }
}

/** The one that was asked for, or those that are worth a measurement. */
function waysOf({ lanes }: OnnxRendererOptions, kind: DeviceKind, threads: number): readonly Threading[] {
  if (lanes === undefined) return threadings(kind, threads);
  return [{ lanes: positiveInteger('lanes', lanes), threads: Math.ceil(threads / lanes) }];
}

/** The way that the calibration found to be fastest, else the usual one. */
export function threadingOf(ways: readonly Threading[], known: Calibration | undefined): Threading {
  return ways.find((way) => way.lanes === known?.lanes) ?? ways[0]!;
}

/** The package's renderers of the sizes that are wanted. */
export function filesOf(options: OnnxRendererOptions, precision: Precision): readonly RendererFile[] {
  return options.package.renderersIn(precision).filter(({ size }) => options.sizes?.includes(size) ?? true);
}

async function openRecorded(options: OpenSizesOptions, lanes: RenderLanes): Promise<ReadonlyMap<number, SizeRenderer>> {
  const renderers = await openSizes(options);
  try {
    for (const renderer of renderers.values()) {
      await lanes.recording(() => checkRecording(renderer.laneOptions(0)));
    }
    return renderers;
  } catch (error) {
    await lanes.free(() => closeSizes(renderers));
    throw error;
  }
}

function positiveInteger(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`${name} is ${value}, expected an integer of 1 or more`);
  return value;
}
