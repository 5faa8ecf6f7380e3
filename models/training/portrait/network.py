"""The learned part of the renderer (PyTorch).

Encoder     portrait -> appearance features (face-vid2vid's F, in 2-D) and an identity code, once per avatar.
Motion      residual flow and occlusion over the geometric flow; a motion codebook read by attention (Compensatory
            codebooks) supplies what one portrait cannot tell about how heads move.
Generator   warped portrait, the picture of the nearer side and warped features -> frame. Blocks fuse AdaIN of the identity and FiLM of
            the motion by a learned mask (MetaPortrait); appearance codebooks at 16x16 and 32x32. All is decided
            by 128; at 256 the portrait is sampled finer.
Relighter   how the picture's light changes where the surface turns: a function of its normals, a person's own.

Images are 0..1, flows are displacements in -1..1 image coordinates. Everything keeps the batch dynamic.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.blocks import SLOPE, Block, Codebook, FusedBlock, conv, enlarge, pixel_grid, sample, softmax
from portrait.layout import CODE, EYE_GEOMETRY, FEATURES, HARMONICS, IDENTITY, MOUTH_GEOMETRY, G
from portrait.refiner import Refiner

FLOW_REACH = 0.12  # largest residual displacement, image units
LIGHT_REACH = 0.7  # largest change of light over the geometric stage's, a logarithm


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
    """Evidence at 64x64 [B,38,64,64] -> residual flow [B,2,64,64], occlusion [B,1,64,64] (logit)."""

    WIDTH = 48

    def __init__(self, code: int, codebooks: bool):
        super().__init__()
        self.stem = conv(4 + FEATURES + 2, self.WIDTH, stride=2)
        self.block, self.more, self.last = Block(self.WIDTH, code), Block(self.WIDTH, code), Block(self.WIDTH, code)
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
        x = self.last(self.more(x, motion, identity), motion, identity)
        out = self.out(enlarge(F.leaky_relu(self.head(x), SLOPE), 2)).float()
        flow, occlusion = out.split([2, 1], 1)
        return torch.tanh(flow) * FLOW_REACH, occlusion


class Relighter(nn.Module):
    """What the irradiance of the reader leaves out: gloss, shade, the camera's curve, normals that are a little wrong.

    seen [B,13,64,64] (normal now, normal in the portrait, the portrait's colours and alpha, the geometric stage's light),
    harmonics [B,9,3] of the light that was read, identity [B,128] -> logarithm [B,3,64,64] to be added to that light.
    The functions of the normals are everybody's; how much of each a picture shows is the person's own.
    """

    WIDTH = 32

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = conv(13 + 12, self.WIDTH, 1), conv(self.WIDTH, self.WIDTH), conv(self.WIDTH, 3, 1)
        self.person = nn.Sequential(nn.Linear(IDENTITY + 3 * HARMONICS, 96), nn.LeakyReLU(SLOPE), nn.Linear(96, 5 * self.WIDTH))
        for last in (self.out, self.person[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, seen: Tensor, harmonics: Tensor, identity: Tensor) -> Tensor:
        now, was, rest = seen.split([3, 3, 7], 1)
        around = lambda n: torch.cat([n[:, 1:], n[:, :1]], 1)  # noqa: E731
        x = torch.cat([seen, now * now, now * around(now), was * was, was * around(was)], 1)
        gain, bias, own = self.person(torch.cat([identity, harmonics.flatten(1)], 1)).split([self.WIDTH, self.WIDTH, 3 * self.WIDTH], 1)
        x = self.second(F.leaky_relu(self.first(x), SLOPE))
        x = F.leaky_relu(x * (1 + gain[..., None, None]) + bias[..., None, None], SLOPE)
        height, width = int(rest.shape[2]), int(rest.shape[3])  # as numbers, so that an exported graph need not ask for them
        mixed = own.reshape(-1, 3, self.WIDTH) @ x.reshape(-1, self.WIDTH, height * width)
        return LIGHT_REACH * torch.tanh((self.out(x) + mixed.reshape(-1, 3, height, width)).float())


class Scene(NamedTuple):
    """What the geometric stage and the avatar give for a frame (stage.py): flow and side [B,2,64,64], displacements into
    the portrait and into the picture of the nearer side; light and side_light [B,3,64,64],
    logarithms of how much brighter the place is than in portrait and side picture; normal, was [B,3,64,64] of the head's
    surface as seen now and in the portrait."""

    flow: Tensor
    side: Tensor
    light: Tensor
    side_light: Tensor
    normal: Tensor
    was: Tensor


class Trunk(NamedTuple):
    """What the generator knows of a frame before it is put together.

    At 64: refined flow [B,2,64,64], light [B,3,64,64], occlusion logit [B,1,64,64], features [B,48,64,64], colour [B,3,64,64] for hidden
    parts; shade [B,3,32,32]; at 128: the warped portrait and the side picture [B,3,128,128], both lit.
    """

    flow: Tensor
    light: Tensor
    occlusion: Tensor
    features: Tensor
    colour: Tensor
    shade: Tensor
    warped: Tensor
    aside: Tensor


class Generator(nn.Module):
    """Flows, code and avatar -> frames. `parts` switches ideas off for the ablation."""

    def __init__(self, codebooks: bool = True, identity: bool = True, expression: bool = True, single_scale: bool = False):
        super().__init__()
        self.uses_expression = expression
        code, width = 128, 48
        self.code = nn.Sequential(nn.Linear(CODE + IDENTITY, 128), nn.LeakyReLU(SLOPE), nn.Linear(128, code), nn.LeakyReLU(SLOPE))
        self.motion = Motion(code, codebooks)
        self.relighter = Relighter()
        fused = FusedBlock if identity else Block
        self.reduce, self.stem = conv(28 + FEATURES + 17, width, 1), conv(width, width)
        self.down32, self.block32 = conv(width, 64, stride=2), fused(64, code)
        self.down16, self.block16 = conv(64, 96, stride=2), fused(96, code)
        self.book16 = Codebook(96, 64) if codebooks and not single_scale else nn.Identity()
        self.up32, self.last32 = conv(96, 64, 1), fused(64, code)
        coarse = self.book16 if isinstance(self.book16, Codebook) else None
        self.book32 = Codebook(64, 192, coarse=coarse) if codebooks else nn.Identity()
        self.up64, self.last64 = conv(64, width, 1), Block(width, code)
        self.shade, self.colour = conv(64, 3, 1), conv(width, 3, 1)  # smooth things, of features that have seen their surroundings
        self.choice = nn.Sequential(conv(width + 24, 48), nn.LeakyReLU(SLOPE), conv(48, 16))
        for last in (self.choice[-1], self.shade, self.colour):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.mouth = Refiner(len(MOUTH_GEOMETRY), code)
        # The studio's shut eyes show lashes and slivers of white, and paint learns to put them on everybody's lids.
        self.eyes = Refiner(len(EYE_GEOMETRY), code, paints=False)

    def embed(self, code: Tensor, identity: Tensor) -> Tensor:
        """code [B,71], identity [B,128] -> modulation code [B,128]."""
        if not self.uses_expression:
            code = torch.cat([torch.zeros_like(code[:, :52]), code[:, 52:]], 1)
        return self.code(torch.cat([code, identity], 1))

    def trunk(self, texture128: Tensor, backdrop128: Tensor, sides: Tensor, features: Tensor, identity: Tensor, harmonics: Tensor, motion: Tensor, scene: Scene) -> Trunk:
        grid64, grid128 = (pixel_grid(n, n).to(scene.flow) for n in (G, 128))
        small = F.avg_pool2d(texture128, 2)
        residual, occlusion = self.motion(torch.cat([sample(small, grid64 + scene.flow), sample(features, grid64 + scene.flow), scene.flow * 4], 1), motion, identity)
        flow = scene.flow + residual
        light = scene.light + self.relighter(torch.cat([scene.normal, scene.was, sample(small, grid64 + flow), scene.light], 1), harmonics, identity)
        warped = composite(lit(sample(texture128, grid128 + enlarge(flow, 2)), enlarge(light, 2)), backdrop128)
        aside = lit(sample(sides, grid128 + enlarge(scene.side, 2)), enlarge(scene.side_light, 2))
        x = torch.cat([
            F.pixel_unshuffle(warped, 2) - 0.5, F.pixel_unshuffle(aside, 2), sample(features, grid64 + flow),
            occlusion.sigmoid(), flow * 4, scene.light, scene.side_light, scene.normal, scene.was, scene.side * 4,
        ], 1)
        act = lambda v: F.leaky_relu(v, SLOPE)  # noqa: E731
        x64 = act(self.stem(act(self.reduce(x))))
        x32 = self.block32(act(self.down32(x64)), motion, identity)
        x16 = self.book16(self.block16(act(self.down16(x32)), motion, identity))
        x32 = self.book32(x32 + enlarge(self.up32(x16), 2))
        x32 = self.last32(x32, motion, identity)
        x64 = self.last64(x64 + enlarge(self.up64(x32), 2), motion, identity)
        colour = F.avg_pool2d(warped, 2) + self.colour(act(x64)).float()
        return Trunk(flow, light, occlusion, x64, colour, self.shade(act(x32)).float(), warped, composite(aside, backdrop128))

    def choices(self, trunk: Trunk) -> Tensor:
        """[B,4,128,128], which add to 1: how much of every pixel is warped, side picture, backdrop and colour."""
        warped, aside = (F.pixel_unshuffle(v, 2) - 0.5 for v in (trunk.warped, trunk.aside))
        logits = self.choice(torch.cat([trunk.features, warped, aside], 1))
        first = logits.new_tensor([2.0, 0, 0, 0], dtype=torch.float32).reshape(1, 4, 1, 1)  # at first most is warped
        return softmax(F.pixel_shuffle(logits, 2).float() + first)

    def forward(self, texture, backdrop, texture128, backdrop128, sides, features, identity, harmonics, code, flow, side, light, side_light, normal, was, detail=None):
        """One frame before the windows: texture [B,4,N,N], backdrop [B,3,N,N] (0..1, N = 128 or 256), sides [B,4,128,128], detail [B,3,256,256] of them
        -> frame and warped portrait [B,3,N,N], modulation code [B,128], refined flow [B,2,64,64] and light [B,3,64,64]."""
        motion = self.embed(code, identity)
        trunk = self.trunk(texture128, backdrop128, sides, features, identity, harmonics, motion, Scene(flow, side, light, side_light, normal, was))
        weights = clearer(self.choices(trunk))
        warped, aside, size = trunk.warped, trunk.aside, int(texture.shape[-1])
        if size > 128:
            # Weights chosen at 128 do at 256 too: choosing again at 256 cost a quarter of the time and gained nothing.
            weights, aside = enlarge(weights, size // 128), enlarge(aside, size // 128)
            if detail is not None:
                finer = sample(detail, pixel_grid(256, 256).to(flow) + enlarge(side, 256 // G)) * torch.exp(enlarge(side_light, 256 // G))
                aside = aside + enlarge(finer, size // 256)
            places = pixel_grid(size, size).to(flow) + enlarge(trunk.flow, size // G)
            warped = composite(lit(sample(texture, places), enlarge(trunk.light, size // G)), backdrop)
        frame = combine(weights, warped, aside, backdrop, enlarge(trunk.colour, size // G), enlarge(trunk.shade, size // 32))
        return frame, warped, motion, trunk.flow, trunk.light


def clearer(weights: Tensor) -> Tensor:
    """Choices [B,4,h,w] as they are drawn: nearer to one picture than they were learned, for mixtures are blurred."""
    squares = weights * weights
    fourth = squares * squares
    return fourth / fourth.sum(1, keepdim=True)


def lit(found: Tensor, light: Tensor) -> Tensor:
    """Premultiplied foreground with alpha [B,4,h,w], its colours times exp(light [B,3,h,w])."""
    return torch.cat([found[:, :3] * torch.exp(light), found[:, 3:]], 1)


def composite(found: Tensor, backdrop: Tensor) -> Tensor:
    """Premultiplied foreground with alpha [B,4,h,w] over backdrop [B,3,h,w]."""
    return found[:, :3] + backdrop * (1 - found[:, 3:])


def combine(weights: Tensor, warped: Tensor, aside: Tensor, backdrop: Tensor, colour: Tensor, shade: Tensor) -> Tensor:
    """The frame [B,3,h,w] of pictures [B,3,h,w] and their weights [B,4,h,w].

    Nearly every pixel is one of the pictures that the avatar has, so that detail stays its own; the learned colour is
    for what none of them shows, the shade for how light changes as the head turns.
    """
    first, second, third, fourth = weights.split(1, 1)
    return warped * first + aside * second + backdrop * third + colour * fourth + shade
