"""Backgrounds: gradients, blurred rooms, coloured noise, sharp clutter."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """[size,size,3] float 0…1."""
    vivid = rng.choice([0.2, 0.5, 1.0], p=[0.5, 0.35, 0.15])
    tone = lambda: _muted(rng.uniform(0, 1, 3), vivid)  # noqa: E731
    axis = np.linspace(0, 1, size)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * (axis[None] - 0.5) + np.sin(angle) * (axis[:, None] - 0.5) + 0.5
    a, b = tone() ** 1.3, tone()
    image = a + (b - a) * ramp[..., None] * rng.uniform(0.2, 1)
    kind = rng.choice(["plain", "room", "noise", "clutter"], p=[0.22, 0.43, 0.17, 0.18])
    if kind in ("room", "clutter"):
        image = _boxes(rng, image, tone, 14 if kind == "room" else 22)
    if kind == "noise":
        for cells in (3, 7, 16):
            grain = rng.normal(size=(cells, cells, 3)) * vivid * 0.13 + rng.normal(size=(cells, cells, 1)) * 0.1
            image = image + _resize(grain, size)
    image = np.clip(image, 0, 1)
    if kind == "room" or (kind == "clutter" and rng.random() < 0.35):
        picture = Image.fromarray((image * 255).astype(np.uint8))
        image = np.asarray(picture.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.008, 0.045))), np.float32) / 255
    return np.clip(image, 0, 1).astype(np.float32)


def _muted(colour: np.ndarray, vivid: float) -> np.ndarray:
    return colour.mean() + (colour - colour.mean()) * vivid


def _resize(grid: np.ndarray, size: int) -> np.ndarray:
    planes = [Image.fromarray(grid[..., k].astype(np.float32), "F").resize((size, size), Image.BICUBIC) for k in range(3)]
    return np.stack([np.asarray(p) for p in planes], -1)


def _boxes(rng: np.random.Generator, image: np.ndarray, tone, count: int) -> np.ndarray:
    """Windows, shelves, frames: rectangles and discs, some bright."""
    size = len(image)
    y, x = np.mgrid[0:size, 0:size]
    for _ in range(rng.integers(3, count)):
        cx, cy = rng.uniform(-0.1, 1.1, 2) * size
        w, h = rng.uniform(0.01, 0.25, 2) * size
        colour = np.clip(tone() * rng.choice([0.6, 1.0, 1.6]), 0, 1)
        if rng.random() < 0.25:
            inside = (x - cx) ** 2 + (y - cy) ** 2 < w**2
        else:
            inside = (np.abs(x - cx) < w) & (np.abs(y - cy) < h)
        image = np.where(inside[..., None], colour * rng.uniform(0.7, 1) + image * 0.2, image)
    return image
