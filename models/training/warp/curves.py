"""Local frames of mouth, eyes and teeth, and the smooth curves of lips, lids and edges in them.

Pixels lie along the last axis here, [B,F,C,P] for F frames, so that arithmetic runs over long rows.
"""

from __future__ import annotations

import numpy as np

from warp.graph import Graph, Value


def local_frame(g: Graph, points: Value, left, right, curves: dict[str, tuple], nominal) -> dict[str, Value]:
    """Frame whose corners lie at h = -1 and 1, v pointing down, and curves v = (1 - h^2)(a + b h + ...).

    points [B,K,2]; left, right: one index per frame (F of them); curves: name -> F tuples of n indices whose
    h is close to `nominal`. Vectors are [B,F,2,1], numbers [B,F,1,1], a curve is its list of n numbers.
    """
    turned = g.transpose(points, 0, 2, 1)  # [B,2,K]
    pick = lambda ids: g.transpose(g.gather(turned, np.asarray(ids).reshape(len(left), -1), 2), 0, 2, 1, 3)  # noqa: E731
    a, b = pick(left), pick(right)
    half = (b - a) * 0.5
    hx, hy = g.split(half, 2, 1, 1)
    size2 = g.max(hx * hx + hy * hy, np.float32(1e-6))
    down = g.concat([-hy, hx], 2)
    frame = {"mid": (a + b) * 0.5, "length": g.sqrt(size2)}
    frame["basis"] = g.concat([half, down], 3)  # [B,F,2,2]: basis @ (h, v) = offset
    frame["inverse"] = g.transpose(frame["basis"], 0, 1, 3, 2) / size2
    nominal = np.asarray(nominal, np.float64)
    n = len(nominal)
    design = (1 - nominal[:, None] ** 2) * nominal[:, None] ** np.arange(n)[None]
    solver = np.linalg.inv(design).T.astype(np.float32)
    for name, ids in curves.items():
        _, v = to_local(g, frame, pick(ids))
        frame[name] = g.split(v @ solver, 3, *([1] * n))
    return frame


def to_local(g: Graph, frame: dict[str, Value], points: Value):
    """(h, v) [B,F,1,P] each of points [B,F,2,P]."""
    return g.split(frame["inverse"] @ (points - frame["mid"]), 2, 1, 1)


def to_picture(g: Graph, frame: dict[str, Value], h: Value, v: Value) -> Value:
    """The way back: points [B,F,2,P]."""
    return frame["basis"] @ g.concat([h, v], 2) + frame["mid"]


def curve(g: Graph, coefficients: list[Value], h: Value) -> Value:
    """v(h) of one lip, lid or edge; h [B,F,1,P]. The curve is 0 beyond the corners."""
    value = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        value = c + h * value
    return g.max(1.0 - h * h, np.float32(0)) * value
