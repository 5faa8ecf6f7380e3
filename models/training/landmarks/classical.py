"""What one does without a network: a bounded least-squares fit of the morphable head to each frame (the evaluation's yardstick)."""

from __future__ import annotations

import torch
from torch import Tensor

from heads.rig import GAZE_PITCH, GAZE_YAW
from landmarks.faces import Faces, rotations
from landmarks.features import TELLING, fitted
from landmarks.layout import EYES, LANDMARKS, REGIONS
from warp.facekit import INDEX

MODES = 20  # of a person's shape, where nobody tells it
ROUNDS, SWEEPS = 6, 12
SPARSE = 0.01  # on coefficients
RIDGE, RIDGE_MODES = 5.0, 0.5  # the best of ten pairs on training tracks
CHUNK = 1000


def pose_of(shape: Tensor, marks: Tensor) -> Tensor:
    """Weak-perspective pose [F,6] of shapes [F,68,3] at landmarks [F,68,2]."""
    weight = torch.from_numpy(TELLING).float()[:, None]
    design = torch.cat([shape, torch.ones(*shape.shape[:2], 1)], -1)
    solve = torch.linalg.solve(design.transpose(1, 2) @ (design * weight), (design * weight).transpose(1, 2)).transpose(1, 2)
    return fitted(marks, solve)


def fit(faces: Faces, points: Tensor, irises: Tensor, rest: Tensor | None = None, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """points [F,70,2], irises [F] -> pose [F,6] (as features.fitted) and coefficients [F,52]; rest [F,68,3]: the person's own face, if told."""
    out = [one(faces, points[i : i + CHUNK], irises[i : i + CHUNK], rest[i : i + CHUNK] if rest is not None else None, ridge)
           for i in range(0, len(points), CHUNK)]  # fmt: skip
    return tuple(torch.cat(v) for v in zip(*out, strict=True))


def one(faces: Faces, points: Tensor, irises: Tensor, rest: Tensor | None, ridge: float) -> tuple[Tensor, Tensor]:
    marks, count = points[:, :LANDMARKS], len(points)
    basis = faces.expression[:, :LANDMARKS]
    if rest is None:
        rest = faces.mean.expand(count, -1, -1)
        basis = torch.cat([basis, faces.identity[:MODES, :LANDMARKS]])
    modes = len(basis) - 52
    loads = torch.cat([torch.full((52,), ridge), torch.full((modes,), RIDGE_MODES)])
    low = torch.cat([torch.zeros(52), torch.full((modes,), -3.0)])
    high = torch.cat([torch.ones(52), torch.full((modes,), 3.0)])
    x = torch.zeros(count, len(basis))
    for _ in range(ROUNDS):
        pose = pose_of(rest + (x @ basis.flatten(1)).unflatten(1, (-1, 3)), marks)
        turned = rotations(pose[:, :3])[:, :2]
        own = (marks - pose[:, None, 3:5]) * torch.exp(-pose[:, 5])[:, None, None]
        goal = (own - torch.einsum("fij,fpj->fpi", turned, rest)).flatten(1)
        moves = torch.einsum("fij,kpj->fkpi", turned, basis).flatten(2)
        square = moves @ moves.transpose(1, 2) + torch.diag(loads)
        pull = torch.einsum("fkn,fn->fk", moves, goal) - SPARSE * (torch.arange(len(basis)) < 52)
        for _ in range(SWEEPS):
            for k in range(len(basis)):
                step = (pull[:, k] - (square[:, k] * x).sum(1)) / square[:, k, k]
                x[:, k] = (x[:, k] + step).clamp(low[k], high[k])
    coefficients = x[:, :52].clone()
    look = looked(faces, points, pose)
    seen = irises[:, None] > 0
    for name, value in look.items():
        coefficients[:, INDEX[name]] = torch.where(seen[:, 0], value, coefficients[:, INDEX[name]])
    return pose, coefficients


def looked(faces: Faces, points: Tensor, pose: Tensor) -> dict[str, Tensor]:
    """Where the irises look, by the mean face's eyeballs."""
    turned, size = rotations(pose[:, :3]), torch.exp(-pose[:, 5])[:, None]
    out = {}
    for name, side in EYES.items():
        members = REGIONS[name]
        middle = faces.balls[side] - faces.mean[members.start : members.stop].mean(0)
        ball = points[:, members.start : members.stop].mean(1) * size + (turned @ middle)[:, :2]
        off = (points[:, LANDMARKS + side] * size - ball) / faces.reach
        off = off * (0.95 / off.norm(dim=1, keepdim=True).clamp(min=0.95))
        ahead = torch.einsum("fji,fj->fi", turned, torch.cat([off, -(1 - off.square().sum(1, keepdim=True)).sqrt()], 1))
        yaw, pitch = torch.atan2(ahead[:, 0], -ahead[:, 2]), ahead[:, 1].clamp(-1, 1).asin()
        person, sign = ("Right", -1) if side == 0 else ("Left", 1)
        outwards, down = sign * yaw / GAZE_YAW, pitch / GAZE_PITCH
        for key, value in (("Out", outwards), ("In", -outwards), ("Down", down), ("Up", -down)):
            out[f"eyeLook{key}{person}"] = value.clamp(0, 1)
    return out
