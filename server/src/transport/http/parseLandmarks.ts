import { FacewireError } from '@facewire/proto';
import type { Landmarks } from '../../contracts.ts';

export const LANDMARK_COUNT = 68;

/**
 * JSON [[x, y] × 68], pixels of the uploaded image. undefined for undefined or empty text. Throws landmarks_invalid;
 * whether the points lie inside of the image is for the avatar store to judge, which knows its size.
 */
export function parseLandmarks(text: string | undefined): Landmarks | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw landmarksInvalid('landmarks must be JSON', text, cause);
  }
  return checkLandmarks(value);
}

/** Throws landmarks_invalid. */
export function checkLandmarks(value: unknown): Landmarks {
  if (!Array.isArray(value)) throw landmarksInvalid('landmarks must be a list of points', value);
  if (value.length !== LANDMARK_COUNT) {
    throw landmarksInvalid(`there must be ${LANDMARK_COUNT} landmarks`, `${value.length} points`);
  }
  return value.map((point: unknown, index) => {
    if (!Array.isArray(point) || point.length !== 2 || !point.every((each) => Number.isFinite(each))) {
      throw landmarksInvalid(`landmark ${index} must be [x, y], two finite numbers`, point);
    }
    return [point[0] as number, point[1] as number] as const;
  });
}

function landmarksInvalid(message: string, received: unknown, cause?: unknown): FacewireError {
  return new FacewireError('landmarks_invalid', message, {
    received,
    remedy: `send [[x, y], …] with ${LANDMARK_COUNT} points in Multi-PIE order, in pixels of the image`,
    cause,
  });
}
