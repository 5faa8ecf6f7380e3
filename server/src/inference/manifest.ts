import { EXPRESSION_COUNT, EXPRESSION_NAMES, FacewireError } from '@facewire/proto';
import * as v from 'valibot';

/**
 * The manifest of a model package (models/<name>/manifest.json) and the contract that its files keep.
 *
 * Encoder: portrait uint8 [512,512,3] (RGB), landmarks float32 [68,2] (−1…1) → the avatar tensors.
 * Renderer of a size: bank.<tensor> [S,…], slots int64 [B], motion float32 [B,58], view float32 [B,2]
 * → rgb uint8 [B,size,size,3], i420 uint8 [B,size·3/2,size].
 */
export const PORTRAIT_SIZE = 512;
export const LANDMARK_COUNT = 68;
/** pitch, yaw, roll, tx, ty, logScale, then the 52 coefficients */
export const MOTION_COLUMNS = 6 + EXPRESSION_COUNT;
/** yaw, pitch */
export const VIEW_COLUMNS = 2;

const dimension = v.union([
  v.pipe(v.number(), v.integer(), v.minValue(1)),
  v.pipe(v.string(), v.regex(/^[A-Za-z]\w*$/)),
]);
const name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][\w.-]{0,63}$/, 'expected letters, digits, "_", "-" and "."'));

const valueSchema = v.object({
  name,
  dtype: v.picklist(['float32', 'float16', 'uint8', 'int64', 'int32']),
  shape: v.array(dimension),
});

const avatarTensorSchema = v.object({
  ...valueSchema.entries,
  shape: v.array(v.pipe(v.number(), v.integer(), v.minValue(1))),
});

export const fileEntries = {
  /** a plain file name: a package never reaches outside its folder */
  file: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][\w.-]*\.onnx$/, 'expected a plain file name ending in .onnx')),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')),
  inputs: v.array(valueSchema),
  outputs: v.array(valueSchema),
};

/** Numbers in which a renderer's learned part may compute; float32 is the file itself. */
export const PRECISIONS = ['float32', 'float16', 'int8'] as const;
export type Precision = (typeof PRECISIONS)[number];

const variantSchema = v.object({
  precision: v.picklist(['float16', 'int8']),
  file: fileEntries.file,
  sha256: fileEntries.sha256,
});

const fileSchema = v.variant('role', [
  v.object({ role: v.literal('encoder'), ...fileEntries }),
  v.object({
    role: v.literal('renderer'),
    /** pixels; even, for the chroma planes, and their rows */
    size: v.pipe(v.number(), v.integer(), v.minValue(4), v.maxValue(2048), v.multipleOf(4)),
    gflop: v.optional(v.pipe(v.number(), v.minValue(0))),
    /** graphs with the same inputs and outputs that compute in another precision (models/training/portrait/quantise.py) */
    variants: v.optional(v.array(variantSchema)),
    ...fileEntries,
  }),
  v.object({ role: v.picklist(['tracker', 'upscaler']), ...fileEntries }),
]);

export const manifestSchema = v.object({
  format: v.literal(1),
  name,
  family: v.string(),
  version: v.pipe(v.string(), v.regex(/^\d+\.\d+\.\d+([-+][\w.-]+)?$/, 'expected a semantic version')),
  licence: v.string(),
  trainingData: v.string(),
  expressionNames: v.array(v.string()),
  keypoints: v.pipe(v.number(), v.integer(), v.minValue(0)),
  avatar: v.pipe(v.array(avatarTensorSchema), v.minLength(1)),
  files: v.array(fileSchema),
  /** numbers that several graphs read from one file (ONNX external data) */
  data: v.optional(
    v.array(
      v.object({
        file: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][\w.-]*\.data$/, 'expected a plain file name ending in .data')),
        sha256: fileEntries.sha256,
      }),
    ),
  ),
});

export type Manifest = v.InferOutput<typeof manifestSchema>;
export type ModelValue = v.InferOutput<typeof valueSchema>;
export type AvatarTensorSpec = v.InferOutput<typeof avatarTensorSchema>;
export type ModelFile = Manifest['files'][number];
export type RendererFile = Extract<ModelFile, { role: 'renderer' }>;

/**
 * @param text contents of a manifest.json
 * @param path for messages
 * @throws FacewireError model_corrupt (not a manifest), model_mismatch (a manifest that breaks the contract)
 */
export function parseManifest(text: string, path: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FacewireError('model_corrupt', `${path} is not JSON: ${(cause as Error).message}`, {
      received: text.slice(0, 60),
      remedy: 'restore the file or build the model package again',
      cause,
    });
  }
  const result = v.safeParse(manifestSchema, json);
  if (!result.success) {
    const issue = result.issues[0];
    throw new FacewireError('model_corrupt', `${path}: ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`, {
      received: issue.input,
      remedy: 'build the model package again with this version of Facewire',
    });
  }
  const problem = contractProblem(result.output);
  if (problem !== undefined) {
    throw new FacewireError('model_mismatch', `${path}: ${problem}`, {
      received: `${result.output.name}@${result.output.version}`,
      remedy: 'build the model package for this version of Facewire',
    });
  }
  return result.output;
}

/** What of the contract a well-formed manifest breaks; undefined when nothing. */
export function contractProblem(manifest: Manifest): string | undefined {
  const wrongName = EXPRESSION_NAMES.findIndex((expected, index) => manifest.expressionNames[index] !== expected);
  if (wrongName >= 0 || manifest.expressionNames.length !== EXPRESSION_COUNT) {
    const index = wrongName >= 0 ? wrongName : EXPRESSION_COUNT;
    const expected = EXPRESSION_NAMES[index] ?? 'nothing more';
    return `expressionNames[${index}] is ${manifest.expressionNames[index] ?? 'absent'}, expected ${expected}`;
  }
  if (new Set(manifest.avatar.map((tensor) => tensor.name)).size !== manifest.avatar.length) {
    return 'two avatar tensors have one name';
  }
  const encoders = manifest.files.filter((file) => file.role === 'encoder');
  if (encoders.length !== 1) return `${encoders.length} files have the role encoder, expected 1`;
  const renderers = manifest.files.filter((file) => file.role === 'renderer');
  if (renderers.length === 0) return 'no file has the role renderer';
  if (new Set(renderers.map((file) => file.size)).size !== renderers.length) return 'two renderers have one size';
  for (const { file, variants = [] } of renderers) {
    if (new Set(variants.map(({ precision }) => precision)).size !== variants.length) {
      return `${file}: two variants have one precision`;
    }
  }
  for (const file of manifest.files) {
    const expected = expectedValues(manifest, file);
    if (expected === undefined) continue;
    const problem =
      valuesProblem(file.inputs, expected.inputs, 'input') ?? valuesProblem(file.outputs, expected.outputs, 'output');
    if (problem !== undefined) return `${file.file}: ${problem}`;
  }
  return undefined;
}

interface ExpectedValues {
  inputs: readonly (ModelValue & { optional?: boolean })[];
  outputs: readonly ModelValue[];
}

function expectedValues(manifest: Manifest, file: ModelFile): ExpectedValues | undefined {
  if (file.role === 'encoder') {
    return {
      inputs: [
        { name: 'portrait', dtype: 'uint8', shape: [PORTRAIT_SIZE, PORTRAIT_SIZE, 3] },
        { name: 'landmarks', dtype: 'float32', shape: [LANDMARK_COUNT, 2] },
      ],
      outputs: manifest.avatar,
    };
  }
  if (file.role !== 'renderer') return undefined;
  return {
    inputs: [
      // A small size may do with fewer tensors.
      ...manifest.avatar.map(({ name, dtype, shape }) => ({
        name: `bank.${name}`,
        dtype,
        shape: ['S', ...shape],
        optional: true,
      })),
      { name: 'slots', dtype: 'int64', shape: ['B'] },
      { name: 'motion', dtype: 'float32', shape: ['B', MOTION_COLUMNS] },
      { name: 'view', dtype: 'float32', shape: ['B', VIEW_COLUMNS] },
    ],
    outputs: [
      { name: 'rgb', dtype: 'uint8', shape: ['B', file.size, file.size, 3] },
      { name: 'i420', dtype: 'uint8', shape: ['B', (file.size * 3) / 2, file.size] },
    ],
  };
}

export function valuesProblem(
  actual: readonly ModelValue[],
  expected: ExpectedValues['inputs'],
  side: 'input' | 'output',
): string | undefined {
  for (const value of expected) {
    const found = actual.find((candidate) => candidate.name === value.name);
    if (found === undefined) {
      if (value.optional) continue;
      return `${side} ${value.name} is missing, expected ${describe(value)}`;
    }
    if (describe(found) !== describe(value)) {
      return `${side} ${value.name} is ${describe(found)}, expected ${describe(value)}`;
    }
  }
  const extra = actual.find((value) => !expected.some((candidate) => candidate.name === value.name));
  return extra === undefined ? undefined : `${side} ${extra.name} is not part of the contract`;
}

/** e.g. "float32 [B,58]" */
export function describe(value: { dtype: string | undefined; shape: readonly (number | string)[] }): string {
  return `${value.dtype ?? 'an unsupported type'} [${value.shape.join(',')}]`;
}
