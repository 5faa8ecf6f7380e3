"""The renderer's last stage in the graph: what the network decided becomes a frame, in levels of 0..255.

Frames here hold HALF more than they show, which is how write_outputs rounds. Colours stay in levels, factors are put together while they are small, and nothing is computed for every pixel that can be
enlarged instead: on a CPU each pass over a frame of 256x256 costs as much as a convolution at 32x32.
"""

from __future__ import annotations

import inspect

import numpy as np
import torch

from portrait.fold import Decided, FoldedGenerator, FoldedMover, FoldedRefiner, Moved
from portrait.graft import export, inline
from portrait.layout import DETAIL_PART, EYE_GEOMETRY, FEATURES, HARMONICS, IDENTITY, MOUTH_GEOMETRY, SIDE, SIDE_DETAIL, G
from portrait.network import Generator, Scene
from portrait.refiner import SHARPER, window_feather
from portrait.stage import PaintedWindow, Stage
from warp.graph import Graph, Value, pixel_grid, spreading
from warp.renderer import HALF, Inputs
from warp.windows import of_one_tone, read_places

UNIT = np.float32(1 / 255)
LEVELS = np.float32(255)
FADE = 8  # pixels


class Drawing:
    """One avatar batch in one view, at every size asked for; levels: textures [B,4,n,n] (premultiplied) and backdrops [B,3,n,n]
    of the sizes in 0..255, by name. What the network decides, it decides at `inner`, of the portrait as it is fetched there."""

    def __init__(self, g: Graph, net: Generator, s: Stage, inputs: Inputs, levels: dict[str, Value], inner: int):
        self.g, self.levels = g, levels
        self.fetched: dict[int, tuple[Value, Value]] = {}
        one = lambda *shape: torch.rand(2, *shape)  # noqa: E731  (two rows, so that nothing is folded to one)
        small = lambda n: one(n, G, G) * 0.1  # noqa: E731
        backdrop = levels["backdrop128"]
        example = {
            "texture128": one(4, 128, 128), "backdrop128": one(3, 128, 128), "sides": one(4, SIDE, SIDE), "features": one(FEATURES, G, G), "identity": one(IDENTITY),
            "harmonics": one(HARMONICS, 3), "code": one(71), "flow": small(2), "side": small(2), "light": small(3), "side_light": small(3), "normal": one(3, G, G), "was": one(3, G, G),
            "found": one(3, 128, 128), "motion": one(128), "seen": one(1, G, G),
        }
        values = {"texture128": levels["texture128"] * UNIT, "backdrop128": backdrop * UNIT, "sides": s.sides * UNIT, "harmonics": inputs.avatar["light"]}
        values |= {n: inputs.avatar[n] for n in ("features", "identity")} | {n: getattr(s, n) for n in ("code", *Scene._fields)}

        def run(module: torch.nn.Module, name: str, outputs: tuple[str, ...]) -> dict[str, Value]:
            given = {n: example[n] for n in inspect.signature(module.forward).parameters}
            # Outputs may not be called as inputs are.
            model = export(module, given, [f"{name}.{n}" for n in outputs])
            return dict(zip(outputs, inline(g, name, model, {n: values[n] for n in given})))

        self.moved = run(FoldedMover(net), "motion", Moved._fields)
        fore, alpha = self.fetch(inner)
        if inner > 128:
            fore, alpha = g.pool(fore, inner // 128), g.pool(alpha, inner // 128)
        self.found = fore + backdrop * (1.0 - alpha * UNIT)
        values |= self.moved | {"found": self.found * UNIT}
        self.decided = run(FoldedGenerator(net), "frame", Decided._fields)
        self.decided["rest"] = self.decided["rest"] + HALF
        self.detail = self.side_detail(s.detail, s.side) if s.detail else None

    def fetch(self, size: int) -> tuple[Value, Value]:
        """What the refined flow fetches from the portrait of one size: premultiplied colour [B,3,size,size], lit, and alpha
        [B,1,size,size], both in levels."""
        if size not in self.fetched:
            g = self.g
            at = g.spread_grid(self.moved["flow"], G, size) + g.const(pixel_grid(size, size)[None])
            fore, alpha = g.split(g.sample_all(self.levels[f"texture{size}"], at, size), 1, 3, 1)
            self.fetched[size] = fore * g.spread(self.moved["bright"], G, size), alpha
        return self.fetched[size]

    def frame(self, size: int) -> Value:
        """[B,3,size,size] in levels."""
        g, backdrop, (keep, behind, rest, _) = self.g, self.levels[f"backdrop{size}"], self.decided.values()
        if size == 128:
            return self.found * keep + backdrop * behind + rest
        large = lambda v, channels: g.resize(v, size, size, channels)  # noqa: E731
        fore, alpha = self.fetch(size)
        # The backdrop shows where it is chosen, and where the portrait is chosen and has no person.
        shown = large(keep, 1)
        frame = fore * shown + backdrop * (large(keep + behind, 1) - shown * (alpha * UNIT)) + large(rest, 3)
        if self.detail is None:
            return frame
        return frame + (self.detail if size == SIDE_DETAIL else large(self.detail, 3))

    def side_detail(self, detail: Value, side: Value) -> Value:
        """[B,3,256,256] in levels: what is finer in the side picture, detail [B,3,256,256] (128 is none), fetched by side [B,2,64,64], in the
        middle part of the frame, where heads are."""
        g, (top, bottom, left, right) = self.g, DETAIL_PART
        rows, columns = spreading(G, SIDE_DETAIL)[top:bottom], spreading(G, SIDE_DETAIL)[left:right]
        grid = pixel_grid(SIDE_DETAIL, SIDE_DETAIL)[top:bottom, left:right]
        at = g.transpose(rows @ (side @ g.const(np.ascontiguousarray(columns.T))), 0, 2, 3, 1) + g.const(grid[None].copy())
        found = g.sample_all(detail, at, SIDE_DETAIL, (bottom - top, right - left)) - 128.0
        # By matrices, which take the part of the frame that is wanted, and fade it out at the edges.
        fade = lambda first, last: np.clip((np.minimum(np.arange(first, last) - first, last - 1 - np.arange(first, last)) + 0.5) / FADE, 0, 1)  # noqa: E731
        rows = spreading(128, SIDE_DETAIL)[top:bottom] * fade(top, bottom)[:, None].astype(np.float32)
        columns = spreading(128, SIDE_DETAIL)[left:right] * fade(left, right)[:, None].astype(np.float32)
        found = found * (rows @ (self.decided["aside"] @ g.const(np.ascontiguousarray(columns.T))))
        return g.op("Pad", found, g.ints(0, 0, top, left, 0, 0, SIDE_DETAIL - bottom, SIDE_DETAIL - right))


def refine(g: Graph, net: Generator, windows, bases: list[Value], motion: Value, identity: Value, sizes) -> list[tuple[Value, ...]]:
    """What the refiners of mouth and eyes make of windows: shift, log light, mask and, of the mouth, paint, as Refiner
    gives them and feathered; bases: the frame's own pixels in each, [B*F,3,h,w] in 0..1; sizes: (w, h) of each."""
    one = lambda *shape: torch.rand(2, *shape)  # noqa: E731
    twice = lambda v, width: g.reshape(g.concat([g.unsqueeze(v, 1)] * 2, 1), -1, width)  # noqa: E731
    changes = []
    for name, refiner, window, base, count, (w, h) in zip(("mouth", "eyes"), (net.mouth, net.eyes), windows, bases, (1, 2), sizes):
        channels = len(MOUTH_GEOMETRY if count == 1 else EYE_GEOMETRY)
        example = {"base": one(3, h, w), "painted": one(3, h, w), "geometry": one(channels, h, w), "motion": one(128), "identity": one(IDENTITY)}
        folded = FoldedRefiner(refiner)
        model = export(folded, example, ["shift", "shine", "mask", *(["paint"] if folded.paints else [])])
        who = motion if count == 1 else twice(motion, 128)
        shift, shine, mask, *paint = inline(g, name, model, {"base": base, "painted": window.picture, "geometry": window.geometry, "motion": who})
        feather = window_feather(h, w).numpy()
        changes.append((shift, shine, mask * feather, *(p * feather for p in paint)))
    return changes


def moved(g: Graph, picture: Value, shift: Value, shape: tuple[int, int]) -> Value:
    """refiner.shifted and then sharper in the graph; shape: (width, height) of picture [B*F,3,h,w]."""
    w, h = shape
    edge = np.array([1 - 1 / w, 1 - 1 / h], np.float32).reshape(1, 2, 1, 1)
    places = g.max(g.min(shift + g.const(pixel_grid(h, w).transpose(2, 0, 1)[None]), edge), -edge)
    found = g.op("GridSample", picture, g.transpose(places, 0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=0)
    around = g.op("AveragePool", found, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=0)
    return found * (1 + SHARPER) - around * SHARPER


def read_windows(g: Graph, frame: Value, windows: tuple[PaintedWindow, ...], sizes) -> list[Value]:
    """The frame's own pixels in every window, [B*F,3,h,w] in 0..1; sizes: (w, h) of each."""
    return [(g.reshape(read_places(g, frame, v.places), -1, 3, h, w) - HALF) * UNIT for v, (w, h) in zip(windows, sizes)]


def blended(g: Graph, base: Value, window: PaintedWindow, change: tuple[Value, ...], shape: tuple[int, int]) -> Value:
    """A window of the frame, [B*F,3,h,w] in 0..1, of base in the same and what the refiner changes (`refine`)."""
    shift, shine, mask, *paint = change
    mixed = g.mix(base, moved(g, window.picture, shift, shape) * g.exp(shine), mask)
    return sum(paint, mixed)


def mouth_of_one_tone(g: Graph, inputs: Inputs, mouth: Value, shape: tuple[int, int]) -> Value:
    """The mouth's window [B,3,h,w] in 0..1; shape: (w, h)."""
    w, h = shape
    return g.reshape(of_one_tone(g, lambda name: inputs.pose(g, name), g.reshape(mouth, -1, 1, 3, w * h), 1), -1, 3, h, w)
