"""The renderer's first stage, without learned weights: flow, the driver's code, and painted windows.

It is built from the pieces of `warp`; the same nodes run in training (run once over the data by prepare.py) and in
the product (build.py joins them with the network), so that there is nothing to keep in step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from portrait.layout import EYE_GEOMETRY, EYE_WINDOW, MOUTH_GEOMETRY, MOUTH_WINDOW, SIDE, SIDE_YAW
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
class Seen:
    """A view of the head before it has side pictures. flow [B,2,G,G]: displacement into the portrait; mirror [B,2,G,G]:
    displacement to the same place on the face's other half; nodes [B,2,G,G]: what is seen, over the frontal grid, by the
    mean face, and off [B,2,G,G], by how much its relief moves that in the view; turns [B,2,3,3]: the portrait's view to
    this one, of this half of the face and of the other.
    """

    head: HeadFlow
    flow: Value
    mirror: Value
    nodes: Value
    off: Value
    turns: Value


@dataclass(frozen=True)
class Stage:
    """flow, mirror as in Seen; side [B,2,G,G]: displacement into the picture of the head's nearer side, which is the one
    given as sides [B,4,128,128] (premultiplied, 0..255); code [B,71]: what the frame shall show; light, side_light
    [B,3,G,G]: logarithm of what a picture's colours are to be multiplied by, now that the surface has turned; normal, was
    [B,3,G,G] of the surface as seen now and as it was seen in the portrait.
    """

    head: HeadFlow
    flow: Value
    mirror: Value
    side: Value
    sides: Value
    code: Value
    light: Value
    side_light: Value
    normal: Value
    was: Value


def see(g: Graph, t: Tables, inputs: Inputs) -> Seen:
    """The portrait's own expression is taken off what moves the face: a smile must not be smiled twice."""
    avatar = inputs.avatar
    head = head_flow(g, t, inputs, FINE_STEPS, rest=avatar["rest"] * REST)
    nearer = lambda both, channels: g.where(head.side < 0.0, *g.split(both, 1, channels, channels))  # noqa: E731
    nodes = nearer(g.reshape(head.nodes, -1, 4, G, G), 2)
    across = nodes * MIRROR[:2].reshape(1, 2, 1, 1)
    _, place = g.split(avatar["surface"], 1, 3, 2)
    # The same point of the face on its other half: seen where this one is hidden.
    there, here = g.split(g.sample(place, g.transpose(g.concat([across, nodes], 2), 0, 2, 3, 1), G), 2, G, G)
    mirror = there - here + head.flow

    # Of this half of the face and of the other: [B,2,3,3].
    turns = g.unsqueeze(head.rotation, 1) @ (g.unsqueeze(back_turn(g, inputs), 1) * np.stack([np.ones((3, 1)), MIRROR.reshape(3, 1)]).astype(np.float32))
    scale = inputs.pose(g, "scale") * g.exp(log_scale(g, inputs))
    flows = g.reshape(g.concat([head.upper, head.lower, mirror], 1), -1, 3, 2, G, G)
    flows, offs = raise_relief(g, flows, g.gather(turns, [0, 0, 1], 1), scale, avatar["shape"], 3)
    both, mirror = g.split(g.reshape(flows, -1, 6, G, G), 1, 4, 2)
    upper, lower = g.split(both, 1, 2, 2)
    off = nearer(g.slice(g.reshape(offs, -1, 6, G, G), 1, 0, 4), 2)
    head = replace(head, upper=upper, lower=lower, flow=nearer(both, 2))
    return Seen(head, head.flow, mirror, nodes, off, turns)


def stage(g: Graph, t: Tables, inputs: Inputs) -> Stage:
    """A view of an avatar that has side pictures."""
    avatar, seen = inputs.avatar, see(g, t, inputs)
    rotation = seen.head.rotation
    # The head's right side comes into view when it turns by a positive yaw.
    positive = g.reshape(g.slice(g.reshape(rotation, 0, 9), 1, 2, 3), -1, 1, 1, 1) > 0.0
    chosen = lambda v, *shape: g.where(positive, *(g.reshape(half, -1, *shape) for half in reversed(g.split(v, 1, 1, 1))))  # noqa: E731
    side_map = chosen(avatar["side_place"], 2, G, G)
    sides = chosen(g.cast(avatar["sides"], "float32"), 4, SIDE, SIDE)
    turned = np.stack([side_rotation(yaw) for yaw in (-SIDE_YAW, SIDE_YAW)])
    sign = g.cast(positive, "float32")
    side_turn = (g.const(turned[:1]) + g.reshape(sign, -1, 1, 1) * (turned[1:] - turned[:1])) @ back_turn(g, inputs)

    grid = g.const(pixel_grid(G, G)[None])
    at = lambda v: g.transpose(v, 0, 2, 3, 1)  # noqa: E731
    mean = g.sample(side_map, at(seen.nodes), G) - g.const(pixel_grid(G, G).transpose(2, 0, 1)[None])
    mean = g.op("AveragePool", mean, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=0)
    relief = g.sample(g.slice(avatar["shape"], 1, 0, 1), at(seen.flow) + grid, G)
    ray = g.reshape(g.slice(g.slice(side_turn, 1, 0, 2), 2, 2, 3), -1, 2, 1, 1) * g.reshape(inputs.pose(g, "scale"), -1, 1, 1, 1)
    side = g.sample(mean, at(seen.off) + grid, G) + seen.off - ray * relief

    turns = g.concat([g.slice(seen.turns, 1, 0, 1), g.unsqueeze(side_turn, 1)], 1)
    normals, was, glow = surface(g, seen.flow, turns, avatar["shape"])
    now, there = light_on(g, avatar["light"], normals, 2)
    normal = g.slice(normals, 2, 0, 1)
    code = g.concat([seen.head.expression, g.reshape(rotation, 0, 9), inputs.pose(g, "rotation"), log_scale(g, inputs)], 1)
    maps = lambda v: g.reshape(v, -1, 3, G, G)  # noqa: E731
    return Stage(seen.head, seen.flow, seen.mirror, side, sides, code, relight(g, now - glow), relight(g, now - there), maps(normal), maps(was))


def back_turn(g: Graph, inputs: Inputs) -> Value:
    """[B,3,3]: the portrait's view to the head."""
    return g.transpose(g.reshape(inputs.pose(g, "rotation"), 0, 3, 3), 0, 2, 1)


def log_scale(g: Graph, inputs: Inputs) -> Value:
    return g.slice(inputs.motion, 1, 5, 6)


def side_rotation(yaw: float) -> np.ndarray:
    """[3,3] of a head turned by yaw (rad)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def raise_relief(g: Graph, flows: Value, turns: Value, scale: Value, shape: Value, layers: int) -> tuple[Value, Value]:
    """flows [B,L,2,G,G] of the mean face, corrected for what stands out of it (relief mapping), and how far that moved
    what is seen, [B,L,2,G,G].

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
    return g.reshape(found, -1, layers, 2, G, G), g.reshape(off, -1, layers, 2, G, G)


def surface(g: Graph, flow: Value, turns: Value, shape: Value) -> tuple[Value, Value, Value]:
    """(unit normals [B,3,L,G*G] of what flow [B,2,G,G] fetches from the portrait, turned by turns [B,L,3,3], the same
    as they are in the portrait [B,3,1,G*G], logarithm of the light on them there [B,3,1,G*G])."""
    places = g.transpose(flow, 0, 2, 3, 1) + g.const(pixel_grid(G, G)[None])
    found = g.sample(g.slice(shape, 1, 1, 8), places, G)
    old, share, glow = g.split(g.reshape(found, -1, 7, 1, G * G), 1, 3, 1, 3)
    turned = g.transpose(turns @ g.transpose(old, 0, 2, 1, 3), 0, 2, 1, 3)
    normal = g.mix(old, turned, share)
    return normal / g.sqrt(g.sum(normal * normal, 1) + 1e-4), old, glow


def light_on(g: Graph, light: Value, normals: Value, layers: int) -> list[Value]:
    """Logarithm of the light [B,9,3] on each layer of normals [B,3,L,G*G], [B,3,1,G*G] each."""
    found = g.reshape(log_light(g, light, g.reshape(normals, 0, 3, layers * G * G)), -1, 3, layers, G * G)
    return g.split(found, 2, *[1] * layers)


def relight(g: Graph, change: Value) -> Value:
    """[B,3,G,G], within reach, of a change of light [B,3,1,G*G]."""
    return g.reshape(g.clip(change, -LIGHT_REACH, LIGHT_REACH), -1, 3, G, G)


@dataclass(frozen=True)
class Aside:
    """Both side pictures' views, the left one in the mirror, so that the head always turns to the same side: what the
    Turner is given (turner.py), [2,...] each, and place [2,2,G,G]: where every node lies in the side picture, not mirrored."""

    given: dict[str, Value]
    place: Value


def aside_motion() -> np.ndarray:
    """[2,58]: the head at rest, turned to either side."""
    motion = np.zeros((2, 58), np.float32)
    motion[:, 1] = -SIDE_YAW, SIDE_YAW
    return motion


def aside(g: Graph, t: Tables, avatar: dict[str, Value], motion: Value) -> Aside:
    """avatar: tensors without a batch; motion [2,58]: aside_motion, in training with the place and size that the truth has."""
    twice = lambda v: g.concat([g.unsqueeze(v, 0)] * 2, 0)  # noqa: E731
    inputs = Inputs({n: twice(avatar[n]) for n in ("pose", "anchors", "keypoints", "surface", "shape", "light", "rest")}, motion, g.const(np.zeros((2, 2))))
    seen = see(g, t, inputs)
    normal, _, glow = surface(g, seen.flow, g.slice(seen.turns, 1, 0, 1), inputs.avatar["shape"])
    (now,) = light_on(g, inputs.avatar["light"], normal, 1)
    position, _ = g.split(inputs.avatar["surface"], 1, 3, 2)
    maps = {
        "flow": seen.flow, "mirror": seen.mirror, "light": relight(g, now - glow), "normal": g.reshape(normal, -1, 3, G, G),
        "position": g.sample(position, g.transpose(seen.nodes, 0, 2, 3, 1), G) * 0.1,
    }
    signs = {"flow": MIRROR[:2], "mirror": MIRROR[:2], "light": np.ones(3, np.float32), "normal": MIRROR, "position": MIRROR}
    given = {n: mirror_first(g, v, G, signs[n].reshape(-1, 1, 1)) for n, v in maps.items()}
    for name in ("texture128", "backdrop128"):
        given[name] = mirror_first(g, twice(g.cast(avatar[name], "float32")) * np.float32(1 / 255), 128, np.ones((1, 1, 1), np.float32))
    return Aside(given, g.slice(seen.head.forward, 0, 0, 4, 2))


def mirror_first(g: Graph, v: Value, side: int, signs: np.ndarray) -> Value:
    """v [2,C,side,side] with its first picture in the mirror, signs [C,1,1] of its channels there."""
    left, right = g.split(v, 0, 1, 1)
    left = g.gather(left, np.arange(side)[::-1].copy(), 3)
    left = left * signs
    return g.concat([left, right], 0)


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
