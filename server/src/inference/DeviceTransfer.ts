import type { TensorType } from '../contracts.ts';
import type { Device } from './Device.ts';
import { onnxModel } from './onnxModel.ts';
import type { DeviceThread } from './ort/DeviceThread.ts';
import type { OrtBinding } from './ort/OrtBinding.ts';
import { OrtSession } from './ort/OrtSession.ts';
import { elementTypeCode, type OrtTensor } from './ort/OrtTensor.ts';

const OPSET = 17;

/** Every tensor that is copied, with the type that its copy has. */
export type CopiedTypes = Readonly<Record<string, TensorType>>;

/**
 * Copies tensors to the device and back, into memory that stays where it is: a recorded run (CUDA graph) reads and writes
 * fixed addresses on the device, and binding a host tensor gives another address each time. A copy is a run of a graph of
 * Identity nodes: ONNX Runtime does it in its own order with the other runs, on every device alike.
 */
export class DeviceTransfer {
  private readonly sessions = new Map<string, OrtSession>();
  /** by the first tensor that is written */
  private readonly bindings = new Map<OrtTensor, Map<string, OrtBinding>>();
  private readonly types: CopiedTypes;
  private readonly open: (names: readonly string[]) => Promise<OrtSession>;

  constructor(types: CopiedTypes, device: Device, thread?: DeviceThread) {
    this.types = types;
    this.open = (names) =>
      OrtSession.open(identityModel(names.map((name) => [name, this.types[name]!])), {
        device,
        threads: 1,
        ...(thread && { thread }),
      });
  }

  /** Copies the tensors of these names. Source and target tensors are the same ones every time, as the bindings are kept. */
  async copy<Name extends string>(
    names: readonly Name[],
    source: Readonly<Record<Name, OrtTensor>>,
    target: Readonly<Record<Name, OrtTensor>>,
  ): Promise<void> {
    if (names.length === 0) return;
    const key = names.join(' ');
    const session = this.sessions.get(key) ?? (await this.open(names));
    this.sessions.set(key, session);
    const kept = this.bindings.get(target[names[0]!]) ?? new Map<string, OrtBinding>();
    this.bindings.set(target[names[0]!], kept);
    const binding = kept.get(key) ?? session.createBinding();
    if (!kept.has(key)) {
      kept.set(key, binding);
      for (const name of names) binding.bindOutput(`${name}.copy`, target[name]);
    }
    // A host tensor is copied as it is bound.
    for (const name of names) binding.bindInput(name, source[name]);
    binding.synchronizeInputs();
    await session.run(binding);
  }

  /** Lets go of tensors that are about to be closed: a binding keeps the memory of what is bound. */
  forget(tensors: Iterable<OrtTensor>): void {
    for (const tensor of tensors) {
      for (const binding of this.bindings.get(tensor)?.values() ?? []) binding.close();
      this.bindings.delete(tensor);
    }
  }

  /** May be called twice; not during a copy. */
  close(): void {
    for (const session of this.sessions.values()) session.close();
    this.sessions.clear();
    this.bindings.clear();
  }
}

/** name → name.copy, for each. */
function identityModel(values: readonly (readonly [string, TensorType])[]): Uint8Array {
  return onnxModel({
    name: 'copy',
    nodes: values.map(([name]) => ({ op: 'Identity', inputs: [name], outputs: [`${name}.copy`] })),
    inputs: values.map(([name, dtype]) => ({ name, type: elementTypeCode(dtype) })),
    outputs: values.map(([name, dtype]) => ({ name: `${name}.copy`, type: elementTypeCode(dtype) })),
    opset: OPSET,
  });
}
