"""Brows, lashes and beards, strand by strand."""

from dataclasses import dataclass

import numpy as np

from .facekit import EYE_CENTRES, PARTS, Facekit
from .field import BodyField
from .hair import Fibre, grow, sample_roots
from .mesh import Mesh, normalise
from .noise import smoothstep, value_noise
from .regions import beard_weight


@dataclass(frozen=True)
class FacialHair:
    """brow: density 0…1, brow_width cm (half), brow_arch cm; lashes: length cm; beard: 0 none, else length cm."""

    brow: float = 0.8
    brow_width: float = 0.36
    brow_lift: float = -0.08
    brow_arch: float = 0.0
    lashes: float = 0.75
    beard: float = 0.0
    moustache: float = 1.0
    cheeks: float = 1.0
    seed: int = 0


def brow_line(kit: Facekit, hair: FacialHair, side: int) -> np.ndarray:
    """The brow's middle line on the mean head, from nose to temple; 5×3. side +1 = the subject's left."""
    index = kit.landmarks[22:27] if side > 0 else kit.landmarks[17:22][::-1]
    line = kit.neutral[index].copy()
    line[:, 1] += hair.brow_lift - 0.12 + hair.brow_arch * np.array([-0.4, 0.1, 0.6, 0.6, -0.3])
    return line


def grow_brows(kit: Facekit, head: Mesh, hair: FacialHair, body: BodyField) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(hair.seed + 1)
    canonical = head.attributes["canonical"]
    points, radii = [], []
    for side in (1, -1):
        line = brow_line(kit, hair, side)
        along, across = _brow_frame(canonical, line, side)
        # Full and tapered at the temple, softer at the nose.
        width = hair.brow_width * (0.55 + 0.45 * smoothstep(-0.05, 0.25, along)) * (1 - 0.72 * smoothstep(0.55, 1.05, along))
        weight = smoothstep(1.15, 0.3, np.abs(across) / np.maximum(width, 0.05))
        weight *= smoothstep(-0.08, 0.10, along) * smoothstep(1.10, 0.95, along) * (canonical[:, 2] > 5)
        roots = sample_roots(head, weight, int(620 * hair.brow), rng)
        t, offset = _brow_frame(roots.canonical, line, side)

        def combing(here, place, s, t=t, offset=offset, side=side):
            up = np.clip(1.25 - 1.5 * t, -0.35, 1.2) - 0.7 * offset / hair.brow_width * (t > 0.2)
            return np.stack([side * np.ones(len(t)), up, -0.35 - 0.5 * t], 1)

        length = (0.55 + 0.35 * rng.random(len(roots))) * (0.75 + 0.5 * smoothstep(0.0, 0.4, t) - 0.35 * smoothstep(0.7, 1, t))
        fibre = Fibre(steps=5, volume=0.1, stiffness=0.5, lift=0.15, clumps=150, clump=0.3, frizz=0.03, radius=0.016, tip=0.15)
        p, r = grow(roots, length, combing, fibre, body, rng)
        points.append(p)
        radii.append(r)
    return np.concatenate(points), np.concatenate(radii)


def _brow_frame(points: np.ndarray, line: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(0 at the nose … 1 at the temple, height above the brow's middle line in cm)."""
    x = np.clip(points[:, 0] * side, -20, 20)
    xs = line[:, 0] * side
    along = (x - xs[0]) / (xs[-1] - xs[0])
    smooth = np.polyfit(xs, line[:, 1], 3)
    return along, points[:, 1] - np.polyval(smooth, np.clip(x, xs[0] - 0.3, xs[-1] + 0.3))


def grow_lashes(kit: Facekit, vertices: np.ndarray, hair: FacialHair) -> tuple[np.ndarray, np.ndarray]:
    """Lashes start where the model's own lash strips touch the lids."""
    rng = np.random.default_rng(hair.seed + 2)
    start, end = PARTS["lashes"]
    points, radii = [], []
    for side, centre in EYE_CENTRES.items():
        sign = 1 if side == "left" else -1
        index = np.arange(start, end)
        place = kit.neutral[index]
        reach = np.linalg.norm(place - centre, axis=1)
        for upper in (True, False):
            chosen = (np.sign(place[:, 0]) == sign) & (reach < 1.80) & ((place[:, 1] > centre[1] - 0.12) == upper)
            root = vertices[index[chosen]]
            if len(root) < 4:
                continue
            root = root[np.argsort(root[:, 0])]
            fit = np.polyfit(root[:, 0], root[:, 1:], 4)
            count = int((150 if upper else 60) * min(1.0, hair.lashes + 0.3))
            x = np.sort(rng.uniform(root[0, 0], root[-1, 0], count))
            base = np.stack([x, np.polyval(fit[:, 0], x), np.polyval(fit[:, 1], x)], 1)
            u = (x - x[0]) / (x[-1] - x[0]) if sign > 0 else (x[-1] - x) / (x[-1] - x[0])  # 0 nose … 1 temple
            length = hair.lashes * (0.6 if upper else 0.32) * (0.55 + 0.6 * np.sin(np.pi * np.clip(0.15 + 0.75 * u, 0, 1)))
            length = length * (0.8 + 0.4 * rng.random(count))
            fan = sign * (u - 0.42) * 1.1 + 0.15 * rng.normal(size=count)
            s = np.linspace(0, 1, 6)[None, :, None]
            out = np.stack([fan, np.full(count, 0.05 if upper else -0.35), np.ones(count)], 1)
            lift = np.array([0, 0.95 if upper else -0.25, 0.0])
            curve = base[:, None] + length[:, None, None] * (s * normalise(out)[:, None] + s**2 * lift)
            points.append(curve)
            radii.append(0.022 * (1 - 0.75 * s[..., 0]) * np.ones((count, 1)))
    return np.concatenate(points), np.concatenate(radii)


def grow_beard(kit: Facekit, head: Mesh, hair: FacialHair, body: BodyField) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(hair.seed + 3)
    weight = beard_weight(kit, head.attributes["canonical"], moustache=hair.moustache, cheeks=hair.cheeks)
    roots = sample_roots(head, weight, 13000, rng)
    y = roots.canonical[:, 1]

    def combing(here, place, t):
        out = np.stack([0.35 * np.sign(place[:, 0]) * (place[:, 1] > -3.2), -np.ones(len(place)), 0.1 * np.ones(len(place))], 1)
        return out + 0.35 * roots.normal

    length = hair.beard * (0.45 + 0.65 * smoothstep(1.0, -6.5, y)) * (1 + 0.25 * value_noise(roots.canonical * 1.2, hair.seed))
    fibre = Fibre(
        steps=6, volume=0.45 * min(hair.beard, 1.5), lift=0.6, clumps=700, clump=0.35, curl=0.05, turns=14, frizz=0.12,
        radius=0.024, stiffness=0.6,
    )
    return grow(roots, length, combing, fibre, body, rng)
