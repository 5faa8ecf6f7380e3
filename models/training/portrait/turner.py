"""Turns the portrait to the side, once per avatar (PyTorch).

What a portrait hardly shows (cheek, ear, neck and the side of the hair) is worked out when the avatar is made, by a
network that no frame has to wait for: two pictures of the head at rest, turned by SIDE_YAW to either side. The renderer
fetches from them what comes into view when head or viewer turns. The left one is made in the mirror, so that the network
learns one side only.

A U-Net sees the portrait as geometry turns it and chooses for every pixel between that, the face's other half, a place of
the portrait that it points to (hair goes on as hair) and a colour of its own; it draws its own matte. Images are 0..1.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.blocks import SLOPE, conv, enlarge, pixel_grid, sample, softmax
from portrait.layout import G
from portrait.reader import Residual

WIDTHS = (64, 96, 128, 160)  # at 64, 32, 16 and 8 cells
COPY_REACH = 0.5  # how far from where geometry points the network may fetch, image units
LIGHT_REACH = 0.7
SOLID = 0.15  # least alpha that a colour is taken from
INPUTS = {
    "texture128": (4, 128, 128), "backdrop128": (3, 128, 128), "flow": (2, G, G), "mirror": (2, G, G), "light": (3, G, G),
    "normal": (3, G, G), "position": (3, G, G),
}
WEIGHTS = Path(__file__).with_name("turner.pt")


class Turned(NamedTuple):
    """picture [B,3,128,128]: colours, which count where alpha [B,1,128,128] does; weights [B,4,128,128] of warped, mirrored,
    copied and own colour; paint [B,3,128,128], the last; copied [B,2,64,64]: displacement into the portrait of what is copied, and
    bright [B,3,64,64], the logarithm of its light."""

    picture: Tensor
    alpha: Tensor
    weights: Tensor
    paint: Tensor
    copied: Tensor
    bright: Tensor


class Turner(nn.Module):
    """texture128 [B,4,128,128] premultiplied and backdrop128 [B,3,128,128] of the portrait; of the turned view flow and
    mirror [B,2,64,64] (displacements into the portrait), light [B,3,64,64] (logarithm), normal and position [B,3,64,64]
    -> premultiplied foreground with alpha [B,4,128,128]."""

    def __init__(self, *, blocks: int = 2):
        super().__init__()
        w = WIDTHS
        self.stem = conv(16 + 16 + 4 + 3 + 2 + 2 + 3 + 3 + 3, w[0])
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in zip(w, w[1:]))
        many = lambda width, count: nn.Sequential(*(Residual(width) for _ in range(count)))  # noqa: E731
        self.inward = nn.ModuleList(many(width, blocks) for width in w)
        self.up = nn.ModuleList(conv(b, a, 1) for a, b in zip(w, w[1:]))
        self.outward = nn.ModuleList(many(width, blocks) for width in w[:-1])
        self.person = nn.Sequential(nn.Linear(w[3], 128), nn.LeakyReLU(SLOPE), nn.Linear(128, w[3]))
        self.coarse = conv(w[0], 2 + 3)
        self.fine, self.out = conv(w[0] + 32, 64), conv(64, 8 * 4)
        for layer in (self.coarse, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def decide(self, texture128: Tensor, backdrop128: Tensor, flow: Tensor, mirror: Tensor, light: Tensor, normal: Tensor, position: Tensor) -> Turned:
        warped, mirrored = fetched(texture128, flow, light), fetched(texture128, mirror)
        pictures = torch.cat([F.pixel_unshuffle(warped, 2), F.pixel_unshuffle(mirrored, 2)], 1) - 0.5
        x = self.stem(torch.cat([
            pictures, F.avg_pool2d(texture128, 2) - 0.5, F.avg_pool2d(backdrop128, 2) - 0.5, flow * 4, mirror * 4, light, normal, position,
        ], 1))
        kept = []
        for level, inward in enumerate(self.inward):
            x = inward(x if level == 0 else self.down[level - 1](F.leaky_relu(x, SLOPE)))
            kept.append(x)
        x = x + self.person(F.leaky_relu(x, SLOPE).mean((2, 3)))[..., None, None]
        for level in (2, 1, 0):
            x = self.outward[level](kept[level] + enlarge(self.up[level](F.leaky_relu(x, SLOPE)), 2))
        x = F.leaky_relu(x, SLOPE)
        reach, bright = self.coarse(x).float().split([2, 3], 1)
        copied, bright = flow + COPY_REACH * torch.tanh(reach), LIGHT_REACH * torch.tanh(bright)
        found = F.pixel_shuffle(self.out(F.leaky_relu(self.fine(torch.cat([x, pictures], 1)), SLOPE)), 2).float()
        logits, matte, paint = found.split([4, 1, 3], 1)
        weights = softmax(logits + logits.new_tensor([2.0, 0, 0, 0]).reshape(1, 4, 1, 1))  # at first most is warped
        paint = torch.sigmoid(2 * paint)
        picture = mixed(weights, paint, colour(warped), colour(mirrored), colour(fetched(texture128, copied, bright)))
        guess = warped[:, 3:].clamp(0.03, 0.97)
        alpha = torch.sigmoid(torch.log(guess / (1 - guess)) + 4 * matte) * 1.02 - 0.01
        return Turned(picture.clamp(0, 1.2), alpha.clamp(0, 1), weights, paint, copied, bright)

    def forward(self, texture128: Tensor, backdrop128: Tensor, flow: Tensor, mirror: Tensor, light: Tensor, normal: Tensor, position: Tensor) -> Tensor:
        turned = self.decide(texture128, backdrop128, flow, mirror, light, normal, position)
        return torch.cat([turned.picture.clamp(0, 1) * turned.alpha, turned.alpha], 1)


def fetched(texture: Tensor, by: Tensor, light: Tensor | None = None) -> Tensor:
    """texture [B,4,n,n] as displacements by [B,2,64,64] fetch it, its colours in light [B,3,64,64] (logarithm)."""
    n = int(texture.shape[-1])
    found = sample(texture, pixel_grid(n, n).to(by) + enlarge(by, n // G))
    return found if light is None else torch.cat([found[:, :3] * torch.exp(enlarge(light, n // G)), found[:, 3:]], 1)


def colour(premultiplied: Tensor) -> Tensor:
    return premultiplied[:, :3] / premultiplied[:, 3:].clamp_min(SOLID)


def mixed(weights: Tensor, paint: Tensor, warped: Tensor, mirrored: Tensor, copied: Tensor) -> Tensor:
    """Colours [B,3,n,n] by their weights [B,4,n,n]."""
    return sum(v * weights[:, k : k + 1] for k, v in enumerate((warped, mirrored, copied, paint)))


class DetailedTurner(nn.Module):
    """What Turner gives, and detail [B,3,256,256]: what its picture at 256 has beyond the one at 128, premultiplied. All is decided at
    128; at 256 the same places of the portrait are fetched in the same shares."""

    def __init__(self, turner: Turner):
        super().__init__()
        self.turner = turner

    def forward(
        self, texture256: Tensor, texture128: Tensor, backdrop128: Tensor, flow: Tensor, mirror: Tensor, light: Tensor, normal: Tensor, position: Tensor,
    ) -> tuple[Tensor, Tensor]:
        t = self.turner.decide(texture128, backdrop128, flow, mirror, light, normal, position)
        small = t.picture.clamp(0, 1) * t.alpha
        sources = (fetched(texture256, flow, light), fetched(texture256, mirror), fetched(texture256, t.copied, t.bright))
        large = mixed(enlarge(t.weights, 2), enlarge(t.paint, 2), *map(colour, sources)).clamp(0, 1) * enlarge(t.alpha, 2)
        return torch.cat([small, t.alpha], 1), large - enlarge(small, 2)


def load(path: Path = WEIGHTS) -> Turner:
    turner = Turner()
    turner.load_state_dict({k: v.float() for k, v in torch.load(path, map_location="cpu").items()})
    return turner.eval()
