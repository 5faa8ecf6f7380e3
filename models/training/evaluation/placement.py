"""Where a portrait's landmarks go in a motion, from models/warp's fit of the mean face; for crops of eyes and mouths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.metrics import rotation
from warp.layout import POSE
from warp.run import Package, pose_angles


@dataclass(frozen=True)
class Placement:
    """keypoints [68,3] in cm, image units per cm, shift [2], the portrait's own angles (pitch, yaw, roll)."""

    keypoints: np.ndarray
    scale: float
    shift: np.ndarray
    angles: tuple[float, float, float]

    @staticmethod
    def of(warp: Package, portrait: np.ndarray, landmarks: np.ndarray) -> Placement:
        """portrait uint8 [512,512,3], landmarks [68,2] in -1..1."""
        avatar = warp.encode(portrait, landmarks)
        cut = lambda name: avatar["pose"][slice(*POSE[name])]  # noqa: E731
        return Placement(avatar["keypoints"][:68], float(cut("scale")[0]), cut("shift"), pose_angles(avatar))

    def landmarks(self, motion: np.ndarray) -> np.ndarray:
        """[68,2] in -1..1 for a motion row [58]; the expression is left out."""
        turned = self.keypoints @ rotation(*motion[:3]).T
        return turned[:, :2] * self.scale * np.exp(motion[5]) + self.shift + motion[3:5]


def load_warp(models: Path) -> Package:
    return Package(models / "warp")
