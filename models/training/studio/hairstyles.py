"""Hair styles: where hair grows, how long, which way it is combed."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .field import BodyField
from .hair import Combing, Fibre, Roots, grow, sample_roots, uneven
from .mesh import Mesh, normalise
from .noise import smoothstep, value_noise
from .regions import scalp_weight

DOWN = np.array([0.0, -1.0, 0.0])
SKULL = np.array([0.0, 4.5, -0.5])


@dataclass(frozen=True)
class HairStyle:
    """name: a key of STYLES; length scales the style's own; the rest overrides fields of its Fibre."""

    name: str
    count: int = 30000
    length: float = 1.0
    part: float = 2.6
    hairline: dict[str, float] = field(default_factory=dict)
    fibre: dict[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Cut:
    """What a style decides: lengths per root (cm), combing, fibre, and a density 0…1 per root weight."""

    length: Callable[[Roots], np.ndarray]
    combing: Combing
    fibre: Fibre


def tangent(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The direction without its part along the skull's normal."""
    normal = normalise(points - SKULL)
    return direction - (direction * normal).sum(1, keepdims=True) * normal


def away_from(points: np.ndarray, centre: tuple[float, float, float]) -> np.ndarray:
    return normalise(tangent(points, points - np.array(centre)))


def height_above_ears(canonical: np.ndarray) -> np.ndarray:
    """0 at the ear, 1 at the top of the head."""
    return np.clip((canonical[:, 1] - 4.0) / 10.0, 0, 1)


def _parted(part: float, *, sweep: float, back: float, fall: float, turn: float) -> Combing:
    """Combed away from a parting at x = part, backwards by `back`; falls once it is `turn` of its length along."""

    def combing(points: np.ndarray, canonical: np.ndarray, t: float) -> np.ndarray:
        side = np.tanh((canonical[:, 0] - part) / 0.7)
        top = smoothstep(5.0, 10.0, canonical[:, 1])
        sideways = np.stack([side * sweep * (0.4 + top), np.zeros(len(side)), np.full(len(side), -back)], 1)
        gravity = fall * (0.35 + smoothstep(turn, turn + 0.35, np.full(len(side), t)))
        return tangent(points, sideways) + gravity[:, None] * DOWN

    return combing


def _buzz(style: HairStyle) -> Cut:
    def combing(points, canonical, t):
        return away_from(points, (0.8, 13.0, -4.0)) + 1.1 * normalise(points - SKULL)

    return Cut(
        lambda r: 0.42 * style.length * (0.55 + 0.6 * height_above_ears(r.canonical)),
        combing,
        Fibre(steps=4, volume=0.35, lift=1.0, clump=0.0, clumps=50, frizz=0.06, radius=0.024, flyaway=0),
    )


def _crop(style: HairStyle) -> Cut:
    """Short sides, a longer top pushed forward and a little up at the front."""

    def length(r: Roots) -> np.ndarray:
        top = smoothstep(0.35, 0.75, height_above_ears(r.canonical))
        return style.length * (1.0 + 3.4 * top) * uneven(r, 0.28, 0.7, style.seed)

    def combing(points, canonical, t):
        top = smoothstep(7.0, 10.5, canonical[:, 1])[:, None]
        out = away_from(points, (0.8, 12.5, -4.5))
        swirl = vector_field(canonical, style.seed)
        up = normalise(points - SKULL) * (0.55 * top * (1 - 0.4 * t))
        front = smoothstep(6.0, 10.0, canonical[:, 2])[:, None] * top
        return out + 0.45 * swirl * top + up + front * np.array([0.35, 0.75, 0.0]) * (1 - 0.5 * t)

    return Cut(length, combing, Fibre(steps=8, volume=1.6, lift=0.5, clumps=420, clump=0.75, frizz=0.22, stiffness=0.55))


def vector_field(canonical: np.ndarray, seed: int) -> np.ndarray:
    return np.stack([value_noise(canonical * 0.45 + 9.1 * k, seed + 40 + k) for k in range(3)], 1)


def _side_part(style: HairStyle) -> Cut:
    def length(r: Roots) -> np.ndarray:
        top = smoothstep(0.25, 0.7, height_above_ears(r.canonical))
        return style.length * (1.6 + 7.0 * top) * uneven(r, 0.12, 0.6, style.seed)

    base = _parted(style.part, sweep=1.0, back=0.55, fall=0.28, turn=0.6)

    def combing(points, canonical, t):
        front = smoothstep(6.0, 9.5, canonical[:, 2]) * smoothstep(8.0, 10.0, canonical[:, 1]) * (1 - t)
        low = smoothstep(7.5, 5.0, canonical[:, 1])[:, None]
        sides = np.array([0, -0.9, -0.7])
        return base(points, canonical, t) * (1 - low) + low * sides + front[:, None] * np.array([0, 1.3, 0.25])

    return Cut(length, combing, Fibre(steps=12, volume=1.5, lift=0.14, cling=0.25, clumps=420, clump=0.6, frizz=0.06, stiffness=0.5))


def _slick(style: HairStyle) -> Cut:
    def length(r: Roots) -> np.ndarray:
        top = smoothstep(0.2, 0.65, height_above_ears(r.canonical))
        return style.length * (2.0 + 8.0 * top) * uneven(r, 0.1, 0.6, style.seed)

    def combing(points, canonical, t):
        front = smoothstep(5.0, 9.5, canonical[:, 2]) * (1 - t)
        back = tangent(points, np.array([[0.12, 0.05, -1.0]]).repeat(len(points), 0))
        low = smoothstep(7.5, 4.0, canonical[:, 1])
        return back + front[:, None] * np.array([0, 1.1, 0.0]) + (0.25 + 0.5 * low)[:, None] * DOWN

    return Cut(length, combing, Fibre(steps=12, volume=1.5, lift=0.2, cling=0.2, clumps=420, clump=0.65, frizz=0.06, stiffness=0.5))


def _bob(style: HairStyle) -> Cut:
    """To the jaw, with a fringe; the ends turn inwards."""

    def fringe(canonical):
        # A strand belongs to the fringe or it does not: one half way between hangs before the eyes.
        wander = 0.5 * value_noise(canonical * 1.5, style.seed)
        return ((canonical[:, 2] + wander > 6.6) & (np.abs(canonical[:, 0]) + wander < 5.5)).astype(np.float64)

    def length(r: Roots) -> np.ndarray:
        y = r.canonical[:, 1]
        long = np.clip(y + 6.5, 3.0, None) * 1.12 + 2.2 * smoothstep(9, 14, y)
        short = 0.5 + np.clip(y - 6.0, 2.4, 9.0) * 1.04 + 0.3 * np.abs(r.canonical[:, 2] - 8.8)
        f = fringe(r.canonical)
        return style.length * (long * (1 - f) + short * f) * uneven(r, 0.02, 0.8, style.seed)

    part = _parted(0.2, sweep=0.9, back=0.15, fall=0.9, turn=0.1)

    def combing(points, canonical, t):
        f = fringe(canonical)[:, None]
        ahead = tangent(points, np.stack([0.04 * canonical[:, 0], 0 * points[:, 1], np.ones(len(points))], 1)) + 0.9 * DOWN
        tuck = smoothstep(0.75, 1.0, np.full(len(points), t))[:, None] * (points - SKULL) * [1, 0, 1]
        side = smoothstep(4.0, 7.0, canonical[:, 2])[:, None] * (t < 0.4) * np.stack(
            [np.sign(canonical[:, 0]), 0 * points[:, 0], -0.3 + 0 * points[:, 0]], 1
        )
        return (1 - f) * (part(points, canonical, t) + 0.5 * side - 0.07 * tuck) + f * ahead

    return Cut(length, combing, Fibre(steps=16, volume=1.5, lift=0.15, clumps=1100, clump=0.35, frizz=0.05, stiffness=0.5, flyaway=0.0))


def _long(style: HairStyle) -> Cut:
    """Past the shoulders; part at style.part."""

    def length(r: Roots) -> np.ndarray:
        return style.length * (24.0 + 0.55 * r.canonical[:, 1]) * uneven(r, 0.07, 0.5, style.seed)

    base = _parted(style.part, sweep=1.0, back=0.35, fall=1.0, turn=0.08)

    def combing(points, canonical, t):
        # In front of the ears hair is led outwards and back, so that it frames the face instead of covering it.
        face = smoothstep(4.0, 8.0, canonical[:, 2])[:, None] * (t < 0.45)
        frame = np.stack([np.sign(canonical[:, 0] - style.part), 0 * points[:, 0], -0.5 * np.ones(len(points))], 1)
        # Below the jaw it gathers: side hair before the shoulder, back hair behind it.
        fore = np.where(canonical[:, 2] > -1.5, 0.75, -0.6)
        gather = np.stack([-0.05 * points[:, 0], 0 * fore, fore], 1) * smoothstep(0.35, 0.7, np.full(len(points), t))[:, None]
        return base(points, canonical, t) + 0.55 * face * frame + gather

    return Cut(length, combing, Fibre(steps=22, volume=1.35, lift=0.12, clumps=380, clump=0.6, frizz=0.08, stiffness=0.6))


def _afro(style: HairStyle) -> Cut:
    def combing(points, canonical, t):
        return normalise(points - (SKULL + [0, 1.5, -1.0])) + 0.25 * vector_field(canonical * 2.5, style.seed)

    return Cut(
        lambda r: style.length * 5.6 * (0.62 + 0.38 * height_above_ears(r.canonical)) * uneven(r, 0.07, 0.8, style.seed),
        combing,
        Fibre(
            steps=26, volume=0.2, lift=0.9, clumps=2600, clump=0.75, clump_shape=0.6, curl=0.34, turns=13.0, frizz=0.35,
            stiffness=0.75, radius=0.026, tip=0.7, flyaway=0.06,
        ),
    )


def _pulled(style: HairStyle, knot: tuple[float, float, float]) -> Cut:
    """Tight to the head, all towards the knot, which lies on or under the skull's surface."""

    def length(r: Roots) -> np.ndarray:
        a, b = r.canonical - SKULL, np.array(knot) - SKULL
        reach = np.linalg.norm(a, axis=1), np.linalg.norm(b)
        angle = np.arccos(np.clip(a @ b / (reach[0] * reach[1]), -1, 1))
        return np.clip(angle * 0.5 * (reach[0] + reach[1]), 0.6, None)

    def combing(points, canonical, t):
        return tangent(points, np.array(knot) - points)

    return Cut(length, combing, Fibre(steps=16, volume=1.1, lift=0.04, cling=0.7, clumps=700, clump=0.35, frizz=0.06, stiffness=0.35))


KNOTS = {"bun": (0.0, 13.6, -2.6), "ponytail": (0.0, 10.5, -9.6), "low_bun": (0.0, 4.0, -11.0)}

STYLES: dict[str, Callable[[HairStyle], Cut]] = {
    "buzz": _buzz,
    "crop": _crop,
    "side_part": _side_part,
    "slick": _slick,
    "bob": _bob,
    "long": _long,
    "afro": _afro,
    **{name: (lambda style, knot=knot: _pulled(style, knot)) for name, knot in KNOTS.items()},
}


def grow_style(style: HairStyle, head: Mesh, body: BodyField) -> tuple[np.ndarray, np.ndarray]:
    """Points S×K×3 and radii S×K. Raises KeyError for an unknown style."""
    rng = np.random.default_rng(style.seed + 1000)
    cut = STYLES[style.name](style)
    fibre = Fibre(**{**cut.fibre.__dict__, **style.fibre})
    weight = scalp_weight(head.attributes["canonical"], **style.hairline)
    roots = sample_roots(head, weight, style.count, rng)
    points, radius = grow(roots, cut.length(roots), cut.combing, fibre, body, rng)
    if style.name in KNOTS:
        extra = _tail if style.name == "ponytail" else _knot
        more, wide = extra(np.array(KNOTS[style.name]), style, fibre, body, rng)
        points = np.concatenate([points, _resample(more, points.shape[1])])
        radius = np.concatenate([radius, np.repeat(wide, points.shape[1], axis=1)])
    return points, radius


def _resample(points: np.ndarray, count: int) -> np.ndarray:
    at = np.linspace(0, points.shape[1] - 1, count)
    low = np.floor(at).astype(int).clip(0, points.shape[1] - 2)
    f = (at - low)[None, :, None]
    return points[:, low] * (1 - f) + points[:, low + 1] * f


def _knot(centre, style: HairStyle, fibre: Fibre, body: BodyField, rng) -> tuple[np.ndarray, np.ndarray]:
    """A bun: arcs wound about a tilted ball."""
    count = style.count // 4
    ball = 3.1 * style.length
    outward = normalise((centre - SKULL)[None])[0]
    centre = centre + outward * (0.72 * ball + max(0.0, -float(body.distance(centre[None])[0])))
    start = rng.random(count) * 2 * np.pi
    lock = np.floor(rng.random(count) * 90)
    tilt = (0.30 * np.sin(lock * 2.4) + 0.10 * rng.normal(size=count))[:, None]
    band = (np.sin(lock * 7.7) * 1.05 + 0.05 * rng.normal(size=count))[:, None]
    angle = start[:, None] + np.linspace(0, 2.6, 17)[None]
    radius = ball * (0.80 + 0.20 * rng.random(count) ** 0.5)[:, None]
    u = normalise(np.cross(outward, [1.0, 0.2, 0.3])[None])[0]
    v = np.cross(outward, u)
    height = np.sin(band + tilt * np.cos(angle))
    ring = np.sqrt(np.clip(1 - height**2, 0, 1))
    local = ring[..., None] * (np.cos(angle)[..., None] * u + np.sin(angle)[..., None] * v) + 0.8 * height[..., None] * outward
    return centre + radius[..., None] * local, np.full((count, 1), fibre.radius)


def _tail(centre, style: HairStyle, fibre: Fibre, body: BodyField, rng) -> tuple[np.ndarray, np.ndarray]:
    """A ponytail that swings over one shoulder."""
    count = style.count // 3
    t = np.linspace(0, 1, 22)[None, :, None]
    a, b = centre + [0, 0.2, -0.3], centre + [2.5, 1.5, -4.5]
    c, d = np.array([7.5, 0.0, -9.0]), np.array([9.0, -17.0 * style.length, 0.0])
    spine = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    spread = rng.normal(size=(count, 1, 3)) * [1.1, 0.5, 1.1]
    width = np.sin(np.pi * np.clip(0.12 + 0.75 * t, 0, 1)) ** 0.7
    lag = (1 - 0.16 * rng.random((count, 1, 1)) * t)
    points = a + (spine - a) * lag + spread * width
    flat = points.reshape(-1, 3)
    flat = flat + np.clip(0.3 - body.distance(flat), 0, None)[:, None] * body.gradient(flat)
    return flat.reshape(points.shape), np.full((count, 1), fibre.radius)
