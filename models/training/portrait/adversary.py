"""Critics that tell drawn pictures from the studio's (adversarial loss with feature matching, as face-vid2vid has it)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from portrait.blocks import conv
from portrait.layout import EYE_GEOMETRY, MOUTH_GEOMETRY


GAIN = 3.0  # of every layer over its spectral norm of 1: pictures differ by so little that logits would hardly leave 0


class Critic(nn.Module):
    """Patch critic of pictures [B,3,h,w] beside what they should show [B,c,h,w]; h and w even."""

    def __init__(self, *, given: int, width: int = 48):
        super().__init__()
        self.stem = spectral_norm(conv(4 * (3 + given), width))
        self.first = spectral_norm(conv(width, 2 * width, stride=2))
        self.second = spectral_norm(conv(2 * width, 2 * width, stride=2))
        self.out = conv(2 * width, 1)

    def forward(self, picture: Tensor, given: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits [B,1,h/8,w/8] (positive: the studio's) and the features below them."""
        x = F.pixel_unshuffle(torch.cat([picture - 0.5, given], 1), 2)
        features = []
        for layer in (self.stem, self.first, self.second):
            x = F.leaky_relu(GAIN * layer(x), 0.2)
            features.append(x)
        return self.out(x).float(), features


def critics(names: Iterable[str]) -> nn.ModuleDict:
    """Of whole frames at 128 ("frame", given the normals), of mouths and of eyes ("mouth", "eye", given the windows' geometry)."""
    given = {"frame": 3, "mouth": len(MOUTH_GEOMETRY), "eye": len(EYE_GEOMETRY)}
    return nn.ModuleDict({name: Critic(given=given[name]) for name in names}).to(memory_format=torch.channels_last)


def told_apart(critic: Critic, drawn: Tensor, true: Tensor, given: Tensor) -> Tensor:
    """What the critic minimises (hinge loss)."""
    fake, _ = critic(drawn.detach(), given)
    real, _ = critic(true, given)
    return F.relu(1 + fake).mean() + F.relu(1 - real).mean()


def fooled(critic: Critic, drawn: Tensor, true: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """What the generator minimises: adversarial loss and feature matching."""
    logits, features = critic(drawn, given)
    with torch.no_grad():
        _, wanted = critic(true, given)
    matching = sum((a - b).abs().mean() / (b.abs().mean() + 1e-3) for a, b in zip(features, wanted)) / len(wanted)
    return -logits.mean(), matching
