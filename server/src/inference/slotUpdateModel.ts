import type { TensorType } from '../contracts.ts';
import { onnxModel } from './onnxModel.ts';
import { elementTypeCode } from './ort/OrtTensor.ts';

const OPSET = 17;

/**
 * The bytes of an ONNX model with one node, `next = ScatterND(bank, slot, row)`: a bank [S,…] in which one slot is
 * another avatar's. Written by hand, because it is all that a device needs to fill its bank, for any shape.
 *
 * bank [S,…], slot int64 [1,1], row [1,…] → next [S,…].
 */
export function slotUpdateModel(dtype: TensorType): Uint8Array {
  const type = elementTypeCode(dtype);
  return onnxModel({
    name: 'slot-update',
    nodes: [{ op: 'ScatterND', inputs: ['bank', 'slot', 'row'], outputs: ['next'] }],
    inputs: [
      { name: 'bank', type },
      { name: 'slot', type: elementTypeCode('int64') },
      { name: 'row', type },
    ],
    outputs: [{ name: 'next', type }],
    opset: OPSET,
  });
}
