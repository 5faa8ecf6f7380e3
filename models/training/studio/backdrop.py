"""Softly blurred rooms behind the portraits, in linear light."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .noise import fractal_noise
from .skin import to_linear

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Room:
    """wall and accent: sRGB colours; things: how many blurred objects stand about; blur as a fraction of the width."""

    wall: Colour = (0.52, 0.56, 0.60)
    accent: Colour = (0.80, 0.62, 0.42)
    window: float = 0.6
    things: int = 8
    blur: float = 0.035
    seed: int = 0


def paint_room(room: Room, size: int) -> np.ndarray:
    """Linear RGB, size×size×3."""
    rng = np.random.default_rng(room.seed + 500)
    y, x = np.mgrid[0:size, 0:size] / size
    wall, accent = to_linear(room.wall), to_linear(room.accent)
    side = 1 if rng.random() < 0.5 else -1
    light = 0.62 + 0.5 * np.exp(-(((x - 0.5 - 0.22 * side) / 0.5) ** 2 + ((y - 0.35) / 0.55) ** 2))
    image = wall[None, None] * light[..., None]
    for _ in range(room.things):
        cx, w, h = rng.uniform(-0.05, 1.05), rng.uniform(0.03, 0.14), rng.uniform(0.06, 0.35)
        bottom = rng.uniform(0.5, 1.0)
        tint = wall * rng.uniform(0.35, 1.2) if rng.random() < 0.6 else accent * rng.uniform(0.3, 0.9)
        inside = (np.abs(x - cx) < w) & (y < bottom) & (y > bottom - h)
        image[inside] = 0.3 * image[inside] + 0.7 * tint * (0.8 + 0.2 * rng.random(3))
    if room.window > 0:
        cx = 0.5 + side * 0.40
        for k in range(2):
            inside = (np.abs(x - cx - 0.085 * (2 * k - 1)) < 0.075) & (y > 0.03) & (y < 0.52)
            image[inside] += room.window * np.array([0.95, 1.0, 1.05])
    for _ in range(room.things // 3):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0.1, 0.55), rng.uniform(0.012, 0.03)
        image[(x - cx) ** 2 + (y - cy) ** 2 < r**2] += accent * rng.uniform(0.6, 1.6)
    image = np.stack([gaussian_filter(image[..., k], room.blur * size, mode="nearest") for k in range(3)], -1)
    grain = fractal_noise(np.stack([x.ravel() * 3, y.ravel() * 3, 0 * x.ravel()], 1), 2, room.seed)
    image *= 1 + 0.05 * grain.reshape(size, size, 1)
    vignette = 1 - 0.35 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    return np.clip(image * vignette[..., None], 0, 4)
