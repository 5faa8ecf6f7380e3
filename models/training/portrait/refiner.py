"""The refiner of mouth and eyes, which works in windows of the frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.blocks import SLOPE, Block, conv, pixel_grid
from portrait.layout import MOUTH_GEOMETRY

LIGHT_REACH = 0.7  # largest change of light in a window, as a logarithm
SHIFT_REACH = 0.08  # largest shift of the painted window, in halves of its sides
REACH = 2.0  # halves of a mouth's or an eye's width from its middle, where windows end
PAINT_REACH = 0.3  # largest change of a colour
SHARPER = 0.5  # what a picture has beyond the mean around each pixel is multiplied by 1 + this, once it was moved


class Refiner(nn.Module):
    """One window: base and painted [B,3,h,w], geometry [B,g,h,w] -> the window [B,3,h,w].

    The painted window (warp's teeth, tongue, lids and eyeballs) is shifted to where lips and lids really are and lit
    anew; a mask lays it over the base; colours painted on top are what neither of them shows.
    """

    def __init__(self, geometry: int, code: int, width: int = 48, paints: bool = True):
        super().__init__()
        self.stem = conv(4 * (6 + geometry), width)
        self.block, self.last = Block(width, code), Block(width, code)
        self.down, self.deep, self.deeper, self.up = conv(width, 64, stride=2), Block(64, code), Block(64, code), conv(64, width, 1)
        self.shade, self.mask, self.shift = conv(64, 3), conv(width, 4), conv(width, 2)
        self.paint = conv(width, 12) if paints else None
        for last in (self.shade, self.mask, self.shift, self.paint):
            if last is not None:
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)

    def forward(self, base: Tensor, painted: Tensor, geometry: Tensor, motion: Tensor, identity: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """shift [B,2,h,w] in halves of the window's sides; log light [B,3,h,w]; mask [B,1,h,w]; paint [B,3,h,w]."""
        x = torch.cat([base - 0.5, painted - 0.5, geometry * 0.5], 1)
        x = F.leaky_relu(self.stem(F.pixel_unshuffle(x, 2)), SLOPE)
        x = self.block(x, motion, identity)
        deep = self.deep(F.leaky_relu(self.down(x), SLOPE), motion, identity)
        deep = self.deeper(deep, motion, identity)
        resize = lambda v, like: F.interpolate(v, size=(int(like.shape[2]), int(like.shape[3])), mode="bilinear", align_corners=False)  # noqa: E731
        x = x + resize(self.up(deep), x)
        shade = resize(self.shade(F.leaky_relu(deep, SLOPE)).float(), base)
        x = F.leaky_relu(self.last(x, motion, identity), SLOPE)
        shift = resize(self.shift(x).float(), base)
        mask = F.pixel_shuffle(self.mask(x), 2).float()
        paint = base * 0 if self.paint is None else F.pixel_shuffle(self.paint(x), 2).float()
        reach = painters_reach(geometry)
        mask = torch.maximum(torch.sigmoid(mask + 1.5), painters_own(geometry)) * reach
        return torch.tanh(shift) * SHIFT_REACH, torch.tanh(shade) * LIGHT_REACH, mask, torch.tanh(paint) * PAINT_REACH * reach


def painters_own(geometry: Tensor) -> Tensor:
    """[B,1,h,w]: 1 where only the painter knows what is there: between parted lips, and lids and eyeball of an eye.

    Taken from the window's coordinates (layout.py), so that every portrait's blink closes, whatever was learned.
    """
    if geometry.shape[1] == len(MOUTH_GEOMETRY):
        return geometry[:, 4:5]
    across, down = geometry[:, 0:1].abs(), geometry[:, 1:2].abs()
    return ((1.3 - across) * 4).clamp(0, 1) * ((0.9 - down) * 4).clamp(0, 1)


def painters_reach(geometry: Tensor) -> Tensor:
    """[B,1,h,w]: 0 where a window's picture has nothing to do with its mouth or eye. On a turned face that is most of the
    window: beyond the outline the painter, who knows only geometry, would show hair and skin that the frame does without.
    """
    across, down = geometry[:, 0:1].abs(), geometry[:, 1:2].abs()
    return ((REACH - across) * 2).clamp(0, 1) * ((REACH - down) * 2).clamp(0, 1)


def shifted(painted: Tensor, shift: Tensor) -> Tensor:
    """painted [B,3,h,w], every pixel taken from shift [B,2,h,w] away; the border is repeated."""
    h, w = int(painted.shape[2]), int(painted.shape[3])
    edge = shift.new_tensor([1 - 1 / w, 1 - 1 / h]).reshape(1, 2, 1, 1)
    places = torch.minimum(torch.maximum(pixel_grid(h, w).to(shift) + shift, -edge), edge).permute(0, 2, 3, 1)
    return F.grid_sample(painted, places, mode="bilinear", padding_mode="zeros", align_corners=False)


def sharper(picture: Tensor) -> Tensor:
    """picture [B,3,h,w] with what was lost of it between pixels: what is fetched there is a mean of its neighbours."""
    return picture + SHARPER * (picture - F.avg_pool2d(picture, 3, 1, 1, count_include_pad=False))


def blend(base: Tensor, painted: Tensor, light: Tensor, mask: Tensor, paint: Tensor) -> Tensor:
    """The window [B,3,h,w]; painted is shifted already; mask and paint are feathered by `window_feather`."""
    return base + (painted * torch.exp(light) - base) * mask + paint


def window_feather(height: int, width: int, edge: float = 0.14) -> Tensor:
    """[1,1,height,width]: 1 inside, falling to 0 at the window's border."""
    ramp = lambda n: ((1 - ((torch.arange(n) + 0.5) / n * 2 - 1).abs()) / edge).clamp(0, 1)  # noqa: E731
    smooth = lambda t: t * t * (3 - 2 * t)  # noqa: E731
    return (smooth(ramp(height))[:, None] * smooth(ramp(width))[None])[None, None]
