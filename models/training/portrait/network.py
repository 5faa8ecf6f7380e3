"""The learned part of the renderer (PyTorch).

Encoder     portrait -> appearance features (face-vid2vid's F, in 2-D) and an identity code, once per avatar.
Motion      residual flow and occlusion over the geometric flow; a motion codebook read by attention (Compensatory
            codebooks) supplies what one portrait cannot tell about how heads move.
Generator   warped portrait, its mirrored half and warped features -> frame. Blocks fuse AdaIN of the identity and FiLM of
            the motion by a learned mask (MetaPortrait); appearance codebooks at 16x16 and 32x32. All is decided
            by 128; at 256 the portrait is sampled finer.
Refiner     mouth and eyes in windows of the frame, fed with the painted window and its aperture's coordinates.

Images are 0..1, flows are displacements in -1..1 image coordinates. Everything keeps the batch dynamic.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.layout import CODE, EYE_GEOMETRY, FEATURES, IDENTITY, MOUTH_GEOMETRY, G

SLOPE = 0.1
LIGHT_REACH = 0.7  # largest change of light in a window, as a logarithm
FLOW_REACH = 0.12  # largest residual displacement, image units


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


class Encoder(nn.Module):
    """portrait [B,3,256,256] -> features [B,32,64,64], identity [B,128]."""

    def __init__(self):
        super().__init__()
        body = lambda n: nn.Sequential(conv(n, n), nn.LeakyReLU(SLOPE), conv(n, n))  # noqa: E731
        self.stem, self.block64 = conv(48, 48), body(48)
        self.down32, self.block32 = conv(48, 64, stride=2), body(64)
        self.down16, self.block16 = conv(64, 96, stride=2), body(96)
        self.up32, self.up64, self.out = conv(96, 64, 1), conv(64, 48, 1), conv(48, FEATURES)
        self.identity = nn.Sequential(nn.Linear(96, IDENTITY), nn.LeakyReLU(SLOPE), nn.Linear(IDENTITY, IDENTITY))

    def forward(self, portrait: Tensor) -> tuple[Tensor, Tensor]:
        act = lambda x: F.leaky_relu(x, SLOPE)  # noqa: E731
        x64 = act(self.stem(F.pixel_unshuffle(portrait, 4) - 0.5))
        x64 = act(x64 + self.block64(x64))
        x32 = act(self.down32(x64))
        x32 = act(x32 + self.block32(x32))
        x16 = act(self.down16(x32))
        x16 = act(x16 + self.block16(x16))
        identity = self.identity(x16.mean((2, 3)))
        x32 = act(x32 + enlarge(self.up32(x16), 2))
        x64 = act(x64 + enlarge(self.up64(x32), 2))
        return self.out(x64), identity


class Motion(nn.Module):
    """Evidence at 64x64 [B,76,64,64] -> residual flow [B,2,64,64], occlusion [B,1,64,64] (logit)."""

    WIDTH = 48

    def __init__(self, code: int, codebooks: bool):
        super().__init__()
        self.stem = conv(76, self.WIDTH, stride=2)
        self.block, self.last = Block(self.WIDTH, code), Block(self.WIDTH, code)
        self.down, self.deep, self.up = conv(self.WIDTH, 64, stride=2), Block(64, code), conv(64, self.WIDTH, 1)
        self.book16 = Codebook(64, 32) if codebooks else nn.Identity()
        self.book32 = Codebook(self.WIDTH, 96, coarse=self.book16) if codebooks else nn.Identity()
        self.head, self.out = conv(self.WIDTH, 16), conv(16, 3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, evidence: Tensor, motion: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        x = F.leaky_relu(self.stem(evidence), SLOPE)
        x = self.block(x, motion, identity)
        deep = self.book16(self.deep(F.leaky_relu(self.down(x), SLOPE), motion, identity))
        x = self.book32(x + enlarge(self.up(deep), 2))
        x = self.last(x, motion, identity)
        out = self.out(enlarge(F.leaky_relu(self.head(x), SLOPE), 2)).float()
        flow, occlusion = out.split([2, 1], 1)
        return torch.tanh(flow) * FLOW_REACH, occlusion


class Refiner(nn.Module):
    """One window: base and painted [B,3,h,w], geometry [B,g,h,w] -> light [B,3,h,w] and mask [B,1,h,w].

    The painted window keeps its own detail and contrast: the network changes its light smoothly (a factor per colour, at a
    quarter of the resolution) and says pixel by pixel where it belongs. Free colours learned by L1 blurred lips and lids.
    """

    def __init__(self, geometry: int, code: int, width: int = 32):
        super().__init__()
        self.stem = conv(4 * (6 + geometry), width)
        self.block, self.last = Block(width, code), Block(width, code)
        self.down, self.deep, self.up = conv(width, 48, stride=2), Block(48, code), conv(48, width, 1)
        self.shade, self.mask = conv(48, 3), conv(width, 4)
        for last in (self.shade, self.mask):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, base: Tensor, painted: Tensor, geometry: Tensor, motion: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([base - 0.5, painted - 0.5, geometry * 0.5], 1)
        x = F.leaky_relu(self.stem(F.pixel_unshuffle(x, 2)), SLOPE)
        x = self.block(x, motion, identity)
        deep = self.deep(F.leaky_relu(self.down(x), SLOPE), motion, identity)
        resize = lambda v, like: F.interpolate(v, size=(int(like.shape[2]), int(like.shape[3])), mode="bilinear", align_corners=False)  # noqa: E731
        x = x + resize(self.up(deep), x)
        shade = resize(self.shade(F.leaky_relu(deep, SLOPE)).float(), base)
        mask = F.pixel_shuffle(self.mask(F.leaky_relu(self.last(x, motion, identity), SLOPE)), 2).float()
        return torch.exp(torch.tanh(shade) * LIGHT_REACH), torch.sigmoid(mask + 1.5)


def window_feather(height: int, width: int, edge: float = 0.14) -> Tensor:
    """[1,1,height,width]: 1 inside, falling to 0 at the window's border."""
    ramp = lambda n: ((1 - ((torch.arange(n) + 0.5) / n * 2 - 1).abs()) / edge).clamp(0, 1)  # noqa: E731
    smooth = lambda t: t * t * (3 - 2 * t)  # noqa: E731
    return (smooth(ramp(height))[:, None] * smooth(ramp(width))[None])[None, None]


class Trunk(NamedTuple):
    """What the generator knows of a frame at 64: features [B,48,64,64], colour [B,3,64,64] for hidden parts, shade
    [B,3,32,32]; and at 128 the warped and the mirrored portrait [B,3,128,128]."""

    features: Tensor
    colour: Tensor
    shade: Tensor
    warped: Tensor
    mirrored: Tensor


class Generator(nn.Module):
    """Flows, code and avatar -> frames. `parts` switches ideas off for the ablation."""

    def __init__(self, codebooks: bool = True, identity: bool = True, expression: bool = True, single_scale: bool = False):
        super().__init__()
        self.uses_expression = expression
        code, width = 128, 48
        self.code = nn.Sequential(nn.Linear(CODE + IDENTITY, 128), nn.LeakyReLU(SLOPE), nn.Linear(128, code), nn.LeakyReLU(SLOPE))
        self.motion = Motion(code, codebooks)
        fused = FusedBlock if identity else Block
        self.reduce, self.stem = conv(97, width, 1), conv(width, width)
        self.down32, self.block32 = conv(width, 64, stride=2), fused(64, code)
        self.down16, self.block16 = conv(64, 96, stride=2), fused(96, code)
        self.book16 = Codebook(96, 64) if codebooks and not single_scale else nn.Identity()
        self.up32, self.last32 = conv(96, 64, 1), fused(64, code)
        coarse = self.book16 if isinstance(self.book16, Codebook) else None
        self.book32 = Codebook(64, 192, coarse=coarse) if codebooks else nn.Identity()
        self.up64, self.last64 = conv(64, width, 1), Block(width, code)
        self.shade, self.colour = conv(64, 3), conv(width, 3)
        self.choose = nn.Sequential(conv(width + 12, 32), nn.LeakyReLU(SLOPE), conv(32, 16))
        for last in (self.choose[-1], self.shade, self.colour):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.mouth = Refiner(len(MOUTH_GEOMETRY), code)
        self.eyes = Refiner(len(EYE_GEOMETRY), code)

    def embed(self, code: Tensor, identity: Tensor) -> Tensor:
        """code [B,71], identity [B,128] -> modulation code [B,128]."""
        if not self.uses_expression:
            code = torch.cat([torch.zeros_like(code[:, :52]), code[:, 52:]], 1)
        return self.code(torch.cat([code, identity], 1))

    def flows(self, texture128: Tensor, features: Tensor, identity: Tensor, motion: Tensor, flow: Tensor, mirror: Tensor):
        """Refined flow [B,2,64,64] and occlusion logit [B,1,64,64]; with the warped evidence of the mirrored half."""
        grid = pixel_grid(G, G).to(flow)
        small = F.avg_pool2d(texture128, 2)
        mirrored = sample(features, grid + mirror)
        evidence = torch.cat([
            sample(small, grid + flow), sample(small, grid + mirror), sample(features, grid + flow), mirrored, flow * 4, mirror * 4,
        ], 1)
        residual, occlusion = self.motion(evidence, motion, identity)
        return flow + residual, occlusion, mirrored

    def trunk(self, texture128, backdrop128, features, identity, motion, flow, mirror, occlusion, mirrored) -> Trunk:
        grid, flow128 = pixel_grid(128, 128).to(flow), enlarge(flow, 2)
        warped = composite(sample(texture128, grid + flow128), backdrop128)
        other = sample(texture128, grid + enlarge(mirror, 2))
        alpha = occlusion.sigmoid()
        x = torch.cat([
            F.pixel_unshuffle(warped, 2) - 0.5, F.pixel_unshuffle(other, 2), sample(features, pixel_grid(G, G).to(flow) + flow),
            mirrored, alpha, flow * 4, mirror * 4 - flow * 4,
        ], 1)
        act = lambda v: F.leaky_relu(v, SLOPE)  # noqa: E731
        x64 = act(self.stem(act(self.reduce(x))))
        x32 = self.block32(act(self.down32(x64)), motion, identity)
        x16 = self.book16(self.block16(act(self.down16(x32)), motion, identity))
        x32 = self.book32(x32 + enlarge(self.up32(x16), 2))
        x32 = self.last32(x32, motion, identity)
        x64 = self.last64(x64 + enlarge(self.up64(x32), 2), motion, identity)
        colour = F.avg_pool2d(warped, 2) + self.colour(act(x64)).float()
        return Trunk(x64, colour, self.shade(act(x32)).float(), warped, composite(other, backdrop128))

    def weights(self, trunk: Trunk) -> Tensor:
        """[B,4,128,128], which add to 1: how much of every pixel is warped, mirrored, backdrop and colour."""
        logits = self.choose(torch.cat([trunk.features, F.pixel_unshuffle(trunk.warped, 2) - 0.5], 1))
        first = logits.new_tensor([4.0, 0, 0, 0], dtype=torch.float32).reshape(1, 4, 1, 1)  # at first nearly all is warped
        return softmax(F.pixel_shuffle(logits, 2).float() + first)

    def forward(self, texture, backdrop, texture128, backdrop128, features, identity, code, flow, mirror):
        """One frame before the windows: texture [B,4,N,N], backdrop [B,3,N,N] (0..1, N = 128 or 256) -> frame and
        warped portrait [B,3,N,N], modulation code [B,128], refined flow [B,2,64,64]."""
        motion = self.embed(code, identity)
        flow, occlusion, mirrored = self.flows(texture128, features, identity, motion, flow, mirror)
        trunk = self.trunk(texture128, backdrop128, features, identity, motion, flow, mirror, occlusion, mirrored)
        weights, size = self.weights(trunk), int(texture.shape[-1])
        warped, mirrored = trunk.warped, trunk.mirrored
        if size > 128:
            # Weights chosen at 128 do at 256 too: choosing again at 256 cost a quarter of the time and gained nothing.
            weights, mirrored = enlarge(weights, size // 128), enlarge(mirrored, size // 128)
            warped = composite(sample(texture, pixel_grid(size, size).to(flow) + enlarge(flow, size // G)), backdrop)
        frame = combine(weights, warped, mirrored, backdrop, enlarge(trunk.colour, size // G), enlarge(trunk.shade, size // 32))
        return frame, warped, motion, flow


def composite(found: Tensor, backdrop: Tensor) -> Tensor:
    """Premultiplied foreground with alpha [B,4,h,w] over backdrop [B,3,h,w]."""
    return found[:, :3] + backdrop * (1 - found[:, 3:])


def combine(weights: Tensor, warped: Tensor, mirrored: Tensor, backdrop: Tensor, colour: Tensor, shade: Tensor) -> Tensor:
    """The frame [B,3,h,w] of pictures [B,3,h,w] and their weights [B,4,h,w].

    Every pixel is one of the pictures that the portrait gives, or nearly one, so that detail stays its own; the learned
    colour is for what the portrait does not show, the shade for how light changes as the head turns.
    """
    first, second, third, fourth = weights.split(1, 1)
    return warped * first + mirrored * second + backdrop * third + colour * fourth + shade
