"""Square, turned crops of a picture, and what landmarks and motion are inside of them.

Picture coordinates are pixels, a pixel's centre at +0.5. Crop coordinates are -1..1, x right, y down. A crop with roll r
shows a head that is turned by r (clockwise in the picture) upright.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.layout import CROP_MARGIN


def turn(roll: float) -> np.ndarray:
    """[2,2], clockwise in a picture whose y points down."""
    c, s = np.cos(roll), np.sin(roll)
    return np.array([[c, -s], [s, c]])


@dataclass(frozen=True)
class Crop:
    """centre x and y and side in pixels, roll in radians."""

    x: float
    y: float
    side: float
    roll: float

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """[...,2] crop coordinates -> pixels."""
        return points @ turn(self.roll).T * (self.side / 2) + np.array([self.x, self.y])

    def from_picture(self, points: np.ndarray) -> np.ndarray:
        """[...,2] pixels -> crop coordinates."""
        return (points - np.array([self.x, self.y])) @ turn(self.roll) * (2 / self.side)

    def affine(self, size: int) -> np.ndarray:
        """[2,3]: pixel centres of a size x size picture of the crop, counted 0.. -> pixel centres of the picture, counted 0..

        That is cv2.warpAffine's convention with WARP_INVERSE_MAP.
        """
        matrix = turn(self.roll) * (self.side / size)
        offset = np.array([self.x, self.y]) + matrix @ np.full(2, 0.5 - size / 2) - 0.5
        return np.concatenate([matrix, offset[:, None]], 1)


def face_box(landmarks: np.ndarray, roll: float) -> Crop:
    """The square around landmarks [68,2] (pixels) in the frame turned by roll; side = the longer side of their extent."""
    upright = landmarks @ turn(roll)
    low, high = upright.min(0), upright.max(0)
    x, y = turn(roll) @ ((low + high) / 2)
    return Crop(float(x), float(y), float((high - low).max()), float(roll))


def face_crop(landmarks: np.ndarray, roll: float) -> Crop:
    """The landmark network's crop around known landmarks (pixels)."""
    box = face_box(landmarks, roll)
    return Crop(box.x, box.y, box.side * CROP_MARGIN, box.roll)


def motion_in_crop(motion: np.ndarray, crop: Crop, width: float, height: float) -> np.ndarray:
    """motion [58] of a whole picture (tx, ty in its -1..1, logScale in half widths per cm) -> motion inside a crop of it."""
    out = motion.astype(np.float32).copy()
    origin = (motion[3:5] + 1) / 2 * np.array([width, height])
    out[2] = (motion[2] - crop.roll + np.pi) % (2 * np.pi) - np.pi
    out[3:5] = crop.from_picture(origin)
    out[5] = motion[5] + np.log(width / crop.side)
    return out


def motion_in_picture(motion: np.ndarray, crop: Crop, width: float, height: float) -> np.ndarray:
    """The way back of motion_in_crop."""
    out = motion.astype(np.float32).copy()
    out[2] = (motion[2] + crop.roll + np.pi) % (2 * np.pi) - np.pi
    out[3:5] = crop.to_picture(motion[3:5]) / np.array([width, height]) * 2 - 1
    out[5] = motion[5] - np.log(width / crop.side)
    return out
