"""Lifts a portrait's 68 landmarks to 3-D: what they tell of pose and depth, faces being as they are (PyTorch).

The geometric encoder fits the mean face to the landmarks. Whoever's nose is longer or whose eyes lie lower then seems to have
turned: by a degree on average, which shows in every frame. How faces differ is known (ICT-FaceKit's morphable model), so
a small network learned from half a million faces of it, landmarks only, which part of the misfit is pose and which is the person.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tracker.layout import LANDMARK_MIRROR

LANDMARKS = 68
WIDTH = 512
POSE_UNITS = (0.02, 0.02, 0.02, 0.2, 0.2, 0.05)  # rad, cm, logarithm of the scale
DEPTH_UNIT = 0.3  # cm
MISFIT = 3.0  # cm; landmarks that are further off are wrong
WEIGHTS = Path(__file__).with_name("lifter.pt")
INPUTS = {"residual": (3 * LANDMARKS,), "rotation": (9,)}


class Lifted(NamedTuple):
    """pose [B,6]: what the fitted pose lacks, turn about the view's axes (rad), shift (cm) and logarithm of the scale; depth
    [B,68,1] of the landmarks behind the mean face's in the right pose (cm of the view); doubt [B,1]: how likely it is that
    the landmarks are not exact, 0..1. Of exact ones nobody knows the pose better."""

    pose: Tensor
    depth: Tensor
    doubt: Tensor


class Lifter(nn.Module):
    """residual [B,204]: what the mean face, as fitted, misses the landmarks by, in the head's frame (cm); rotation [B,9] as
    fitted -> Lifted. Mirror images of a face give mirror images."""

    def __init__(self, width: int = WIDTH):
        super().__init__()
        given = sum(shape[0] for shape in INPUTS.values())
        self.register_buffer("mean", torch.zeros(given))
        self.register_buffer("deviation", torch.ones(given))
        self.hidden = nn.Sequential(nn.Linear(given, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.last = nn.Linear(width, len(POSE_UNITS) + LANDMARKS)
        self.doubt = nn.Linear(width, 1)
        for layer in (self.last, self.doubt):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, residual: Tensor, rotation: Tensor) -> Lifted:
        given = torch.cat([residual.clamp(-MISFIT, MISFIT), rotation], 1)
        # Turns are axial vectors: about the mirror's own axis they stay.
        here, there = (self.found(v) for v in (given, mirrored(given)))
        pose = (here.pose + there.pose * torch.tensor([1.0, -1.0, -1.0, -1.0, 1.0, 1.0])) / 2
        return Lifted(pose, (here.depth + there.depth[:, LANDMARK_MIRROR]) / 2, (here.doubt + there.doubt) / 2)

    def found(self, given: Tensor) -> Lifted:
        hidden = self.hidden((given - self.mean) / self.deviation)
        pose, depth = self.last(hidden).split([len(POSE_UNITS), LANDMARKS], 1)
        return Lifted(pose * torch.tensor(POSE_UNITS), depth[..., None] * DEPTH_UNIT, torch.sigmoid(self.doubt(hidden)))


def mirrored(given: Tensor) -> Tensor:
    """residual and rotation [B,213] of the mirror image."""
    residual, rotation = given.split([3 * LANDMARKS, 9], 1)
    residual = residual.reshape(-1, LANDMARKS, 3)[:, LANDMARK_MIRROR] * torch.tensor([-1.0, 1.0, 1.0])
    return torch.cat([residual.reshape(-1, 3 * LANDMARKS), rotation * torch.tensor([1.0, -1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0])], 1)


class Pose(NamedTuple):
    """rotation [3,3], shift [2] and scale of a head in a picture (image units, a centimetre is `scale`)."""

    rotation: np.ndarray
    shift: np.ndarray
    scale: float


def lacking(fitted: Pose, true: Pose) -> np.ndarray:
    """[6]: what the fitted pose lacks, as in Lifted."""
    turn = true.rotation @ fitted.rotation.T  # small: the vector of its skew part is angle and axis
    turn = (turn[[2, 0, 1], [1, 2, 0]] - turn[[1, 2, 0], [2, 0, 1]]) / 2
    return np.concatenate([turn, (true.shift - fitted.shift) / fitted.scale, [np.log(true.scale / fitted.scale)]])


def load(path: Path = WEIGHTS) -> Lifter:
    lifter = Lifter()
    lifter.load_state_dict({k: v.float() for k, v in torch.load(path, map_location="cpu").items()})
    return lifter.eval()
