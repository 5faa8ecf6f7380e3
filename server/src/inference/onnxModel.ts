/**
 * The little of ONNX's protobuf format that is needed to write small graphs: no library, no weights. Field numbers are
 * those of onnx.proto.
 */

/** protobuf's wire types */
const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;

/** AttributeProto.AttributeType */
const ATTRIBUTE = { float: 1, int: 2, string: 3, tensor: 4, ints: 7 } as const;
const IR_VERSION = 8;

export type OnnxAttribute = number | string | readonly number[] | { float: number } | { tensor: Uint8Array };

export interface OnnxNode {
  op: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** whole numbers become ints; `{ float }` says otherwise */
  attributes?: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxValue {
  name: string;
  /** TensorProto.DataType */
  type: number;
  /** a text is a dimension's name; undefined: not declared */
  shape?: readonly (number | string)[];
}

export interface OnnxGraphParts {
  name: string;
  nodes: readonly OnnxNode[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
  /** by tensorProto() */
  constants?: readonly Uint8Array[];
  opset: number;
}

/** The bytes of a model. */
export function onnxModel({ name, nodes, inputs, outputs, constants = [], opset }: OnnxGraphParts): Uint8Array {
  const graph = message(
    ...nodes.map((node) => field(1, nodeProto(node))),
    text(2, name),
    ...constants.map((constant) => field(5, constant)),
    ...inputs.map((value) => field(11, valueProto(value))),
    ...outputs.map((value) => field(12, valueProto(value))),
  );
  return message(integer(1, IR_VERSION), field(7, graph), field(8, message(text(1, ''), integer(2, opset))));
}

/** A constant tensor of raw little-endian bytes. */
export function tensorProto(name: string, type: number, shape: readonly number[], raw: Uint8Array): Uint8Array {
  return message(
    ...shape.map((dimension) => integer(1, dimension)),
    integer(2, type),
    ...(name === '' ? [] : [text(8, name)]),
    field(9, raw),
  );
}

function nodeProto({ op, inputs, outputs, attributes = {} }: OnnxNode): Uint8Array {
  return message(
    ...inputs.map((input) => text(1, input)),
    ...outputs.map((output) => text(2, output)),
    text(3, outputs[0]!),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => field(5, attributeProto(name, value))),
  );
}

function attributeProto(name: string, value: OnnxAttribute): Uint8Array {
  const typed = (type: number, ...fields: Uint8Array[]) => message(text(1, name), ...fields, integer(20, type));
  if (typeof value === 'number') return typed(ATTRIBUTE.int, integer(3, value));
  if (typeof value === 'string') return typed(ATTRIBUTE.string, text(4, value));
  if ('float' in value) return typed(ATTRIBUTE.float, float(2, value.float));
  if ('tensor' in value) return typed(ATTRIBUTE.tensor, field(5, value.tensor));
  return typed(ATTRIBUTE.ints, ...value.map((each) => integer(8, each)));
}

function valueProto({ name, type, shape }: OnnxValue): Uint8Array {
  const dimensions = shape?.map((size) => field(1, typeof size === 'string' ? text(2, size) : integer(1, size)));
  const tensor = message(integer(1, type), ...(dimensions ? [field(2, message(...dimensions))] : []));
  return message(text(1, name), field(2, field(1, tensor)));
}

function message(...fields: Uint8Array[]): Uint8Array {
  return Buffer.concat(fields);
}

function field(number: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([varint(BigInt((number << 3) | LENGTH_DELIMITED)), varint(BigInt(content.length)), content]);
}

function text(number: number, content: string): Uint8Array {
  return field(number, Buffer.from(content));
}

function integer(number: number, value: number): Uint8Array {
  // Negative numbers are 64-bit two's complement.
  return Buffer.concat([varint(BigInt((number << 3) | VARINT)), varint(BigInt.asUintN(64, BigInt(value)))]);
}

function float(number: number, value: number): Uint8Array {
  return Buffer.concat([varint(BigInt((number << 3) | FIXED_32)), new Uint8Array(Float32Array.of(value).buffer)]);
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (; value > 0x7fn; value >>= 7n) bytes.push(Number(value & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(value)]);
}
