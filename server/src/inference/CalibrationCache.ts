import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import type { Calibration } from './calibrate.ts';

/** A calibration holds for this, and nothing else. */
export interface CalibrationKey {
  /** ModelPackage.id */
  model: string;
  /** "cpu", "cuda:1" */
  device: string;
  /** float32, float16, int8 */
  precision: string;
  /** the processor, or the graphics card where its name can be read */
  machine: string;
  onnxruntime: string;
  threads: number;
  maxBatch: number;
}

const schema = v.object({
  format: v.literal(1),
  key: v.record(v.string(), v.union([v.string(), v.number()])),
  calibration: v.object({
    batchTimes: v.record(
      v.pipe(v.string(), v.regex(/^\d+$/)),
      v.pipe(
        v.array(
          v.object({
            pictures: v.pipe(v.number(), v.integer(), v.minValue(1)),
            ms: v.pipe(v.number(), v.finite(), v.minValue(0.001)),
          }),
        ),
        v.minLength(1),
        v.check(
          (times) => times.every(({ pictures }, index) => index === 0 || pictures > times[index - 1]!.pictures),
          'expected ascending batches',
        ),
      ),
    ),
    overlap: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0))),
    lanes: v.optional(v.picklist([1, 2])),
  }),
});

/**
 * Calibrations on disk, one small file for each key. It only saves time: what cannot be read or written is told once
 * and measured again.
 */
export class CalibrationCache {
  readonly #directory: string;
  readonly #warn: (message: string) => void;

  constructor(directory: string, warn: (message: string) => void = () => {}) {
    this.#directory = directory;
    this.#warn = warn;
  }

  async load(key: CalibrationKey): Promise<Calibration | undefined> {
    const path = this.pathOf(key);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#warn(`calibration ${path} is ignored: ${error}`);
      return undefined;
    }
    try {
      const { calibration, key: stored } = v.parse(schema, JSON.parse(text));
      if (JSON.stringify(stored) !== JSON.stringify(key)) return undefined;
      const { batchTimes, overlap, lanes } = calibration;
      return { batchTimes, ...(overlap !== undefined && { overlap }), ...(lanes !== undefined && { lanes }) };
    } catch (error) {
      this.#warn(`calibration ${path} is ignored and measured again: ${(error as Error).message}`);
      return undefined;
    }
  }

  async save(key: CalibrationKey, calibration: Calibration): Promise<void> {
    const path = this.pathOf(key);
    try {
      await mkdir(dirname(path), { recursive: true });
      const part = `${path}.${process.pid}.part`;
      await writeFile(part, `${JSON.stringify({ format: 1, key, calibration }, null, 1)}\n`);
      await rename(part, path);
    } catch (error) {
      this.#warn(`calibration cannot be kept in ${path}: ${(error as Error).message}`);
    }
  }

  pathOf(key: CalibrationKey): string {
    const hash = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 16);
    return join(this.#directory, `${hash}.json`);
  }
}
