"""The encoder's graph up to everything that geometry, lifter, reader and turner find: all of an avatar but its learned features."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from portrait.graft import export, inline, inlined_lifter, inlined_reader
from portrait.layout import SIDE, SIDE_DETAIL, G
from portrait.lifter import Lifter, load as load_lifter
from portrait.reader import Reader, load as load_reader
from portrait.reading import avatar_tensors as reading_tensors, read_with
from portrait.stage import aside, aside_motion, mirror_first
from portrait.turner import INPUTS, DetailedTurner, Turner, load as load_turner
from warp.encoder import encoder_graph
from warp.facekit import Tables
from warp.graph import Graph, Value
from warp.layout import avatar_tensors as warp_tensors


class Looks(NamedTuple):
    """The networks that look at a portrait once, when it becomes an avatar."""

    lifter: Lifter
    reader: Reader
    turner: Turner


def load_looks(folder: Path = Path(__file__).parent) -> Looks:
    """From lifter.pt, reader.pt and turner.pt in a folder."""
    return Looks(load_lifter(folder / "lifter.pt"), load_reader(folder / "reader.pt"), load_turner(folder / "turner.pt"))


def avatar_tensors() -> list[dict]:
    """Warp's and the reader's, and the side pictures: sides (premultiplied, left and right), what is finer in them (128 is none),
    and where the nodes of the frontal grid lie in them, image coordinates."""
    return [
        *warp_tensors(), *reading_tensors(),
        {"name": "sides", "dtype": "uint8", "shape": [2, 4, SIDE, SIDE]},
        {"name": "side_detail", "dtype": "uint8", "shape": [2, 3, SIDE_DETAIL, SIDE_DETAIL]},
        {"name": "side_place", "dtype": "float32", "shape": [2, 2, G, G]},
    ]


def avatar_graph(t: Tables, looks: Looks) -> Graph:
    """portrait uint8 [512,512,3], landmarks [68,2] -> avatar_tensors()."""
    g = encoder_graph(t, read_with(inlined_reader(looks.reader)), inlined_lifter(looks.lifter))
    seen = aside(g, t, {x.name: Value(g, x.name) for x in g.outputs}, g.const(aside_motion()))
    shapes = {"texture256": (4, SIDE_DETAIL, SIDE_DETAIL), **INPUTS}
    once = np.ones((1, 1, 1), np.float32)
    texture = g.unsqueeze(g.cast(Value(g, "texture256"), "float32"), 0) * np.float32(1 / 255)
    given = {"texture256": mirror_first(g, g.concat([texture, texture], 0), SIDE_DETAIL, once), **seen.given}
    model = export(DetailedTurner(looks.turner), {n: torch.rand(2, *shape) * 0.1 for n, shape in shapes.items()}, ["turned", "detail"])
    sides, detail = inline(g, "turner", model, {n: given[n] for n in shapes}, halves=True)
    levels = lambda v, side, zero: g.cast(g.clip(mirror_first(g, v, side, once) * np.float32(255) + np.float32(zero + 0.5), 0, 255), "uint8")  # noqa: E731
    g.output(levels(sides, SIDE, 0), "sides", "uint8", [2, 4, SIDE, SIDE])
    g.output(levels(detail, SIDE_DETAIL, 128), "side_detail", "uint8", [2, 3, SIDE_DETAIL, SIDE_DETAIL])
    g.output(seen.place, "side_place", "float32", [2, 2, G, G])
    return g
