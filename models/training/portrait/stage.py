"""The renderer's first stage, without learned weights: flow, the driver's code, and painted windows.

It is built from the pieces of `warp`; the same nodes run in training (run once over the data by prepare.py) and in
the product (build.py joins them with the network), so that there is nothing to keep in step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portrait.layout import EYE_GEOMETRY, EYE_WINDOW, MOUTH_GEOMETRY, MOUTH_WINDOW
from warp.facekit import Tables
from warp.graph import Graph, Value
from warp.layout import G
from warp.renderer import HeadFlow, Inputs, head_flow, painter
from warp.windows import paint_eyes, paint_mouth, window_pixels

FINE_STEPS = 2


@dataclass(frozen=True)
class PaintedWindow:
    """The mouth (F=1) or both eyes (F=2): at int64 [B,F,1,P] places in the frame; corner [B,F,2,1] their first pixels;
    picture [B*F,3,h,w] as painted, 0..1; geometry [B*F,5 or 6,h,w], the coordinates it was painted by."""

    at: Value
    corner: Value
    picture: Value
    geometry: Value


@dataclass(frozen=True)
class Stage:
    """flow [B,2,G,G]: displacement into the portrait; mirror [B,2,G,G]: displacement to the same place on the face's
    other half; code [B,71]: what the frame shall show.
    """

    head: HeadFlow
    flow: Value
    mirror: Value
    code: Value


def stage(g: Graph, t: Tables, inputs: Inputs) -> Stage:
    head = head_flow(g, t, inputs, FINE_STEPS)
    upper_nodes, lower_nodes = g.split(g.reshape(head.nodes, -1, 4, G, G), 1, 2, 2)
    nodes = g.where(head.side < 0.0, upper_nodes, lower_nodes)
    _, place = g.split(inputs.avatar["surface"], 1, 3, 2)
    across = g.transpose(nodes * np.array([-1, 1], np.float32).reshape(1, 2, 1, 1), 0, 2, 3, 1)
    # The same point of the face on its other half: seen where this one is hidden.
    mirror = g.sample(place, across, G) - g.sample(place, g.transpose(nodes, 0, 2, 3, 1), G) + head.flow
    log_scale = g.slice(inputs.motion, 1, 5, 6)
    code = g.concat([head.expression, g.reshape(head.rotation, 0, 9), inputs.pose(g, "rotation"), log_scale], 1)
    return Stage(head, head.flow, mirror, code)


def paint(g: Graph, t: Tables, inputs: Inputs, head: HeadFlow, size: int, texture: Value, backdrop: Value) -> tuple[PaintedWindow, PaintedWindow]:
    """Mouth and eyes of a frame of one size; texture [B,4,size,size] premultiplied, backdrop [B,3,size,size], 0..255."""
    windows = painter(g, inputs, head, texture, size, mouth_window=MOUTH_WINDOW, eye_window=EYE_WINDOW)
    mouth_size, eye_size = windows.sizes()
    mouth_corner, eye_corners = windows.corners()
    mouth_at, mouth_points = window_pixels(g, mouth_corner, *mouth_size, size)
    eyes_at, eyes_points = window_pixels(g, eye_corners, *eye_size, size)

    def under(points):
        upper, lower, side = g.split(windows.flow(points), 2, 2, 2, 1)
        flow = g.where(side < 0.0, upper, lower)
        found = g.transpose(g.sample(texture, g.transpose(points + flow, 0, 1, 3, 2), size), 0, 2, 1, 3)
        fore, alpha = g.split(found, 2, 3, 1)
        behind = g.transpose(g.sample(backdrop, g.transpose(points, 0, 1, 3, 2), size), 0, 2, 1, 3)
        return fore + behind * (1.0 - alpha * np.float32(1 / 255))

    unit = np.float32(1 / 255)
    mouth = paint_mouth(windows, mouth_points, under(mouth_points)) * unit
    eyes = paint_eyes(windows, t, eyes_points, under(eyes_points)) * unit
    image = lambda v, channels, wh: g.reshape(v, -1, channels, wh[1], wh[0])  # noqa: E731
    # Outer corner at h = -1 in either eye.
    windows.seen["eye_h"] = windows.seen["eye_h"] * np.array([1, -1], np.float32).reshape(1, 2, 1, 1)
    seen = lambda names: g.clip(g.concat([windows.seen[n] for n in names], 2), -2.5, 2.5)  # noqa: E731
    return (
        PaintedWindow(mouth_at, mouth_corner, image(mouth, 3, mouth_size), image(seen(MOUTH_GEOMETRY), len(MOUTH_GEOMETRY), mouth_size)),
        PaintedWindow(eyes_at, eye_corners, image(eyes, 3, eye_size), image(seen(EYE_GEOMETRY), len(EYE_GEOMETRY), eye_size)),
    )
