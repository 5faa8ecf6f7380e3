"""What tracker and server agree on: sizes, orders, mirror images.

Axes are Facewire's: x right, y down, z into the picture; R = Rz(roll) Ry(yaw) Rx(pitch).
"""

from __future__ import annotations

import numpy as np

from warp.facekit import EXPRESSIONS

LANDMARKS = 68
POSE = 6  # pitch, yaw, roll, tx, ty, logScale
MOTION = POSE + len(EXPRESSIONS)  # and 52 coefficients
PARTS = {
    "jaw": slice(0, 17), "right brow": slice(17, 22), "left brow": slice(22, 27), "nose": slice(27, 36),
    "right eye": slice(36, 42), "left eye": slice(42, 48), "mouth": slice(48, 68),
}  # of the landmarks; right and left are the person's own
CROP = 128  # pixels of the landmark network's picture
CROP_MARGIN = 1.5  # side of the crop / longer side of the landmarks' upright bounding box
STRIDE = 8  # pixels of the detector's picture per cell
DETECTOR = 192  # side of the letterboxed picture the detector is trained on
CELL = 6  # score, offset x, offset y, log size, cos roll, sin roll


def _landmark_mirror() -> np.ndarray:
    """Multi-PIE index of each landmark's mirror image, int64 [68]."""
    pairs = [(i, 16 - i) for i in range(17)] + [(17 + i, 26 - i) for i in range(10)] + [(27 + i, 27 + i) for i in range(4)]
    pairs += [(31 + i, 35 - i) for i in range(5)]
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    pairs += [(48 + i, 54 - i) for i in range(7)] + [(55, 59), (56, 58), (57, 57)]
    pairs += [(60 + i, 64 - i) for i in range(5)] + [(65, 67), (66, 66)]
    mirror = np.zeros(LANDMARKS, np.int64)
    for a, b in pairs:
        mirror[a], mirror[b] = b, a
    return mirror


def _motion_mirror() -> tuple[np.ndarray, np.ndarray]:
    """(index int64 [58], sign float32 [58]): motion of the mirrored picture = motion[index] * sign."""
    index, sign = np.arange(MOTION), np.ones(MOTION, np.float32)
    sign[[1, 2, 3]] = -1  # yaw, roll, tx
    names = {name: POSE + i for i, name in enumerate(EXPRESSIONS)}
    for name, i in names.items():
        other = name[:-4] + "Right" if name.endswith("Left") else name[:-5] + "Left" if name.endswith("Right") else name
        index[i] = names[other]
    return index, sign


LANDMARK_MIRROR = _landmark_mirror()
MOTION_MIRROR = _motion_mirror()
