"""The five networks of face-vid2vid (paper, appendix A.1), at a configurable width."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peer.blocks import Bottleneck2d, Down2d, Hourglass3d, Residual2d, Residual3d, Same2d, Up2d, Up3d, widen
from peer.geometry import KeypointMotion, heat_change, picture_to_volume, volume_grid, volume_to_picture

BINS, BIN_DEGREES = 66, 3.0  # of the head angles, as in Hopenet


def exactly(like: Tensor) -> AbstractContextManager:
    """Places and angles in float32: bfloat16 tells a pixel from its neighbour hardly or not at all."""
    kind = like.device.type
    return nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)  # nothing is computed on "meta"


@dataclass(frozen=True)
class Shape:
    """Sizes of one model; the paper's by default. `width` scales every channel count, `size` is the picture's side."""

    size: int = 256
    width: float = 1.0
    keypoints: int = 20
    depth: int = 16  # of the feature volume
    levels: int = 5  # of both hourglasses
    blocks: int = 6  # residual blocks of F and of G
    estimator: tuple[int, int, int, int] = (3, 4, 6, 3)  # bottlenecks of H
    kernel: int = 7  # of the convolutions that give heat maps, mask and occlusion

    @staticmethod
    def scaled(*, size: int, width: float) -> Shape:
        """The paper's at another size and width: hourglasses end at the same number of voxels, and kernels see as much of the picture."""
        return Shape(size=size, width=width, levels=min(5, (size // 4).bit_length() - 2), kernel=7 if size >= 256 else 3)

    @property
    def volume(self) -> int:
        """Channels of the feature volume."""
        return widen(32, self.width)

    def hourglass(self) -> list[int]:
        return [widen(min(1024, 64 * 2**i), self.width) for i in range(self.levels)]


class AppearanceExtractor(nn.Module):
    """F: picture [B,3,S,S] -> feature volume [B,C,S/4,S/4,D]."""

    def __init__(self, shape: Shape):
        super().__init__()
        a, b, c = (widen(n, shape.width) for n in (64, 128, 256))
        self.shape = shape
        self.flat = nn.Sequential(Same2d(3, a, kernel=7), Down2d(a, b), Down2d(b, c), nn.Conv2d(c, shape.volume * shape.depth, 1))
        self.deep = nn.Sequential(*(Residual3d(shape.volume) for _ in range(shape.blocks)))

    def forward(self, picture: Tensor) -> Tensor:
        return self.deep(picture_to_volume(self.flat(picture), self.shape.depth))


class KeypointDetector(nn.Module):
    """L: picture -> canonical keypoints [B,K,3], the means of K volumetric heat maps. Sees the picture at a quarter of its side."""

    def __init__(self, shape: Shape):
        super().__init__()
        down = shape.hourglass()
        self.shape = shape
        self.flat = nn.Sequential(*(Down2d(i, o) for i, o in zip([3, *down], down)), nn.Conv2d(down[-1], down[-1] * shape.depth, 1))
        up = [*down[-2::-1], widen(32, shape.width)]
        self.deep = nn.Sequential(*(Up3d(i, o) for i, o in zip([down[-1], *up], up)))
        self.heat = nn.Conv3d(up[-1], shape.keypoints, shape.kernel, 1, shape.kernel // 2)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.heat(self.deep(picture_to_volume(self.flat(F.avg_pool2d(picture, 4)), self.shape.depth)))
        with exactly(x):
            heat = (x.flatten(2).float() / 0.1).softmax(2)  # temperature as in first-order motion
            return heat @ volume_grid(*x.shape[2:], like=heat).reshape(-1, 3)


def bin_degrees(like: Tensor) -> Tensor:
    """The middles of the bins, [66]."""
    return (torch.arange(BINS, device=like.device, dtype=like.dtype) + 0.5 - BINS / 2) * BIN_DEGREES


@dataclass
class HeadMotion:
    """What H finds: angles [B,3] (pitch, yaw, roll, radians), shift [B,3], deformation [B,K,3], and logits [B,3,66] of the angles' bins."""

    angles: Tensor
    shift: Tensor
    deformation: Tensor
    bins: Tensor

    def split(self, *sizes: int) -> list[HeadMotion]:
        """Parts of a batch."""
        return [HeadMotion(*parts) for parts in zip(*(v.split(sizes) for v in vars(self).values()))]


class MotionEstimator(nn.Module):
    """H: picture -> HeadMotion. Angles are the mean of 66 bins of 3 degrees."""

    def __init__(self, shape: Shape):
        super().__init__()
        stages = [widen(n, shape.width) for n in (256, 512, 1024, 2048)]
        first = widen(64, shape.width)
        layers: list[nn.Module] = [nn.Conv2d(3, first, 7, 2, 3), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        carried = first
        for index, (channels, count) in enumerate(zip(stages, shape.estimator)):
            for block in range(count):
                layers.append(Bottleneck2d(carried, channels, stride=2 if block == 0 and index else 1))
                carried = channels
        self.body = nn.Sequential(*layers)
        self.angles = nn.Linear(carried, 3 * BINS)
        self.shift = nn.Linear(carried, 3)
        self.deformation = nn.Linear(carried, 3 * shape.keypoints)
        for start_still in (self.shift, self.deformation):
            nn.init.normal_(start_still.weight, std=0.001)
            nn.init.zeros_(start_still.bias)

    def forward(self, picture: Tensor) -> HeadMotion:
        x = self.body(picture).mean((2, 3))
        with exactly(x):
            x = x.float()
            bins = self.angles(x).reshape(-1, 3, BINS)
            angles = torch.deg2rad(bins.softmax(2) @ bin_degrees(x))
            return HeadMotion(angles, self.shift(x), self.deformation(x).reshape(x.shape[0], -1, 3), bins)


class DenseMotion(nn.Module):
    """M: volume and keypoints -> places [B,H*W*D,3] where the driving volume reads the source's, and occlusion map [B,1,H,W]."""

    def __init__(self, shape: Shape):
        super().__init__()
        small = max(1, round(4 * shape.width))
        count, pad = shape.keypoints + 1, shape.kernel // 2
        self.compress = nn.Sequential(nn.Conv3d(shape.volume, small, 1), nn.BatchNorm3d(small), nn.ReLU())
        # the background's heat map would be zero everywhere, so it is left out
        self.body = Hourglass3d(count * small + shape.keypoints, shape.hourglass())
        self.mask = nn.Conv3d(self.body.outputs, count, shape.kernel, 1, pad)
        self.occlusion = nn.Conv2d(self.body.outputs * shape.depth, 1, shape.kernel, 1, pad)

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor, turn_source: Tensor, turn_driving: Tensor) -> tuple[Tensor, Tensor]:
        x = self.compress(volume)
        with exactly(x):
            motion = KeypointMotion(x.shape[2:], source, driving, turn_source, turn_driving)
            seen = torch.cat([heat_change(x.shape[2:], source, driving), motion.warp(x)], 1)
            seen = seen.to(x.dtype).unflatten(2, x.shape[2:]).contiguous(memory_format=torch.channels_last_3d)
        features = self.body(seen)
        mask = self.mask(features)
        with exactly(x):
            places = motion.compose(mask.permute(0, 2, 3, 4, 1).float().softmax(-1))
        return places, self.occlusion(volume_to_picture(features)).sigmoid()


class Generator(nn.Module):
    """G: warped volume [B,C,S/4,S/4,D] and occlusion -> picture [B,3,S,S] in 0..1."""

    def __init__(self, shape: Shape):
        super().__init__()
        a, b, c = (widen(n, shape.width) for n in (256, 128, 64))
        self.lift = nn.Sequential(Same2d(shape.volume * shape.depth, a), nn.Conv2d(a, a, 1))
        self.body = nn.Sequential(*(Residual2d(a) for _ in range(shape.blocks)), Up2d(a, b), Up2d(b, c))
        self.colour = nn.Conv2d(c, 3, 7, 1, 3)

    def forward(self, volume: Tensor, occlusion: Tensor) -> Tensor:
        return self.colour(self.body(self.lift(volume_to_picture(volume)) * occlusion)).sigmoid()
