import type { TensorType } from '../contracts.ts';
import type { Device } from './Device.ts';
import { onnxModel } from './onnxModel.ts';
import type { DeviceThread } from './ort/DeviceThread.ts';
import { OrtSession } from './ort/OrtSession.ts';
import { elementTypeCode, type OrtTensor } from './ort/OrtTensor.ts';

const OPSET = 17;

/** Every tensor that is copied, with the type that its copy has. */
export type CopiedTypes = Readonly<Record<string, TensorType>>;

/**
 * Copies tensors to the device and back, into memory that stays where it is: a recorded run (CUDA graph) reads and writes
 * fixed addresses on the device. A copy is a run of a graph of Identity nodes, on every device alike. On CUDA it has a
 * stream of its own, so that it goes on beside other runs where it also has a thread of its own.
 */
export class DeviceTransfer {
  private readonly sessions = new Map<string, OrtSession>();
  private readonly types: CopiedTypes;
  private readonly open: (names: readonly string[]) => Promise<OrtSession>;

  /** @param thread makes the copies; default Node's worker threads */
  constructor(types: CopiedTypes, device: Device, thread?: DeviceThread) {
    this.types = types;
    this.open = (names) =>
      OrtSession.open(identityModel(names.map((name) => [name, this.types[name]!])), {
        device,
        threads: 1,
        ...(thread && { thread }),
      });
  }

  /** Copies the tensors of these names. */
  async copy<Name extends string>(
    names: readonly Name[],
    source: Readonly<Record<Name, OrtTensor>>,
    target: Readonly<Record<Name, OrtTensor>>,
  ): Promise<void> {
    if (names.length === 0) return;
    const key = names.join(' ');
    const session = this.sessions.get(key) ?? (await this.open(names));
    this.sessions.set(key, session);
    await session.run({
      inputs: Object.fromEntries(names.map((name) => [name, source[name]])),
      outputs: Object.fromEntries(names.map((name) => [`${name}.copy`, target[name]])),
    });
  }

  /** May be called twice; not during a copy. */
  close(): void {
    for (const session of this.sessions.values()) session.close();
    this.sessions.clear();
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
