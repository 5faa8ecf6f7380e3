import { FacewireError } from '@facewire/proto';
import { OrtRuntime } from './OrtRuntime.ts';
import type { RunTensors } from './OrtSession.ts';

/**
 * What runs read and write that do so in place (OrtIoBinding): bound once, then run any number of times
 * (OrtSession.runBound), one at a time. Keeps its tensors alive.
 *
 * Only for tensors that lie where the session computes. Others are copied as they are bound, and that those copies are done
 * is known only by waiting for the whole device (`cudaDeviceSynchronize`), other runs included.
 */
export class OrtBinding {
  readonly tensors: RunTensors;
  private readonly runtime = OrtRuntime.get();
  private handle: bigint | undefined;

  /**
   * @param session the OrtSession's pointer
   * @throws FacewireError inference_failed for a name that the graph lacks or a type that it does not take, with ONNX
   *   Runtime's message
   */
  constructor(session: bigint, tensors: RunTensors) {
    this.tensors = tensors;
    this.handle = this.runtime.create('CreateIoBinding', session);
    try {
      const { inputs, outputs } = tensors;
      for (const [name, { pointer }] of Object.entries(inputs)) {
        this.runtime.call('BindInput', this.handle, name, pointer);
      }
      for (const [name, { pointer }] of Object.entries(outputs)) {
        this.runtime.call('BindOutput', this.handle, name, pointer);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Throws inference_failed once closed. */
  get pointer(): bigint {
    if (this.handle === undefined) throw new FacewireError('inference_failed', 'the binding is closed');
    return this.handle;
  }

  /** May be called twice; not during a run. Before its session. The tensors stay open: they belong to their makers. */
  close(): void {
    if (this.handle === undefined) return;
    this.runtime.functions.ReleaseIoBinding(this.handle);
    this.handle = undefined;
  }
}
