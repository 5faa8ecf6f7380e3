"""Clothes as smooth solids about the body, cut open at the neck, with folds and a collar."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.measure import marching_cubes

from .field import LOW, STEP, BodyField, from_distances, grid_points
from .mesh import Mesh, normalise, vertex_normals
from .noise import fractal_noise, smoothstep, value_noise
from .skin import to_linear

Colour = tuple[float, float, float]
NECK_AXIS = np.array([0.0, 0.0, -2.0])


@dataclass(frozen=True)
class Outfit:
    """kind: "crew", "turtleneck", "shirt", "hoodie", "jacket"; colours sRGB; build scales the shoulders' width."""

    kind: str = "crew"
    colour: Colour = (0.30, 0.36, 0.44)
    second: Colour = (0.90, 0.89, 0.86)
    build: float = 1.0
    knit: float = 0.0
    seed: int = 0


def _capsule(p: np.ndarray, a, b, radius: float, squash=(1.0, 1.0, 1.0)) -> np.ndarray:
    a, b, k = np.array(a, float), np.array(b, float), np.array(squash)
    p, a, b = p * k, a * k, b * k
    t = np.clip(((p - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(p - a - t[:, None] * (b - a), axis=1) - radius


def _blend(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b * (1 - h) + a * h - k * h * (1 - h)


def torso_distance(p: np.ndarray, build: float) -> np.ndarray:
    """Signed distance to a plain torso with shoulders and upper arms, cm."""
    q = np.abs(p) * [1, 0, 0] + p * [0, 1, 1]
    w = build
    d = _capsule(q, (0, -23, -1.0), (0, -48, -1.0), 9.0, (0.62 / w, 1, 1.0))
    d = _blend(d, _capsule(q, (0, -18.0, -2.6), (14.6 * w, -20.9, -2.4), 4.4), 4.0)
    d = _blend(d, _capsule(q, (16.2 * w, -22.4, -2.2), (19.5 * w, -46, -1.5), 4.5), 2.2)
    d = _blend(d, _capsule(q, (1.5, -11.0, -3.6), (11.5 * w, -18.0, -3.0), 3.0), 3.0)
    return _blend(d, _capsule(q, (5.0, -23.5, 3.4), (5.5, -30, 4.2), 4.6), 5.0)


def dress(outfit: Outfit, body: BodyField) -> list[tuple[str, Mesh]]:
    """Named meshes with attribute "color"; `body` is the bare body's field."""
    parts = []
    if outfit.kind == "jacket":
        inner = Outfit("crew", outfit.second, outfit.second, outfit.build, 0.0, outfit.seed)
        parts += _garment(inner, body, offset=0.25, neck=-11.4, name="inner")
        parts.append(("jacket", _shell(outfit, body, offset=0.95, cut=_open_front(-11.6, 2.4, 0.30))))
    elif outfit.kind == "shirt":
        parts.append(("shirt", _shell(outfit, body, offset=0.35, cut=_open_front(-11.4, 1.0, 0.30, stop=-16.5))))
        parts.append(("collar", _shirt_collar(outfit, body)))
    elif outfit.kind == "hoodie":
        inner = Outfit("crew", outfit.second, outfit.second, outfit.build, 0.0, outfit.seed)
        parts += _garment(inner, body, offset=0.2, neck=-11.2, name="inner")
        parts.append(("hoodie", _shell(outfit, body, offset=0.75, cut=_round_neck(-11.8, 2.6))))
        parts.append(("hood", _hood(outfit, body)))
    elif outfit.kind == "turtleneck":
        parts += _garment(outfit, body, offset=0.3, neck=-10.8, name="pullover")
        parts.append(("roll", _tube(outfit, body, base=-12.4, top=-7.8, thickness=0.42, ribs=True)))
    else:
        parts += _garment(outfit, body, offset=0.3, neck=-12.2, name="shirt")
    return parts


def _round_neck(height: float, dip: float):
    """Keeps what lies below a neckline that is `dip` cm lower in front."""

    def cut(p: np.ndarray) -> np.ndarray:
        q = p - NECK_AXIS
        return p[:, 1] - height + _front_dip(np.arctan2(q[:, 2], q[:, 0]), dip)

    return cut


def _open_front(height: float, half: float, spread: float, stop: float = -60.0):
    """A round neck with a V that opens upwards from `stop`, or all the way down."""
    neck = _round_neck(height, 1.4)

    def cut(p: np.ndarray) -> np.ndarray:
        up = np.clip(p[:, 1] - max(stop, -34.0), 0, None)
        gap = spread * up * (p[:, 1] > stop) + (half * smoothstep(-30, -14, p[:, 1]) if stop < -50 else 0)
        v = np.where(p[:, 2] > -1.0, gap - np.abs(p[:, 0]), -5.0)
        return np.maximum(neck(p), np.clip(v, -5, 5))

    return cut


def _shell(outfit: Outfit, body: BodyField, *, offset: float, cut) -> Mesh:
    p, shape = grid_points()
    # The scanned bust ends at the chest; beneath it the field's sign is meaningless.
    known = smoothstep(-18.5, -15.0, p[:, 1])
    low = known * (body.distances.reshape(-1) + 0.9 * smoothstep(-11.5, -9.0, p[:, 1])) + 9 * (1 - known)
    d = _blend(torso_distance(p, outfit.build), low, 1.6) - offset
    d -= _folds(p, outfit.seed)
    d = np.maximum(d, cut(p))
    d = np.where(p[:, 1] > -6, np.maximum(d, 2.0), d)
    volume = gaussian_filter(d.reshape(shape), 0.6)
    vertices, faces, _, _ = marching_cubes(volume, 0.0, spacing=(STEP,) * 3)
    vertices = vertices + LOW
    faces = faces[:, ::-1].astype(np.int64)
    grad = np.stack(np.gradient(volume, STEP))
    normals = normalise(np.stack([map_coordinates(g, ((vertices - LOW) / STEP).T, order=1) for g in grad], 1))
    return _paint(Mesh(vertices, faces, normals), outfit)


def _folds(p: np.ndarray, seed: int) -> np.ndarray:
    """Drapes: ridges that run from the shoulders down and inwards."""
    fall = np.stack([p[:, 0] * 0.30 + 0.10 * np.abs(p[:, 1]), p[:, 1] * 0.07, p[:, 2] * 0.2], 1)
    ridge = 1 - np.abs(fractal_noise(fall, 2, seed + 3)) * 2
    wrinkle = value_noise(p * [0.35, 0.6, 0.35], seed + 4)
    return 0.30 * np.clip(ridge, 0, 1) ** 2 * smoothstep(-13, -19, p[:, 1]) + 0.10 * wrinkle


def _paint(mesh: Mesh, outfit: Outfit) -> Mesh:
    p = mesh.vertices
    shade = 1 + 0.06 * fractal_noise(p * 1.3, 3, outfit.seed + 8) + 0.03 * value_noise(p * 5.0, outfit.seed + 9)
    if outfit.knit > 0:
        shade *= 1 + 0.10 * outfit.knit * np.sin(p[:, 0] * 9.0) * (0.7 + 0.3 * np.sin(p[:, 1] * 9.0))
    mesh.attributes["color"] = np.clip(to_linear(outfit.colour)[None] * shade[:, None], 0.003, 0.9)
    return mesh


def _garment(outfit: Outfit, body: BodyField, *, offset: float, neck: float, name: str) -> list[tuple[str, Mesh]]:
    shell = _shell(outfit, body, offset=offset, cut=_round_neck(neck - 0.1, 1.8))
    # The band sits on whatever is outermost at the neckline, or a slit opens where the cloth stands off the neck.
    band = _tube(outfit, _draped(outfit, body, offset), base=neck - 0.5, top=neck + 0.75, thickness=0.34, ribs=True, dip=1.8)
    return [(name, shell), (f"{name}_band", band)]


def _neck_ring(body: BodyField, angle: np.ndarray, height: np.ndarray, off: float) -> np.ndarray:
    """Points at `off` cm from the skin, round the neck's axis (angle 0 = +x, π/2 = front)."""
    reach = np.linspace(2.0, 16.0, 57)
    direction = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], 1)
    p = NECK_AXIS + reach[None, :, None] * direction[:, None]
    p[..., 1] = height[:, None]
    d = body.distance(p.reshape(-1, 3)).reshape(len(angle), -1)
    outside = np.argmax(d > off, axis=1)
    r = np.where((d > off).any(1), reach[outside], 9.0)
    r = _smooth_closed(r, 6)
    out = NECK_AXIS + r[:, None] * direction
    out[:, 1] = height
    return out


def _smooth_closed(r: np.ndarray, rounds: int) -> np.ndarray:
    for _ in range(rounds):
        r = 0.5 * r + 0.25 * (np.roll(r, 1) + np.roll(r, -1))
    return r


def _loft(rows: np.ndarray, closed_rows: bool = False) -> Mesh:
    """rows R×A×3: rings that close along A; closed_rows also joins the last ring to the first."""
    r, a = rows.shape[:2]
    i, j = np.meshgrid(np.arange(r if closed_rows else r - 1), np.arange(a), indexing="ij")
    at = lambda x, y: ((x % r) * a + (y % a)).ravel()  # noqa: E731
    quads = np.stack([at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)], 1)
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
    vertices = rows.reshape(-1, 3)
    return Mesh(vertices, triangles, vertex_normals(vertices, triangles))


def _front_dip(angle: np.ndarray, dip: float) -> np.ndarray:
    return dip * smoothstep(-0.4, 1.0, np.sin(angle))


def _tube(outfit: Outfit, body: BodyField, *, base, top, thickness, ribs=False, dip=0.0) -> Mesh:
    """A band round the neck with rounded edges."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    down = _front_dip(angle, dip)
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    middle, half = 0.5 * (base + top), 0.5 * (top - base)
    rows = []
    for a in turn:
        s = np.sign(np.sin(a)) * np.abs(np.sin(a)) ** 0.6
        off = 0.12 + thickness * (1 + 0.9 * np.cos(a))
        height = middle + half * s - down
        ring = _neck_ring(body, angle, np.full_like(angle, 0.0) + height, 0.15)
        out = normalise((ring - NECK_AXIS) * [1, 0, 1])
        rib = 1 + (0.10 * np.sin(angle * 60) if ribs and np.cos(a) > 0 else 0)
        rows.append(ring + out * (off * rib * np.ones(len(angle)))[:, None])
    return _paint(_loft(np.stack(rows), closed_rows=True), outfit)


def _draped(outfit: Outfit, body: BodyField, offset: float) -> BodyField:
    """The body with its plain torso of cloth, for what lies on top."""
    p, shape = grid_points()
    cloth = torso_distance(p, outfit.build).reshape(shape) - offset
    return from_distances(np.minimum(body.distances, cloth))


def _shirt_collar(outfit: Outfit, body: BodyField) -> Mesh:
    """A stand round the neck and a leaf folded over it, with two points in front."""
    angle = np.linspace(np.pi / 2 + 0.10, 2.5 * np.pi - 0.10, 240)  # open in front
    front = smoothstep(-0.3, 1.0, np.sin(angle))
    point = smoothstep(0.62, 1.0, np.sin(angle))
    stand = _smooth_open(_neck_ring(body, angle, -10.2 - 2.4 * front, 0.15), 10)
    out = normalise(_smooth_open(normalise((stand - NECK_AXIS) * [1, 0, 1]), 6))
    # (height above the stand's middle, distance from the neck, how much of the leaf's point shows) along the profile.
    profile = (
        (-2.2, 0.45, 0.0), (-0.6, 0.40, 0.0), (0.9, 0.42, 0.0), (1.35, 0.62, 0.0), (1.45, 0.85, 0.0), (1.25, 1.10, 0.0),
        (0.4, 1.40, 0.25), (-0.8, 1.85, 0.6), (-1.9, 2.35, 1.0), (-2.0, 2.15, 1.0), (-0.8, 1.62, 0.6), (0.6, 1.05, 0.2),
    )
    rows = []
    for rise, off, tip in profile:
        ring = stand + out * off
        ring[:, 1] += rise - 1.7 * tip * point
        ring += np.stack([np.sign(np.cos(angle)) * 0.9 * tip * point, 0 * angle, 0.9 * tip * point], 1)
        rows.append(ring)
    return _paint(_open_loft(np.stack(rows)), outfit)


def _smooth_open(rows: np.ndarray, rounds: int) -> np.ndarray:
    for _ in range(rounds):
        rows = rows.copy()
        rows[1:-1] = 0.5 * rows[1:-1] + 0.25 * (rows[:-2] + rows[2:])
    return rows


def _open_loft(rows: np.ndarray) -> Mesh:
    r, a = rows.shape[:2]
    i, j = np.meshgrid(np.arange(r - 1), np.arange(a - 1), indexing="ij")
    at = lambda x, y: (x * a + y).ravel()  # noqa: E731
    quads = np.stack([at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)], 1)
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
    vertices = rows.reshape(-1, 3)
    return Mesh(vertices, triangles, vertex_normals(vertices, triangles))


def _hood(outfit: Outfit, body: BodyField) -> Mesh:
    """The hood lies round the neck as a thick soft roll, high behind and open towards the chest."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    back = smoothstep(0.6, -0.9, np.sin(angle))
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    centre = -11.8 + 1.2 * back - 3.2 * smoothstep(0.2, 1.0, np.sin(angle)) ** 1.3
    thick = 1.05 + 1.15 * back
    tall = 1.7 + 1.5 * back
    ring = _neck_ring(body, angle, np.clip(centre - 0.5, -15, None), 0.2)
    out = normalise((ring - NECK_AXIS) * [1, 0, 1])
    wave = 0.16 * value_noise(np.stack([np.cos(angle) * 2.2, np.sin(angle) * 2.2, 0 * angle], 1), outfit.seed)
    rows = []
    for a in turn:
        bump = wave + 0.06 * np.sin(3 * a + 2 * angle)
        across = thick * (1.0 + 0.9 * np.cos(a) + bump)
        p = ring + out * across[:, None]
        p[:, 1] = centre + tall * (np.sin(a) * (1 + bump)) - 0.55 * across * (1 - back * 0.3)
        rows.append(p)
    return _paint(_loft(np.stack(rows), closed_rows=True), outfit)
