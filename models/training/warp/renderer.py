"""The renderer graph: avatar tensors of slots, motion and view become frames.

1. Keypoints: x_d = s (R (x_c + delta)) + t (face-vid2vid eq. 2; here delta turns with the head).
2. A forward map F on the head's frontal 64x64 grid: every node is a point on the head, displaced by the
   expression field, turned, projected, and blended into the still torso along the neck (geometry.py). Two
   of them, one for each side of the mouth's line.
3. F is inverted by Newton steps, which gives for every output cell its node, and so its place in the portrait.
4. The portrait's foreground is sampled there and laid over the backdrop (unmultiplied colours).
5. Mouth and eyes are done again, exactly, in small windows (see windows.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warp.curves import curve, local_frame, to_local
from warp.facekit import EXPRESSIONS, FIELD, INDEX, Tables
from warp.geometry import constant_weights, project_head, to_grid
from warp.graph import Graph, Value, pixel_grid
from warp.layout import G, KEYPOINTS, POSE, renderer_tensors
from warp.windows import Windows, paint_windows

EDGE = 1 - 1 / G  # outermost node
COARSE_STEPS = 9
SOFT = 5  # nodes across which the Jacobian is averaged
FINE_STEPS = {128: 2, 256: 3, 512: 3}
SLACK = 0.25  # cm of picture per cm of grid that hidden points keep


def rotation_matrix(g: Graph, pitch, yaw, roll) -> Value:
    """Rz(roll) Ry(yaw) Rx(pitch), [B,3,3] from [B,1] angles; roll may be None."""
    sin, cos = lambda a: g.op("Sin", a), lambda a: g.op("Cos", a)  # noqa: E731
    sx, cx, sy, cy = sin(pitch), cos(pitch), sin(yaw), cos(yaw)
    zero = cx * 0.0
    tilt = g.reshape(g.concat([cy, sy * sx, sy * cx, zero, cx, -sx, -sy, cy * sx, cy * cx], 1), 0, 3, 3)
    if roll is None:
        return tilt
    sz, cz = sin(roll), cos(roll)
    return g.reshape(g.concat([cz, -sz, zero, sz, cz, zero, zero, zero, zero + 1.0], 1), 0, 3, 3) @ tilt


def clean_expression(g: Graph, expression: Value) -> Value:
    """[B,52] clamped to 0..1; lips cannot close more than the jaw is open, or they would cross."""
    e = g.clip(expression, 0, 1)
    i = INDEX["mouthClose"]
    before, close, after = g.split(e, 1, i, 1, len(EXPRESSIONS) - i - 1)
    jaw = g.slice(e, 1, INDEX["jawOpen"], INDEX["jawOpen"] + 1)
    return g.concat([before, g.min(close, jaw * 0.92), after], 1)


def jacobian_inverse(g: Graph, forward: Value) -> Value:
    """Inverse 2x2 Jacobian [N,4,G,G], column after column, of a map [N,2,G,G] by central differences, its determinant kept from 0."""
    wide = g.op("Pad", forward, g.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="edge")
    # At the border the differences are half of what they should be; nothing of the head is there.
    dx = (g.slice(g.slice(wide, 3, 2, G + 2), 2, 1, G + 1) - g.slice(g.slice(wide, 3, 0, G), 2, 1, G + 1)) * (G / 4)
    dy = (g.slice(g.slice(wide, 2, 2, G + 2), 3, 1, G + 1) - g.slice(g.slice(wide, 2, 0, G), 3, 1, G + 1)) * (G / 4)
    # Averaged over the neighbours: at the kinks of pressed-out folds the bare slope makes Newton's steps cycle.
    soft = g.op("AveragePool", g.concat([dx, dy], 1), kernel_shape=[SOFT, SOFT], strides=[1, 1], pads=[SOFT // 2] * 4, count_include_pad=0)
    a, c, b, d = g.split(soft, 1, 1, 1, 1, 1)
    det = g.max(a * d - b * c, np.float32(0.004))
    return g.clip(g.concat([d, -c, -b, a], 1) / det, -20, 20)


def invert(g: Graph, forward: Value, start: Value, place: Value, fine_steps: int) -> tuple[Value, Value]:
    """Displacement p(u) - u [N,2,G,G] of output cells u: F(n) = u is solved for the node n, p = u + (place - F)(n).
    Returned with the nodes n [N,2,G,G], in -1..1 over the frontal grid.

    forward, place [N,2,G,G] over nodes; start [N,2,G/2,G/2] first guess of n over every other output cell.
    Half the resolution finds the neighbourhood, the full one the point.
    """
    maps = g.concat([forward, jacobian_inverse(g, forward)], 1)
    node = start
    for side, steps in ((G // 2, COARSE_STEPS), (G, fine_steps)):
        if side == G:
            node = g.resize(node, G, G, 2)
        target = g.const(pixel_grid(side, side).transpose(2, 0, 1)[None])
        for _ in range(steps):
            f, by_x, by_y = g.split(g.sample(maps, g.transpose(node, 0, 2, 3, 1), G, inside=True), 1, 2, 2, 2)
            ex, ey = g.split(g.clip(target - f, -0.3, 0.3), 1, 1, 1)
            node = g.clip(node + by_x * ex + by_y * ey, -EDGE, EDGE)
    flow = g.sample(place - forward, g.transpose(node, 0, 2, 3, 1), G, inside=True)
    # Over hidden parts the flow jumps within a cell; a small box keeps the outline from showing the cells.
    return g.op("AveragePool", flow, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=0), node


def facing_plane(g: Graph, rotation: Value, q: Value) -> Value:
    """Head-frame x and y [B,2,n] of view-plane points q (cm) on the plane z = -5 of the head."""
    a, b, e, c, d, f = g.split(g.reshape(g.slice(rotation, 1, 0, 2), -1, 6), 1, 1, 1, 1, 1, 1, 1)
    det = g.max(a * d - b * c, np.float32(0.3))
    inverse = g.reshape(g.concat([d, -b, -c, a], 1) / det, -1, 2, 2)
    return inverse @ (q + g.unsqueeze(g.concat([e, f], 1), 2) * 5.0)


@dataclass(frozen=True)
class Inputs:
    """What a frame is made of: the avatar's tensors (of the batch's slots) and the driver's motion."""

    avatar: dict[str, Value]
    motion: Value  # [B,58]
    view: Value  # [B,2]

    def pose(self, g: Graph, name: str) -> Value:
        return g.slice(self.avatar["pose"], 1, *POSE[name])


@dataclass(frozen=True)
class HeadFlow:
    """Where each of the GxG cells of the frame comes from.

    expression [B,52] cleaned; rotation [B,3,3] of head and view; keypoints [B,78,2] of the driver; mouth: the mouth's
    frame with its lips (curves.py); upper, lower [B,2,G,G]: displacement into the portrait by either lip's layer;
    side [B,1,G,G]: below 0 on the upper lip's side; flow [B,2,G,G]: the one that holds; nodes [2B,2,G,G] of both layers; forward [2B,2,G,G]: where
    the nodes lie in the frame.
    """

    expression: Value
    rotation: Value
    keypoints: Value
    mouth: dict
    upper: Value
    lower: Value
    side: Value
    flow: Value
    nodes: Value
    forward: Value


def renderer_inputs(g: Graph, tensors: list[dict]) -> Inputs:
    bank = {x["name"]: g.input(f"bank.{x['name']}", x["dtype"], ["S", *x["shape"]]) for x in tensors}
    slots = g.input("slots", "int64", ["B"])
    motion = g.input("motion", "float32", ["B", 58])
    view = g.input("view", "float32", ["B", 2])
    return Inputs({name: g.gather(value, slots, 0) for name, value in bank.items()}, motion, view)


def head_flow(g: Graph, t: Tables, inputs: Inputs, fine_steps: int, rest: Value | None = None) -> HeadFlow:
    """rest [B,52]: coefficients that the portrait shows already; the face moves by the difference."""
    avatar = inputs.avatar
    part = lambda name: inputs.pose(g, name)  # noqa: E731
    pitch, yaw, roll, shift_by, log_scale, coefficients = g.split(inputs.motion, 1, 1, 1, 1, 2, 1, 52)
    view_yaw, view_pitch = g.split(inputs.view, 1, 1, 1)
    expression = clean_expression(g, coefficients)
    rotation = rotation_matrix(g, view_pitch, view_yaw, None) @ rotation_matrix(g, pitch, yaw, roll)
    grow = g.exp(log_scale)  # [B,1]
    scale = part("scale") * grow
    shift = part("shift") + shift_by

    # Keypoints of the driver, image units: [B,78,2]
    basis = np.concatenate([t.landmark_basis, t.teeth_basis], 1).reshape(len(EXPRESSIONS), -1)
    change = expression if rest is None else expression - rest
    delta = g.reshape(change @ basis, -1, KEYPOINTS, 3)
    turned = (avatar["keypoints"] + delta) @ g.transpose(rotation, 0, 2, 1)
    keypoints = g.slice(turned, 2, 0, 2) * g.unsqueeze(scale, 1) + g.unsqueeze(shift, 1)
    g.keypoints = keypoints

    # Forward map of both layers, [B,2,2,G*G]
    position, place = g.split(avatar["surface"], 1, 3, 2)
    y0, y1, x0, x1 = FIELD
    field = g.reshape(change @ g.const(t.field), -1, 6, y1 - y0, x1 - x0)
    field = g.op("Pad", field, g.ints(0, 0, y0, x0, 0, 0, G - y1, G - x1))
    points = g.reshape(field, -1, 2, 3, G * G) + g.reshape(position, -1, 1, 3, G * G)
    head = project_head(g, points, 2, rotation, scale, shift, slack=SLACK)
    still = g.reshape(place, -1, 1, 2, G * G)
    weight, _, _ = constant_weights()
    forward = still + (head - still) * weight
    # First guess: the plane through the face, seen from the driver's side.
    picture = g.const(pixel_grid(G // 2, G // 2).reshape(-1, 2).T[None].copy())
    start = (picture - g.unsqueeze(shift, 2)) / g.unsqueeze(scale, 2)
    start = g.clip(to_grid(g, facing_plane(g, rotation, start)), -EDGE, EDGE)
    both = lambda v, side: g.reshape(g.concat([g.unsqueeze(v, 1)] * 2, 1), -1, 2, side, side)  # noqa: E731
    forward = g.reshape(forward, -1, 2, G, G)
    flows, nodes = invert(g, forward, both(start, G // 2), both(place, G), fine_steps)  # [2B,2,G,G]

    # Signed height over the mouth's middle line, negative on the upper lip's side.
    mouth = local_frame(g, keypoints, [60], [64], {"upper": (61, 62, 63), "lower": (67, 66, 65)}, (-0.46, 0, 0.46))
    h, v = to_local(g, mouth, g.const(pixel_grid(G, G).reshape(1, 1, -1, 2).transpose(0, 1, 3, 2)))
    middle = [(a + b) * 0.5 for a, b in zip(mouth["upper"], mouth["lower"])]
    side = g.reshape(v - curve(g, middle, h), -1, 1, G, G)
    upper, lower = g.split(g.reshape(flows, -1, 4, G, G), 1, 2, 2)
    flow = g.where(side < 0.0, upper, lower)
    return HeadFlow(expression, rotation, keypoints, mouth, upper, lower, side, flow, nodes, forward)


def renderer_graph(t: Tables, size: int) -> Graph:
    g = Graph(f"renderer-{size}")
    inputs = renderer_inputs(g, renderer_tensors(size))
    head = head_flow(g, t, inputs, FINE_STEPS[size])
    flow = g.resize(head.flow, size, size, 2)
    sampling = g.transpose(flow, 0, 2, 3, 1) + g.const(pixel_grid(size, size)[None])

    texture = g.cast(inputs.avatar[f"texture{size}"], "float32")
    fore, alpha = g.split(g.sample_all(texture, sampling, size), 1, 3, 1)
    backdrop = g.cast(inputs.avatar[f"backdrop{size}"], "float32")
    frame = fore + backdrop * (1.0 - alpha * np.float32(1 / 255))
    frame = paint_windows(g, t, frame, painter(g, inputs, head, texture, size))
    write_outputs(g, frame + HALF, size)
    return g


def painter(g: Graph, inputs: Inputs, head: HeadFlow, texture: Value, size: int, **sizes) -> Windows:
    """The painters' material; texture [B,4,size,size] 0..255; sizes: mouth_window, eye_window."""
    return Windows(
        g, size=size, texture=texture, coarse=g.concat([head.upper, head.lower, head.side], 1), avatar=inputs.avatar,
        part=lambda name: inputs.pose(g, name), expression=head.expression, keypoints=head.keypoints, mouth=head.mouth, **sizes,
    )


HALF = np.float32(0.5)  # added to levels before their fraction is cut off


def write_outputs(g: Graph, frame: Value, size: int) -> None:
    """frame [B,3,size,size], 0..255 and HALF -> rgb and i420 (BT.601, limited range), rounded."""
    frame = g.clip(frame, HALF, 255 + HALF)
    rgb = g.transpose(g.cast(frame, "uint8"), 0, 2, 3, 1)
    g.output(rgb, "rgb", "uint8", ["B", size, size, 3])
    luma = np.array([[65.481, 128.553, 24.966]], np.float32) / 255
    chroma = np.array([[-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]], np.float32) / 255
    y = luma @ g.reshape(frame, 0, 3, size * size) + (16 + HALF - HALF * luma.sum())
    half = g.reshape(g.pool(frame, 2), 0, 3, size * size // 4)
    uv = chroma @ half + (128 + HALF)  # a grey has no chroma, nor has HALF
    planes = g.concat([g.reshape(y, 0, size, size), g.reshape(uv, 0, size // 2, size)], 1)
    g.output(g.cast(planes, "uint8"), "i420", "uint8", ["B", size * 3 // 2, size])
