import * as v from 'valibot';
import type { Calibration } from './calibrate.ts';
import { MachineCache } from './MachineCache.ts';

/** A calibration holds for this, and nothing else. */
export type CalibrationKey = {
  /** ModelPackage.digest: graphs may change while the encoder, and so the model's id, stays */
  package: string;
  /** "cpu", "cuda:1" */
  device: string;
  /** float32, float16, int8 */
  precision: string;
  /** machineName() */
  machine: string;
  onnxruntime: string;
  threads: number;
  maxBatch: number;
};

/** As many as FACEWIRE_THREADS may be. */
const lanesSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(256));

const schema = v.object({
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
  lanes: v.optional(lanesSchema),
  comparedLanes: v.optional(v.array(lanesSchema)),
});

/** Calibrations on disk. */
export class CalibrationCache extends MachineCache<CalibrationKey, Calibration> {
  constructor(directory: string, warn?: (message: string) => void) {
    const withoutAbsent = v.pipe(
      schema,
      v.transform(({ batchTimes, overlap, lanes, comparedLanes }): Calibration => {
        return {
          batchTimes,
          ...(overlap !== undefined && { overlap }),
          ...(lanes !== undefined && { lanes }),
          ...(comparedLanes && { comparedLanes }),
        };
      }),
    );
    super({ directory, what: 'calibration', schema: withoutAbsent, ...(warn && { warn }) });
  }
}
