"""Reads from the portrait, once per avatar, what the geometric encoder only guesses (PyTorch).

A U-Net over the portrait and the fitted mean face. It finds the matte, how far hair and
features stand before the mean face, the normals, the light, and the expression that the portrait shows.

Images are 0..1. Head frame and view have Facewire's axes (x right, y down, z into the picture), lengths are cm.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.blocks import SLOPE, conv, enlarge
from portrait.layout import HARMONICS, PLACED
from portrait.lifter import POSE_UNITS
from warp.facekit import EXPRESSIONS

WIDTHS = (16, 64, 96, 128, 128)  # at 128, 64, 32, 16 and 8 cells
MIDDLE = 4  # of the 8x8 coarsest cells, where the face is
RELIEF_UNIT = 3.0  # cm
WEIGHTS = Path(__file__).with_name("reader.pt")


class Reading(NamedTuple):
    """matte [B,1,256,256]; relief [B,1,64,64], cm towards the viewer before the mean face; normal
    [B,3,64,64], unit vectors of the view; light [B,9,3], spherical harmonics of irradiance by the view's normal, mean 1
    in every channel; rest [B,52], coefficients; pose [B,6], what the fitted pose lacks: turn about the view's axes (rad),
    shift (cm), logarithm of the scale."""

    matte: Tensor
    relief: Tensor
    normal: Tensor
    light: Tensor
    rest: Tensor
    pose: Tensor


class Residual(nn.Module):
    """x + conv(act(conv(act(x))))"""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, SLOPE)), SLOPE))


class Reader(nn.Module):
    """portrait [B,3,256,256], the geometric alpha [B,1,256,256] and flooded backdrop [B,3,64,64], placed [B,PLACED,64,64]
    (the fitted face as it lies in the portrait, reading.py), residual [B,204] (landmarks' distances from it, cm) -> Reading."""

    def __init__(self, *, blocks: int = 2):
        super().__init__()
        w = WIDTHS
        self.stem = conv(16, w[0])
        self.placed = conv(PLACED + 3, w[1], 1)
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in zip(w, w[1:]))
        many = lambda width, count: nn.Sequential(*(Residual(width) for _ in range(count)))  # noqa: E731
        self.inward = nn.ModuleList(many(width, blocks) for width in w[1:])
        self.up = nn.ModuleList(conv(b, a, 1) for a, b in zip(w, w[1:]))
        self.outward = nn.ModuleList(many(width, 1) for width in w[1:-1])
        self.maps = conv(w[1], 4)
        self.fine, self.matte = conv(w[0] + 16, 32), conv(32, 4)
        self.code = nn.Sequential(nn.Linear((1 + MIDDLE * MIDDLE) * w[4] + 204, 192), nn.LeakyReLU(SLOPE), nn.Linear(192, 128), nn.LeakyReLU(SLOPE))
        self.to_light, self.to_rest, self.to_pose = (nn.Linear(128, n) for n in (3 * (HARMONICS - 1), len(EXPRESSIONS), len(POSE_UNITS)))
        for layer in (self.maps, self.matte, self.to_light, self.to_rest, self.to_pose):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, portrait: Tensor, alpha: Tensor, backdrop: Tensor, placed: Tensor, residual: Tensor) -> Reading:
        picture = F.pixel_unshuffle(torch.cat([portrait, alpha], 1) - 0.5, 2)
        x = self.stem(picture)
        kept = []
        for level, (down, inward) in enumerate(zip(self.down, self.inward)):
            kept.append(x)
            x = down(F.leaky_relu(x, SLOPE))
            if level == 0:
                x = x + self.placed(torch.cat([placed, backdrop - 0.5], 1))
            x = inward(x)
        x = F.leaky_relu(x, SLOPE)
        middle = x[:, :, 2 : 2 + MIDDLE, 2 : 2 + MIDDLE].flatten(1)
        code = self.code(torch.cat([x.mean((2, 3)), middle, residual], 1).float())
        maps = None
        for level in (3, 2, 1, 0):
            x = kept[level] + enlarge(self.up[level](x), 2)
            if level:
                x = self.outward[level - 1](x)
            if level == 1:
                maps = self.maps(F.leaky_relu(x, SLOPE)).float()
        fine = F.leaky_relu(self.fine(torch.cat([F.leaky_relu(x, SLOPE), picture], 1)), SLOPE)
        logit = F.pixel_shuffle(self.matte(fine), 2).float()

        guess = alpha.float().clamp(0.01, 0.99)
        matte = torch.sigmoid(torch.log(guess / (1 - guess)) + 4 * logit)
        relief, normal = maps.split([1, 3], 1)
        normal = normal + torch.tensor([0.0, 0.0, -0.5]).reshape(1, 3, 1, 1)
        normal = normal * torch.rsqrt((normal * normal).sum(1, keepdim=True) + 1e-4)
        light = self.to_light(code).float().reshape(-1, HARMONICS - 1, 3)
        light = torch.cat([torch.ones_like(light[:, :1]), light], 1)
        pose = self.to_pose(code).float() * torch.tensor(POSE_UNITS)
        return Reading((matte * 1.02 - 0.01).clamp(0, 1), RELIEF_UNIT * relief, normal, light, self.to_rest(code).float(), pose)


def load(path: Path = WEIGHTS) -> Reader:
    reader = Reader()
    reader.load_state_dict({k: v.float() for k, v in torch.load(path, map_location="cpu").items()})
    return reader.eval()
