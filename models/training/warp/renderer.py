"""The renderer graph: avatar tensors of slots, motion and view become frames.

1. Keypoints: x_d = s (R (x_c + delta)) + t (face-vid2vid eq. 2; here delta turns with the head).
2. A forward map F on the 64x64 grid of the portrait: every cell is a point on the head, displaced by the
   expression field, turned, projected, blended into the still torso along the neck, and held to the turned
   ellipsoid's outline near the rim. Two of them, one for each side of the mouth's line.
3. F is inverted by Newton steps, which gives for every output cell its place in the portrait.
4. The portrait's foreground is sampled there and laid over the backdrop (unmultiplied colours).
5. Mouth and eyes are done again, exactly, in small windows (see windows.py).
"""

from __future__ import annotations

import numpy as np

from encoder import remove_roll, silhouette
from facekit import EXPRESSIONS, FIELD_H, FIELD_W, INDEX, Tables
from graph import Graph, Value, pixel_grid
from layout import G, GEOMETRY, HEAD_CENTRE, POSE, renderer_tensors
from windows import paint_windows

NEWTON_STEPS = 5


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
    """Inverse 2x2 Jacobian [N,4,G,G] of a map [N,2,G,G] by central differences, its determinant kept from 0."""
    wide = g.op("Pad", forward, g.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="edge")
    # one-sided at the border would halve there: scale stays right because interior cells dominate
    dx = (g.slice(g.slice(wide, 3, 2, G + 2), 2, 1, G + 1) - g.slice(g.slice(wide, 3, 0, G), 2, 1, G + 1)) * (G / 4)
    dy = (g.slice(g.slice(wide, 2, 2, G + 2), 3, 1, G + 1) - g.slice(g.slice(wide, 2, 0, G), 3, 1, G + 1)) * (G / 4)
    a, c = g.split(dx, 1, 1, 1)
    b, d = g.split(dy, 1, 1, 1)
    det = g.max(a * d - b * c, np.float32(0.3))
    return g.clip(g.concat([d, -b, -c, a], 1) / det, -3, 3)


def invert(g: Graph, forward: Value) -> Value:
    """Displacement p(u) - u [N,2,G,G] with F(p) = u."""
    maps = g.concat([forward, jacobian_inverse(g, forward)], 1)
    target = g.const(pixel_grid(G, G).transpose(2, 0, 1)[None])
    p = target
    for step in range(NEWTON_STEPS):
        inside = g.clip(p, -1, 1) if step else p
        if step:
            seen = g.sample(maps, g.transpose(inside, 0, 2, 3, 1))
        else:
            seen = maps
        f, a, b, c, d = g.split(seen, 1, 2, 1, 1, 1, 1)
        f = f + (p - inside) if step else f
        error = g.clip(target - f, -0.3, 0.3)
        ex, ey = g.split(error, 1, 1, 1)
        p = p + g.concat([a * ex + b * ey, c * ex + d * ey], 1)
    return p - target


def renderer_graph(t: Tables, size: int) -> Graph:
    g = Graph(f"renderer-{size}")
    bank = {x["name"]: g.input(f"bank.{x['name']}", x["dtype"], ["S", *x["shape"]]) for x in renderer_tensors(size)}
    slots = g.input("slots", "int64", ["B"])
    motion = g.input("motion", "float32", ["B", 58])
    view = g.input("view", "float32", ["B", 2])
    avatar = {name: g.gather(value, slots, 0) for name, value in bank.items()}
    part = lambda name: g.slice(avatar["pose"], 1, *POSE[name])  # noqa: E731

    pitch, yaw, roll, shift_by, log_scale, coefficients = g.split(motion, 1, 1, 1, 1, 2, 1, 52)
    view_yaw, view_pitch = g.split(view, 1, 1, 1)
    expression = clean_expression(g, coefficients)
    rotation = rotation_matrix(g, view_pitch, view_yaw, None) @ rotation_matrix(g, pitch, yaw, roll)
    grow = g.exp(log_scale)  # [B,1]
    scale = part("scale") * grow
    shift = part("shift") + shift_by

    # Keypoints of the driver, image units: [B,78,2]
    basis = np.concatenate([t.landmark_basis, t.teeth_basis], 1).reshape(len(EXPRESSIONS), -1)
    delta = g.reshape(expression @ basis, -1, avatar_keypoints(), 3)
    turned = (avatar["keypoints"] + delta) @ g.transpose(rotation, 0, 2, 1)
    keypoints = g.slice(turned, 2, 0, 2) * g.unsqueeze(scale, 1) + g.unsqueeze(shift, 1)

    # Forward map of both layers, [B,2,2,G*G]
    geometry = avatar["geometry"]
    channel = lambda name: g.slice(geometry, 1, *GEOMETRY[name])  # noqa: E731
    field = g.reshape(expression @ g.const(t.field), -1, 6, FIELD_H, FIELD_W)
    displaced = g.sample(field, g.transpose(channel("field"), 0, 2, 3, 1), corners=True)
    head = g.reshape(displaced, -1, 2, 3, G * G) + g.reshape(channel("position"), -1, 1, 3, G * G)
    project = g.unsqueeze(g.slice(rotation, 1, 0, 2) * g.unsqueeze(scale, 2), 1)  # [B,1,2,3]
    projected = project @ head + g.reshape(shift, -1, 1, 2, 1)
    grid = pixel_grid(G, G).reshape(-1, 2).T.copy()
    outline = rim_map(g, rotation, part, grow, scale, shift, grid)  # [B,2,n]
    rim = g.reshape(channel("rim"), -1, 1, 1, G * G)
    weight = g.reshape(channel("head"), -1, 1, 1, G * G)
    turned_head = g.mix(projected, g.unsqueeze(outline, 1), rim)
    forward = g.mix(g.const(grid), turned_head, weight)
    flows = invert(g, g.reshape(forward, -1, 2, G, G))  # [2B,2,G,G]

    mouth = mouth_frame(g, keypoints)
    side = mouth_side(g, mouth, g.const(pixel_grid(G, G).reshape(1, -1, 2)))  # [B, n, 1]
    flows = g.reshape(flows, -1, 4, G, G)
    coarse = g.concat([flows, g.reshape(side, -1, 1, G, G)], 1)
    fine = coarse if size == G else g.resize(coarse, size, size, 5)
    upper, lower, side_fine = g.split(fine, 1, 2, 2, 1)
    flow = g.where(g.op("Less", side_fine, np.float32(0)), upper, lower)
    sampling = g.transpose(flow, 0, 2, 3, 1) + g.const(pixel_grid(size, size)[None])

    texture = g.cast(avatar[f"texture{size}"], "float32")
    fore, alpha = g.split(g.sample(texture, sampling), 1, 3, 1)
    backdrop = g.cast(avatar[f"backdrop{size}"], "float32")
    frame = fore + backdrop * (1.0 - alpha * np.float32(1 / 255))
    frame = paint_windows(g, frame, texture, coarse, avatar, part, expression, keypoints, mouth, size)
    write_outputs(g, frame, size)
    return g


def avatar_keypoints() -> int:
    from layout import KEYPOINTS

    return KEYPOINTS


def rim_map(g: Graph, rotation, part, grow, scale, shift, grid) -> Value:
    """Where the outline's linear map takes every cell: c_d + e^scale S_d^(1/2) S_s^(-1/2) (p - c_s), rolls apart."""
    cos, sin, upright = remove_roll(g, rotation)
    a, b, d = silhouette(g, g.slice(upright, 1, 0, 2))
    root = g.concat([cos * a - sin * b, cos * b - sin * d, sin * a + cos * b, sin * b + cos * d], 1)
    linear = g.reshape(root, -1, 2, 2) @ g.reshape(part("rim"), -1, 2, 2) * g.unsqueeze(grow, 2)
    centre = g.slice(rotation, 1, 0, 2) @ np.array(HEAD_CENTRE, np.float32).reshape(3, 1)
    centre = centre * g.unsqueeze(scale, 2) + g.unsqueeze(shift, 2)  # [B,2,1]
    return linear @ (g.const(grid[None]) - g.unsqueeze(part("centre"), 2)) + centre


def mouth_frame(g: Graph, keypoints: Value) -> dict[str, Value]:
    """The driven mouth's own coordinates: corners at h = -1 and 1, v down; lip curves as coefficients."""
    return local_frame(g, keypoints, 60, 64, (61, 62, 63), (67, 66, 65))


def local_frame(g: Graph, points: Value, left: int, right: int, upper: tuple, lower: tuple) -> dict[str, Value]:
    """Frame of two corners and curves v(h) = (1-h^2)(a + b h + c h^2) through the points between. [B,1,*]."""
    pick = lambda ids: g.gather(points, list(ids), 1)  # noqa: E731
    a, b = pick([left]), pick([right])
    mid, half = (a + b) * 0.5, (b - a) * 0.5
    hx, hy = g.split(half, 2, 1, 1)
    size2 = g.max(hx * hx + hy * hy, np.float32(1e-6))
    down = g.concat([-hy, hx], 2)
    axes = g.concat([half, down], 1) / size2  # [B,2,2]: rows give h and v
    frame = {"mid": mid, "half": half, "down": down, "axes": g.transpose(axes, 0, 2, 1), "length": g.sqrt(size2)}
    n = len(upper)
    nominal = np.linspace(-0.46, 0.46, n) if n == 3 else np.array([-0.34, 0.34])
    design = (1 - nominal[:, None] ** 2) * nominal[:, None] ** np.arange(n)[None]
    solver = np.linalg.inv(design).T.astype(np.float32)
    for name, ids in (("upper", upper), ("lower", lower)):
        local = (pick(ids) - mid) @ frame["axes"]
        frame[name] = g.transpose(g.slice(local, 2, 1, 2), 0, 2, 1) @ solver  # [B,1,n]
    return frame


def curve(g: Graph, coefficients: Value, count: int, h: Value) -> Value:
    """v(h) of one lip or lid; h [B,n,1] already clamped to -1..1."""
    parts = g.split(coefficients, 2, *([1] * count))
    value = parts[-1]
    for p in reversed(parts[:-1]):
        value = p + h * value
    return (1.0 - h * h) * value


def mouth_side(g: Graph, mouth: dict, points: Value) -> Value:
    """Signed height of points [1|B,n,2] over the mouth's middle line, negative on the upper lip's side; [B,n,1]."""
    local = (points - mouth["mid"]) @ mouth["axes"]
    h, v = g.split(local, 2, 1, 1)
    middle = (mouth["upper"] + mouth["lower"]) * 0.5
    return v - curve(g, middle, 3, g.clip(h, -1, 1))


def write_outputs(g: Graph, frame: Value, size: int) -> None:
    """frame [B,3,size,size], 0..255 -> rgb and i420 (BT.601, limited range), rounded."""
    frame = g.clip(frame, 0, 255)
    rgb = g.transpose(g.cast(frame + 0.5, "uint8"), 0, 2, 3, 1)
    g.output(rgb, "rgb", "uint8", ["B", size, size, 3])
    luma = np.array([65.481, 128.553, 24.966], np.float32) / 255
    blue = np.array([-37.797, -74.203, 112.0], np.float32) / 255
    red = np.array([112.0, -93.786, -18.214], np.float32) / 255
    y = g.op("Conv", frame, luma.reshape(1, 3, 1, 1), np.array([16.5], np.float32), kernel_shape=[1, 1])
    both = np.repeat(np.repeat(np.stack([blue, red]).reshape(2, 3, 1, 1), 2, 2), 2, 3) / 4
    uv = g.op("Conv", frame, both, np.array([128.5, 128.5], np.float32), kernel_shape=[2, 2], strides=[2, 2])
    planes = g.concat([g.reshape(y, 0, size, size), g.reshape(uv, 0, size // 2, size)], 1)
    g.output(g.cast(planes, "uint8"), "i420", "uint8", ["B", size * 3 // 2, size])
