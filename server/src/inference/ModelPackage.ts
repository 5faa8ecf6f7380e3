import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { FacewireError } from '@facewire/proto';
import {
  type AvatarTensorSpec,
  describe,
  type Manifest,
  type ModelFile,
  PRECISIONS,
  type Precision,
  parseManifest,
  type RendererFile,
} from './manifest.ts';
import { OrtSession, type OrtSessionOptions, type ValueInfo } from './ort/OrtSession.ts';

/** A model package on disk whose manifest is valid and whose files are there, whole, and unchanged. */
export class ModelPackage {
  readonly directory: string;
  readonly manifest: Manifest;

  private constructor(directory: string, manifest: Manifest) {
    this.directory = directory;
    this.manifest = manifest;
  }

  /**
   * @param directory e.g. models/warp
   * @throws FacewireError model_missing (a file is not there), model_corrupt (not a manifest, or a hash differs),
   *   model_mismatch (the manifest breaks the contract)
   */
  static async load(directory: string): Promise<ModelPackage> {
    const path = join(directory, 'manifest.json');
    const text = await readFile(path, 'utf8').catch((cause) => {
      throw missing(path, cause);
    });
    const manifest = parseManifest(text, path);
    for (const { file, sha256 } of allFiles(manifest)) {
      await verifyHash(join(directory, file), sha256);
    }
    return new ModelPackage(directory, manifest);
  }

  /**
   * What an avatar is made for: name, version, and the first digits of the encoder's hash, because a model under
   * development changes without changing its version, e.g. "warp@1.0.0+3fa9c2d1".
   */
  get id(): string {
    return `${this.manifest.name}@${this.manifest.version}+${this.encoder.sha256.slice(0, 8)}`;
  }

  /** Hash of all of its files: what was found out by running them holds as long as it stays the same. */
  get digest(): string {
    const hash = createHash('sha256');
    for (const { file, sha256 } of allFiles(this.manifest)) hash.update(`${file} ${sha256}\n`);
    return hash.digest('hex');
  }

  get name(): string {
    return this.manifest.name;
  }

  /** The tensors of one avatar, without slot dimension. */
  get avatarTensors(): readonly AvatarTensorSpec[] {
    return this.manifest.avatar;
  }

  get encoder(): ModelFile {
    return this.manifest.files.find((file) => file.role === 'encoder')!;
  }

  /** Ascending by size. */
  get renderers(): readonly RendererFile[] {
    return this.manifest.files
      .filter((file): file is RendererFile => file.role === 'renderer')
      .sort((a, b) => a.size - b.size);
  }

  /** In what numbers every renderer can compute; float32 always. */
  get precisions(): readonly Precision[] {
    return PRECISIONS.filter((precision) => this.renderers.every((file) => inPrecision(file, precision) !== undefined));
  }

  /** The renderers in a precision that the package has, ascending by size. */
  renderersIn(precision: Precision): readonly RendererFile[] {
    return this.renderers.map((file) => inPrecision(file, precision) ?? file);
  }

  /**
   * Opens one of the package's graphs and compares its inputs and outputs with the manifest.
   *
   * @throws FacewireError model_mismatch, inference_failed
   */
  async open(file: ModelFile, options: OrtSessionOptions): Promise<OrtSession> {
    const session = await OrtSession.open(join(this.directory, file.file), options);
    const problem =
      graphProblem(session.inputs, file.inputs, 'input') ?? graphProblem(session.outputs, file.outputs, 'output');
    if (problem !== undefined) {
      session.close();
      throw new FacewireError('model_mismatch', `${join(this.directory, file.file)}: ${problem}`, {
        received: this.id,
        remedy: 'build the model package again: its graph and its manifest were not made together',
      });
    }
    return session;
  }
}

function allFiles(manifest: Manifest): readonly { file: string; sha256: string }[] {
  const variants = manifest.files.flatMap((file) => (file.role === 'renderer' ? (file.variants ?? []) : []));
  return [...manifest.files, ...variants, ...(manifest.data ?? [])];
}

/** The same renderer by its file of that precision. */
function inPrecision(file: RendererFile, precision: Precision): RendererFile | undefined {
  if (precision === 'float32') return file;
  const variant = file.variants?.find((each) => each.precision === precision);
  return variant && { ...file, file: variant.file, sha256: variant.sha256 };
}

/**
 * Where a graph differs from its manifest. A dimension that the manifest fixes may be dynamic in the graph (shape
 * inference does not see through every operator; the bound buffers fix it), one that the manifest leaves open must be.
 */
export function graphProblem(
  actual: readonly ValueInfo[],
  expected: ModelFile['inputs'],
  side: 'input' | 'output',
): string | undefined {
  for (const value of expected) {
    const found = actual.find((candidate) => candidate.name === value.name);
    if (found === undefined) return `the graph has no ${side} ${value.name}, the manifest lists ${describe(value)}`;
    const fits =
      found.dtype === value.dtype &&
      found.shape.length === value.shape.length &&
      found.shape.every((dimension, axis) => typeof dimension === 'string' || dimension === value.shape[axis]);
    if (!fits) return `${side} ${value.name} is ${describe(found)} in the graph, ${describe(value)} in the manifest`;
  }
  const extra = actual.find((value) => !expected.some((candidate) => candidate.name === value.name));
  return extra === undefined ? undefined : `the graph has the ${side} ${extra.name}, which the manifest does not list`;
}

export async function verifyHash(path: string, expected: string): Promise<void> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (cause) {
    throw missing(path, cause);
  }
  const actual = hash.digest('hex');
  if (actual !== expected) {
    throw new FacewireError('model_corrupt', `${path} differs from its manifest: expected SHA-256 ${expected}`, {
      received: actual,
      remedy: 'restore the file (`git checkout`, or `git lfs pull`), or build the model package again',
    });
  }
}

function missing(path: string, cause: unknown): FacewireError {
  return new FacewireError('model_missing', `model file missing: ${path} (${(cause as Error).message})`, {
    received: path,
    remedy: 'check the model setting, restore the file with git, or build the package (see models/training)',
    cause,
  });
}
