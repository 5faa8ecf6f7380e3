"""The detector: a fully convolutional network over a letterboxed picture, one face candidate per 8x8 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.blocks import Conv, Residual, standardise
from tracker.layout import CELL


class Detector(nn.Module):
    """uint8 or float [B,H,W,3] in 0..255, H and W multiples of 32 -> [B,H/8,W/8,6]: see scenes.Scene.target; the score is a logit."""

    def __init__(self, *, width: int = 16):
        super().__init__()
        w = width
        self.stem = nn.Sequential(Conv(3, w, 3, 2), Conv(w, 2 * w, 3, 2))  # /4
        self.eighth = nn.Sequential(Conv(2 * w, 3 * w, 3, 2), Residual(3 * w))
        self.sixteenth = nn.Sequential(Conv(3 * w, 6 * w, 3, 2), Residual(6 * w))
        self.thirtysecond = nn.Sequential(Conv(6 * w, 8 * w, 3, 2), Residual(8 * w), Residual(8 * w))
        self.up16, self.mix16 = Conv(8 * w, 6 * w, 1), Conv(6 * w, 6 * w, 3)
        self.up8, self.mix8 = Conv(6 * w, 3 * w, 1), Conv(3 * w, 4 * w, 3)
        self.head = nn.Conv2d(4 * w, CELL, 1)
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias[0] = -4.0  # faces are rare (focal loss, eq. 5 of RetinaNet)
            self.head.bias[3] = -1.2

    def forward(self, image: Tensor) -> Tensor:
        x = standardise(image)
        x8 = self.eighth(self.stem(x))
        x16 = self.sixteenth(x8)
        x32 = self.thirtysecond(x16)
        x16 = self.mix16(x16 + F.interpolate(self.up16(x32), scale_factor=2.0, mode="nearest"))
        x8 = self.mix8(x8 + F.interpolate(self.up8(x16), scale_factor=2.0, mode="nearest"))
        return self.head(x8).permute(0, 2, 3, 1)  # BxH/8xW/8x6
