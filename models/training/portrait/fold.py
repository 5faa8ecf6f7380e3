"""The trained modules rewritten for export: the same functions of the same weights in fewer and cheaper operations.

A renderer of hundreds of small operators spends its time between them. Nothing here is trained or stored: build.py folds
a trained `Generator` when it writes the graphs, and tests/test_fold.py holds every part against the module it stands for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.blocks import SLOPE, Block, Codebook, FusedBlock, enlarge, pixel_grid, sample
from portrait.layout import FEATURES, G
from portrait.network import FLOW_REACH, Generator, Motion
from portrait.refiner import LIGHT_REACH, PAINT_REACH, SHIFT_REACH, Refiner, painters_own, painters_reach
from warp.graph import spreading

SAMPLED = 4 + FEATURES  # channels that are fetched from the portrait: texture at 64 with alpha, appearance features
CLEARER = 4  # the power of `network.clearer`


def conv_of(weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution with these numbers: weight [out,in,k,k], bias [out] or none."""
    outputs, inputs, *kernel = weight.shape
    made = nn.Conv2d(inputs, outputs, tuple(kernel), stride, padding, bias=bias is not None)
    made.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made


def over_pixels(conv: nn.Conv2d, first: int = 0, count: int | None = None, bias: bool = True) -> nn.Conv2d:
    """What conv makes of pixel_unshuffle(x, 2), as a convolution of x with twice its kernel and step.

    Only of `count` of its inputs from `first`, channels of the unshuffled picture; the others belong to another part.
    """
    weight = conv.weight[:, first : None if count is None else first + count]
    outputs, inputs, k, _ = weight.shape
    weight = weight.reshape(outputs, inputs // 4, 2, 2, k, k).permute(0, 1, 4, 2, 5, 3).reshape(outputs, inputs // 4, 2 * k, 2 * k)
    return conv_of(weight, conv.bias if bias else None, 2 * conv.stride[0], 2 * conv.padding[0])


def spread(x: Tensor, factor: int) -> Tensor:
    """`enlarge` as two matrix products, as warp's Graph.spread; for what stays in float32."""
    rows = torch.from_numpy(spreading(int(x.shape[-1]), int(x.shape[-1]) * factor))
    return rows @ (x @ rows.t())


def together(*convs: nn.Conv2d) -> nn.Conv2d:
    """Convolutions of one input as a single one, outputs in their order."""
    return conv_of(torch.cat([c.weight for c in convs]), torch.cat([c.bias for c in convs]), convs[0].stride[0], convs[0].padding[0])


class FoldedModulations(nn.Module):
    """The gains and biases of several blocks from one code [B,n], as one matrix product; each pair is [B,w,1,1].

    Gains come with the 1 that is added to them. At most seven blocks: WebGPU binds 8 buffers an operator.
    """

    def __init__(self, layers: list[nn.Linear]):
        super().__init__()
        self.widths = [layer.out_features // 2 for layer in layers]
        self.all = nn.Linear(layers[0].in_features, sum(layer.out_features for layer in layers))
        self.all.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]).detach().clone())
        one = lambda layer: torch.arange(layer.out_features) < layer.out_features // 2  # noqa: E731
        self.all.bias = nn.Parameter(torch.cat([layer.bias + one(layer).float() for layer in layers]).detach().clone())

    def forward(self, code: Tensor) -> list[tuple[Tensor, Tensor]]:
        found = self.all(code)[..., None, None]
        pairs = found.split([2 * w for w in self.widths], 1) if len(self.widths) > 1 else [found]
        return [tuple(pair.split(width, 1)) for pair, width in zip(pairs, self.widths)]


class FoldedBlock(nn.Module):
    """Block with its modulation given, (gain, bias) of FoldedModulations."""

    def __init__(self, block: Block):
        super().__init__()
        self.first, self.second = block.first, block.second

    def forward(self, x: Tensor, film: tuple[Tensor, Tensor]) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x) * film[0] + film[1], SLOPE))


class FoldedFusedBlock(nn.Module):
    """FusedBlock with both modulations given."""

    def __init__(self, block: FusedBlock):
        super().__init__()
        self.first, self.second, self.mask = block.first, block.second, block.mask

    def forward(self, x: Tensor, film: tuple[Tensor, Tensor], adain: tuple[Tensor, Tensor]) -> Tensor:
        h = self.first(x)
        by_motion = h * film[0] + film[1]
        by_identity = F.instance_norm(h, eps=1e-4) * adain[0] + adain[1]
        h = by_motion + torch.sigmoid(self.mask(h)) * (by_identity - by_motion)
        return x + self.second(F.leaky_relu(h, SLOPE))


class FoldedBook(nn.Module):
    """Codebook as two matrix products around a softmax: its 1x1 convolutions are part of keys and values."""

    def __init__(self, book: Codebook):
        super().__init__()
        keys, values = book.codes()
        query, out = (c.weight[:, :, 0, 0] for c in (book.query, book.out))
        keep = lambda name, value: self.register_buffer(name, value.detach().clone())  # noqa: E731
        keep("keys", (book.scale * keys @ query).t())  # [C, codes]
        keep("offset", book.scale * keys @ book.query.bias)  # [codes]
        keep("values", out @ values.t())  # [C, codes]
        keep("bias", book.out.bias[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = (int(n) for n in x.shape[1:])
        cells = x.reshape(-1, channels, height * width)
        weight = F.softmax(cells.transpose(1, 2) @ self.keys + self.offset, -1)  # [B, cells, codes]
        return x + ((self.values @ weight.transpose(1, 2)).reshape(-1, channels, height, width) + self.bias)


def folded_book(book: nn.Module) -> nn.Module:
    return FoldedBook(book) if isinstance(book, Codebook) else book


class FoldedMotion(nn.Module):
    """Motion, whose evidence comes as it is sampled, [B,36,64,64], and the flow."""

    def __init__(self, motion: Motion):
        super().__init__()
        scale = torch.ones(SAMPLED + 2)
        scale[SAMPLED:] = 4  # of the flow, exact in any precision
        self.stem = conv_of(motion.stem.weight * scale[None, :, None, None], motion.stem.bias, motion.stem.stride[0], motion.stem.padding[0])
        blocks = (motion.block, motion.more, motion.last, motion.deep)
        self.films = FoldedModulations([b.film for b in blocks])
        self.block, self.more, self.last, self.deep = (FoldedBlock(b) for b in blocks)
        self.down, self.up, self.head, self.out = motion.down, motion.up, motion.head, motion.out
        self.book16, self.book32 = folded_book(motion.book16), folded_book(motion.book32)

    def forward(self, sampled: Tensor, flow: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        films = self.films(motion)
        x = F.leaky_relu(self.stem(torch.cat([sampled, flow], 1)), SLOPE)
        x = self.block(x, films[0])
        deep = self.book16(self.deep(F.leaky_relu(self.down(x), SLOPE), films[3]))
        x = self.book32(x + enlarge(self.up(deep), 2))
        x = self.last(self.more(x, films[1]), films[2])
        out = self.out(enlarge(F.leaky_relu(self.head(x), SLOPE), 2)).float()
        flow, occlusion = out.split([2, 1], 1)
        return torch.tanh(flow) * FLOW_REACH, occlusion


class Moved(NamedTuple):
    """What the network knows before it sees the portrait moved: motion [B,128], the modulation code; flow [B,2,64,64], refined;
    bright [B,3,64,64], what light makes of colours; features [B,32,64,64], as the flow fetches them; seen [B,1,64,64], occlusion 0..1."""

    motion: Tensor
    flow: Tensor
    bright: Tensor
    features: Tensor
    seen: Tensor


class FoldedMover(nn.Module):
    """Generator's motion and light. Light is made a factor at 64 and then enlarged, where the trained module enlarges its logarithm."""

    def __init__(self, net: Generator):
        super().__init__()
        self.code, self.uses_expression = net.code, net.uses_expression
        self.motion, self.relighter = FoldedMotion(net.motion), net.relighter

    def forward(self, texture128: Tensor, features: Tensor, identity: Tensor, harmonics: Tensor, code: Tensor, flow: Tensor, light: Tensor, normal: Tensor, was: Tensor) -> Moved:
        if not self.uses_expression:
            code = torch.cat([torch.zeros_like(code[:, :52]), code[:, 52:]], 1)
        motion = self.code(torch.cat([code, identity], 1))
        grid = pixel_grid(G, G).to(flow)
        appearance = torch.cat([F.avg_pool2d(texture128, 2), features], 1)
        residual, occlusion = self.motion(sample(appearance, grid + flow), flow, motion)
        flow = flow + residual
        colours, found = sample(appearance, grid + flow).split([4, FEATURES], 1)
        relit = self.relighter(torch.cat([normal, was, colours, light], 1), harmonics, identity)
        return Moved(motion, flow, torch.exp(light + relit), found, occlusion.sigmoid())


class Decided(NamedTuple):
    """What the network decides about a frame, at 128 cells. In levels of 0..255 the frame is
    found * keep + backdrop * behind + rest, with found what the refined flow fetches from the portrait, lit and over the backdrop;
    the side picture is in the rest, and aside is what its finer detail is to be multiplied by.

    keep, behind [B,1,128,128]; rest, aside [B,3,128,128].
    """

    keep: Tensor
    behind: Tensor
    rest: Tensor
    aside: Tensor


class FoldedGenerator(nn.Module):
    """Generator from the moved portrait to what it decides at 128; drawing.py makes the frame of any size of it.

    What is left when portrait and backdrop are taken out of the frame is enlarged as a whole: over 60 dB from drawing part by part.
    """

    def __init__(self, net: Generator):
        super().__init__()
        fused = (net.block32, net.block16, net.last32)
        self.films = FoldedModulations([*(b.film for b in fused), net.last64.film])
        identifies = isinstance(net.block32, FusedBlock)
        self.adains = FoldedModulations([b.adain for b in fused]) if identifies else None
        self.block32, self.block16, self.last32 = ((FoldedFusedBlock if identifies else FoldedBlock)(b) for b in fused)
        self.last64 = FoldedBlock(net.last64)
        # Its inputs: warped portrait (3 colours of 2x2 pixels), side picture with alpha (4 of 2x2), and maps of 64x64:
        # features, occlusion, four times the flow, the rest, four times the side's.
        features, seen, flow, rest, side = net.reduce.weight[:, 28:].split([FEATURES, 1, 2, 12, 2], 1)
        maps = torch.cat([features, seen, 4 * flow, rest, 4 * side], 1)
        self.reduce, self.reduce_pictures = conv_of(maps, net.reduce.bias), over_pixels(net.reduce, 0, 28, bias=False)
        self.stem, self.down32, self.down16, self.up32, self.up64 = net.stem, net.down32, net.down16, net.up32, net.up64
        self.book16, self.book32 = folded_book(net.book16), folded_book(net.book32)
        self.shade, self.colour = net.shade, net.colour
        first, last = net.choice[0], net.choice[2]
        width = net.stem.out_channels
        self.choice = conv_of(first.weight[:, :width], first.bias, 1, first.padding[0])
        # A seventh channel, without weight: see test_fold.py, test_no_convolution_is_one_that_webgpu_miscomputes.
        pictures = over_pixels(first, width, 24, bias=False)
        self.choice_pictures = conv_of(F.pad(pictures.weight, (0, 0, 0, 0, 0, 1)), None, pictures.stride[0], pictures.padding[0])
        bias = last.bias.clone()
        bias[:4] += 2  # see Generator.choices
        # Powers of weights that add to 1, made to add to 1 again, are the softmax of as many times the logits.
        self.logits = conv_of(last.weight * CLEARER, bias * CLEARER, 1, last.padding[0])

    def blocks(self, x: Tensor, motion: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's features at 64 and 32 cells."""
        act = lambda v: F.leaky_relu(v, SLOPE)  # noqa: E731
        adains = [[a] for a in self.adains(identity)] if self.adains else [[]] * 3
        f32, f16, l32, l64 = self.films(motion)
        x64 = act(self.stem(act(x)))
        x32 = self.block32(act(self.down32(x64)), f32, *adains[0])
        x16 = self.book16(self.block16(act(self.down16(x32)), f16, *adains[1]))
        x32 = self.book32(x32 + enlarge(self.up32(x16), 2))
        x32 = self.last32(x32, l32, *adains[2])
        return self.last64(x64 + enlarge(self.up64(x32), 2), l64), x32

    def forward(
        self, found: Tensor, backdrop128: Tensor, sides: Tensor, identity: Tensor, motion: Tensor, flow: Tensor, features: Tensor, seen: Tensor,
        side: Tensor, light: Tensor, side_light: Tensor, normal: Tensor, was: Tensor,
    ) -> Decided:
        """found [B,3,128,128] as in Decided and backdrop128, 0..1; the rest as in Moved and in Generator.forward."""
        fore, alpha = sample(sides, pixel_grid(128, 128).to(flow) + spread(side, 2)).split([3, 1], 1)
        bright = spread(torch.exp(side_light), 2)
        fore = fore * bright
        aside = fore + backdrop128 * (1 - alpha)
        pictures = torch.cat([found, aside, alpha], 1) - 0.5
        x = self.reduce(torch.cat([features, seen, flow, light, side_light, normal, was, side], 1))
        x64, x32 = self.blocks(x + self.reduce_pictures(torch.cat([pictures[:, :3], fore, alpha], 1)), motion, identity)
        colour = F.avg_pool2d(found, 2) + self.colour(F.leaky_relu(x64, SLOPE)).float()
        shade = spread(self.shade(F.leaky_relu(x32, SLOPE)).float() * 255, 4)
        logits = self.choice(x64) + self.choice_pictures(pictures)
        logits = F.pixel_shuffle(self.logits(F.leaky_relu(logits, SLOPE)), 2).float()
        first, second, third, fourth = logits.split(1, 1)
        most = torch.maximum(torch.maximum(first, second), torch.maximum(third, fourth))
        # Reductions over so few channels are slower than sums of them.
        first, second, third, fourth = torch.exp(logits - most).split(1, 1)
        share = 1 / (first + second + third + fourth)
        rest = (aside * second + spread(colour, 2) * fourth) * (share * 255) + shade
        return Decided(first * share, third * share, rest, bright * (second * share))


class FoldedRefiner(nn.Module):
    """Refiner, its three last convolutions as one."""

    def __init__(self, refiner: Refiner):
        super().__init__()
        self.stem = over_pixels(refiner.stem)
        self.stem.weight.data[:, 6:] *= 0.5  # of the geometry
        centre = torch.zeros(1, self.stem.in_channels, 1, 1)
        centre[:, :6] = 0.5
        self.register_buffer("centre", centre)
        blocks = (refiner.block, refiner.deep, refiner.deeper, refiner.last)
        self.films = FoldedModulations([b.film for b in blocks])
        self.block, self.deep, self.deeper, self.last = (FoldedBlock(b) for b in blocks)
        self.down, self.up, self.shade = refiner.down, refiner.up, refiner.shade
        self.paints = refiner.paint is not None
        self.heads = together(refiner.mask, *([refiner.paint] if self.paints else []), refiner.shift)
        self.heads.bias.data[:4] += 1.5  # see Refiner.forward

    def forward(self, base: Tensor, painted: Tensor, geometry: Tensor, motion: Tensor, identity: Tensor) -> tuple[Tensor, ...]:
        """shift, log light and mask as Refiner.forward gives them, and paint where it paints."""
        height, width = int(base.shape[2]), int(base.shape[3])
        resize = lambda v, h, w: F.interpolate(v, size=(h, w), mode="bilinear", align_corners=False)  # noqa: E731
        films = self.films(motion)
        x = F.leaky_relu(self.stem(torch.cat([base, painted, geometry], 1) - self.centre), SLOPE)
        x = self.block(x, films[0])
        deep = self.deep(F.leaky_relu(self.down(x), SLOPE), films[1])
        deep = self.deeper(deep, films[2])
        x = x + resize(self.up(deep), height // 2, width // 2)
        shade = resize(self.shade(F.leaky_relu(deep, SLOPE)).float(), height, width)
        x = F.leaky_relu(self.last(x, films[3]), SLOPE)
        found = self.heads(x)
        over, shift = found.split([found.shape[1] - 2, 2], 1)
        over = F.pixel_shuffle(over, 2).float()
        shift = torch.tanh(resize(shift.float(), height, width)) * SHIFT_REACH
        reach = painters_reach(geometry)
        mask = torch.maximum(torch.sigmoid(over[:, :1]), painters_own(geometry)) * reach
        light = torch.tanh(shade) * LIGHT_REACH
        return (shift, light, mask, torch.tanh(over[:, 1:]) * PAINT_REACH * reach) if self.paints else (shift, light, mask)
