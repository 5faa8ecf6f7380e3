"""The landmark network: an upright 128x128 crop -> 68 landmarks, how sure they are, head pose, and whether this is a face."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.blocks import Conv, Residual, size_of, standardise
from tracker.layout import LANDMARKS, POSE


class Landmarker(nn.Module):
    """uint8 or float [B,128,128,3] in 0..255 -> (landmarks [B,68,2] in -1..1, log spread [B,68], pose [B,6], face logit [B]).

    Landmarks are expectations over a 32x32 grid (integral regression, Sun et al. 2018, eq. 2) with a learned small offset;
    spread is the scale b of a Laplace distribution around them. The pose sees the landmarks as well as the features, because
    lines and points carry over to photographs and drawings better than shades.
    """

    def __init__(self, *, width: int = 16):
        super().__init__()
        w = width
        self.stem = nn.Sequential(Conv(3, w, 3, 2), Conv(w, 2 * w, 3, 2))  # 32x32
        self.quarter = Residual(2 * w)
        self.eighth = nn.Sequential(Conv(2 * w, 4 * w, 3, 2), Residual(4 * w))  # 16x16
        self.sixteenth = nn.Sequential(Conv(4 * w, 8 * w, 3, 2), Residual(8 * w), Residual(8 * w))  # 8x8
        self.up8, self.mix8 = Conv(8 * w, 4 * w, 1), Conv(4 * w, 4 * w, 3)
        self.up4, self.mix4 = Conv(4 * w, 2 * w, 1), Conv(2 * w, 4 * w, 3)
        self.maps = nn.Conv2d(4 * w, LANDMARKS, 1)
        self.squeeze = nn.Sequential(Conv(8 * w, 8 * w, 3, 2), nn.Flatten(), nn.Linear(16 * 8 * w, 16 * w), nn.ReLU(inplace=True))
        self.joint = nn.Sequential(nn.Linear(16 * w + 2 * LANDMARKS, 16 * w), nn.ReLU(inplace=True))
        self.pose = nn.Linear(16 * w, POSE)
        self.judge = nn.Linear(16 * w, LANDMARKS + 1)
        axis = (torch.arange(32, dtype=torch.float32) + 0.5) / 16 - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        # A little beyond the crop, so that points at its edge are within reach.
        self.register_buffer("grid", torch.stack([x.reshape(-1), y.reshape(-1)], 1) * 1.15, persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x4 = self.quarter(self.stem(standardise(image)))
        x8 = self.eighth(x4)
        x16 = self.sixteenth(x8)
        x8 = self.mix8(x8 + F.interpolate(self.up8(x16), scale_factor=2.0, mode="nearest"))
        x4 = self.mix4(x4 + F.interpolate(self.up4(x8), scale_factor=2.0, mode="nearest"))
        landmarks = torch.softmax(self.maps(x4).flatten(2).float(), -1) @ self.grid  # Bx68x2
        mean = landmarks.mean(1, keepdim=True)
        centred = landmarks - mean
        size = size_of(centred)
        # Seen from the face itself: where the crop happened to lie says nothing about the head's turn.
        joint = self.joint(torch.cat([self.squeeze(x16), (centred / size).flatten(1).to(x16.dtype)], 1))
        size, mean = size[:, :, 0], mean[:, 0]  # Bx1, Bx2
        judged, pose = self.judge(joint).float(), self.pose(joint).float()
        # The head's origin and scale are told in the face's own units and brought back to the crop's.
        pose = torch.cat([pose[:, :3], pose[:, 3:5] * size + mean, pose[:, 5:6] + torch.log(size)], 1)
        return landmarks, judged[:, :LANDMARKS], pose, judged[:, LANDMARKS]
