/** What models/training/landmarks/layout.py and the SDK agree on. */
export const LANDMARKS = 68;
/** pitch, yaw, roll (rad), shift x, y, natural logarithm of the scale */
export const POSE = 6;
export const WIDTH = 64;
export const HEADS = 4;
export const HEAD_WIDTH = WIDTH / HEADS;
export const HIDDEN = 128;
/** frames that a frame attends to, itself among them */
export const WINDOW = 8;
/** cm; landmarks that are further off are wrong */
export const MISFIT = 3;
/** numbers of a frame that every token is given */
export const COMMON = 11;
export const FRAME_MS = 33;
export const LONGEST_MS = 100;
export const FORGET_MS = 60_000;
/** what was seen before a longer gap is not attended to */
export const GAP_MS = 1000;
export const DECAYS_MS: readonly number[] = [25, 80, 250];
/** of a frame's weight in the memory, logarithm */
export const LOUDEST = 5;
export const POSE_UNITS: readonly number[] = [0.1, 0.1, 0.05, 0.5, 0.5, 0.1];

/** Regions of the face, a token each: first landmark, the one after the last, and which iris (0 right, 1 left). */
export const REGIONS: readonly { from: number; to: number; iris?: number }[] = [
  { from: 0, to: 17 },
  { from: 17, to: 22 },
  { from: 22, to: 27 },
  { from: 27, to: 36 },
  { from: 36, to: 42, iris: 0 },
  { from: 42, to: 48, iris: 1 },
  { from: 48, to: 68 },
  { from: 0, to: 68 },
];
export const TOKENS = REGIONS.length;

export function inputsOf({ from, to, iris }: (typeof REGIONS)[number]): number {
  return 2 * (to - from) + (iris === undefined ? 0 : 3) + COMMON;
}

export const CODES = 32;
export const CODE = 8;
export const DECODER = 96;
/** Parts of the face with a codebook each: the start of their coefficients' names, the tokens that tell them, places to fill. */
export const GROUPS = {
  eyes: { starts: ['eye'], tokens: [4, 5], slots: 4 },
  brows: { starts: ['brow', 'cheekSquint', 'noseSneer'], tokens: [1, 2, 3], slots: 4 },
  mouth: { starts: ['jaw', 'mouth', 'cheekPuff', 'tongue'], tokens: [0, 6, 7], slots: 8 },
} as const;
