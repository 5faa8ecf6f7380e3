"""What the two networks are trained for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tracker.layout import POSE


def detector_loss(output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """output [B,h,w,6], target and weight as in scenes.Scene.

    Heat: the penalty-reduced focal loss of CornerNet (eq. 1, alpha 2, beta 4); geometry: L1 where a face's middle is.
    """
    score, heat = output[..., 0].float(), target[..., 0]
    p = torch.sigmoid(score)
    positive = heat > 0.999
    log_p, log_not = F.logsigmoid(score), F.logsigmoid(-score)
    focal = torch.where(positive, -((1 - p) ** 2) * log_p, -((1 - heat) ** 4) * p**2 * log_not) * weight[..., 0]
    faces = positive.sum().clamp(min=1)
    where = weight[..., 1]
    error = (output[..., 1:].float() - target[..., 1:]).abs() * where[..., None]
    total = where.sum().clamp(min=1)
    return {
        "heat": focal.sum() / faces,
        "offset": error[..., 0:2].sum() / total * 0.3,
        "size": error[..., 2].sum() / total,
        "roll": error[..., 3:5].sum() / total,
    }


def landmark_weights(device: torch.device) -> Tensor:
    """[68], mean 1: eyes and mouth matter more than the jaw, whose points slide along it."""
    weights = torch.ones(68, device=device)
    weights[:17] = 0.6
    weights[36:] = 1.4
    return weights / weights.mean()


POSE_WEIGHTS = torch.tensor([4.0, 4.0, 4.0, 2.0, 2.0, 2.0])  # radians, crop units, logarithm


def landmarker_loss(outputs: tuple[Tensor, Tensor, Tensor, Tensor], landmarks: Tensor, motion: Tensor, face: Tensor) -> dict[str, Tensor]:
    """landmarks [B,68,2], motion [B,58], face [B] 0 or 1; only the face logit learns from samples without a face."""
    points, log_spread, pose, logit = outputs
    share = face / face.sum().clamp(min=1)
    distance = (points - landmarks).square().sum(-1).add(1e-8).sqrt()  # Bx68, crop units
    log_spread = log_spread.clamp(-7, 1)
    spread = distance.detach() * torch.exp(-log_spread) + log_spread
    error = F.smooth_l1_loss(pose, motion[:, :POSE], beta=0.03, reduction="none") * POSE_WEIGHTS
    return {
        "landmarks": ((distance * landmark_weights(points.device)).mean(1) * share).sum() * 12,
        "spread": (spread.mean(1) * share).sum() * 0.05,
        "pose": (error.sum(1) * share).sum() * 0.1,
        "face": F.binary_cross_entropy_with_logits(logit, face) * 0.3,
    }


def expression_loss(coefficients: Tensor, motion: Tensor) -> dict[str, Tensor]:
    """coefficients [B,52], motion [B,58]. Squared error: most coefficients are near 0 most of the time, and a robust loss
    aims at their medians, so that smiles came out as a tenth of what they were."""
    return {"expression": (coefficients - motion[:, POSE:]).square().mean()}
