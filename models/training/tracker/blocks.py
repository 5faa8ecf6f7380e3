"""What both networks are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def standardise(image: Tensor) -> Tensor:
    """[B,H,W,3] in 0..255 -> [B,3,H,W] with mean 0 and deviation 1 over the whole picture, so that exposure hardly matters."""
    x = image.float().permute(0, 3, 1, 2) / 255
    mean = x.mean((1, 2, 3), keepdim=True)
    centred = x - mean
    deviation = (centred * centred).mean((1, 2, 3), keepdim=True).sqrt()
    return centred / (deviation + 0.02)


def size_of(centred: Tensor) -> Tensor:
    """[B,1,1], root mean square of landmarks [B,68,2] around their middle."""
    return (centred * centred).mean((1, 2), keepdim=True).sqrt().clamp(min=0.05)


class Conv(nn.Sequential):
    """Convolution, batch normalisation, ReLU; the normalisation folds into the convolution on export."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1):
        super().__init__(nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """x + two 3x3 convolutions (ResNet's basic block)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = Conv(channels, channels, 3)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.second[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))
