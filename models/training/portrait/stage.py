"""The renderer's first stage, without learned weights: flow, the driver's code, and painted windows.

It is built from the pieces of `warp`; the same nodes run in training (run once over the data by prepare.py) and in
the product (build.py joins them with the network), so that there is nothing to keep in step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from portrait.layout import EYE_GEOMETRY, EYE_WINDOW, MOUTH_GEOMETRY, MOUTH_WINDOW
from portrait.reading import log_light
from warp.facekit import Tables
from warp.graph import Graph, Value, pixel_grid
from warp.layout import G
from warp.renderer import HeadFlow, Inputs, head_flow, painter
from warp.windows import paint_eyes, paint_mouth, window_pixels

FINE_STEPS = 2
RELIEF_STEPS = 2
LIGHT_REACH = 0.8
REST = 0.5  # how much of the expression that was read is taken off: the reading is noisy, and half of it gave the least landmark error
MIRROR = np.array([-1, 1, 1], np.float32)


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
    other half; code [B,71]: what the frame shall show; light, mirror_light [B,3,G,G]: logarithm of what the picture's
    colours are to be multiplied by, now that the surface has turned; normal [B,3,G,G] of the surface as seen now.
    """

    head: HeadFlow
    flow: Value
    mirror: Value
    code: Value
    light: Value
    mirror_light: Value
    normal: Value


def stage(g: Graph, t: Tables, inputs: Inputs) -> Stage:
    """The portrait's own expression is taken off what moves the face: a smile must not be smiled twice."""
    avatar = inputs.avatar
    head = head_flow(g, t, inputs, FINE_STEPS, rest=avatar["rest"] * REST)
    upper_nodes, lower_nodes = g.split(g.reshape(head.nodes, -1, 4, G, G), 1, 2, 2)
    nodes = g.where(head.side < 0.0, upper_nodes, lower_nodes)
    _, place = g.split(avatar["surface"], 1, 3, 2)
    across = g.transpose(nodes * MIRROR[:2].reshape(1, 2, 1, 1), 0, 2, 3, 1)
    # The same point of the face on its other half: seen where this one is hidden.
    mirror = g.sample(place, across, G) - g.sample(place, g.transpose(nodes, 0, 2, 3, 1), G) + head.flow

    log_scale = g.slice(inputs.motion, 1, 5, 6)
    back = g.transpose(g.reshape(inputs.pose(g, "rotation"), 0, 3, 3), 0, 2, 1)  # view of the portrait -> head
    turn, across_turn = head.rotation @ back, head.rotation @ (back * MIRROR.reshape(1, 3, 1))
    scale = inputs.pose(g, "scale") * g.exp(log_scale)
    shape = avatar["shape"]
    upper, lower = (raise_relief(g, flow, turn, scale, shape) for flow in (head.upper, head.lower))
    flow, mirror = g.where(head.side < 0.0, upper, lower), raise_relief(g, mirror, across_turn, scale, shape)
    light, normal = relight(g, flow, turn, shape, avatar["light"], np.ones(3, np.float32))
    mirror_light, _ = relight(g, mirror, across_turn, shape, avatar["light"], MIRROR)
    code = g.concat([head.expression, g.reshape(head.rotation, 0, 9), inputs.pose(g, "rotation"), log_scale], 1)
    head = replace(head, upper=upper, lower=lower, flow=flow)
    return Stage(head, flow, mirror, code, light, mirror_light, normal)


def raise_relief(g: Graph, flow: Value, turn: Value, scale: Value, shape: Value) -> Value:
    """flow [B,2,G,G] of the mean face, corrected for what stands out of it (relief mapping).

    A point that stands r cm nearer to the viewer of the portrait is seen at F(p) - r s (turn z) instead of F(p). Its
    place p for a given point of the frame is found by fixed-point steps. turn [B,3,3]: the portrait's view to this one.
    """
    grid = g.const(pixel_grid(G, G).transpose(2, 0, 1)[None])
    relief = g.slice(shape, 1, 0, 1)
    ray = g.reshape(g.slice(g.slice(turn, 1, 0, 2), 2, 2, 3), -1, 2, 1, 1) * g.reshape(scale, -1, 1, 1, 1)
    found = flow
    for _ in range(RELIEF_STEPS):
        off = ray * g.sample(relief, g.transpose(grid + found, 0, 2, 3, 1), G)
        found = off + g.sample(flow, g.transpose(grid + off, 0, 2, 3, 1), G)
    return found


def relight(g: Graph, flow: Value, turn: Value, shape: Value, light: Value, still: np.ndarray) -> tuple[Value, Value]:
    """(log of the picture's change of light [B,3,G,G], normal [B,3,G,G]) of what flow fetches from the portrait and turn
    [B,3,3] turns; still [3]: signs of the normal where nothing turns."""
    place = g.transpose(g.const(pixel_grid(G, G).transpose(2, 0, 1)[None]) + flow, 0, 2, 3, 1)
    old, turns, glow = g.split(g.sample(g.slice(shape, 1, 1, 8), place, G), 1, 3, 1, 3)
    turned = g.reshape(turn @ g.reshape(old, 0, 3, G * G), 0, 3, G, G)
    normal = g.mix(old * still.reshape(1, 3, 1, 1), turned, turns)
    normal = normal / g.sqrt(g.sum(normal * normal, 1) + 1e-4)
    now = g.reshape(log_light(g, light, g.reshape(normal, 0, 3, G * G)), 0, 3, G, G)
    return g.clip(now - glow, -LIGHT_REACH, LIGHT_REACH), normal


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
