"""Training losses of face-vid2vid (Sec. 3.3 and appendix A.2), with what replaces networks that cannot be fetched.

The paper's perceptual loss reads VGG-19 features; no public weights are at hand here, so it is an L1 of pictures and of
their gradients at four scales, and the distance that the portrait renderer is trained with (portrait.observer). Head angles
come from the data set instead of a pose network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from peer.networks import BIN_DEGREES, HeadMotion, bin_degrees

Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Weights:
    """The paper's weights."""

    perceptual: float = 10.0
    adversarial: float = 1.0
    matching: float = 10.0
    equivariance: float = 20.0
    prior: float = 10.0
    head: float = 20.0
    deformation: float = 5.0


def perceptual(made: Tensor, true: Tensor, distance: Distance | None = None, scales: int = 4) -> Tensor:
    """L1 of colours and of their gradients over a pyramid, and, where there is one, a network's distance at full size."""
    total = distance(made, true).float() if distance else made.new_zeros(())
    for level in range(scales):
        total = total + F.l1_loss(made, true) + gradient_difference(made, true)
        if level < scales - 1:
            made, true = F.avg_pool2d(made, 2), F.avg_pool2d(true, 2)
    return total


def gradient_difference(a: Tensor, b: Tensor) -> Tensor:
    """L1 between the horizontal and vertical differences of neighbouring pixels."""
    d = a - b
    return d.diff(dim=2).abs().mean() + d.diff(dim=3).abs().mean()


def keypoint_prior(keypoints: Tensor, distance: float = 0.1, depth: float = 0.33) -> Tensor:
    """Keypoints [B,K,3] keep a squared distance of 0.1 from each other and a mean depth of 0.33 (appendix A.2)."""
    apart = (keypoints[:, :, None] - keypoints[:, None]).square().sum(-1)
    off = ~torch.eye(keypoints.shape[1], dtype=torch.bool, device=keypoints.device)
    crowding = (distance - apart).clamp(min=0)[:, off].sum(1).mean()
    return crowding + (keypoints[..., 2].mean(1) - depth).abs().mean()


def head_pose(motion: HeadMotion, true: Tensor, classes: float = 0.1) -> Tensor:
    """L1 of pitch, yaw and roll in radians, summed over the three, and the cross entropy of their bins.

    The latter is Hopenet's, whose angles the paper takes for true: with L1 alone the mean over 66 bins hardly moves at first.
    A true angle belongs to the two bins that it lies between.
    """
    away = (torch.rad2deg(true)[..., None] - bin_degrees(true)).abs() / BIN_DEGREES
    crossed = -((1 - away).clamp(min=0) * motion.bins.log_softmax(2)).sum((1, 2))
    return ((motion.angles - true).abs().sum(1) + classes * crossed).mean()


def deformation_prior(deformation: Tensor) -> Tensor:
    """The L1 norm of the expression deformations [B,K,3]."""
    return deformation.abs().sum(-1).mean()


@dataclass(frozen=True)
class Affine:
    """Known picture transforms: point p of the transformed picture shows point A p + b of the original one."""

    matrix: Tensor  # B,2,2
    shift: Tensor  # B,2

    @staticmethod
    def random(batch: int, generator: torch.Generator, amount: float = 0.05) -> Affine:
        noise = torch.randn(batch, 2, 3, generator=generator) * amount
        return Affine(noise[:, :, :2] + torch.eye(2), noise[:, :, 2])

    def picture(self, picture: Tensor) -> Tensor:
        theta = torch.cat([self.matrix, self.shift[:, :, None]], 2).to(picture)
        grid = F.affine_grid(theta, list(picture.shape), align_corners=False)
        return F.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)

    def back(self, points: Tensor) -> Tensor:
        """Points [B,K,2] of the transformed picture -> where they are in the original."""
        return torch.einsum("bij,bkj->bki", self.matrix.to(points), points) + self.shift.to(points)[:, None]


def equivariance(keypoints: Tensor, of_transformed: Tensor, transform: Affine) -> Tensor:
    """|x_d - T^-1(x_d')|, with depth dropped: the projection is orthographic."""
    return (keypoints[..., :2] - transform.back(of_transformed[..., :2])).abs().mean()


def hinge_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    return sum(F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake))


def hinge_generator(fake: list[Tensor]) -> Tensor:
    return -sum(f.mean() for f in fake)


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    return sum(F.l1_loss(f, r.detach()) for r, f in zip(real, fake)) / len(real)
