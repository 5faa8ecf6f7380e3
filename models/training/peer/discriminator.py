"""The patch discriminator of the adversarial loss, on two scales."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from peer.blocks import widen


class Patches(nn.Module):
    """Picture -> (features of every layer, patch scores)."""

    def __init__(self, width: float):
        super().__init__()
        sizes = [3, *(widen(n, width) for n in (64, 128, 256, 512))]
        self.layers = nn.ModuleList(
            nn.Sequential(spectral_norm(nn.Conv2d(a, b, 4, 2 if b != sizes[-1] else 1, 1)), nn.LeakyReLU(0.2))
            for a, b in zip(sizes, sizes[1:])
        )
        self.score = spectral_norm(nn.Conv2d(sizes[-1], 1, 4, 1, 1))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features, self.score(x)


class Discriminator(nn.Module):
    """Pictures [B,3,S,S] -> (features, scores) of the full and the half size, in one list each."""

    def __init__(self, *, width: float = 1.0):
        super().__init__()
        self.fine, self.coarse = Patches(width), Patches(width)

    def forward(self, picture: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        a, score = self.fine(picture)
        b, score_half = self.coarse(F.avg_pool2d(picture, 2))
        return a + b, [score, score_half]
