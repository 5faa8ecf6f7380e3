"""The renderer's first stage, without learned weights: flow, the driver's code, and painted windows.

It is built from the pieces of `warp`; the same nodes run in training (run once over the data by prepare.py) and in
the product (build.py joins them with the network), so that there is nothing to keep in step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from portrait.layout import EYE_GEOMETRY, EYE_WINDOW, MOUTH_GEOMETRY, MOUTH_WINDOW, SIDE, SIDE_DETAIL, SIDE_YAW
from portrait.reading import harmonics, log_light, shade
from warp.facekit import Tables
from warp.graph import Graph, Value, pixel_grid
from warp.layout import G
from warp.renderer import HeadFlow, Inputs, head_flow, painter
from warp.windows import frame_index, paint_eyes, paint_mouth, read_places, window_pixels

FINE_STEPS = 2
RELIEF_STEPS = 2
LIGHT_REACH = 0.8
REST = 0.8  # how much of the expression that was read is taken off: the reading is noisy
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
    """A view of the head before it has side pictures. flow [B,2,G,G]: displacement into the portrait, and flat, that of the
    mean face, before its relief; nodes [B,2,G,G]: what is seen, over the frontal grid, by the mean face, and off [B,2,G,G],
    by how much its relief moves that in the view; turn [B,3,3]: the portrait's view to this one; beside [B,2,G,G]: the map
    that came with the flows (`see`), where the relief moved it.
    """

    head: HeadFlow
    flow: Value
    flat: Value
    nodes: Value
    off: Value
    turn: Value
    beside: Value | None


@dataclass(frozen=True)
class Stage:
    """flow as in Seen; side [B,2,G,G]: displacement into the picture of the head's nearer side, which is the one
    given as sides [B,4,128,128] (premultiplied, 0..255), with what is finer in it as detail [B,3,256,256] (levels, 128 is none; for frames
    that show it); code [B,71]: what the frame shall show; light, side_light
    [B,3,G,G]: logarithm of what a picture's colours are to be multiplied by, now that the surface has turned; normal, was
    [B,3,G,G] of the surface as seen now and as it was seen in the portrait.
    """

    head: HeadFlow
    flow: Value
    side: Value
    sides: Value
    detail: Value | None
    code: Value
    light: Value
    side_light: Value
    normal: Value
    was: Value


def mean_head(g: Graph, t: Tables, inputs: Inputs) -> tuple[HeadFlow, Value]:
    """The mean face's flows, and what is seen of it: nodes [B,2,G,G] over the frontal grid. The portrait's own expression is
    taken off what moves the face: a smile must not be smiled twice."""
    head = head_flow(g, t, inputs, FINE_STEPS, rest=inputs.avatar["rest"] * REST)
    return head, g.where(head.side < 0.0, *g.split(g.reshape(head.nodes, -1, 4, G, G), 1, 2, 2))


def see(g: Graph, inputs: Inputs, head: HeadFlow, nodes: Value, beside: Value | None = None) -> Seen:
    """The mean face's view with its relief; beside [B,2,G,G]: a map that the relief shall move as it moves the flows."""
    turn = head.rotation @ back_turn(g, inputs)
    off = relief_shift(g, head.flow, turn, scale_now(g, inputs), inputs.avatar["shape"])
    maps = [head.upper, head.lower, *([beside] if beside else [])]
    upper, lower, *moved = g.split(g.sample(g.concat(maps, 1), places(g, off), G), 1, *[2] * len(maps))
    upper, lower = upper + off, lower + off
    flow = g.where(head.side < 0.0, upper, lower)
    return Seen(replace(head, upper=upper, lower=lower, flow=flow), flow, head.flow, nodes, off, turn, *(moved or [None]))


def across(g: Graph, inputs: Inputs, seen: Seen) -> Value:
    """Displacement [B,2,G,G] into the portrait to the same place on the face's other half, which may be seen where this one
    is hidden."""
    _, place = g.split(inputs.avatar["surface"], 1, 3, 2)
    both = g.concat([seen.nodes * MIRROR[:2].reshape(1, 2, 1, 1), seen.nodes], 2)
    there, here = g.split(g.sample(place, g.transpose(both, 0, 2, 3, 1), G), 2, G, G)
    flow = there - here + seen.flat
    turn = seen.head.rotation @ (back_turn(g, inputs) * MIRROR.reshape(1, 3, 1))
    off = relief_shift(g, flow, turn, scale_now(g, inputs), inputs.avatar["shape"])
    return g.sample(flow, places(g, off), G) + off


def stage(g: Graph, t: Tables, inputs: Inputs) -> Stage:
    """A view of an avatar that has side pictures."""
    avatar = inputs.avatar
    head, nodes = mean_head(g, t, inputs)
    # The head's right side comes into view when it turns by a positive yaw.
    positive = g.reshape(g.slice(g.reshape(head.rotation, 0, 9), 1, 2, 3), -1, 1, 1, 1) > 0.0
    chosen = lambda v, *shape: g.where(positive, *(g.reshape(half, -1, *shape) for half in reversed(g.split(v, 1, 1, 1))))  # noqa: E731
    side_map = chosen(avatar["side_place"], 2, G, G)
    sides = chosen(g.cast(avatar["sides"], "float32"), 4, SIDE, SIDE)
    # Chosen before it is cast, which takes longer.
    detail = g.cast(chosen(avatar["side_detail"], 3, SIDE_DETAIL, SIDE_DETAIL), "float32") if "side_detail" in avatar else None
    turned = np.stack([side_rotation(yaw) for yaw in (-SIDE_YAW, SIDE_YAW)])
    sign = g.cast(positive, "float32")
    side_turn = (g.const(turned[:1]) + g.reshape(sign, -1, 1, 1) * (turned[1:] - turned[:1])) @ back_turn(g, inputs)

    mean = g.sample(side_map, g.transpose(nodes, 0, 2, 3, 1), G) - pixel_grid(G, G).transpose(2, 0, 1)[None]
    mean = g.op("AveragePool", mean, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=0)
    seen = see(g, inputs, head, nodes, mean)
    found = surface(g, seen.flow, g.concat([g.unsqueeze(v, 1) for v in (seen.turn, side_turn)], 1), avatar["shape"])
    ray = g.reshape(g.slice(g.slice(side_turn, 1, 0, 2), 2, 2, 3), -1, 2, 1, 1) * g.reshape(inputs.pose(g, "scale"), -1, 1, 1, 1)
    side = seen.beside + seen.off - ray * found.relief
    now, there = light_on(g, avatar, found, 2)
    normal = g.slice(found.normals, 2, 0, 1)
    code = g.concat([seen.head.expression, g.reshape(head.rotation, 0, 9), inputs.pose(g, "rotation"), log_scale(g, inputs)], 1)
    maps = lambda v: g.reshape(v, -1, 3, G, G)  # noqa: E731
    return Stage(seen.head, seen.flow, side, sides, detail, code, relight(g, now - found.glow), relight(g, now - there), maps(normal), maps(found.was))


def back_turn(g: Graph, inputs: Inputs) -> Value:
    """[B,3,3]: the portrait's view to the head."""
    return g.transpose(g.reshape(inputs.pose(g, "rotation"), 0, 3, 3), 0, 2, 1)


def log_scale(g: Graph, inputs: Inputs) -> Value:
    return g.slice(inputs.motion, 1, 5, 6)


def scale_now(g: Graph, inputs: Inputs) -> Value:
    """[B,1]: picture units per cm of the head as it is drawn."""
    return inputs.pose(g, "scale") * g.exp(log_scale(g, inputs))


def side_rotation(yaw: float) -> np.ndarray:
    """[3,3] of a head turned by yaw (rad)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def places(g: Graph, displacement: Value) -> Value:
    """Where displacements [B,2,G,G] of the cells lead, as GridSample wants it: [B,G,G,2]."""
    return g.transpose(displacement, 0, 2, 3, 1) + pixel_grid(G, G)[None]


def relief_shift(g: Graph, flow: Value, turn: Value, scale: Value, shape: Value) -> Value:
    """How far what stands out of the mean face moves what is seen (relief mapping): cell u shows what the mean face's flow has
    at u + shift(u), shift(u) further on.

    A point that stands r cm nearer to the viewer of the portrait is seen at F(p) - r s (turn z) instead of F(p). Its
    place p for a given point of the frame is found by fixed-point steps. flow, shift [B,2,G,G]; turn [B,3,3]: the portrait's
    view to this one; scale [B,1]: picture units per cm.
    """
    relief = g.slice(shape, 1, 0, 1)
    ray = g.reshape(g.slice(g.slice(turn, 1, 0, 2), 2, 2, 3), -1, 2, 1, 1) * g.reshape(scale, -1, 1, 1, 1)
    off = ray * g.sample(relief, places(g, flow), G)
    for _ in range(RELIEF_STEPS - 1):
        off = ray * g.sample(relief, places(g, g.sample(flow, places(g, off), G) + off), G)
    return off


@dataclass(frozen=True)
class Surface:
    """What is seen of the head's surface. normals [B,3,L,G*G]: unit vectors, in L views; was [B,3,1,G*G] as they are in the
    portrait; skin [B,1,1,G*G]: how much is skin; glow [B,3,1,G*G]: logarithm of the light on it in the portrait; relief
    [B,1,G,G] in cm."""

    normals: Value
    was: Value
    skin: Value
    glow: Value
    relief: Value


def surface(g: Graph, flow: Value, turns: Value, shape: Value) -> Surface:
    """Of what flow [B,2,G,G] fetches from the portrait, turned by turns [B,L,3,3]."""
    relief, found = g.split(g.sample(shape, places(g, flow), G), 1, 1, 8)
    old, share, skin, glow = g.split(g.reshape(found, -1, 8, 1, G * G), 1, 3, 1, 1, 3)
    turned = g.transpose(turns @ g.transpose(old, 0, 2, 1, 3), 0, 2, 1, 3)
    normal = g.mix(old, turned, share)
    return Surface(normal / g.sqrt(g.sum(normal * normal, 1) + 1e-4), old, skin, glow, relief)


def light_on(g: Graph, avatar: dict[str, Value], found: Surface, layers: int) -> list[Value]:
    """Logarithm of the light on each layer of normals, [B,3,1,G*G] each: the one that was read, and how skin shades in it."""
    basis = harmonics(g, g.reshape(found.normals, 0, 3, layers * G * G))
    every = lambda v: g.reshape(v, -1, 3, layers, G * G)  # noqa: E731
    lit = every(log_light(g, avatar["light"], basis)) + every(shade(g, avatar["shading"], basis)) * found.skin
    return g.split(lit, 2, *[1] * layers)


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
    inputs = Inputs({n: twice(avatar[n]) for n in ("pose", "anchors", "keypoints", "surface", "shape", "light", "shading", "rest")}, motion, g.const(np.zeros((2, 2))))
    seen = see(g, inputs, *mean_head(g, t, inputs))
    found = surface(g, seen.flow, g.unsqueeze(seen.turn, 1), inputs.avatar["shape"])
    (now,) = light_on(g, inputs.avatar, found, 1)
    position, _ = g.split(inputs.avatar["surface"], 1, 3, 2)
    maps = {
        "flow": seen.flow, "mirror": across(g, inputs, seen), "light": relight(g, now - found.glow), "normal": g.reshape(found.normals, -1, 3, G, G),
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
