"""Layers that the networks of face-vid2vid share; names as in the paper's appendix. Volumes are [B,C,H,W,D]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peer.geometry import picture_to_volume, volume_to_picture


def widen(channels: int, width: float) -> int:
    """A channel count of the paper at another width, in multiples of 4."""
    return max(4, int(round(channels * width / 4)) * 4)


class Same2d(nn.Sequential):
    """Convolution, BatchNorm, ReLU at the same size."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3):
        super().__init__(nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU())


class Down2d(nn.Sequential):
    """Convolution, BatchNorm, ReLU, then half the size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.AvgPool2d(2))


class Up2d(nn.Module):
    """Twice the size (nearest), then convolution, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.body = Same2d(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(F.interpolate(x, scale_factor=2.0))


class Residual2d(nn.Module):
    """Pre-activation residual block."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, 1, 1),
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Residual3d(nn.Module):
    """Pre-activation residual block on volumes."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm3d(channels), nn.ReLU(), nn.Conv3d(channels, channels, 3, 1, 1),
            nn.BatchNorm3d(channels), nn.ReLU(), nn.Conv3d(channels, channels, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Down3d(nn.Module):
    """Convolution, BatchNorm, ReLU, then half the height and width; the depth stays."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(inputs, outputs, 3, 1, 1), nn.BatchNorm3d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return picture_to_volume(F.avg_pool2d(volume_to_picture(x), 2), x.shape[-1])


class Up3d(nn.Module):
    """Twice the height and width (nearest), then convolution, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(inputs, outputs, 3, 1, 1), nn.BatchNorm3d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(picture_to_volume(F.interpolate(volume_to_picture(x), scale_factor=2.0), x.shape[-1]))


class Bottleneck2d(nn.Module):
    """ResNet-50's bottleneck (1x1, 3x3, 1x1), for the pose and expression estimator."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1):
        super().__init__()
        inner = max(4, outputs // 4)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inner, 1), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, outputs, 1), nn.BatchNorm2d(outputs),
        )
        plain = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if plain else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class Hourglass3d(nn.Module):
    """U-Net over height and width of a volume; the output joins the input's channels to the last level's (paper, Fig. 12d)."""

    def __init__(self, inputs: int, levels: list[int]):
        super().__init__()
        wide = [inputs, *levels]
        self.down = nn.ModuleList(Down3d(a, b) for a, b in zip(wide, wide[1:]))
        self.up = nn.ModuleList()
        carried = levels[-1]
        for below in reversed([max(4, levels[0] // 2), *levels[:-1]]):
            self.up.append(Up3d(carried, below))
            carried = below * 2 if len(self.up) < len(levels) else below
        self.outputs = carried + inputs

    def forward(self, x: Tensor) -> Tensor:
        kept = [x]
        for down in self.down:
            kept.append(down(kept[-1]))
        x = kept.pop()
        for up in self.up:
            x = torch.cat([up(x), kept.pop()], 1)
        return x
