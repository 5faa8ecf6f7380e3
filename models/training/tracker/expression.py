"""The expression network: an upright 128x128 crop and its landmarks -> ARKit's 52 coefficients.

It looks closely at both eyes and the mouth, once at the whole, and knows the landmarks' shape. Beside the landmark network,
with which it shares nothing, because it wants finer pixels and gentler training pictures: gaze and small lip shapes are
lost in blur and ink that landmarks are still found in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.blocks import Conv, Residual, size_of, standardise
from tracker.layout import LANDMARKS, MOTION, PARTS, POSE

RIGHT_EYE, LEFT_EYE, MOUTH = PARTS["right eye"], PARTS["left eye"], PARTS["mouth"]


class Look(nn.Module):
    """A window of the crop: (picture [B,3,128,128], middle [B,2], half its width [B,1], 1 or -1 for a mirrored look) -> [B,FOUND]."""

    FOUND = 96

    def __init__(self, width: int, height: int, channels: int):
        super().__init__()
        x, y = (torch.arange(n, dtype=torch.float32) * (2 / n) + 1 / n - 1 for n in (width, height))
        grid = torch.stack([x[None].expand(height, -1), y[:, None].expand(-1, width) * (height / width)], -1)
        self.register_buffer("grid", grid, persistent=False)  # height x width x 2
        c = channels
        self.body = nn.Sequential(
            Conv(3, c, 3), Conv(c, c, 3, 2), Residual(c), Conv(c, 2 * c, 3, 2), Residual(2 * c), Conv(2 * c, 2 * c, 3, 2), nn.Flatten(),
            nn.Linear(2 * c * (width // 8) * (height // 8), self.FOUND), nn.ReLU(inplace=True),
        )

    def forward(self, picture: Tensor, middle: Tensor, reach: Tensor, side: float) -> Tensor:
        places = self.grid * (reach[:, :, None, None] * self.grid.new_tensor([side, 1.0])) + middle[:, None, None]
        return self.body(F.grid_sample(picture, places, padding_mode="border", align_corners=False))


class Expression(nn.Module):
    """(uint8 or float [B,128,128,3] in 0..255, landmarks [B,68,2] in -1..1) -> coefficients [B,52], mostly in 0..1."""

    def __init__(self, *, width: int = 24):
        super().__init__()
        self.eye, self.mouth, self.whole = Look(32, 32, width), Look(48, 40, width), Look(48, 48, width)
        self.all = nn.Sequential(
            nn.Linear(4 * Look.FOUND + 2 * LANDMARKS, 10 * width), nn.ReLU(inplace=True), nn.Dropout(0.1),
            nn.Linear(10 * width, 10 * width), nn.ReLU(inplace=True), nn.Linear(10 * width, MOTION - POSE),
        )

    def forward(self, image: Tensor, landmarks: Tensor) -> Tensor:
        picture = standardise(image)
        right, left, mouth = (landmarks[:, part].mean(1) for part in (RIGHT_EYE, LEFT_EYE, MOUTH))
        across = (left - right).square().sum(-1, keepdim=True).sqrt() + 0.02  # Bx1
        above = torch.cat([torch.zeros_like(across), 0.15 * across], 1)  # towards the brows
        centred = landmarks - landmarks.mean(1, keepdim=True)
        # The right eye is looked at as it is, the left one in the mirror.
        found = [
            self.eye(picture, right - above, across * 0.55, 1.0),
            self.eye(picture, left - above, across * 0.55, -1.0),
            self.mouth(picture, mouth, across * 0.8, 1.0),
            self.whole(picture, torch.zeros_like(mouth), torch.ones_like(across), 1.0),
            (centred / size_of(centred)).flatten(1),
        ]
        return self.all(torch.cat(found, 1)).float()


def unsure(landmarks: Tensor) -> Tensor:
    """True landmarks [B,68,2] as the landmark network would tell them: shifted, turned, scaled, each part and point a little off."""
    count, noise = len(landmarks), torch.randn
    angle, scale = noise(count) * 0.02, torch.exp(noise(count) * 0.015)
    c, s = torch.cos(angle) * scale, torch.sin(angle) * scale
    middle = landmarks.mean(1, keepdim=True)
    turned = (landmarks - middle) @ torch.stack([torch.stack([c, s], 1), torch.stack([-s, c], 1)], 1) + middle
    parts = torch.zeros_like(landmarks)
    for part in PARTS.values():
        parts[:, part] = noise(count, 1, 2) * 0.012
    return turned + parts + noise(count, 1, 2) * 0.012 + noise(landmarks.shape) * 0.008
