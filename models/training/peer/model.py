"""face-vid2vid as one module: encode a portrait once, render it with another frame's motion."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from peer.geometry import pose_keypoints, rotation
from peer.networks import AppearanceExtractor, DenseMotion, Generator, HeadMotion, KeypointDetector, MotionEstimator, Shape


@dataclass
class Portrait:
    """What the networks find in the source once."""

    volume: Tensor  # B,C,D,H,W
    canonical: Tensor  # B,K,3
    motion: HeadMotion


@dataclass
class Rendered:
    """A picture [B,3,S,S] in 0..1 and what led to it."""

    picture: Tensor
    occlusion: Tensor  # B,1,H,W
    keypoints: Tensor  # of the driver, B,K,3


class FaceVid2Vid(nn.Module):
    """All five networks; pictures are float [B,3,S,S] in 0..1."""

    def __init__(self, shape: Shape | None = None):
        super().__init__()
        self.shape = shape or Shape()
        self.appearance = AppearanceExtractor(self.shape)
        self.detector = KeypointDetector(self.shape)
        self.estimator = MotionEstimator(self.shape)
        self.dense = DenseMotion(self.shape)
        self.generator = Generator(self.shape)

    def encode(self, source: Tensor) -> Portrait:
        return Portrait(self.appearance(source), self.detector(source), self.estimator(source))

    def render(self, portrait: Portrait, driving: HeadMotion) -> Rendered:
        """Eq. 1 for both frames, the composed flow, the warped volume, the picture."""
        turn_s, turn_d = rotation(portrait.motion.angles), rotation(driving.angles)
        source = pose_keypoints(portrait.canonical, turn_s, portrait.motion.shift, portrait.motion.deformation)
        keypoints = pose_keypoints(portrait.canonical, turn_d, driving.shift, driving.deformation)
        flow, occlusion = self.dense(portrait.volume, source, keypoints, turn_s, turn_d)
        warped = F.grid_sample(portrait.volume, flow, align_corners=False)
        return Rendered(self.generator(warped, occlusion), occlusion, keypoints)

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Picture of the source's person in the driving picture's motion."""
        return self.render(self.encode(source), self.estimator(driving)).picture
