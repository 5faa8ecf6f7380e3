"""A portrait's landmarks as an upload may bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker.run import Tracker

TRACKER = Path(__file__).resolve().parents[2] / "tracker"
JITTER = 2 / 256  # at most a pixel of 256
LOOKS = 2


class Marker:
    """Draws how landmarks are found: a third of them exactly, a third by hand (each off by up to a pixel), a third by
    models/tracker, whose errors are of another kind: it sees every face a little as the faces it knows."""

    def __init__(self, tracker: Path = TRACKER):
        self.tracker = Tracker(tracker, threads=1)

    def __call__(self, image: np.ndarray, true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """image uint8 [S,S,3], true landmarks [68,2] in -1..1 -> float32 [68,2]."""
        kind = rng.random()
        if kind < 1 / 3:
            return true.astype(np.float32)
        if kind < 2 / 3:
            return jittered(true, rng)
        return self.tracked(image, true)

    def tracked(self, image: np.ndarray, true: np.ndarray) -> np.ndarray:
        """As the tracker finds them: it looks where the face truly is, and again from where it then saw it."""
        size = image.shape[0]
        found, roll = (true + 1) * size / 2, 0.0
        for _ in range(LOOKS):
            face = self.tracker.follow(image, found, roll)
            found, roll = face.landmarks, float(face.motion[2])
        return (found * 2 / size - 1).astype(np.float32)


def jittered(landmarks: np.ndarray, rng: np.random.Generator, most: float = JITTER) -> np.ndarray:
    return (landmarks + rng.normal(0, 1, landmarks.shape) * rng.uniform(0, most)).astype(np.float32)
