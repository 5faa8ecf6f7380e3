"""What the networks are made of: sampling, modulated blocks, codebooks.

Images are 0..1, flows are displacements in -1..1 image coordinates. Everything keeps the batch dynamic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.layout import IDENTITY

SLOPE = 0.1


def pixel_grid(height: int, width: int) -> Tensor:
    """Pixel centres [1,2,height,width] in -1..1."""
    y = (torch.arange(height) + 0.5) / height * 2 - 1
    x = (torch.arange(width) + 0.5) / width * 2 - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]


def sample(image: Tensor, places: Tensor) -> Tensor:
    """image [B,C,S,S] at places [B,2,h,w] in -1..1, bilinear, repeating the border.

    Zero padding within the outermost pixel centres is the same, and the fast path of ONNX Runtime's CPU provider.
    """
    edge = 1 - 1 / int(image.shape[-1])
    places = places.float().clamp(-edge, edge).permute(0, 2, 3, 1)
    return F.grid_sample(image.float(), places, mode="bilinear", padding_mode="zeros", align_corners=False)


def enlarge(x: Tensor, factor: int) -> Tensor:
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def softmax(logits: Tensor) -> Tensor:
    """Softmax over channels, written out: ONNX Runtime's own is slow along this axis (8 ms a frame at 256)."""
    e = logits.float().clamp(-30, 30).exp()
    return e / e.sum(1, keepdim=True)


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2)


class Block(nn.Module):
    """Residual block of two convolutions, FiLM of the motion after the first."""

    def __init__(self, width: int, code: int):
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)
        self.film = nn.Linear(code, 2 * width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def modulate(self, h: Tensor, motion: Tensor, identity: Tensor) -> Tensor:
        gain, bias = self.film(motion)[..., None, None].chunk(2, 1)
        return h * (1 + gain) + bias

    def forward(self, x: Tensor, motion: Tensor, identity: Tensor) -> Tensor:
        h = F.leaky_relu(self.modulate(self.first(x), motion, identity), SLOPE)
        return x + self.second(h)


class FusedBlock(Block):
    """Block whose modulation is AdaIN of the identity where a learned mask says so, FiLM of the motion elsewhere."""

    def __init__(self, width: int, code: int):
        super().__init__(width, code)
        self.adain = nn.Linear(IDENTITY, 2 * width)
        self.mask = conv(width, 1, 1)
        nn.init.zeros_(self.adain.weight)
        nn.init.zeros_(self.adain.bias)

    def modulate(self, h: Tensor, motion: Tensor, identity: Tensor) -> Tensor:
        gain, bias = self.adain(identity)[..., None, None].chunk(2, 1)
        mean = h.mean((2, 3), keepdim=True)
        centred = h - mean
        norm = centred * torch.rsqrt((centred * centred).mean((2, 3), keepdim=True) + 1e-4)
        mask = torch.sigmoid(self.mask(h))
        return mask * (norm * (1 + gain) + bias) + (1 - mask) * super().modulate(h, motion, identity)


class Codebook(nn.Module):
    """Learned codes read by attention at every cell, added to the features (Compensatory codebooks).

    The first `shared` codes of a finer book are the coarser book's (its code allocation): `coarse` gives them.
    """

    def __init__(self, width: int, codes: int, key: int = 48, coarse: Codebook | None = None):
        super().__init__()
        object.__setattr__(self, "coarse", coarse)  # not a submodule: its codes belong to the coarser book
        own = codes - (coarse.keys.shape[0] if coarse else 0)
        self.keys = nn.Parameter(torch.randn(own, key) * key**-0.5)
        self.values = nn.Parameter(torch.randn(own, key) * 0.5)
        self.query, self.out = conv(width, key, 1), conv(key, width, 1)
        nn.init.zeros_(self.out.weight)
        self.scale = key**-0.5 * 4

    def codes(self) -> tuple[Tensor, Tensor]:
        if self.coarse is None:
            return self.keys, self.values
        keys, values = self.coarse.codes()
        return torch.cat([keys, self.keys]), torch.cat([values, self.values])

    def forward(self, x: Tensor) -> Tensor:
        keys, values = self.codes()
        # Attention over a handful of codes is two 1x1 convolutions around a softmax.
        weight = softmax(F.conv2d(self.query(x) * self.scale, keys[:, :, None, None]))
        return x + self.out(F.conv2d(weight.to(x.dtype), values.t()[:, :, None, None]))
