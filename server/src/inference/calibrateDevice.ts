import { type Calibration, calibrate, lanesFor, trusted } from './calibrate.ts';
import type { DrawingDevice } from './DrawingDevice.ts';
import { closeSizes, openSizes } from './openSizes.ts';
import type { SizeRenderer } from './SizeRenderer.ts';
import { fastestThreading, type Threading } from './threading.ts';

/** A run that would take longer is not measured while the server is there for players, ms. */
const LONGEST_RUN_MS = { cpu: 120, cuda: 500, webgpu: 500 } as const;

/**
 * Finds out how long runs take on the device, from disk or by measurements that it keeps there, and lets it draw in the
 * way that is fastest. Undefined where nothing is to be measured, or the measurement was ended.
 *
 * @param mayGoOn resolves when the device is free for a measurement; false ends it
 */
export async function calibrateDevice(
  device: DrawingDevice,
  mayGoOn: () => Promise<boolean>,
): Promise<Calibration | undefined> {
  const { cache, key, known, ways } = device.opened;
  const { kind } = device.opened.sizes.device;
  if (cache === undefined) return undefined;
  if (known && comparesAll(known, ways)) return adopt(device, known);
  if (ways.length > 1 && !(await chooseThreading(device, mayGoOn))) return undefined;
  const found = await calibrate({
    sizes: [...device.renderers.keys()],
    maxBatch: device.opened.sizes.maxBatch,
    longestRunMs: LONGEST_RUN_MS[kind],
    mayGoOn,
    run: (size, pictures, atOnce) => device.measure(device.renderers.get(size)!, pictures, atOnce),
    // The CPU's ways were measured against each other.
    overlapping: kind !== 'cpu',
  });
  if (!found) return undefined;
  const { calibration, keep } = trusted(found);
  if (kind === 'cpu') {
    calibration.lanes = device.threading.lanes;
    calibration.comparedLanes = ways.map(({ lanes }) => lanes);
  }
  adopt(device, calibration);
  if (keep) await cache.save(key, calibration);
  return calibration;
}

/** Whether a calibration knows of all these ways; one that was made when there were fewer is made again. */
function comparesAll({ comparedLanes = [1, 2] }: Calibration, ways: readonly Threading[]): boolean {
  return ways.every(({ lanes }) => comparedLanes.includes(lanes));
}

function adopt(device: DrawingDevice, calibration: Calibration): Calibration {
  const { lanes, sizes } = device.opened;
  const { kind } = sizes.device;
  lanes.lanes = kind === 'cpu' ? device.threading.lanes : lanesFor(kind, calibration.overlap);
  return calibration;
}

/** Measures ways to use the threads and takes the fastest; false when the measurement was ended. */
async function chooseThreading(device: DrawingDevice, mayGoOn: () => Promise<boolean>): Promise<boolean> {
  const { ways, sizes: options, lanes } = device.opened;
  const sizes = [...device.renderers.keys()];
  const size = sizes[sizes.length >> 1]!;
  const files = options.files.filter((file) => file.size === size);
  const current = device.renderers;
  const trials = new Map<Threading, ReadonlyMap<number, SizeRenderer>>();
  const count = Math.min(2, options.maxBatch);
  const trial = {
    open: async (way: Threading) => {
      const isCurrent = way.lanes === device.threading.lanes;
      trials.set(way, isCurrent ? current : await openSizes({ ...options, files, threading: way }));
    },
    run: (way: Threading) => device.measure(trials.get(way)!.get(size)!, count, way.lanes),
    close: async (way: Threading) => {
      const renderers = trials.get(way)!;
      trials.delete(way);
      if (renderers !== current) await lanes.free(() => closeSizes(renderers));
    },
  };
  try {
    const chosen = await fastestThreading(ways, trial, mayGoOn);
    if (chosen === undefined) return false;
    if (trials.get(chosen) !== current) {
      await device.change({ ...device.opened, sizes: { ...options, threading: chosen } });
    }
    return true;
  } finally {
    await Promise.all(Array.from(trials.keys(), trial.close));
  }
}
