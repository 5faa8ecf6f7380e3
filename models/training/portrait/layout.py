"""Sizes that the stage graph, the network and the data share."""

from __future__ import annotations

import numpy as np

G = 64  # side of flows and of the finest appearance features
FEATURES = 32  # channels of the appearance features
IDENTITY = 128  # length of the identity code
CODE = 71  # expression 52, rotation of the driver 9, of the source 9, log scale
PLACED = 10  # channels of the fitted face in the portrait (reading.py)
HARMONICS = 9  # of the light that was read
SIDE = 128  # of the side pictures, pixels
SIDE_DETAIL = 256  # of what they have beyond that
DETAIL_PART = (24, 184, 48, 208)  # rows and columns of a frame of 256 that show it: head and neck
SIDE_YAW = 50 * np.pi / 180  # by which the head is turned in them
SHAPE = 9  # channels of the avatar tensor `shape` (reading.py)

# Width and height of the windows that the refiners work in, as parts of the frame's side: 72x72 and 48x40 at 256.
MOUTH_WINDOW = (72 / 256, 72 / 256)
EYE_WINDOW = (48 / 256, 40 / 256)
MOUTH_GEOMETRY = ("mouth_h", "mouth_v", "mouth_top", "mouth_bottom", "mouth_cover")
EYE_GEOMETRY = ("eye_h", "eye_v", "eye_top", "eye_bottom", "eye_cover", "eye_iris")


def window_sizes(size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(width, height) in pixels of the mouth's window and of an eye's."""
    side = lambda part: round(part * size)  # noqa: E731
    return (side(MOUTH_WINDOW[0]), side(MOUTH_WINDOW[1])), (side(EYE_WINDOW[0]), side(EYE_WINDOW[1]))
