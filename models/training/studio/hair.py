"""Grows hair: strands start on the scalp, follow a combing direction and gravity, and rest on the body in layers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .field import BodyField
from .mesh import Mesh, interpolate, normalise, sample_surface
from .noise import value_noise, vector_noise

# (positions N×3, roots on the mean head N×3, how far along the strand 0…1) → direction N×3.
Combing = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Roots:
    """position and normal on this head, canonical = the same place on the mean head; each N×3."""

    position: np.ndarray
    normal: np.ndarray
    canonical: np.ndarray

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True)
class Fibre:
    """How strands behave. Lengths in cm; fractions 0…1.

    volume: how far the outermost layer stands off the head; stiffness: how much of its direction a strand keeps per
    step; lift: how upright it leaves the skin; cling: how firmly it is drawn back on to its layer; clump: how far strands of a lock meet at its tip; curl: radius of a
    lock's helix with `turns` per 10 cm; frizz: random wander; flyaway: fraction of strands that leave their lock.
    """

    steps: int = 14
    volume: float = 1.2
    stiffness: float = 0.6
    lift: float = 0.35
    cling: float = 0.0
    clumps: int = 900
    clump: float = 0.5
    clump_shape: float = 1.3
    curl: float = 0.0
    turns: float = 2.0
    frizz: float = 0.1
    flyaway: float = 0.03
    radius: float = 0.028
    tip: float = 0.35


def sample_roots(mesh: Mesh, weight: np.ndarray, count: int, rng: np.random.Generator) -> Roots:
    index, bary = sample_surface(mesh, weight, count, rng)
    return Roots(
        interpolate(mesh.vertices, mesh, index, bary),
        normalise(interpolate(mesh.normals, mesh, index, bary)),
        interpolate(mesh.attributes["canonical"], mesh, index, bary),
    )


def grow(
    roots: Roots, length: np.ndarray, combing: Combing, fibre: Fibre, body: BodyField, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (points S×K×3, radius S×K); `length` is one per root, cm."""
    count, steps = len(roots), fibre.steps
    layer = fibre.volume * (0.08 + 0.92 * rng.random(count) ** 1.3)
    points = np.empty((count, steps + 1, 3))
    points[:, 0] = roots.position - 0.06 * roots.normal
    direction = normalise(combing(roots.position, roots.canonical, 0.0) + fibre.lift * 2.0 * roots.normal)
    stride = (length / steps)[:, None]
    for k in range(1, steps + 1):
        t = k / steps
        here = points[:, k - 1]
        aim = normalise(combing(here, roots.canonical, t))
        direction = normalise(fibre.stiffness * direction + (1 - fibre.stiffness) * aim)
        ahead = here + stride * direction
        # A strand rises to its layer over its first two centimetres, then may not sink below it.
        rise = np.clip(length * t / 2.5, 0, 1)
        short = layer * rise + 0.05 - body.distance(ahead)
        ahead = ahead + np.clip(short, 0, None)[:, None] * body.gradient(ahead)
        if fibre.cling > 0:
            loose = body.distance(ahead) - layer * rise - 0.05
            ahead = ahead - fibre.cling * np.clip(loose, 0, 1.5)[:, None] * body.gradient(ahead)
        direction = normalise(ahead - here)
        points[:, k] = here + stride * direction
    points = _style(points, roots, length, fibre, body, rng)
    taper = 1 - (1 - fibre.tip) * np.linspace(0, 1, steps + 1) ** 2
    width = fibre.radius * (0.8 + 0.4 * rng.random(count))
    return points, width[:, None] * taper[None]


def _style(points, roots: Roots, length, fibre: Fibre, body: BodyField, rng: np.random.Generator) -> np.ndarray:
    """Locks, curls, frizz; then out of the head again."""
    count, steps = len(points), points.shape[1] - 1
    t = np.linspace(0, 1, steps + 1)
    leaders = rng.choice(count, size=min(fibre.clumps, count), replace=False)
    # Nearness is judged half way along and at the tip too, so that locks do not bridge partings.
    key = np.concatenate([roots.canonical, 0.6 * points[:, steps // 2], 0.4 * points[:, -1]], 1)
    _, lock = cKDTree(key[leaders]).query(key)
    leader = leaders[lock]
    loyal = np.where(rng.random(count) < fibre.flyaway, 0.15, 0.75 + 0.25 * rng.random(count)) * fibre.clump
    pull = loyal[:, None] * t[None] ** fibre.clump_shape
    reach = np.clip(length[leader] / np.maximum(length, 0.1), 0.6, 1.4)[:, None, None]
    target = points[leader]
    target = target[:, :1] + (target - target[:, :1]) / reach
    points = points + pull[..., None] * (target - points)

    if fibre.curl > 0:
        tangent = normalise(np.gradient(points, axis=1))
        side = normalise(np.cross(tangent, np.array([0.0, 0.35, 0.94])))
        up = np.cross(tangent, side)
        phase = 2 * np.pi * rng.random(len(leaders))[lock] + 0.9 * rng.normal(size=count) * (1 - fibre.clump)
        pace = fibre.turns * (0.85 + 0.3 * rng.random(len(leaders)))[lock]
        hand = np.where(rng.random(len(leaders)) < 0.5, 1.0, -1.0)[lock]
        angle = phase[:, None] + 2 * np.pi * pace[:, None] * (length[:, None] / 10) * t[None]
        radius = fibre.curl * np.clip(length[:, None] * t[None] / 3.0, 0, 1)
        wave = np.cos(angle)[..., None] * side + (hand[:, None] * np.sin(angle))[..., None] * up
        points = points + radius[..., None] * wave
    if fibre.frizz > 0:
        scatter = vector_noise((points * 0.9).reshape(-1, 3), 11).reshape(points.shape)
        own = rng.normal(size=(count, 1, 3)) * np.sqrt(t)[None, :, None]
        points = points + fibre.frizz * t[None, :, None] * (0.7 * scatter + 0.45 * own)

    flat = points[:, 1:].reshape(-1, 3)
    inside = np.clip(0.06 - body.distance(flat), 0, None)
    flat = flat + inside[:, None] * body.gradient(flat)
    return np.concatenate([points[:, :1], flat.reshape(count, steps, 3)], axis=1)


def uneven(roots: Roots, amount: float, scale: float = 0.5, seed: int = 0) -> np.ndarray:
    """A factor about 1 that varies smoothly over the scalp, so that a cut is not a helmet."""
    return 1 + amount * value_noise(roots.canonical * scale, seed)
