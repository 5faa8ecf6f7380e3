import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EXPRESSION_COUNT, EXPRESSION_NAMES, FacewireError } from '@facewire/proto';
import * as v from 'valibot';
import { DETECTOR_SIZE } from './faceTrackerDetections.ts';
import { graphProblem, verifyHash } from './ModelPackage.ts';
import { fileEntries, LANDMARK_COUNT, MOTION_COLUMNS, type ModelValue, valuesProblem } from './manifest.ts';
import { OrtSession } from './ort/OrtSession.ts';

/** pixels of the landmark network's picture */
export const CROP_SIZE = 128;

/**
 * The manifest of a tracker package (models/tracker/manifest.json): as a renderer's, without avatars, with two graphs.
 *
 * Detector: image uint8 [B,H,W,3] → cells float32 [B,h,w,6]. Landmarks: image uint8 [B,128,128,3] → landmarks [B,68,2]
 * (−1…1 of the crop), spread [B,68] (same unit), motion [B,58], face [B] (0…1).
 */
const trackerSchema = v.object({
  format: v.literal(1),
  name: v.string(),
  version: v.string(),
  licence: v.string(),
  trainingData: v.string(),
  expressionNames: v.array(v.string()),
  /** pixels of the detector's picture per cell */
  stride: v.pipe(v.number(), v.integer(), v.minValue(1)),
  files: v.array(
    v.object({ role: v.literal('tracker'), stage: v.picklist(['detector', 'landmarks']), ...fileEntries }),
  ),
});

export type TrackerManifest = v.InferOutput<typeof trackerSchema>;
type TrackerFile = TrackerManifest['files'][number];

const EXPECTED: Readonly<Record<TrackerFile['stage'], { inputs: ModelValue[]; outputs: ModelValue[] }>> = {
  detector: {
    inputs: [{ name: 'image', dtype: 'uint8', shape: ['B', 'H', 'W', 3] }],
    outputs: [{ name: 'cells', dtype: 'float32', shape: ['B', 'h', 'w', 6] }],
  },
  landmarks: {
    inputs: [{ name: 'image', dtype: 'uint8', shape: ['B', CROP_SIZE, CROP_SIZE, 3] }],
    outputs: [
      { name: 'landmarks', dtype: 'float32', shape: ['B', LANDMARK_COUNT, 2] },
      { name: 'spread', dtype: 'float32', shape: ['B', LANDMARK_COUNT] },
      { name: 'motion', dtype: 'float32', shape: ['B', MOTION_COLUMNS] },
      { name: 'face', dtype: 'float32', shape: ['B'] },
    ],
  },
};

export interface TrackerPackage {
  manifest: TrackerManifest;
  /** e.g. "tracker@1.0.0+3fa9c2d1" */
  id: string;
  detector: OrtSession;
  landmarks: OrtSession;
}

/**
 * Opens a tracker package on the CPU: portraits and one face's video need no more.
 *
 * @throws FacewireError model_missing, model_corrupt, model_mismatch, inference_failed
 */
export async function openTrackerPackage(directory: string, threads: number): Promise<TrackerPackage> {
  const path = join(directory, 'manifest.json');
  const manifest = parseTrackerManifest(
    await readFile(path, 'utf8').catch((cause) => {
      throw new FacewireError('model_missing', `model file missing: ${path} (${cause.message})`, {
        received: path,
        remedy: 'restore models/tracker with git, or set FACEWIRE_TRACKER=none to go without a face tracker',
        cause,
      });
    }),
    path,
  );
  for (const file of manifest.files) await verifyHash(join(directory, file.file), file.sha256);
  const detector = await openStage(directory, manifest, 'detector', threads);
  try {
    const landmarks = await openStage(directory, manifest, 'landmarks', threads);
    const id = `${manifest.name}@${manifest.version}+${fileOf(manifest, 'landmarks').sha256.slice(0, 8)}`;
    return { manifest, id, detector, landmarks };
  } catch (error) {
    detector.close();
    throw error;
  }
}

/** Throws model_corrupt, model_mismatch. */
export function parseTrackerManifest(text: string, path: string): TrackerManifest {
  const remedy = 'restore the file with git, or build the package again (models/training/tracker)';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FacewireError('model_corrupt', `${path} is not JSON: ${(cause as Error).message}`, { remedy, cause });
  }
  const result = v.safeParse(trackerSchema, json);
  if (!result.success) {
    const issue = result.issues[0];
    const where = v.getDotPath(issue) ?? 'the whole';
    throw new FacewireError('model_corrupt', `${path}: ${where}: ${issue.message}`, { received: issue.input, remedy });
  }
  const problem = trackerProblem(result.output);
  if (problem !== undefined) throw new FacewireError('model_mismatch', `${path}: ${problem}`, { remedy });
  return result.output;
}

function trackerProblem(manifest: TrackerManifest): string | undefined {
  const wrong = EXPRESSION_NAMES.findIndex((name, index) => manifest.expressionNames[index] !== name);
  if (wrong >= 0 || manifest.expressionNames.length !== EXPRESSION_COUNT) {
    return 'expressionNames are not the 52 of this version of Facewire';
  }
  if (DETECTOR_SIZE % manifest.stride !== 0) return `stride ${manifest.stride} does not divide ${DETECTOR_SIZE}`;
  for (const stage of ['detector', 'landmarks'] as const) {
    const files = manifest.files.filter((file) => file.stage === stage);
    if (files.length !== 1) return `${files.length} files are of the stage ${stage}, expected 1`;
    const { inputs, outputs } = EXPECTED[stage];
    const problem =
      valuesProblem(files[0]!.inputs, inputs, 'input') ?? valuesProblem(files[0]!.outputs, outputs, 'output');
    if (problem !== undefined) return `${files[0]!.file}: ${problem}`;
  }
  return undefined;
}

function fileOf(manifest: TrackerManifest, stage: TrackerFile['stage']): TrackerFile {
  return manifest.files.find((file) => file.stage === stage)!;
}

async function openStage(directory: string, manifest: TrackerManifest, stage: TrackerFile['stage'], threads: number) {
  const file = fileOf(manifest, stage);
  const session = await OrtSession.open(join(directory, file.file), { device: { kind: 'cpu', index: 0 }, threads });
  const problem =
    graphProblem(session.inputs, file.inputs, 'input') ?? graphProblem(session.outputs, file.outputs, 'output');
  if (problem === undefined) return session;
  session.close();
  throw new FacewireError('model_mismatch', `${join(directory, file.file)}: ${problem}`, {
    remedy: 'build the tracker again: its graph and its manifest were not made together',
  });
}
