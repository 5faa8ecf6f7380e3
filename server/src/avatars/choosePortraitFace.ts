import { FacewireError } from '@facewire/proto';
import type { Landmarks } from '../contracts.ts';
import { faceGeometry, MIN_EYE_DISTANCE } from './checkLandmarks.ts';

/** A face that a tracker found in a picture. */
export interface ObservedFace {
  /** 68 points, pixels of the picture */
  landmarks: Landmarks;
  /** pitch, yaw and roll in radians first; what follows is of no concern here */
  motion: ArrayLike<number>;
  /** 5th and 95th percentile of luma in the face, 0…255 */
  low: number;
  high: number;
  /** what a slight blur takes away of the face's contrast, 0…1 */
  detail: number;
}

/** The picture that was searched. */
export interface SearchedPicture {
  width: number;
  height: number;
  /** its pixels by the upload's */
  scale: number;
  /** 95th percentile of luma, 0…255 */
  high: number;
}

export const PORTRAIT_RULES = {
  /** a second face counts from this part of the largest one's size */
  secondFace: 0.5,
  /** landmarks that may lie beyond the picture's edge: the tip of a chin does */
  beyondEdge: 6,
  /** radians */
  maxRoll: (35 * Math.PI) / 180,
  maxYaw: (35 * Math.PI) / 180,
  maxPitch: (30 * Math.PI) / 180,
  /** luma: dark skin in fair light has highlights far above */
  darkest: 42,
  /** between the 5th and the 95th percentile of luma */
  contrast: 10,
  /** of detail: a sharp portrait has 0.14 and more, one blurred by 1 % of its width 0.02 */
  blurredBelow: 0.022,
} as const;

const degrees = (radians: number) => `${Math.round((Math.abs(radians) * 180) / Math.PI)}°`;

/**
 * The face that a portrait is about.
 *
 * @param faces every face of the picture
 * @throws FacewireError face_not_found, face_ambiguous, face_cut_off, face_tilted, face_turned, face_too_small,
 *   face_too_dark, face_blurred
 */
export function choosePortraitFace(faces: readonly ObservedFace[], picture: SearchedPicture): ObservedFace {
  const rules = PORTRAIT_RULES;
  const [face, second] = [...faces].sort((a, b) => extent(b) - extent(a));
  if (face === undefined) {
    if (picture.high < rules.darkest) {
      throw new FacewireError('face_too_dark', 'the picture is too dark to find a face in it', {
        received: `95 % of its pixels are at ${Math.round(picture.high)} of 255 or darker`,
        remedy: 'take the picture in better light, from the front',
      });
    }
    throw new FacewireError('face_not_found', 'no face was found in the picture', {
      received: `${picture.width}×${picture.height} searched`,
      remedy: 'take a portrait from the front with the whole face in it, or send 68 landmarks with the picture',
    });
  }
  if (second !== undefined && extent(second) >= rules.secondFace * extent(face)) {
    const similar = faces.filter((other) => extent(other) >= rules.secondFace * extent(face));
    throw new FacewireError('face_ambiguous', `${similar.length} faces of similar size were found in the picture`, {
      received: similar.map((other) => middle(other, picture.scale)).join(', '),
      remedy: 'cut the picture down to one face, or send 68 landmarks of the one that is meant',
    });
  }
  const outside = face.landmarks.filter(([x, y]) => x < 0 || y < 0 || x > picture.width || y > picture.height).length;
  if (outside > rules.beyondEdge) {
    throw new FacewireError('face_cut_off', "the picture's edge cuts the face off", {
      received: `${outside} of 68 landmarks lie outside`,
      remedy: 'take a picture with the whole head in it',
    });
  }
  const [pitch, yaw, roll] = [face.motion[0]!, face.motion[1]!, face.motion[2]!];
  if (Math.abs(roll) > rules.maxRoll) {
    throw new FacewireError(
      'face_tilted',
      `the face is tilted by ${degrees(roll)}, at most ${degrees(rules.maxRoll)}`,
      {
        received: `roll ${roll.toFixed(2)} rad`,
        remedy: `turn the picture by ${degrees(roll)} ${roll > 0 ? 'anticlockwise' : 'clockwise'}`,
      },
    );
  }
  if (Math.abs(yaw) > rules.maxYaw || Math.abs(pitch) > rules.maxPitch) {
    const sideways = Math.abs(yaw) > rules.maxYaw;
    const how = sideways ? `sideways by ${degrees(yaw)}` : `${pitch > 0 ? 'down' : 'up'} by ${degrees(pitch)}`;
    throw new FacewireError(
      'face_turned',
      `the head is turned ${how}, at most ${degrees(sideways ? rules.maxYaw : rules.maxPitch)}`,
      {
        received: `pitch ${pitch.toFixed(2)}, yaw ${yaw.toFixed(2)} rad`,
        remedy: 'take the picture from the front, looking into the camera',
      },
    );
  }
  const eyes = faceGeometry(face.landmarks).eyeDistance / picture.scale;
  if (eyes < MIN_EYE_DISTANCE) {
    throw new FacewireError(
      'face_too_small',
      `the outer eye corners are ${Math.round(eyes)} pixels apart, at least ${MIN_EYE_DISTANCE}`,
      {
        received: `a face about ${Math.round(extent(face) / picture.scale)} pixels high`,
        remedy: 'send a larger picture, or one taken from nearer',
      },
    );
  }
  if (face.high < rules.darkest || face.high - face.low < rules.contrast) {
    throw new FacewireError('face_too_dark', 'the face is too dark, or without contrast', {
      received: `luma ${Math.round(face.low)} to ${Math.round(face.high)} of 255`,
      remedy: 'take the picture in better light, from the front',
    });
  }
  if (face.detail < rules.blurredBelow) {
    throw new FacewireError('face_blurred', 'nothing in the face is sharp', {
      received: `detail ${face.detail.toFixed(3)}, expected ${rules.blurredBelow} or more`,
      remedy: 'take a sharp picture',
    });
  }
  return face;
}

/** 95th percentile of the luma of an RGB picture, 0…255. */
export function brightLuma(rgb: Uint8Array): number {
  const histogram = new Uint32Array(256);
  const pixels = rgb.length / 3;
  for (let at = 0; at < rgb.length; at += 3) {
    histogram[Math.round(0.299 * rgb[at]! + 0.587 * rgb[at + 1]! + 0.114 * rgb[at + 2]!)]!++;
  }
  let [level, above] = [255, 0];
  while (level > 0 && above + histogram[level]! <= pixels * 0.05) above += histogram[level--]!;
  return level;
}

/** The longer side of the landmarks' bounding box, pixels. */
function extent({ landmarks }: ObservedFace): number {
  const xs = landmarks.map(([x]) => x);
  const ys = landmarks.map(([, y]) => y);
  return Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
}

function middle({ landmarks }: ObservedFace, scale: number): string {
  const { eyeCentre } = faceGeometry(landmarks);
  return `eyes at (${Math.round(eyeCentre[0] / scale)}, ${Math.round(eyeCentre[1] / scale)})`;
}
