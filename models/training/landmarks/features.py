"""From landmarks to what the network is given: the mean face's pose by least squares, and what that misses (PyTorch)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from landmarks.faces import rotations
from landmarks.layout import EYES, FRAME_MS, LANDMARKS, MISFIT, REGIONS

# How much a landmark tells of the pose: the chin slides and lips move.
TELLING = np.concatenate([np.full(17, 0.35), np.full(10, 0.4), np.ones(21), np.full(20, 0.25)])


class Frames(NamedTuple):
    """tokens: for each region its numbers [B,T,n]; pose [B,T,6] of the mean face; dt [B,T] ms."""

    tokens: list[Tensor]
    pose: Tensor
    dt: Tensor


def solver(mean: np.ndarray) -> np.ndarray:
    """[68,4]: landmarks [2,68] @ this = weak-perspective affine map [2, 3|1] of the mean face [68,3]."""
    design = np.concatenate([mean, np.ones((LANDMARKS, 1))], 1).astype(np.float64)
    weighted = design * TELLING[:, None]
    return np.linalg.solve(design.T @ weighted, weighted.T).T.astype(np.float32)


def fitted(marks: Tensor, solve: Tensor) -> Tensor:
    """Landmarks [...,68,2] -> pose [...,6]: pitch, yaw, roll, shift (pixels), logarithm of pixels per cm."""
    affine = marks.transpose(-1, -2) @ solve
    first, second = affine[..., 0, :3], affine[..., 1, :3]
    scale = (first.norm(dim=-1) + second.norm(dim=-1)) / 2
    a, b = (torch.nn.functional.normalize(v, dim=-1) for v in (first, second))
    # The nearest two at a right angle: their sum and difference are.
    plus, minus = torch.nn.functional.normalize(a + b, dim=-1), torch.nn.functional.normalize(a - b, dim=-1)
    a, b = (plus + minus) / 2**0.5, (plus - minus) / 2**0.5
    c = torch.cross(a, b, dim=-1)
    angles = torch.stack([torch.atan2(c[..., 1], c[..., 2]), -c[..., 0].clamp(-1, 1).asin(), torch.atan2(b[..., 0], a[..., 0])], -1)
    return torch.cat([angles, affine[..., 3], scale.log()[..., None]], -1)


def features(points: Tensor, irises: Tensor, dt: Tensor, mean: Tensor, solve: Tensor) -> Frames:
    """Landmarks and irises [B,T,70,2] in pixels, whether there are irises [B,T] (0, 1), dt [B,T] ms, mean face [68,3]."""
    marks = points[..., :LANDMARKS, :]
    pose = fitted(marks, solve)
    roll, shift, grown = pose[..., 2], pose[..., 3:5], pose[..., 5]
    c, s = roll.cos(), roll.sin()
    upright = torch.stack([c, s, -s, c], -1).unflatten(-1, (2, 2))
    own = torch.einsum("btij,btpj->btpi", upright, points - shift[..., None, :]) * torch.exp(-grown)[..., None, None]
    model = torch.einsum("btij,pj->btpi", rotations(pose[..., :3] * torch.tensor([1.0, 1.0, 0.0])), mean)[..., :2]
    misfit = (own[..., :LANDMARKS, :] - model).clamp(-MISFIT, MISFIT)
    common = torch.cat([pose[..., :2].sin(), pose[..., :2].cos(), steps(pose), (dt / FRAME_MS).log()[..., None].clamp(-2, 4)], -1)
    tokens = []
    for name, members in REGIONS.items():
        parts = [misfit[..., members.start : members.stop, :].flatten(-2)]
        if name in EYES:
            middle = own[..., members.start : members.stop, :].mean(-2)
            iris = (own[..., LANDMARKS + EYES[name], :] - middle).clamp(-MISFIT, MISFIT)
            parts += [iris * irises[..., None], irises[..., None]]
        tokens.append(torch.cat([*parts, common], -1))
    return Frames(tokens, pose, dt)


def steps(pose: Tensor) -> Tensor:
    """How the fitted pose [B,T,6] moved since the frame before [B,T,6]: tenths of a radian, cm, tenths of the scale."""
    step = torch.diff(pose, dim=1)
    move = step[..., 3:5] * torch.exp(-pose[:, 1:, 5:])
    step = torch.cat([step[..., :3] * 10, move, step[..., 5:] * 10], -1).clamp(-3, 3)
    return torch.cat([torch.zeros_like(pose[:, :1]), step], 1)


def corrected(pose: Tensor, correction: Tensor) -> Tensor:
    """The mean face's pose [...,6] with the network's correction [...,6]: angles, shift in the upright head's cm, logarithm."""
    roll = pose[..., 2]
    c, s = roll.cos(), roll.sin()
    x, y = correction[..., 3], correction[..., 4]
    move = torch.stack([c * x - s * y, s * x + c * y], -1) * pose[..., 5:].exp()
    return torch.cat([pose[..., :3] + correction[..., :3], pose[..., 3:5] + move, pose[..., 5:] + correction[..., 5:]], -1)


def lacking(pose: Tensor, true: Tensor) -> Tensor:
    """The correction [...,6] that makes the pose the true one."""
    roll = pose[..., 2]
    c, s = roll.cos(), roll.sin()
    x, y = ((true - pose)[..., 3:5] * torch.exp(-pose[..., 5:])).unbind(-1)
    return torch.cat([(true - pose)[..., :3], torch.stack([c * x + s * y, c * y - s * x], -1), (true - pose)[..., 5:]], -1)
