"""Judges that are networks: landmarks and motion by the package models/tracker, identity by identity.py."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from evaluation.identity import MIDDLE
from evaluation.metrics import rotation

FACE_HALF = 8.0  # cm: half the side of the first look's face box
LOOKS = 2  # the second look's crop follows what the first saw


class Tracker(Protocol):
    """What AKD, AKD-M and the errors to the driver are measured with."""

    def track(self, pictures: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [B,S,S,3] and where the heads ought to be, absolute rows [B,58] -> landmarks [B,68,2] in -1..1, absolute rows [B,58]."""
        ...


class Embedder(Protocol):
    """What identity is measured with."""

    def embed(self, pictures: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """uint8 [B,256,256,3] and absolute motion rows [B,58] -> unit vectors [B,D]."""
        ...


class PackageTracker:
    """models/tracker without its detector: the first crop is where the head ought to be, for outputs and truths alike.

    A bad face cannot drop out by not being found; it is measured with whatever the landmark network sees there.
    """

    def __init__(self, folder: Path, threads: int = 2):
        from tracker.run import Tracker as Run

        self.run = Run(folder, threads)

    def track(self, pictures: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [self._one(picture, row) for picture, row in zip(pictures, motion)]
        return np.stack([f[0] for f in found]), np.stack([f[1] for f in found])

    def _one(self, picture: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from tracker.crops import Crop
        from tracker.layout import CROP_MARGIN

        size = picture.shape[0]
        scale = float(np.exp(row[5]))
        x, y = (row[3:5] + scale * (rotation(*row[:3]) @ MIDDLE)[:2] + 1) * size / 2
        face = self.run.look(picture, Crop(float(x), float(y), FACE_HALF * scale * size * CROP_MARGIN, float(row[2])))
        for _ in range(LOOKS - 1):
            face = self.run.follow(picture, face.landmarks, float(face.motion[2]))
        return face.landmarks * 2 / size - 1, face.motion


class Remembering:
    """A judge that looks at the same pictures once: every row is compared with the same truths."""

    def __init__(self, judge: Any, limit: int = 4096):
        self.judge, self.limit = judge, limit
        self.known: dict[tuple[str, bytes], Any] = {}

    def track(self, pictures: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._ask("track", pictures, motion)

    def embed(self, pictures: np.ndarray, motion: np.ndarray) -> np.ndarray:
        return self._ask("embed", pictures, motion)

    def _ask(self, what: str, pictures: np.ndarray, motion: np.ndarray) -> Any:
        key = (what, hashlib.blake2b(np.ascontiguousarray(pictures).tobytes() + np.ascontiguousarray(motion).tobytes()).digest())
        if key not in self.known:
            if len(self.known) >= self.limit:
                self.known.clear()
            self.known[key] = getattr(self.judge, what)(pictures, motion)
        return self.known[key]


def load_tracker(folder: Path, threads: int = 1) -> tuple[Tracker | None, str]:
    """The tracker, or None and a note saying what is missing."""
    if not (folder / "landmarks.onnx").exists():
        return None, "AKD, AKD-M and the errors to the driver were not measured: models/tracker has no landmarks.onnx"
    return PackageTracker(folder, threads), ""
