import { FacewireError, type Motion, neutralMotion } from '@facewire/proto';
import { mirrorMotion } from '../motion/motionFromArkit.ts';
import { corrected, PoseFit } from './fitPose.ts';
import { LandmarkNetwork } from './LandmarkNetwork.ts';
import { FORGET_MS, FRAME_MS, LONGEST_MS } from './layout.ts';
import { invalid, type Landmarks, type PointOptions, readPoints } from './readPoints.ts';
import { readWeights, type Weights } from './readWeights.ts';

export interface LandmarkOptions extends PointOptions {
  /** when the picture was taken, any clock, ms */
  timeMs: number;
  /** the picture that was tracked was mirrored (a selfie view): left and right are swapped back */
  mirrored?: boolean;
}

/** cm between the outer eye corners of the mean face */
const EYE_CM = 8.918;
/** the same in image coordinates (−1…1) of a portrait, as trackToMotions has it */
const EYE_DISTANCE = 0.36;

/**
 * Makes motions of 2-D landmarks, for clients whose face tracker gives no blendshapes. Small: about a million
 * multiplications a frame, on the thread that calls it.
 *
 * Nobody calibrates. It remembers what it saw of a person: one reader for each, and `reset` when somebody else sits down.
 */
export class LandmarkReader {
  readonly #fit: PoseFit;
  readonly #network: LandmarkNetwork;
  #last: Motion = neutralMotion();
  #lastMs: number | undefined;
  /** where and how large the head usually is: x, y (pixels), logarithm of pixels per cm; and for how long that was seen */
  #usual = [0, 0, 0];
  #seenMs = 0;

  private constructor(weights: Weights) {
    this.#fit = new PoseFit(weights);
    this.#network = new LandmarkNetwork(weights);
  }

  /**
   * @param source bytes or address of models/landmarks/landmarks.bin; nothing: the weights that the package holds, which
   * a bundler puts into a chunk of their own. Throws `model_missing` where the address gives none and `model_corrupt`.
   */
  static async load(source?: ArrayBuffer | Uint8Array | string | URL): Promise<LandmarkReader> {
    return new LandmarkReader(readWeights(await bytesOf(source)));
  }

  /** Starts over with somebody else. */
  reset(): void {
    this.#fit.reset();
    this.#network.reset();
    this.#last = neutralMotion();
    this.#lastMs = undefined;
    this.recentre();
  }

  /** The head is where it belongs: `tx`, `ty` and `logScale` begin at 0 here. */
  recentre(): void {
    this.#seenMs = 0;
  }

  /**
   * One picture's landmarks, in order of time: a motion in Facewire's conventions. Its place and size are relative to
   * where the head was over the last minute. `undefined` (the tracker lost the face) gives the last motion again;
   * better publish nothing then.
   *
   * Throws `landmarks_invalid` for another count of points, numbers that are not finite and points that are no face,
   * and RangeError for a time that is not finite; the reader goes on with the next picture.
   */
  read(landmarks: Landmarks | null | undefined, options: LandmarkOptions): Motion {
    if (!Number.isFinite(options.timeMs)) throw new RangeError(`timeMs is ${options.timeMs}: expected milliseconds`);
    if (landmarks !== undefined && landmarks !== null) this.#last = this.#read(landmarks, options);
    const { pose, expression } = this.#last;
    return { pose: { ...pose }, expression: expression.slice() };
  }

  #read(landmarks: Landmarks, options: LandmarkOptions): Motion {
    const frame = readPoints(landmarks, options);
    // Two pictures of one moment: a time of 0 has no logarithm.
    const dtMs = this.#lastMs === undefined ? FRAME_MS : Math.max(1, options.timeMs - this.#lastMs);
    if (!this.#fit.run(frame, dtMs)) throw invalid('the points do not span a face', 'points in one place or line');
    this.#lastMs = options.timeMs;
    this.#network.run(this.#fit.tokens, dtMs);
    const motion = this.#motion(corrected(this.#fit.pose, this.#network.correction), dtMs);
    return options.mirrored ? mirrorMotion(motion) : motion;
  }

  #motion(found: Float64Array, dtMs: number): Motion {
    const [pitch, yaw, roll, x, y, grown] = found as unknown as [number, number, number, number, number, number];
    const stands = Math.min(dtMs, LONGEST_MS);
    this.#seenMs = this.#seenMs * Math.exp(-stands / FORGET_MS) + stands;
    this.#usual = [x, y, grown].map((value, k) => {
      const usual = this.#usual[k]!;
      return usual + (value - usual) * (stands / this.#seenMs);
    });
    const [usualX, usualY, usual] = this.#usual as [number, number, number];
    const perPixel = EYE_DISTANCE / (EYE_CM * Math.exp(usual));
    return {
      pose: {
        pitch: within(pitch, Math.PI),
        yaw: within(yaw, Math.PI),
        roll: within(roll, Math.PI),
        tx: within((x - usualX) * perPixel, 4),
        ty: within((y - usualY) * perPixel, 4),
        logScale: within(grown - usual, 4),
      },
      expression: this.#network.expression.map((value) => Math.min(1, Math.max(0, value))),
    };
  }
}

function within(value: number, most: number): number {
  return Math.min(most, Math.max(-most, value));
}

async function bytesOf(source: ArrayBuffer | Uint8Array | string | URL | undefined): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (source === undefined) {
    const { LANDMARK_WEIGHTS } = await import('./weights.ts');
    return Uint8Array.from(atob(LANDMARK_WEIGHTS), (letter) => letter.charCodeAt(0));
  }
  const missing = (received: unknown, cause?: unknown) =>
    new FacewireError('model_missing', `weights of the landmark reader: ${source} gives none`, {
      received,
      remedy: 'serve models/landmarks/landmarks.bin there, or load() without an address',
      cause,
    });
  const response = await fetch(source).catch((cause: unknown) => {
    throw missing(String(cause), cause);
  });
  if (!response.ok) throw missing(response.status);
  return new Uint8Array(await response.arrayBuffer());
}
