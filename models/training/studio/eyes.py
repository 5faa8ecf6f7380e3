"""Eyeballs: sclera, iris with fibres and limbal ring, pupil; and where they look."""

from dataclasses import dataclass

import numpy as np

from .facekit import EYE_CENTRES, EYE_MATERIALS, Facekit
from .mesh import Mesh, compact, normalise, subdivide, vertex_normals
from .noise import fractal_noise, smoothstep, value_noise
from .skin import mix, to_linear

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Eyes:
    """iris and inner: sRGB colours of the iris' outer and inner part; radii are angles at the eyeball's centre, rad."""

    iris: Colour = (0.36, 0.24, 0.14)
    inner: Colour = (0.52, 0.36, 0.20)
    iris_radius: float = 0.49
    pupil_radius: float = 0.19
    white: Colour = (0.93, 0.92, 0.91)
    seed: int = 0


def eyeball(kit: Facekit, vertices: np.ndarray, side: str, eyes: Eyes, target: np.ndarray) -> Mesh:
    """The eyeball of a side ("left", "right") turned so that it looks at `target` (cm), painted."""
    triangles = kit.triangles(EYE_MATERIALS[side])
    kept, triangles = compact(vertices, triangles)
    # Turned in place: the ball is a sphere with a corneal bulge, so the bulge must follow the gaze.
    ball, centre = vertices[kept], _centre(vertices[kept], kit.neutral[kept], side)
    local = kit.neutral[kept] - EYE_CENTRES[side]
    forward = normalise(target - centre)
    mesh = Mesh(ball, triangles, vertex_normals(ball, triangles), {"local": local})
    rotation = _turn(_rest_axis(local), forward)
    scale = np.linalg.norm(ball - centre, axis=1).mean() / np.linalg.norm(local, axis=1).mean()
    mesh.vertices = centre + scale * local @ rotation.T
    mesh.normals = vertex_normals(mesh.vertices, triangles)
    mesh = subdivide(subdivide(mesh))
    mesh.attributes["color"] = _paint(mesh.attributes["local"], _rest_axis(local), eyes)
    return mesh


def _centre(ball: np.ndarray, neutral: np.ndarray, side: str) -> np.ndarray:
    return EYE_CENTRES[side] + (ball - neutral).mean(0)


def _rest_axis(local: np.ndarray) -> np.ndarray:
    """The corneal apex: the mean head's eyes look straight ahead."""
    return np.array([0.0, 0.0, 1.0])


def _turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes unit vector a to b (Rodrigues)."""
    v, c = np.cross(a, b), float(a @ b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def _paint(local: np.ndarray, axis: np.ndarray, eyes: Eyes) -> np.ndarray:
    d = normalise(local)
    angle = np.arccos(np.clip(d @ axis, -1, 1))
    around = np.arctan2(d[:, 1], d[:, 0])
    ring = np.stack([np.cos(around), np.sin(around), angle * 0], 1)
    radius = np.clip((angle - eyes.pupil_radius) / (eyes.iris_radius - eyes.pupil_radius), 0, 1)

    fibres = fractal_noise(ring * 6 + [0, 0, 3], 3, eyes.seed) * 0.6 + value_noise(ring * 14 + radius[:, None], eyes.seed + 3) * 0.4
    iris = mix(to_linear(eyes.inner)[None].repeat(len(d), 0), to_linear(eyes.iris), smoothstep(0.15, 0.75, radius + 0.2 * fibres))
    iris *= (1.15 + 0.45 * fibres)[:, None]
    # Light falls through the cornea and brightens the half of the iris away from the key light: below.
    iris *= (1.0 + 0.75 * smoothstep(0.3, -0.9, np.sin(around)) * np.sin(np.pi * radius))[:, None]
    iris *= (1 - 0.78 * smoothstep(0.72, 1.0, radius))[:, None]
    iris *= smoothstep(0.0, 0.12, radius)[:, None] * 0.985 + 0.015

    veins = smoothstep(0.25, 0.7, fractal_noise(d * [3, 9, 3], 3, eyes.seed + 7)) * smoothstep(0.5, 1.1, angle)
    white = mix(to_linear(eyes.white)[None].repeat(len(d), 0), np.array([0.75, 0.38, 0.34]), 0.22 * veins)
    white = mix(white, np.array([0.74, 0.45, 0.40]), 0.5 * smoothstep(0.75, 1.25, angle))
    # The upper lid's shadow, painted on, since lids stand only a millimetre off the ball.
    shade = smoothstep(0.10, 0.45, d[:, 1])
    colour = mix(iris, white, smoothstep(eyes.iris_radius - 0.02, eyes.iris_radius + 0.035, angle))
    return np.clip(colour * (1 - 0.45 * shade)[:, None], 0.001, 0.95)
