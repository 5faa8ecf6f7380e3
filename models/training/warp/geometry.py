"""The head as a surface over a frontal grid, and the forward map that turns and projects it.

Grid nodes are g in -1..1 per axis, denser around the face: x = A g / (1 - C |g|) centimetres on the
frontal plane of the head frame. Everything here is written once and used by the encoder (for the
portrait's own pose) and by the renderers (for the driver's).
"""

from __future__ import annotations

import numpy as np

from warp.graph import Graph, Value
from warp.layout import G, HEAD_CENTRE, HEAD_RADII

REACH, CURVE = 30.0, 0.6
SPREAD = REACH * (1 - CURVE)


def grid_axis() -> np.ndarray:
    """Node positions in g (pixel centres, as GridSample without align_corners reads them)."""
    return ((np.arange(G) + 0.5) / G * 2 - 1).astype(np.float64)


def to_centimetres(g: np.ndarray) -> np.ndarray:
    return SPREAD * g / (1 - CURVE * np.abs(g))


def node_positions() -> np.ndarray:
    """[G*G, 2] node positions in centimetres, rows from the top."""
    axis = to_centimetres(grid_axis())
    x, y = np.meshgrid(axis, axis)
    return np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)


def to_grid(g: Graph, centimetres: Value) -> Value:
    """Inverse of `to_centimetres` in the graph."""
    return centimetres / (g.abs(centimetres) * CURVE + SPREAD)


def constant_weights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(head weight, rim weight, outline coordinates [2, n]) on the nodes, [1, n] each.

    Head weight falls to 0 down the neck and over the shoulders. Rim weight is 1 where the outline of the
    turned ellipsoid decides: around skull and hair, and at the angles of the jaw, behind which neck and
    nape come into view, but not at the chin.
    """
    smooth = lambda x, a, b: (lambda t: t * t * (3 - 2 * t))(np.clip((x - a) / (b - a), 0, 1))  # noqa: E731
    nodes = node_positions().astype(np.float64)
    x, y = np.abs(nodes[:, 0]), nodes[:, 1]
    head = (1 - smooth(y, 8.0, 15.5)) * (1 - smooth(x, 6.5, 14.0) * smooth(y, 6.0, 12.0))
    unit = (nodes - np.array(HEAD_CENTRE)[:2]) / np.array(HEAD_RADII)[:2]
    rho = np.linalg.norm(unit, axis=1)
    rim = smooth(rho, 0.68, 1.0) * (1 - smooth(y, -2.0, 4.5))
    jaw = np.interp(y, [-4, 0.5, 2.4, 4.5, 6.2, 7.0, 8.5], [7.4, 6.9, 6.6, 5.9, 5.0, 4.6, 4.6])
    rim = np.maximum(rim, 0.85 * smooth(x / jaw, 0.72, 1.06) * smooth(y, -6.0, -1.0) * (1 - smooth(y, 5.0, 10.0)))
    as_row = lambda a: a.reshape(1, -1).astype(np.float32)  # noqa: E731
    return as_row(head), as_row(rim), unit.T.astype(np.float32)


def remove_roll(g: Graph, rotation: Value):
    """(roll [N,2,2], roll-free rotation [N,3,3]): roll is the turn of the head's vertical in the picture."""
    flat = g.reshape(rotation, 0, 9)
    up_x, up_y = g.slice(flat, 1, 1, 2), g.slice(flat, 1, 4, 5)
    norm = g.sqrt(up_x * up_x + up_y * up_y + 1e-8)
    cos, sin = up_y / norm, -up_x / norm
    zero = cos * 0.0
    back = g.reshape(g.concat([cos, sin, zero, -sin, cos, zero, zero, zero, zero + 1.0], 1), 0, 3, 3)
    return g.reshape(g.concat([cos, -sin, sin, cos], 1), 0, 2, 2), back @ rotation


def outline_root(g: Graph, upright: Value) -> Value:
    """Root [N,2,2] of the matrix of the head ellipsoid's outline in the view [N,3,3]."""
    scaled = g.slice(upright, 1, 0, 2) * np.array(HEAD_RADII, np.float32)
    gram = scaled @ g.transpose(scaled, 0, 2, 1)
    a, b, _, d = g.split(g.reshape(gram, 0, 4), 1, 1, 1, 1, 1)
    root = g.sqrt(g.max(a * d - b * b, np.float32(1e-6)))
    return g.reshape(g.concat([a + root, b, b, d + root], 1) / g.sqrt(a + d + root * 2.0), 0, 2, 2)


def running_max(g: Graph, x: Value, axis: int, length: int, backward: bool = False) -> Value:
    """Maximum of all entries up to and including each one, along axis 2 or 3 of [N,C,H,W] (or from the end)."""
    kernel, pads = [1, 1], [0, 0, 0, 0]
    kernel[axis - 2] = length
    pads[axis - 2 + (2 if backward else 0)] = length - 1
    return g.op("MaxPool", x, kernel_shape=kernel, pads=pads, strides=[1, 1])


def unfold(g: Graph, x: Value, y: Value, slack: float) -> Value:
    """Maps [N,L,G,G] of x and y (cm) with folds pressed out, [N,L,2,G,G].

    Where the surface turns away it would fold back behind its own outline. There every point is kept
    outside the ones nearer to the middle, by `slack` cm per cm of grid: the front stays exact, what it
    hides shrinks to a sliver.
    """
    half = G // 2
    ramp = (to_centimetres(grid_axis()) * slack).astype(np.float32)
    flat = x - ramp.reshape(1, 1, 1, G)
    left, right = g.split(flat, 3, half, half)
    x = g.concat([-running_max(g, -left, 3, half, backward=True), running_max(g, right, 3, half)], 3) + ramp.reshape(1, 1, 1, G)
    flat = y - ramp.reshape(1, 1, G, 1)
    above, below = g.split(flat, 2, half, half)
    y = g.concat([above, running_max(g, below, 2, half)], 2) + ramp.reshape(1, 1, G, 1)
    return g.concat([g.unsqueeze(x, 2), g.unsqueeze(y, 2)], 2)


def project_head(g: Graph, points: Value, layers: int, rotation: Value, scale: Value, shift: Value, slack: float) -> Value:
    """Picture positions [N, layers, 2, G*G] of points [N, layers, 3, G*G] (cm, head frame).

    rotation [N,3,3], scale [N,1] (picture units per cm), shift [N,2].
    """
    _, rim, unit = constant_weights()
    roll, upright = remove_roll(g, rotation)
    turned = g.unsqueeze(g.slice(upright, 1, 0, 2), 1) @ points
    x, y = split_layers(g, turned, layers)
    seen = g.reshape(unfold(g, x, y, slack), -1, layers, 2, G * G)
    centre = g.slice(upright, 1, 0, 2) @ np.array(HEAD_CENTRE, np.float32).reshape(3, 1)
    outline = outline_root(g, upright) @ g.const(unit[None]) + centre
    seen = seen + (g.unsqueeze(outline, 1) - seen) * rim
    return g.unsqueeze(roll * g.unsqueeze(scale, 2), 1) @ seen + g.reshape(shift, -1, 1, 2, 1)


def split_layers(g: Graph, turned: Value, layers: int):
    """[N,layers,2,n] -> x and y, [N,layers,G,G] each."""
    x, y = g.split(turned, 2, 1, 1)
    return g.reshape(x, -1, layers, G, G), g.reshape(y, -1, layers, G, G)
