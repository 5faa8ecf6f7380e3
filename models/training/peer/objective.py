"""One training step's losses, kept apart from the loop so that tests can call them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from peer import losses
from peer.data import Pair
from peer.discriminator import Discriminator
from peer.geometry import pose_keypoints, rotation
from peer.model import FaceVid2Vid
from peer.networks import exactly


def generator_losses(
    model: FaceVid2Vid, pair: Pair, transform: losses.Affine, *,
    told: float = 0.0, discriminator: Discriminator | None = None, distance: losses.Distance | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Weighted losses by name, and the picture made.

    `told` (0..1) is the share of pairs that are rendered with the true head angles: what keypoints, mask and generator are to
    do with a turn can be learned before the estimator knows the turn (the paper has its angles from a network trained before).
    """
    w = losses.Weights()
    drivers = len(pair.driving) // len(pair.source)
    # one pass of the estimator for all three; the transformed driver keeps the source's canonical keypoints
    seen = torch.cat([pair.source, pair.driving, transform.picture(pair.driving)])
    own, driving, moved = model.estimator(seen).split(len(pair.source), len(pair.driving), len(pair.driving))
    portrait = model.portrait(pair.source, own).repeat(drivers)
    first = round(told * len(pair.driving))
    true_source = pair.source_angles.repeat_interleave(drivers, 0)
    source_motion = replace(portrait.motion, angles=torch.cat([true_source[:first], portrait.motion.angles[first:]]))
    driving_motion = replace(driving, angles=torch.cat([pair.driving_angles[:first], driving.angles[first:]]))
    made = model.render(replace(portrait, motion=source_motion), driving_motion)
    with exactly(made.picture):
        moved_points = pose_keypoints(portrait.canonical, rotation(moved.angles), moved.shift, moved.deformation)
    out = {
        "perceptual": w.perceptual * losses.perceptual(made.picture, pair.driving, distance),
        "equivariance": w.equivariance * losses.equivariance(made.keypoints, moved_points, transform),
        "prior": w.prior * losses.keypoint_prior(made.keypoints),
        "head": w.head * (
            losses.head_pose(driving, pair.driving_angles) + losses.head_pose(own, pair.source_angles)
        ),
        "deformation": w.deformation * losses.deformation_prior(driving.deformation),
    }
    if discriminator is not None:
        fake_features, fake = discriminator(made.picture)
        with torch.no_grad():
            real_features, _ = discriminator(pair.driving)
        out["adversarial"] = w.adversarial * losses.hinge_generator(fake)
        out["matching"] = w.matching * losses.feature_matching(real_features, fake_features)
    return out, made.picture


def discriminator_loss(discriminator: Discriminator, made: Tensor, true: Tensor) -> Tensor:
    return losses.hinge_discriminator(discriminator(true)[1], discriminator(made.detach())[1])
