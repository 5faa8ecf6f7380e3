"""Hair, brows and beards as ribbons that always face the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter

from studio.hair import Fibre, grow
from studio.hair import Roots
from studio.hairstyles import KNOTS, SKULL, STYLES, HairStyle, _knot, _resample, _tail
from studio.regions import beard_weight, scalp_weight

from .rig import BEARD, BROW, HAIR, Rig, brow_distance, neck_weight
from .stage import Piece, sphere
from .wardrobe import static

ROWS, COLUMNS = 96, 192


class RadialGrid:
    """How far a star-shaped cloud of points reaches from its centre, over all directions."""

    def __init__(self, points: np.ndarray, centre: np.ndarray) -> None:
        self.centre = centre
        d = points - centre
        r = np.linalg.norm(d, axis=1)
        u, v = self._at(d / r[:, None])
        grid = np.zeros((ROWS, COLUMNS))
        np.maximum.at(grid, (v.astype(int).clip(0, ROWS - 1), u.astype(int) % COLUMNS), r)
        for _ in range(6):
            filled = maximum_filter(grid, 3, mode=("nearest", "wrap"))
            grid = np.where(grid > 0, grid, filled)
        self.grid = gaussian_filter(grid, 0.8, mode=("nearest", "wrap"))

    @staticmethod
    def _at(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (np.arctan2(d[:, 0], d[:, 2]) / (2 * np.pi) + 0.5) * COLUMNS, np.arccos(np.clip(d[:, 1], -1, 1)) / np.pi * ROWS

    def distance(self, points: np.ndarray) -> np.ndarray:
        d = points - self.centre
        r = np.linalg.norm(d, axis=1) + 1e-9
        u, v = self._at(d / r[:, None])
        return r - map_coordinates(self.grid, [v - 0.5, (u - 0.5) % COLUMNS], order=1, mode="nearest")


class RadialField:
    """Distance from head and clothes, each star-shaped about its own centre: good enough for hair to lie on."""

    def __init__(self, skin: np.ndarray, cloth: np.ndarray) -> None:
        self.head = RadialGrid(skin[skin[:, 1] > -8], np.array([0.0, 3.0, -0.5]))
        self.body = RadialGrid(np.concatenate([skin[skin[:, 1] < -6], cloth]), np.array([0.0, -12.0, -1.5]))

    def _share(self, points: np.ndarray) -> np.ndarray:
        """0 beside the head, 1 beside neck and shoulders."""
        return np.clip((-5.5 - points[:, 1]) / 3.0, 0, 1)

    def distance(self, points: np.ndarray) -> np.ndarray:
        low = self._share(points)
        return (1 - low) * self.head.distance(points) + low * self.body.distance(points)

    def gradient(self, points: np.ndarray) -> np.ndarray:
        low = self._share(points)[:, None]
        d = points - (1 - low) * self.head.centre - low * self.body.centre
        return d / (np.linalg.norm(d, axis=1, keepdims=True) + 1e-9)


@dataclass(frozen=True)
class Locks:
    """points S×K×3 (cm, rest), half: S×K half widths, colour S×3 linear."""

    points: np.ndarray
    half: np.ndarray
    colour: np.ndarray


# name: (studio style, ribbons, half width cm, overrides of its Fibre, length range)
CUTS: dict[str, tuple] = {
    "buzz": ("buzz", 5200, 0.075, {}, (0.6, 1.5)),
    "crop": ("crop", 3600, 0.12, {}, (0.6, 1.25)),
    "side_part": ("side_part", 3000, 0.13, {}, (0.7, 1.2)),
    "slick": ("slick", 2800, 0.13, {}, (0.8, 1.2)),
    "curly": ("crop", 3000, 0.13, {"curl": 0.5, "turns": 5.0, "frizz": 0.35, "volume": 2.6, "lift": 0.9, "steps": 12}, (1.2, 2.2)),
    "afro": ("afro", 3600, 0.11, {"steps": 13, "turns": 5.0, "curl": 0.45, "frizz": 0.5}, (0.45, 1.05)),
    "bob": ("bob", 3600, 0.14, {"steps": 11, "clumps": 400}, (0.75, 1.15)),
    "fringe": ("bob", 3400, 0.14, {"steps": 12, "volume": 2.0, "frizz": 0.12}, (0.92, 1.25)),
    "long": ("long", 2600, 0.17, {"steps": 15, "volume": 1.7}, (0.7, 1.15)),
    "wavy": ("long", 2600, 0.17, {"steps": 17, "curl": 0.55, "turns": 1.6, "volume": 2.2, "frizz": 0.3}, (0.6, 1.1)),
    "long_curls": ("long", 2600, 0.17, {"steps": 20, "curl": 0.8, "turns": 3.0, "volume": 2.8, "frizz": 0.5}, (0.5, 0.9)),
    "bun": ("bun", 2600, 0.13, {"steps": 10}, (0.8, 1.2)),
    "ponytail": ("ponytail", 2600, 0.14, {"steps": 10}, (0.7, 1.1)),
    "low_bun": ("low_bun", 2600, 0.13, {"steps": 10}, (0.8, 1.2)),
    "bald": ("buzz", 0, 0.1, {}, (1, 1)),
}
SHORT = ("buzz", "crop", "side_part", "slick", "curly", "afro", "bun", "low_bun", "ponytail")
# Fewer, wider ribbons than hairs: what software OpenGL draws in a tenth of a second.
THIN, WIDEN = 0.7, 1.25
SHARE = {
    "buzz": 8, "crop": 13, "side_part": 11, "slick": 6, "curly": 10, "afro": 7, "bob": 8, "fringe": 6, "long": 9, "wavy": 8,
    "long_curls": 5, "bun": 5, "ponytail": 5, "low_bun": 3, "bald": 5,
}


class Barber:
    """Grows the hair of one identity; keeps what all identities share."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        t = rig.skin_triangles
        self.triangles = t
        self.canonical = rig.kit.neutral

    def roots(
        self, shape: np.ndarray, normals: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[Roots, np.ndarray, np.ndarray]:
        """count roots with density ∝ area × weight [V]; also their triangle and barycentric coordinates."""
        t = self.triangles
        live = weight[t].max(1) > 0.01
        t = t[live]
        a, b, c = (shape[t[:, k]] for k in range(3))
        mass = np.linalg.norm(np.cross(b - a, c - a), axis=1) * weight[t].mean(1)
        total = np.cumsum(mass)
        u = (np.arange(count) + rng.random(count)) / count
        index = np.searchsorted(total / total[-1], u).clip(0, len(t) - 1)
        r1, r2 = np.sqrt(rng.random(count)), rng.random(count)
        bary = np.stack([1 - r1, r1 * (1 - r2), r1 * r2], 1)
        corner = t[index]
        mix = lambda v: (v[corner] * bary[:, :, None]).sum(1)  # noqa: E731
        n = mix(normals)
        n /= np.linalg.norm(n, axis=1, keepdims=True) + 1e-9
        return Roots(mix(shape).astype(float), n.astype(float), mix(self.canonical)), corner, bary

    def hair(
        self, style: str, shape: np.ndarray, normals: np.ndarray, cloth: np.ndarray, colour: np.ndarray, rng: np.random.Generator
    ) -> Locks | None:
        """colour is linear RGB; None for bald heads."""
        base, count, half, fibre, reach = CUTS[style]
        count, half = int(THIN * count), WIDEN * half
        hairline = {"temples": rng.uniform(-0.3, 0.8), "forehead": rng.uniform(-0.7, 0.8)}
        if rng.random() < 0.1 and style in ("buzz", "crop", "side_part", "slick"):
            hairline = {"temples": rng.uniform(1, 3), "forehead": rng.uniform(1, 3)}
        if count == 0:
            return None
        field = RadialField(shape[:11248], cloth)
        length, part = float(rng.uniform(*reach)), float(rng.uniform(-3, 3))
        cut_style = HairStyle(base, count, length, part, hairline, fibre, int(rng.integers(1 << 20)))
        cut = STYLES[base](cut_style)
        weave = Fibre(**{**cut.fibre.__dict__, "flyaway": 0.06, **fibre})
        weight = scalp_weight(self.canonical[:11248], **hairline)
        if style in SHORT:
            weight = weight * np.clip((self.canonical[:11248, 1] + 4.2) / 1.5, 0, 1)
        roots, _, _ = self.roots(shape, normals, np.concatenate([weight, np.zeros(len(shape) - 11248)]), count, rng)
        length = cut.length(roots)
        if style in SHORT:
            length = length * (0.3 + 0.7 * np.clip((roots.canonical[:, 1] + 2.5) / 5, 0, 1))
        points, _ = grow(roots, length, cut.combing, weave, field, rng)
        if base in KNOTS:
            extra = _tail if base == "ponytail" else _knot
            more, _ = extra(np.array(KNOTS[base]), cut_style, weave, field, rng)
            points = np.concatenate([points, _resample(more, points.shape[1])])
        n, k = points.shape[:2]
        # Deep layers are darker; strands differ in tone, and locks as a whole too.
        middle = points[:, k // 2]
        depth = field.distance(middle)
        order = np.clip(depth / max(np.percentile(depth, 90), 0.3), 0, 1)
        tone = np.exp(rng.normal(size=n) * 0.18 + 0.25 * np.sin(middle @ rng.normal(size=3) * 1.1))
        shade = (0.45 + 0.55 * order) * tone
        streak = rng.random(n) < rng.choice([0.0, 0.15, 0.3], p=[0.6, 0.25, 0.15])
        colours = colour[None] * shade[:, None] * np.where(streak, rng.uniform(1.4, 2.4), 1.0)[:, None]
        width = half * (0.75 + 0.5 * rng.random(n))[:, None] * np.linspace(1.0, 0.55, k)[None] ** 0.8
        # Outer strands first, so that the depth test spares the work on what they hide.
        front = np.argsort(-order, kind="stable")
        return Locks(points[front], width[front], np.clip(colours, 0.003, 1)[front])


def ribbons(locks: Locks, part: int, weight: np.ndarray | None = None) -> tuple[Piece, np.ndarray, np.ndarray]:
    """(piece, positions, normals) of the strips; weight S×K: how much they follow the head (default from the height)."""
    points = locks.points.astype(np.float32)
    n, k = points.shape[:2]
    tangent = np.gradient(points, axis=1)
    tangent /= np.linalg.norm(tangent, axis=2, keepdims=True) + 1e-6
    outward = points - SKULL
    outward[..., 1] *= 0.6
    outward -= (outward * tangent).sum(2, keepdims=True) * tangent * 0.6
    outward /= np.linalg.norm(outward, axis=2, keepdims=True) + 1e-6
    two = lambda v: np.repeat(v, 2, axis=0)  # noqa: E731
    flat = two(points.reshape(-1, 3))
    across = np.tile([-1.0, 1.0], n * k)
    along = two(np.tile(np.linspace(0, 1, k), n))
    length = np.linalg.norm(np.diff(points, axis=1), axis=2).sum(1)
    number = two(np.repeat(np.arange(n) * 0.731 % 61.0, k))
    canonical = np.stack([number, two((length[:, None] * np.linspace(0, 1, k)[None]).reshape(-1)), np.zeros(len(flat))], 1)
    w = neck_weight(flat[:, 1] - 1.0) if weight is None else two(weight.reshape(-1))
    rows = static(
        flat, part, weight=w, tangent=two(tangent.reshape(-1, 3)), half=two(locks.half.reshape(-1)) * across,
        colour=two(np.repeat(locks.colour, k, axis=0)), uv=np.stack([across, along], 1), canonical=canonical.astype(np.float32),
    )
    a = (np.arange(n)[:, None] * k + np.arange(k - 1)[None]).reshape(-1) * 2
    triangles = np.concatenate([np.stack([a, a + 1, a + 3], 1), np.stack([a, a + 3, a + 2], 1)])
    return Piece(rows, triangles), flat, two(outward.reshape(-1, 3))


def cover(locks: Locks | None) -> np.ndarray:
    """How much hair lies over each direction of the spherical map [64,128], blurred and sunk a little: a soft shadow."""
    if locks is None:
        return np.zeros((64, 128), np.float32)
    at = sphere(locks.points[:, 2:].reshape(-1, 3))
    grid, _, _ = np.histogram2d(at[:, 1], at[:, 0], bins=(64, 128), range=((0, 1), (0, 1)))
    solid = 1 - np.exp(-grid / 6.0)
    soft = gaussian_filter(solid, 1.5, mode=("nearest", "wrap"))
    return np.maximum(soft, np.roll(soft, 2, axis=0) * 0.9).astype(np.float32)


class Fuzz:
    """Brow or beard hairs on the skin; they follow the expression because each is tied to a triangle."""

    def __init__(self, locks: Locks, part: int, corner: np.ndarray, bary: np.ndarray) -> None:
        self.piece, self.rest, self.normal = ribbons(locks, part, np.ones(locks.points.shape[:2], np.float32))
        self.corner, self.bary = corner, bary.astype(np.float32)[:, :, None]
        self.repeat = locks.points.shape[1] * 2

    def positions(self, shape: np.ndarray, deformed: np.ndarray) -> np.ndarray:
        delta = ((deformed[self.corner] - shape[self.corner]) * self.bary).sum(1)
        return self.rest + np.repeat(delta, self.repeat, axis=0)


def grow_fuzz(barber: Barber, kind: str, shape, normals, colour: np.ndarray, rng: np.random.Generator, amount: float) -> Fuzz:
    """kind: 'brow' or 'beard'; amount: density 0…1."""
    rig = barber.rig
    points = rig.kit.neutral[:9409]
    if kind == "brow":
        wide = rng.uniform(0.22, 0.42)
        w = np.clip(1.3 - brow_distance(rig, points) / wide, 0, 1)
        count, length, half, steps = int(420 * amount), rng.uniform(0.5, 0.8), 0.035, 3
    else:
        w = np.clip(beard_weight(rig.kit, points, moustache=rng.choice([0.0, 1.0], p=[0.2, 0.8]), cheeks=rng.uniform(0, 1)), 0, 1)
        count, length, half, steps = int(3800 * amount), rng.uniform(0.35, 2.2), 0.06, 4
    weight = np.concatenate([w, np.zeros(len(shape) - 9409)])
    if weight.sum() <= 0 or count < 8:
        count = 8
        weight[:9409] += 1e-6
    roots, corner, bary = barber.roots(shape, normals, weight, count, rng)
    side = np.sign(roots.canonical[:, :1])
    if kind == "brow":
        aim = np.concatenate([side, np.full_like(side, 0.75) - 0.17 * np.abs(roots.canonical[:, :1]), 0 * side], 1) + 0.25 * roots.normal
    else:
        aim = np.concatenate([0.15 * side, np.full_like(side, -0.9), 0 * side], 1) + 0.7 * roots.normal
    aim = aim + 0.22 * rng.normal(size=aim.shape)
    aim -= (aim * roots.normal).sum(1, keepdims=True).clip(None, 0) * roots.normal
    aim /= np.linalg.norm(aim, axis=1, keepdims=True)
    own = length * (0.6 + 0.7 * rng.random(count))
    t = np.linspace(0, 1, steps)[None, :, None]
    hang = 0.25 * t**2 * np.array([0, -0.6, -0.2]) * (kind == "beard")
    line = roots.position[:, None] + 0.03 * roots.normal[:, None] + own[:, None, None] * (t * aim[:, None] + hang)
    width = half * (0.7 + 0.6 * rng.random(count))[:, None] * np.linspace(1, 0.4, steps)[None]
    tone = np.exp(rng.normal(size=count) * 0.3)[:, None]
    return Fuzz(Locks(line, width, np.clip(colour[None] * tone, 0.003, 1)), BROW if kind == "brow" else BEARD, corner, bary)
