"""What training, export and the SDK (client-sdk/src/landmarks) agree on: sizes, orders, groups."""

from __future__ import annotations

from warp.facekit import EXPRESSIONS, INDEX

LANDMARKS = 68  # Multi-PIE's order, as dlib and 300-W
IRISES = 2  # of the right eye (landmarks 36–41), then the left: the order of their landmarks
POINTS = LANDMARKS + IRISES
POSE = 6  # pitch, yaw, roll (rad), shift x, y (cm of the head's scale), logarithm of the scale
WIDTH, HEADS, HIDDEN = 64, 4, 128
WINDOW = 8  # frames that a frame attends to, itself among them
MISFIT = 3.0  # cm; landmarks that are further off are wrong
COMMON = 11  # numbers of a frame that every token is given
# Regions of the face, one token each; an eye has its iris (x, y, whether there is one) beside its landmarks.
REGIONS = {
    "contour": range(0, 17), "right brow": range(17, 22), "left brow": range(22, 27), "nose": range(27, 36),
    "right eye": range(36, 42), "left eye": range(42, 48), "mouth": range(48, 68), "head": range(0, 68),
}
EYES = {"right eye": 0, "left eye": 1}  # region -> iris
TOKENS = len(REGIONS)
INPUTS = [2 * len(r) + 3 * (name in EYES) + COMMON for name, r in REGIONS.items()]


def _named(*starts: str) -> list[int]:
    return [INDEX[n] for n in EXPRESSIONS if n.startswith(starts)]


# Parts of the face with a codebook each: coefficients, tokens that tell them, places (slots) to fill with one of the codes.
CODES, CODE = 32, 8  # codes of a codebook, numbers of a code
DECODER = 96
GROUPS = {
    "eyes": (_named("eye"), (4, 5), 4),
    "brows": (_named("brow", "cheekSquint", "noseSneer"), (1, 2, 3), 4),
    "mouth": (_named("jaw", "mouth", "cheekPuff", "tongue"), (0, 6, 7), 8),
}
# Seen time, ms: a frame weighs as much in the memory as the time that it stands for, at most LONGEST; it is forgotten over FORGET.
FRAME_MS, LONGEST_MS, FORGET_MS = 33.0, 100.0, 60_000.0
GAP_MS = 1000.0  # what was seen before a longer gap is not attended to
DECAYS_MS = (25.0, 80.0, 250.0)  # how attention is told a frame's age
