import * as v from 'valibot';
import { type Device, deviceName } from './Device.ts';
import { MachineCache } from './MachineCache.ts';
import type { ModelPackage } from './ModelPackage.ts';
import { machineName } from './machineName.ts';
import type { Precision } from './manifest.ts';
import { OrtRuntime } from './ort/OrtRuntime.ts';

/** A proof holds for this, and nothing else. */
export type ProofKey = {
  /** ModelPackage.digest */
  package: string;
  device: string;
  precision: string;
  /** machineName() */
  machine: string;
  onnxruntime: string;
};

export interface PrecisionProofsOptions {
  package: ModelPackage;
  /** without it nothing is kept */
  calibrationDir?: string;
  onFallback?: (message: string) => void;
}

/**
 * That a device draws in some precision what it draws in float32 (provePrecision), on disk. Only proofs are kept: what a
 * busy machine refused is tried again at the next start.
 */
export class PrecisionProofs {
  readonly #cache: MachineCache<ProofKey, true> | undefined;
  readonly #key: ProofKey;

  static async of(options: PrecisionProofsOptions, device: Device, precision: Precision): Promise<PrecisionProofs> {
    const { calibrationDir: directory, onFallback: warn } = options;
    const key = {
      package: options.package.digest,
      device: deviceName(device),
      precision,
      machine: await machineName(device.kind),
      onnxruntime: OrtRuntime.get().version,
    };
    const cache = directory && { directory, what: 'proven', schema: v.literal(true), ...(warn && { warn }) };
    return new PrecisionProofs(key, cache ? new MachineCache(cache) : undefined);
  }

  private constructor(key: ProofKey, cache: MachineCache<ProofKey, true> | undefined) {
    this.#key = key;
    this.#cache = cache;
  }

  async isProven(): Promise<boolean> {
    return (await this.#cache?.load(this.#key)) ?? false;
  }

  async keep(): Promise<void> {
    await this.#cache?.save(this.#key, true);
  }
}
