"""Torso with neckline and collar, and glasses, as pieces of geometry."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from .rig import CLOTH, GLASSES, Rig
from .stage import Piece

AROUND = 72
# Height cm: half width, half depth and centre of the cross-section of a dressed mean torso.
PROFILE = np.array(
    [
        (-8.0, 6.6, 6.3, -0.1), (-9.5, 6.8, 6.3, -0.5), (-10.5, 7.2, 6.4, -0.8), (-11.0, 8.3, 6.6, -1.0), (-12.0, 9.9, 6.8, -1.5),
        (-13.0, 12.5, 7.1, -2.0), (-14.0, 14.0, 7.4, -2.2), (-16.0, 16.4, 7.9, -2.2), (-18.0, 18.3, 8.6, -2.0),
        (-21.0, 19.6, 9.6, -1.8), (-26.0, 20.3, 10.4, -1.8), (-42.0, 20.6, 10.6, -1.8),
    ]
)[::-1]


def grid_triangles(rows: int, columns: int) -> np.ndarray:
    """Triangles of a tube of rows × columns vertices, closed around."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]).astype(np.int32)


def grid_normals(points: np.ndarray) -> np.ndarray:
    """points [rows, columns, 3], closed around -> unit normals pointing outwards."""
    du = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    dv = np.gradient(points, axis=0)
    n = np.cross(dv, du)
    return n / (np.linalg.norm(n, axis=2, keepdims=True) + 1e-9)


def static(points, part, *, weight=0.0, colour=(1.0, 1.0, 1.0), uv=(0.0, 0.0), tangent=(0.0, 0.0, 0.0), half=0.0, canonical=None):
    """Rows of a piece's static buffer; every argument may be one value or one per vertex."""
    n = len(points)
    put = lambda v, k: np.broadcast_to(np.asarray(v, np.float32).reshape(-1, k), (n, k))  # noqa: E731
    can = points if canonical is None else canonical
    columns = [can, put(part, 1), put(weight, 1), put(tangent, 3), put(half, 1), put(colour, 3), put(uv, 2)]
    return np.concatenate(columns, 1).astype(np.float32)


LEVELS = np.arange(-20.0, -5.9, 0.5)
AXIS = -1.2  # z of the neck's axis, cm


def skin_reach(skin: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """[LEVELS, azimuth] how far the neck and shoulders reach from the neck's axis, cm; chin and face left out."""
    out = np.zeros((len(LEVELS), len(azimuth)))
    low = skin[(skin[:, 1] < -5) & ~((skin[:, 2] > 5.0) & (skin[:, 1] > -10))]
    r = np.hypot(low[:, 0], low[:, 2] - AXIS)
    angle = np.arctan2(low[:, 0], low[:, 2] - AXIS) % (2 * np.pi)
    for k, level in enumerate(LEVELS):
        near = np.abs(low[:, 1] - level) < 0.8
        if near.any():
            gap = np.abs((angle[near][None] - azimuth[:, None] + np.pi) % (2 * np.pi) - np.pi)
            out[k] = np.where(gap < 0.16, r[near][None], 0).max(1)
    return gaussian_filter(out, (0.6, 1.2), mode=("nearest", "wrap"))


def torso(rng: np.random.Generator, neck: float, drop: float, skin: np.ndarray) -> tuple[Piece, np.ndarray, np.ndarray, dict]:
    """(piece, positions, normals, uniforms).

    neck: this neck's width over the mean's; drop: cm the neck is longer (upwards positive); skin: [N,3] of the head.
    """
    kind = rng.choice(["crew", "turtle", "vee", "shirt", "boat"], p=[0.34, 0.13, 0.2, 0.2, 0.13])
    top = {"crew": -11.2, "turtle": -8.9, "vee": -11.6, "shirt": -11.0, "boat": -12.6}[kind] + rng.uniform(-0.3, 0.4)
    depth = {"crew": 1.0, "turtle": 0.5, "vee": rng.uniform(3.5, 7), "shirt": rng.uniform(0.5, 4), "boat": 1.0}[kind]
    build = rng.uniform(0.85, 1.12)
    azimuth = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    ahead = (azimuth + np.pi) % (2 * np.pi) - np.pi
    dip = depth * np.exp(-(ahead**2) / 0.35) if kind != "vee" else depth * np.clip(1 - np.abs(ahead) / 0.9, 0, 1)
    line = top - dip

    reach = skin_reach(skin, azimuth)

    def ring(y: np.ndarray, offset: np.ndarray | float) -> np.ndarray:
        """Points at heights y [columns], offset cm outwards."""
        low = np.clip((-10.5 - y) / 8, 0, 1)
        rx = np.interp(y, PROFILE[:, 0], PROFILE[:, 1]) * (neck + (build - neck) * low) + offset
        rz = np.interp(y, PROFILE[:, 0], PROFILE[:, 2]) * (1 + (neck - 1) * (1 - low)) + offset
        cz = np.interp(y, PROFILE[:, 0], PROFILE[:, 3])
        bend = 0.86 - 0.12 * low
        s, c = np.sin(azimuth), np.cos(azimuth)
        x, z = rx * np.sign(s) * np.abs(s) ** bend, cz + rz * np.sign(c) * np.abs(c) ** bend
        # Never inside the skin: push outwards, seen from the neck's axis.
        r = np.hypot(x, z - AXIS)
        level = np.clip(np.round((y + drop - LEVELS[0]) / (LEVELS[1] - LEVELS[0])).astype(int), 0, len(LEVELS) - 1)
        column = np.round((np.arctan2(x, z - AXIS) % (2 * np.pi)) / (2 * np.pi) * AROUND).astype(int) % AROUND
        push = np.maximum(reach[level, column] + 0.25 + offset, r) / np.maximum(r, 1e-6)
        return np.stack([x * push, y + drop, AXIS + (z - AXIS) * push], 1)

    rows, marks = [], []
    rolled = 0.45 if kind == "turtle" else rng.uniform(0.15, 0.35)
    for up, out in ((-0.6, -0.7), (0.1, -0.25), (0.45, 0.1), (0.3, rolled), (-0.4, rolled), (-0.9, rolled * 0.8)):
        rows.append(ring(line + up, out))
        marks.append(1.0)
    for t in np.linspace(0, 1, 26) ** 1.5:
        rows.append(ring(line - 1.1 + t * (-42 - line + 1.1), 0.1 + 0.1 * t))
        marks.append(0.0)
    points = np.stack(rows)
    shade = np.ones(points.shape[:2])
    shade[:2] = 0.45
    shade[6:12] = np.linspace(0.7, 1, 6)[:, None]
    normals = grid_normals(points)
    flat, normal = points.reshape(-1, 3), normals.reshape(-1, 3)
    ao, mark = shade.reshape(-1), np.repeat(marks, AROUND)
    triangles = grid_triangles(len(rows), AROUND)
    if kind == "shirt":
        gap = rng.uniform(0.12, 0.4)
        tall = rng.uniform(1.6, 2.4)
        collar = np.stack(
            [
                ring(line - 0.4, -0.3), ring(line + tall * 0.7, -0.2), ring(line + tall, 0.15), ring(line + tall * 0.8, 0.6),
                ring(line - 0.6 - 1.6 * np.exp(-(((np.abs(ahead) - gap) / 0.5) ** 2)), 1.3),
            ]
        )
        more = grid_triangles(len(collar), AROUND)
        column = more % AROUND
        closed = (np.abs(ahead[column]) > gap).all(1)
        triangles = np.concatenate([triangles, more[closed] + len(flat)])
        flat = np.concatenate([flat, collar.reshape(-1, 3)])
        normal = np.concatenate([normal, grid_normals(collar).reshape(-1, 3)])
        ao = np.concatenate([ao, np.repeat([0.4, 0.6, 0.95, 1, 1], AROUND)])
        mark = np.concatenate([mark, np.full(collar.shape[0] * AROUND, float(rng.random() < 0.5))])
    colour = np.repeat(ao[:, None], 3, 1)
    piece = Piece(static(flat, CLOTH, colour=colour, uv=np.stack([np.zeros(len(flat)), mark], 1)), triangles)
    return piece, flat, normal, {"line": top + drop, "dip": depth if kind != "vee" else depth * 1.1}


def glasses(rig: Rig, shape: np.ndarray, rng: np.random.Generator) -> tuple[Piece, np.ndarray, np.ndarray]:
    """Two rims, a bridge and temples, fitted to the eyes of this shape."""
    marks = shape[rig.landmarks]
    tubes = []
    width, height = rng.uniform(2.0, 2.7), rng.uniform(1.4, 2.2)
    corner = rng.uniform(0.45, 1.0)
    thick = rng.uniform(0.10, 0.26)
    front = max(marks[27, 2] + 0.5, marks[36:48, 2].max() + 1.2, marks[17:27, 2].max() - 0.1)
    angle = np.linspace(0, 2 * np.pi, 37)
    s, c = np.sin(angle), np.cos(angle)
    for eye in (marks[36:42].mean(0), marks[42:48].mean(0)):
        x = eye[0] * 1.03 + width * np.sign(c) * np.abs(c) ** corner
        y = eye[1] - 0.25 + height * np.sign(s) * np.abs(s) ** corner
        z = front - 0.05 * (np.abs(x) - 2) ** 2 * (np.abs(x) > 2)
        tubes.append(np.stack([x, y, z], 1))
    inner = abs(marks[36:42].mean(0)[0]) * 1.03 - width
    t = np.linspace(-1, 1, 9)
    y0 = marks[36:48, 1].mean() + 0.3
    tubes.append(np.stack([inner * t, y0 + 0.4 * (1 - t**2), np.full(9, front + 0.1)], 1))
    skull = shape[:11248]
    ear = np.abs(skull[(skull[:, 1] > 2) & (np.abs(skull[:, 2]) < 5), 0]).max()
    for side in (-1, 1):
        x0 = side * (abs(marks[36:42].mean(0)[0]) * 1.03 + width)
        u = np.linspace(0, 1, 10)
        z0 = front - 0.05 * (abs(x0) - 2) ** 2
        x = x0 + (side * (ear - 0.55) - x0) * np.minimum(u * 2.2, 1) ** 0.8
        tubes.append(np.stack([x, np.full(10, y0 + 0.2) - 0.6 * u, z0 * (1 - u)], 1))
    points, normals, triangles, base = [], [], [], 0
    ring = np.linspace(0, 2 * np.pi, 7)[:-1]
    for line in tubes:
        along = np.gradient(line, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
        first = np.cross(along, [0.0, 0.3, 1.0]) + 1e-6
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        second = np.cross(along, first)
        n = np.cos(ring)[None, :, None] * first[:, None] + np.sin(ring)[None, :, None] * second[:, None]
        points.append((line[:, None] + thick * n).reshape(-1, 3))
        normals.append(n.reshape(-1, 3))
        triangles.append(grid_triangles(len(line), 6) + base)
        base += len(line) * 6
    flat = np.concatenate(points).astype(np.float32)
    return Piece(static(flat, GLASSES, weight=1.0), np.concatenate(triangles)), flat, np.concatenate(normals).astype(np.float32)
