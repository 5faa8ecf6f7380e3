import { type FaceCrop, isSameFace } from './faceTrackerGeometry.ts';

/** score, offset x and y in cells, log(size / 192), cosine and sine of roll */
export const CELL_VALUES = 6;
/** side of the square picture that the detector was trained on */
export const DETECTOR_SIZE = 192;

export interface Detection {
  /** 0…1 */
  score: number;
  box: FaceCrop;
}

/**
 * The faces in the detector's output: local maxima of the score, as CenterNet reads them (Zhou et al. 2019, section 4).
 *
 * @param cells rows·columns·6
 * @param stride pixels of the detector's picture per cell
 * @returns boxes in pixels of that picture, best first
 */
export function readDetections(
  cells: Float32Array,
  rows: number,
  columns: number,
  stride: number,
  threshold: number,
): Detection[] {
  const score = (row: number, column: number) =>
    row < 0 || column < 0 || row >= rows || column >= columns ? -1 : cells[(row * columns + column) * CELL_VALUES]!;
  const found: Detection[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const own = score(row, column);
      if (own <= threshold || isBeaten(score, row, column, own)) continue;
      const at = (row * columns + column) * CELL_VALUES;
      const [dx, dy, logSize, cos, sin] = cells.subarray(at + 1, at + CELL_VALUES) as unknown as readonly number[];
      found.push({
        score: own,
        box: {
          x: (column + 0.5 + dx!) * stride,
          y: (row + 0.5 + dy!) * stride,
          side: Math.exp(logSize!) * DETECTOR_SIZE,
          roll: Math.atan2(sin!, cos!),
        },
      });
    }
  }
  return found.sort((a, b) => b.score - a.score);
}

/** One detection per face, the best. */
export function distinctDetections(found: readonly Detection[]): Detection[] {
  const kept: Detection[] = [];
  for (const detection of [...found].sort((a, b) => b.score - a.score)) {
    if (!kept.some(({ box }) => isSameFace(box, detection.box))) kept.push(detection);
  }
  return kept;
}

function isBeaten(score: (row: number, column: number) => number, row: number, column: number, own: number): boolean {
  for (let y = row - 1; y <= row + 1; y++) {
    for (let x = column - 1; x <= column + 1; x++) if (score(y, x) > own) return true;
  }
  return false;
}
