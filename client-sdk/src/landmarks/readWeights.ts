import { FacewireError } from '@facewire/proto';

/** A tensor of the file, as float32. */
export interface Tensor {
  /** row-major */
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** Weights of a reader by name. */
export class Weights {
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly version: string;

  constructor(tensors: ReadonlyMap<string, Tensor>, version: string) {
    this.#tensors = tensors;
    this.version = version;
  }

  /** Throws `model_corrupt` where there is none of this shape. */
  get(name: string, ...shape: number[]): Float32Array {
    const found = this.#tensors.get(name);
    if (found === undefined || found.shape.join() !== shape.join()) {
      throw corrupt(`${name} should be [${shape}]`, found?.shape ?? 'nothing');
    }
    return found.values;
  }
}

interface Header {
  format: number;
  version: string;
  tensors: { name: string; shape: number[]; type: 'int8' | 'float32'; offset: number }[];
}

/** Tensors of models/landmarks/landmarks.bin (models/training/landmarks/export.py has the layout). Throws `model_corrupt`. */
export function readWeights(bytes: Uint8Array): Weights {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = view.getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as Header;
    if (header.format !== 1) throw corrupt('expected format 1', header.format);
    const tensors = header.tensors.map(({ name, shape, type, offset }): [string, Tensor] => {
      const at = 4 + length + offset;
      return [name, { shape, values: (type === 'int8' ? readRows : readFloats)(view, at, shape) }];
    });
    return new Weights(new Map(tensors), header.version);
  } catch (cause) {
    if (cause instanceof FacewireError) throw cause;
    throw corrupt('it cannot be read', `${bytes.byteLength} bytes`, cause);
  }
}

function readFloats(view: DataView, at: number, shape: readonly number[]): Float32Array {
  return Float32Array.from({ length: product(shape) }, (_, index) => view.getFloat32(at + 4 * index, true));
}

/** int8 rows, before them a scale for each. */
function readRows(view: DataView, at: number, shape: readonly number[]): Float32Array {
  const rows = shape[0]!;
  const length = product(shape) / rows;
  const scales = readFloats(view, at, [rows]);
  return Float32Array.from(
    { length: rows * length },
    (_, index) => view.getInt8(at + 4 * rows + index) * scales[Math.floor(index / length)]!,
  );
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, each) => all * each, 1);
}

function corrupt(what: string, received: unknown, cause?: unknown): FacewireError {
  return new FacewireError('model_corrupt', `weights of the landmark reader: ${what}`, {
    received,
    remedy: 'load models/landmarks/landmarks.bin of this version, or nothing: the package has its own',
    cause,
  });
}
