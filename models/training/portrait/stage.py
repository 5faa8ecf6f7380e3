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
from warp.windows import frame_index, paint_eyes, paint_mouth, read_places, window_pixels

FINE_STEPS = 2
RELIEF_STEPS = 2
LIGHT_REACH = 0.8
REST = 0.5  # how much of the expression that was read is taken off: the reading is noisy, and half of it gave the least landmark error
MIRROR = np.array([-1, 1, 1], np.float32)


@dataclass(frozen=True)
class PaintedWindow:
    """The mouth (F=1) or both eyes (F=2): places int64 [B*F*3*P] of its pixels in a flat frame [B,3,size,size]; corner
    [B,F,2,1] their first pixels; picture [B*F,3,h,w] as painted, 0..1; geometry [B*F,5 or 6,h,w], the coordinates it was
    painted by."""

    places: Value
    corner: Value
    picture: Value
    geometry: Value


@dataclass(frozen=True)
class Stage:
    """flow [B,2,G,G]: displacement into the portrait; mirror [B,2,G,G]: displacement to the same place on the face's
    other half; code [B,71]: what the frame shall show; light, mirror_light [B,3,G,G]: logarithm of what the picture's
    colours are to be multiplied by, now that the surface has turned; normal, was [B,3,G,G] of the surface as seen now and
    as it was seen in the portrait.
    """

    head: HeadFlow
    flow: Value
    mirror: Value
    code: Value
    light: Value
    mirror_light: Value
    normal: Value
    was: Value


def stage(g: Graph, t: Tables, inputs: Inputs) -> Stage:
    """The portrait's own expression is taken off what moves the face: a smile must not be smiled twice."""
    avatar = inputs.avatar
    head = head_flow(g, t, inputs, FINE_STEPS, rest=avatar["rest"] * REST)
    upper_nodes, lower_nodes = g.split(g.reshape(head.nodes, -1, 4, G, G), 1, 2, 2)
    nodes = g.where(head.side < 0.0, upper_nodes, lower_nodes)
    across = nodes * MIRROR[:2].reshape(1, 2, 1, 1)
    _, place = g.split(avatar["surface"], 1, 3, 2)
    # The same point of the face on its other half: seen where this one is hidden.
    there, here = g.split(g.sample(place, g.transpose(g.concat([across, nodes], 2), 0, 2, 3, 1), G), 2, G, G)
    mirror = there - here + head.flow

    log_scale = g.slice(inputs.motion, 1, 5, 6)
    back = g.transpose(g.reshape(inputs.pose(g, "rotation"), 0, 3, 3), 0, 2, 1)  # view of the portrait -> head
    # Of this half of the face and of the other: [B,2,3,3].
    turns = g.unsqueeze(head.rotation, 1) @ (g.unsqueeze(back, 1) * np.stack([np.ones((3, 1)), MIRROR.reshape(3, 1)]).astype(np.float32))
    scale = inputs.pose(g, "scale") * g.exp(log_scale)
    shape = avatar["shape"]
    flows = g.reshape(g.concat([head.upper, head.lower, mirror], 1), -1, 3, 2, G, G)
    flows = g.reshape(raise_relief(g, flows, g.gather(turns, [0, 0, 1], 1), scale, shape, 3), -1, 6, G, G)
    upper, lower, mirror = g.split(flows, 1, 2, 2, 2)
    flow = g.where(head.side < 0.0, upper, lower)
    lights, normals, before = relight(g, g.reshape(g.concat([flow, mirror], 1), -1, 2, 2, G, G), turns, shape, avatar["light"], np.stack([np.ones(3, np.float32), MIRROR]))
    light, mirror_light = (g.reshape(v, -1, 3, G, G) for v in g.split(lights, 2, 1, 1))
    normal, was = (g.reshape(g.slice(v, 2, 0, 1), -1, 3, G, G) for v in (normals, before))
    code = g.concat([head.expression, g.reshape(head.rotation, 0, 9), inputs.pose(g, "rotation"), log_scale], 1)
    head = replace(head, upper=upper, lower=lower, flow=flow)
    return Stage(head, flow, mirror, code, light, mirror_light, normal, was)


def raise_relief(g: Graph, flows: Value, turns: Value, scale: Value, shape: Value, layers: int) -> Value:
    """flows [B,L,2,G,G] of the mean face, corrected for what stands out of it (relief mapping).

    A point that stands r cm nearer to the viewer of the portrait is seen at F(p) - r s (turn z) instead of F(p). Its
    place p for a given point of the frame is found by fixed-point steps. turns [B,L,3,3]: the portrait's view to this one.
    """
    grid = g.const(pixel_grid(G, G)[None])
    relief = g.slice(shape, 1, 0, 1)
    ray = g.reshape(g.slice(g.slice(turns, 2, 0, 2), 3, 2, 3), -1, layers, 2, 1, 1) * g.reshape(scale, -1, 1, 1, 1, 1)
    flows = g.reshape(flows, -1, 2, G, G)  # [B*L,2,G,G]
    found = flows
    for _ in range(RELIEF_STEPS):
        # All layers look into the same relief: their grids lie one below the other.
        at = g.reshape(g.transpose(found, 0, 2, 3, 1) + grid, -1, layers * G, G, 2)
        off = g.reshape(ray * g.reshape(g.sample(relief, at, G), -1, layers, 1, G, G), -1, 2, G, G)
        found = off + g.sample(flows, g.transpose(off, 0, 2, 3, 1) + grid, G)
    return g.reshape(found, -1, layers, 2, G, G)


def relight(g: Graph, flows: Value, turns: Value, shape: Value, light: Value, still: np.ndarray) -> tuple[Value, Value, Value]:
    """(log of the picture's change of light, normals now, normals in the portrait, [B,3,L,G*G] each) of what flows
    [B,L,2,G,G] fetch from the portrait and turns [B,L,3,3] turn; still [L,3]: signs of the normals where nothing turns."""
    layers, cells = len(still), G * G
    places = g.transpose(g.reshape(flows, -1, 2, G, G), 0, 2, 3, 1) + g.const(pixel_grid(G, G)[None])
    found = g.sample(g.slice(shape, 1, 1, 8), g.reshape(places, -1, layers * G, G, 2), G)
    old, turned_share, glow = g.split(g.reshape(found, -1, 7, layers, cells), 1, 3, 1, 3)
    turned = g.transpose(turns @ g.transpose(old, 0, 2, 1, 3), 0, 2, 1, 3)
    normal = g.mix(old * still.T.reshape(1, 3, layers, 1), turned, turned_share)
    flat = g.reshape(normal, -1, 3, layers * cells)
    flat = flat / g.sqrt(np.ones((1, 3), np.float32) @ (flat * flat) + 1e-4)
    now = g.reshape(log_light(g, light, flat), -1, 3, layers, cells)
    return g.clip(now - glow, -LIGHT_REACH, LIGHT_REACH), g.reshape(flat, -1, 3, layers, cells), old


def paint(g: Graph, t: Tables, inputs: Inputs, head: HeadFlow, size: int, texture: Value, backdrop: Value) -> tuple[PaintedWindow, PaintedWindow]:
    """Mouth and eyes of a frame of one size; texture [B,4,size,size] premultiplied, backdrop [B,3,size,size], 0..255."""
    windows = painter(g, inputs, head, texture, size, mouth_window=MOUTH_WINDOW, eye_window=EYE_WINDOW)
    mouth_size, eye_size = windows.sizes()
    mouth_corner, eye_corners = windows.corners()
    mouth_at, mouth_points = window_pixels(g, mouth_corner, *mouth_size, size)
    eyes_at, eyes_points = window_pixels(g, eye_corners, *eye_size, size)
    mouth_places, eye_places = (g.reshape(frame_index(g, at, size * size), -1) for at in (mouth_at, eyes_at))

    def under(points, places, count, wh):
        upper, lower, side = g.split(windows.flow(points), 2, 2, 2, 1)
        colour, alpha = windows.texels(points + g.where(side < 0.0, upper, lower))
        behind = g.reshape(read_places(g, backdrop, places), -1, count, 3, wh[0] * wh[1])
        return colour + behind * (1.0 - alpha)

    unit = np.float32(1 / 255)
    mouth = paint_mouth(windows, mouth_points, under(mouth_points, mouth_places, 1, mouth_size)) * unit
    eyes = paint_eyes(windows, t, eyes_points, under(eyes_points, eye_places, 2, eye_size)) * unit
    image = lambda v, channels, wh: g.reshape(v, -1, channels, wh[1], wh[0])  # noqa: E731
    # Outer corner at h = -1 in either eye.
    windows.seen["eye_h"] = windows.seen["eye_h"] * np.array([1, -1], np.float32).reshape(1, 2, 1, 1)
    seen = lambda names: g.clip(g.concat([windows.seen[n] for n in names], 2), -2.5, 2.5)  # noqa: E731
    return (
        PaintedWindow(mouth_places, mouth_corner, image(mouth, 3, mouth_size), image(seen(MOUTH_GEOMETRY), len(MOUTH_GEOMETRY), mouth_size)),
        PaintedWindow(eye_places, eye_corners, image(eyes, 3, eye_size), image(seen(EYE_GEOMETRY), len(EYE_GEOMETRY), eye_size)),
    )
