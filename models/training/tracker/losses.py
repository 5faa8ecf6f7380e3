"""What the two networks are trained for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from warp.facekit import INDEX


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


def motion_weights(device: torch.device) -> Tensor:
    """[58]: angles in radians and coefficients on one scale; blinks and the jaw matter most."""
    weights = torch.ones(58, device=device)
    weights[:6] = torch.tensor([4.0, 4.0, 4.0, 2.0, 2.0, 2.0], device=device)
    weights[6:] = 0.5
    for name in ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthSmileLeft", "mouthSmileRight"):
        weights[6 + INDEX[name]] = 1.5
    return weights


def landmarker_loss(outputs: tuple[Tensor, Tensor, Tensor, Tensor], landmarks: Tensor, motion: Tensor, face: Tensor) -> dict[str, Tensor]:
    """landmarks [B,68,2], motion [B,58], face [B] 0 or 1; only the face logit learns from samples without a face."""
    points, log_spread, predicted, logit = outputs
    share = face / face.sum().clamp(min=1)
    distance = (points - landmarks).square().sum(-1).add(1e-8).sqrt()  # Bx68, crop units
    log_spread = log_spread.clamp(-7, 1)
    spread = distance.detach() * torch.exp(-log_spread) + log_spread
    error = F.smooth_l1_loss(predicted, motion, beta=0.03, reduction="none") * motion_weights(points.device)
    return {
        "landmarks": ((distance * landmark_weights(points.device)).mean(1) * share).sum() * 12,
        "spread": (spread.mean(1) * share).sum() * 0.05,
        "motion": (error.mean(1) * share).sum() * 6,
        "face": F.binary_cross_entropy_with_logits(logit, face) * 0.3,
    }
