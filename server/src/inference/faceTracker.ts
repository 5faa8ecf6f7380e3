import { availableParallelism } from 'node:os';
import {
  CELL_VALUES,
  DETECTOR_SIZE,
  type Detection,
  distinctDetections,
  readDetections,
} from './faceTrackerDetections.ts';
import {
  cropAround,
  type FaceCrop,
  faceBox,
  isSameFace,
  motionInPicture,
  type Point,
  squareAround,
  toPicture,
} from './faceTrackerGeometry.ts';
import { CROP_SIZE, openTrackerPackage, type TrackerPackage } from './faceTrackerManifest.ts';
import { cutCrop, type FaceLight, faceLight, type RgbImage } from './faceTrackerPixels.ts';
import { LANDMARK_COUNT, MOTION_COLUMNS } from './manifest.ts';
import { OrtTensor } from './ort/OrtTensor.ts';
import { TaskQueue } from './TaskQueue.ts';

/** a detection's score from which the landmark network looks at it */
const DETECTED = 0.3;
/** the landmark network's verdict from which it is a face; the first look, less well aimed, needs half of it */
const FACE = 0.5;
/** in the doubled picture, where large faces fall apart into features, only boxes up to this part of it count */
const SMALL = 0.4;
/** spread of the landmarks by the face's size above which they are guesses: wheels and coins look like that, faces do not */
const UNSURE = 0.036;
/** below which no other turn of the picture is tried */
const CERTAIN = 0.03;
const MAX_CANDIDATES = 8;
/** the detector knows faces turned by up to about 60° */
const TURNS = [0, Math.PI / 2, -Math.PI / 2, Math.PI] as const;

/** A face in a picture. */
export interface TrackedFace extends FaceLight {
  /** 68 points in pixels of the picture, Multi-PIE order */
  landmarks: Point[];
  /** mean distance in pixels by which the landmarks are expected to be off (scale of a Laplace distribution) */
  spread: number;
  /**
   * pitch, yaw, roll (radians), tx, ty (−1…1 of the square around the picture), logScale (half its sides per cm), then
   * ARKit's 52 coefficients in the order of EXPRESSION_NAMES, 0…1
   */
  motion: Float32Array;
  /** that it is a face, 0…1 */
  score: number;
}

export interface FaceTrackerOptions {
  /** of models/tracker */
  directory: string;
  /** threads of one operator; default: half of the cores, at most 4, so that drawing goes on */
  threads?: number;
}

/**
 * Finds faces: a detector over the whole picture at two scales, then the landmark network on an upright crop of each
 * candidate, twice, the second time where the first look saw the face. Runs on the CPU, one picture at a time.
 */
export class FaceTracker {
  /** e.g. "tracker@1.0.0+3fa9c2d1" */
  readonly model: string;
  private readonly package: TrackerPackage;
  private readonly detectors: readonly DetectorPass[];
  private readonly landmarks: LandmarkPass;
  private readonly queue = new TaskQueue();
  private closed = false;

  /** Throws model_missing, model_corrupt, model_mismatch, inference_failed. */
  static async open(options: FaceTrackerOptions): Promise<FaceTracker> {
    const threads = options.threads ?? Math.min(Math.max(1, availableParallelism() >> 1), 4);
    return new FaceTracker(await openTrackerPackage(options.directory, threads));
  }

  private constructor(opened: TrackerPackage) {
    this.package = opened;
    this.model = opened.id;
    this.detectors = [DETECTOR_SIZE, 2 * DETECTOR_SIZE].map((size) => new DetectorPass(opened, size));
    this.landmarks = new LandmarkPass(opened);
  }

  /**
   * Every face in a picture, largest first. Where no face stands about upright, the picture is turned by quarters; faces
   * of one picture that are turned differently are not all found. Throws inference_failed.
   */
  find(image: RgbImage): Promise<TrackedFace[]> {
    return this.queue.run(async () => {
      let best: { faces: TrackedFace[]; unsureness: number } = { faces: [], unsureness: UNSURE };
      for (const turned of TURNS) {
        const faces = await this.search(image, turned);
        const unsureness = Math.min(UNSURE, ...faces.map(unsurenessOf));
        if (unsureness < best.unsureness) best = { faces, unsureness };
        if (best.unsureness < CERTAIN) break;
      }
      return best.faces;
    });
  }

  /**
   * The face in the next picture of a video, looked for where it was in the last one, without the detector.
   *
   * @returns undefined when it is there no more: find() it again
   */
  follow(image: RgbImage, last: Pick<TrackedFace, 'landmarks' | 'motion'>): Promise<TrackedFace | undefined> {
    return this.queue.run(async () => {
      const face = await this.landmarks.look(image, cropAround(faceBox(last.landmarks, last.motion[2]!)));
      return isFace(face) ? face : undefined;
    });
  }

  /** Releases the graphs after the pictures that wait. May be called twice. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.queue.run(async () => {
      this.package.detector.close();
      this.package.landmarks.close();
      for (const pass of [...this.detectors, this.landmarks]) pass.close();
    });
  }

  private async search(image: RgbImage, turned: number): Promise<TrackedFace[]> {
    const found: { face: TrackedFace; box: FaceCrop }[] = [];
    for (const { box } of await this.detect(image, turned)) {
      const first = await this.landmarks.look(image, cropAround(box));
      if (first.score < FACE / 2) continue;
      const face = await this.landmarks.look(image, cropAround(faceBox(first.landmarks, first.motion[2]!)));
      const own = faceBox(face.landmarks, face.motion[2]!);
      if (isFace(face) && !found.some((other) => isSameFace(other.box, own))) found.push({ face, box: own });
    }
    return found.sort((a, b) => b.box.side - a.box.side).map(({ face }) => face);
  }

  /** Boxes in pixels of the picture, best first, as the detector sees them in the picture turned back by `turned`. */
  private async detect(image: RgbImage, turned: number): Promise<Detection[]> {
    const square = { ...squareAround(image.width, image.height), roll: turned };
    const found: Detection[] = [];
    for (const pass of this.detectors) {
      for (const { score, box } of await pass.run(image, square)) {
        if (pass.size > DETECTOR_SIZE && box.side > SMALL * pass.size) continue;
        const [x, y] = toPicture(square, (box.x / pass.size) * 2 - 1, (box.y / pass.size) * 2 - 1);
        found.push({ score, box: { x, y, side: (box.side / pass.size) * square.side, roll: box.roll + turned } });
      }
    }
    return distinctDetections(found).slice(0, MAX_CANDIDATES);
  }
}

/** The detector at one size of picture, with its buffers. */
class DetectorPass {
  readonly size: number;
  private readonly session: TrackerPackage['detector'];
  private readonly stride: number;
  private readonly image: OrtTensor;
  private readonly cells: OrtTensor;

  constructor({ detector, manifest }: TrackerPackage, size: number) {
    this.size = size;
    this.session = detector;
    this.stride = manifest.stride;
    const rows = size / this.stride;
    this.image = OrtTensor.host('uint8', [1, size, size, 3]);
    this.cells = OrtTensor.host('float32', [1, rows, rows, CELL_VALUES]);
  }

  async run(image: RgbImage, square: FaceCrop): Promise<Detection[]> {
    cutCrop(image, square, this.size, this.image.data!);
    await this.session.run({ inputs: { image: this.image }, outputs: { cells: this.cells } });
    const rows = this.size / this.stride;
    return readDetections(floats(this.cells), rows, rows, this.stride, DETECTED);
  }

  close(): void {
    this.image.close();
    this.cells.close();
  }
}

/** The landmark network with its buffers. */
class LandmarkPass {
  private readonly session: TrackerPackage['landmarks'];
  private readonly image = OrtTensor.host('uint8', [1, CROP_SIZE, CROP_SIZE, 3]);
  private readonly outputs = {
    landmarks: OrtTensor.host('float32', [1, LANDMARK_COUNT, 2]),
    spread: OrtTensor.host('float32', [1, LANDMARK_COUNT]),
    motion: OrtTensor.host('float32', [1, MOTION_COLUMNS]),
    face: OrtTensor.host('float32', [1]),
  };

  constructor({ landmarks }: TrackerPackage) {
    this.session = landmarks;
  }

  async look(image: RgbImage, crop: FaceCrop): Promise<TrackedFace> {
    cutCrop(image, crop, CROP_SIZE, this.image.data!);
    await this.session.run({ inputs: { image: this.image }, outputs: this.outputs });
    const points = floats(this.outputs.landmarks);
    const spread = floats(this.outputs.spread).reduce((sum, value) => sum + value, 0) / LANDMARK_COUNT;
    return {
      landmarks: Array.from({ length: LANDMARK_COUNT }, (_, i) => toPicture(crop, points[i * 2]!, points[i * 2 + 1]!)),
      spread: (spread * crop.side) / 2,
      motion: motionInPicture(floats(this.outputs.motion), crop, image.width, image.height),
      score: floats(this.outputs.face)[0]!,
      ...faceLight(this.image.data!, CROP_SIZE),
    };
  }

  close(): void {
    for (const tensor of [this.image, ...Object.values(this.outputs)]) tensor.close();
  }
}

function isFace(face: TrackedFace): boolean {
  return face.score > FACE && unsurenessOf(face) < UNSURE;
}

/** The landmarks' spread by the face's size. */
function unsurenessOf({ landmarks, motion, spread }: TrackedFace): number {
  return spread / faceBox(landmarks, motion[2]!).side;
}

function floats({ data }: OrtTensor): Float32Array {
  return new Float32Array(data!.buffer, data!.byteOffset, data!.byteLength / 4);
}
