"""Landmarks of the morphable head: what a tracker would find, were it perfect, and where a contour may slide to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from heads.rig import EYEBALLS, EYE_CENTRES, GAZE_PITCH, GAZE_YAW, SKIN_END, Rig
from heads.sitter import sample_coefficients, stretch
from landmarks.layout import LANDMARKS
from warp.facekit import FLIP, INDEX

CONTOUR = 17
STRAND = 9  # places of the cheek that a contour's landmark may be taken for, from where it is inwards
INWARDS = 0.7  # share of the way to the middle of the face that they reach


@dataclass(frozen=True)
class Faces:
    """Facewire's axes (x right, y down, z into the picture), cm. P points: 68 landmarks, then 17 strands of STRAND.

    neutral [P,3]; identity [100,P,3]; expression [52,P,3]; facing [P,3]: normals of the neutral face; balls [2,3] and
    ball_identity [100,2,3]: middles of the eyeballs, right eye first; reach: from there to the iris.
    """

    neutral: Tensor
    identity: Tensor
    expression: Tensor
    facing: Tensor
    balls: Tensor
    ball_identity: Tensor
    reach: float

    @staticmethod
    def open(rig: Rig) -> Faces:
        points = np.concatenate([rig.landmarks, strands(rig).ravel()])
        flat = lambda basis: basis.reshape(len(basis), -1, 3)  # noqa: E731
        identity = flat(rig.identity)
        balls = [rig.neutral[b].mean(0) + (c - rig.neutral[b].mean(0)) for b, c in zip(EYEBALLS, EYE_CENTRES, strict=True)]
        front = max(float(rig.neutral[b][:, 2].max() - c[2]) for b, c in zip(EYEBALLS, EYE_CENTRES, strict=True))
        tensor = lambda v: torch.from_numpy(np.ascontiguousarray(v * FLIP, np.float32))  # noqa: E731
        return Faces(
            tensor(rig.neutral[points]), tensor(identity[:, points]), tensor(flat(rig.basis)[:, points]),
            tensor(rig.normals(rig.neutral)[points]), tensor(np.stack(balls[::-1])),
            tensor(np.stack([identity[:, b].mean(1) for b in EYEBALLS[::-1]], 1)), front,
        )

    @property
    def mean(self) -> Tensor:
        return self.neutral[:LANDMARKS]

    def people(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """(points at rest [n,P,3], middles of their eyeballs [n,2,3]) of random people."""
        who = torch.from_numpy(np.stack([sample_coefficients(rng, len(self.identity)) for _ in range(count)]).astype(np.float32))
        wide = torch.from_numpy(np.stack([stretch(rng) for _ in range(count)]).astype(np.float32))[:, None]
        of = lambda rest, basis: (rest + torch.tensordot(who, basis, 1)) * wide  # noqa: E731
        return of(self.neutral, self.identity), of(self.balls, self.ball_identity)

    def moved(self, coefficients: Tensor) -> Tensor:
        """Coefficients [...,52] -> what they move the points by [...,P,3]."""
        return (coefficients @ self.expression.flatten(1)).unflatten(-1, (-1, 3))

    def gaze(self, coefficients: Tensor) -> Tensor:
        """Coefficients [...,52] -> the irises from the middles of their balls [...,2,3], right eye first."""
        out = []
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            get = lambda key: coefficients[..., INDEX[f"eyeLook{key}{side}"]]  # noqa: B023, E731
            yaw, pitch = sign * GAZE_YAW * (get("Out") - get("In")), GAZE_PITCH * (get("Down") - get("Up"))
            out.append(torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), -yaw.cos() * pitch.cos()], -1))
        return torch.stack(out, -2) * self.reach


def strands(rig: Rig) -> np.ndarray:
    """Vertices [17,STRAND] on the cheek, from each contour landmark towards the middle of the face."""
    skin = np.flatnonzero(rig.part[:SKIN_END] == 0)
    skin = skin[rig.neutral[skin, 2] > rig.neutral[rig.landmarks[0], 2] - 1]
    middle = rig.neutral[rig.landmarks[33]]
    out = np.zeros((CONTOUR, STRAND), np.int64)
    for i, start in enumerate(rig.landmarks[:CONTOUR]):
        for j in range(STRAND):
            at = rig.neutral[start, :2] + (middle[:2] - rig.neutral[start, :2]) * INWARDS * j / (STRAND - 1)
            near = skin[np.linalg.norm(rig.neutral[skin, :2] - at, axis=1) < 0.5]
            out[i, j] = start if j == 0 or len(near) == 0 else near[np.argmax(rig.neutral[near, 2])]
    return out


def rotations(angles: Tensor) -> Tensor:
    """pitch, yaw, roll [...,3] -> R = Rz·Ry·Rx [...,3,3] (heads.motion.rotation, batched)."""
    (cp, cy, cr), (sp, sy, sr) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = [
        cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp,
        sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp,
        -sy, cy * sp, cy * cp,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
