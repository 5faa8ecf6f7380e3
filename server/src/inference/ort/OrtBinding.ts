import { FacewireError } from '@facewire/proto';
import { OrtRuntime } from './OrtRuntime.ts';
import type { OrtTensor } from './OrtTensor.ts';

/**
 * Which tensors one run reads and writes (OrtIoBinding). Keeps them alive while they are bound.
 *
 * On a device other than the CPU an input in host memory is copied when it is bound, so bind it again whenever its
 * contents change; device tensors are bound once.
 */
export class OrtBinding {
  private readonly runtime = OrtRuntime.get();
  private readonly bound = new Map<string, OrtTensor>();
  private readonly onClose: () => void;
  private handle: bigint | undefined;

  constructor(session: bigint, onClose: () => void) {
    this.handle = this.runtime.create('CreateIoBinding', session);
    this.onClose = onClose;
  }

  get pointer(): bigint {
    if (this.handle === undefined) throw new FacewireError('inference_failed', 'the binding is closed');
    return this.handle;
  }

  bindInput(name: string, tensor: OrtTensor): void {
    this.runtime.call('BindInput', this.pointer, name, tensor.pointer);
    this.bound.set(`input ${name}`, tensor);
  }

  bindOutput(name: string, tensor: OrtTensor): void {
    this.runtime.call('BindOutput', this.pointer, name, tensor.pointer);
    this.bound.set(`output ${name}`, tensor);
  }

  /** Waits until the copies of bound inputs to the device are done. */
  synchronizeInputs(): void {
    this.runtime.call('SynchronizeBoundInputs', this.pointer);
  }

  /** May be called twice. The tensors stay open: they belong to their makers. */
  close(): void {
    if (this.handle === undefined) return;
    this.runtime.functions.ReleaseIoBinding(this.handle);
    this.handle = undefined;
    this.bound.clear();
    this.onClose();
  }
}
