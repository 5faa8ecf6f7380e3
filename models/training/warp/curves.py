"""Local frames of mouth, eyes and teeth, and the smooth curves of lips, lids and edges in them."""

from __future__ import annotations

import numpy as np

from graph import Graph, Value


def local_frame(g: Graph, points: Value, left, right, curves: dict[str, tuple], nominal) -> dict[str, Value]:
    """Frame whose corners lie at h = -1 and 1, v pointing down, and curves v = (1 - h^2)(a + b h + ...).

    points [B,K,2]; left, right: one index per frame (F of them); curves: name -> F tuples of n indices whose
    h is close to `nominal`. All results are [B,F,1,*].
    """
    pick = lambda ids: g.gather(points, np.asarray(ids).reshape(len(left), -1), 1)  # noqa: E731  [B,F,n,2]
    a, b = pick(left), pick(right)
    half = (b - a) * 0.5
    hx, hy = g.split(half, 3, 1, 1)
    size2 = g.max(hx * hx + hy * hy, np.float32(1e-6))
    down = g.concat([-hy, hx], 3)
    frame = {"mid": (a + b) * 0.5, "half": half, "down": down, "length": g.sqrt(size2)}
    frame["axes"] = g.transpose(g.concat([half, down], 2) / size2, 0, 1, 3, 2)  # [B,F,2,2]: offset @ axes = (h, v)
    nominal = np.asarray(nominal, np.float64)
    design = (1 - nominal[:, None] ** 2) * nominal[:, None] ** np.arange(len(nominal))[None]
    solver = np.linalg.inv(design).T.astype(np.float32)
    for name, ids in curves.items():
        local = (pick(ids) - frame["mid"]) @ frame["axes"]
        frame[name] = g.transpose(g.slice(local, 3, 1, 2), 0, 1, 3, 2) @ solver  # [B,F,1,n]
    return frame


def to_local(g: Graph, frame: dict[str, Value], points: Value):
    """(h, v) [B,F,P,1] each of points [1|B,F,P,2]."""
    return g.split((points - frame["mid"]) @ frame["axes"], 3, 1, 1)


def curve(g: Graph, coefficients: Value, count: int, h: Value) -> Value:
    """v(h) of one lip, lid or edge; h [B,F,P,1]. The curve is 0 beyond the corners."""
    parts = g.split(coefficients, 3, *([1] * count))
    value = parts[-1]
    for p in reversed(parts[:-1]):
        value = p + h * value
    return g.max(1.0 - h * h, np.float32(0)) * value
