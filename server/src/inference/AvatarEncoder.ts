import { availableParallelism } from 'node:os';
import type { Tensor } from '../contracts.ts';
import type { ModelPackage } from './ModelPackage.ts';
import { LANDMARK_COUNT, PORTRAIT_SIZE } from './manifest.ts';
import type { OrtSession } from './ort/OrtSession.ts';
import { OrtTensor } from './ort/OrtTensor.ts';
import { TaskQueue } from './TaskQueue.ts';

export interface AvatarEncoderOptions {
  package: ModelPackage;
  /** threads of one operator; default: half of the cores, at most 4, so that drawing goes on */
  threads?: number;
}

/** Makes a portrait into the tensors of an avatar. Runs on the CPU: it is needed once per avatar. */
export class AvatarEncoder {
  /** ModelPackage.id, e.g. "warp@1.0.0+3fa9c2d1" */
  readonly model: string;
  private readonly session: OrtSession;
  private readonly portrait: OrtTensor;
  private readonly landmarks: OrtTensor;
  private readonly outputs: ReadonlyMap<string, OrtTensor>;
  private readonly queue = new TaskQueue();
  private closed = false;

  /** Throws model_mismatch, inference_failed. */
  static async create(options: AvatarEncoderOptions): Promise<AvatarEncoder> {
    const threads = options.threads ?? Math.min(Math.max(1, availableParallelism() >> 1), 4);
    const session = await options.package.open(options.package.encoder, { device: { kind: 'cpu', index: 0 }, threads });
    return new AvatarEncoder(options.package, session);
  }

  private constructor(model: ModelPackage, session: OrtSession) {
    this.model = model.id;
    this.session = session;
    this.portrait = OrtTensor.host('uint8', [PORTRAIT_SIZE, PORTRAIT_SIZE, 3]);
    this.landmarks = OrtTensor.host('float32', [LANDMARK_COUNT, 2]);
    this.outputs = new Map(model.avatarTensors.map(({ name, dtype, shape }) => [name, OrtTensor.host(dtype, shape)]));
  }

  /**
   * @param portrait RGB, 512·512·3 bytes
   * @param landmarks 68 points, x and y in −1…1 of that picture, y down; 136 values
   * @returns the avatar's tensors, the caller's own copies
   * @throws RangeError for arrays of another length; FacewireError inference_failed
   */
  encode(portrait: Uint8Array, landmarks: Float32Array): Promise<Map<string, Tensor>> {
    if (portrait.length !== PORTRAIT_SIZE * PORTRAIT_SIZE * 3) {
      throw new RangeError(`the portrait has ${portrait.length} bytes, expected ${PORTRAIT_SIZE}·${PORTRAIT_SIZE}·3`);
    }
    if (landmarks.length !== LANDMARK_COUNT * 2) {
      throw new RangeError(`${landmarks.length} landmark coordinates, expected ${LANDMARK_COUNT * 2}`);
    }
    // The buffers are shared, so one portrait at a time.
    return this.queue.run(async () => {
      this.portrait.data!.set(portrait);
      this.landmarks.data!.set(new Uint8Array(landmarks.buffer, landmarks.byteOffset, landmarks.byteLength));
      await this.session.run({
        inputs: { portrait: this.portrait, landmarks: this.landmarks },
        outputs: Object.fromEntries(this.outputs),
      });
      return new Map(
        Array.from(this.outputs, ([name, { dtype, shape, data }]) => [name, { dtype, shape, data: data!.slice() }]),
      );
    });
  }

  /** Releases the graph after the portraits that wait. May be called twice. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.queue.run(async () => {
      this.session.close();
      for (const tensor of [this.portrait, this.landmarks, ...this.outputs.values()]) tensor.close();
    });
  }
}
