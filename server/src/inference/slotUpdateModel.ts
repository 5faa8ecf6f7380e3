import type { TensorType } from '../contracts.ts';
import { elementTypeCode } from './ort/OrtTensor.ts';

/**
 * The bytes of an ONNX model with one node, `next = ScatterND(bank, slot, row)`: a copy of a bank [S,…] in which one slot
 * is another avatar's. Written by hand, because it is all that a device needs to fill its bank, for any shape.
 *
 * bank [S,…], slot int64 [1,1], row [1,…] → next [S,…]. Field numbers are those of onnx.proto.
 */
export function slotUpdateModel(dtype: TensorType): Uint8Array {
  const element = elementTypeCode(dtype);
  const node = message(
    text(1, 'bank'),
    text(1, 'slot'),
    text(1, 'row'),
    text(2, 'next'),
    text(3, 'update'),
    text(4, 'ScatterND'),
  );
  const value = (name: string, type: number) => message(text(1, name), field(2, field(1, integer(1, type))));
  const graph = message(
    field(1, node),
    text(2, 'slot-update'),
    field(11, value('bank', element)),
    field(11, value('slot', elementTypeCode('int64'))),
    field(11, value('row', element)),
    field(12, value('next', element)),
  );
  return message(integer(1, IR_VERSION), field(7, graph), field(8, message(text(1, ''), integer(2, OPSET))));
}

const IR_VERSION = 8;
const OPSET = 17;
/** protobuf's wire types */
const VARINT = 0;
const LENGTH_DELIMITED = 2;

function message(...fields: Uint8Array[]): Uint8Array {
  return Buffer.concat(fields);
}

function field(number: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([varint((number << 3) | LENGTH_DELIMITED), varint(content.length), content]);
}

function text(number: number, content: string): Uint8Array {
  return field(number, Buffer.from(content));
}

function integer(number: number, value: number): Uint8Array {
  return Buffer.concat([varint((number << 3) | VARINT), varint(value)]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Uint8Array.from([...bytes, value]);
}
