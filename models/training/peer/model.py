"""face-vid2vid as one module: encode a portrait once, render it with another frame's motion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from peer.geometry import pose_keypoints, rotation
from peer.networks import AppearanceExtractor, DenseMotion, Generator, HeadMotion, KeypointDetector, MotionEstimator, Shape, exactly
from peer.sampling import sample


@dataclass
class Portrait:
    """What the networks find in the source once."""

    volume: Tensor  # B,C,H,W,D
    canonical: Tensor  # B,K,3
    motion: HeadMotion

    def repeat(self, times: int) -> Portrait:
        """Every portrait `times` in a row, for as many drivers."""
        if times == 1:
            return self
        many = [v.repeat_interleave(times, 0) for v in (self.canonical, *vars(self.motion).values())]
        return Portrait(self.volume.repeat_interleave(times, 0), many[0], HeadMotion(*many[1:]))


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
        for weights in self.parameters():
            layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(weights.dim())
            if layout is not None:
                weights.data = weights.data.contiguous(memory_format=layout)

    def encode(self, source: Tensor) -> Portrait:
        return self.portrait(source, self.estimator(source))

    def portrait(self, source: Tensor, motion: HeadMotion) -> Portrait:
        """`encode` where the source's motion is known already."""
        return Portrait(self.appearance(source), self.detector(source), motion)

    def render(self, portrait: Portrait, driving: HeadMotion) -> Rendered:
        """Eq. 1 for both frames, the composed flow, the warped volume, the picture."""
        volume = portrait.volume
        with exactly(volume):
            turn_s, turn_d = rotation(portrait.motion.angles), rotation(driving.angles)
            source = pose_keypoints(portrait.canonical, turn_s, portrait.motion.shift, portrait.motion.deformation)
            keypoints = pose_keypoints(portrait.canonical, turn_d, driving.shift, driving.deformation)
        places, occlusion = self.dense(volume, source, keypoints, turn_s, turn_d)
        with exactly(volume):
            read = sample(volume, places, places.new_zeros(len(places), 1, 3))[:, 0]  # B,C,H*W*D
            warped = read.transpose(1, 2).contiguous().to(volume.dtype).unflatten(1, volume.shape[2:]).permute(0, 4, 1, 2, 3)
        return Rendered(self.generator(warped, occlusion), occlusion, keypoints)

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Picture of the source's person in the driving picture's motion."""
        return self.render(self.encode(source), self.estimator(driving)).picture
