"""Portraits unlike the studio's, made from the built-in ones: a flat drawing, a painting, an old photograph, light from the side."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

Picture = np.ndarray  # uint8 [S,S,3]


def drawing(picture: Picture) -> Picture:
    """Few flat colours within dark outlines."""
    smooth = Image.fromarray(picture)
    for _ in range(3):
        smooth = smooth.filter(ImageFilter.MedianFilter(7))
    flat = np.asarray(smooth.quantize(12, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB"), np.float32)
    grey = np.asarray(Image.fromarray(picture).convert("L").filter(ImageFilter.GaussianBlur(2)), np.float32)
    dy, dx = np.gradient(grey)
    ink = np.clip((np.hypot(dx, dy) - 3.5) / 3, 0, 1)[..., None]
    return (flat * (1 - ink) + np.array([30, 22, 26]) * ink).astype(np.uint8)


def painting(picture: Picture, radius: int = 4) -> Picture:
    """Brush strokes after Kuwahara: each pixel takes the mean of the calmest of the four squares it is a corner of; then canvas."""
    x = picture.astype(np.float32)
    n, size = radius + 1, picture.shape[0]
    sums = lambda v: np.pad(v.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0), (0, 0)))  # noqa: E731
    padded = np.pad(x, ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    first, second = sums(padded), sums(padded * padded)
    box = lambda s: s[n:, n:] - s[:-n, n:] - s[n:, :-n] + s[:-n, :-n]  # noqa: E731
    mean, square = box(first) / n**2, box(second) / n**2
    variance = (square - mean**2).sum(-1)
    quarters = [(slice(dy, dy + size), slice(dx, dx + size)) for dy in (0, radius) for dx in (0, radius)]
    calmest = np.argmin([variance[q] for q in quarters], 0)[..., None]
    painted = np.select([calmest == i for i in range(4)], [mean[q] for q in quarters])
    weave = np.random.default_rng(0).normal(0, 5, (size // 2, size // 2)).repeat(2, 0).repeat(2, 1)[..., None]
    warm = (painted - 128) * 1.15 + 128 + np.array([8, 2, -10])
    return np.clip(warm + weave, 0, 255).astype(np.uint8)


def sepia(picture: Picture) -> Picture:
    """Brown tones, grain and a dark border, as of a print from 1900."""
    size = picture.shape[0]
    grey = np.asarray(Image.fromarray(picture).convert("L").filter(ImageFilter.GaussianBlur(1)), np.float32)[..., None]
    axis = np.linspace(-1, 1, size)
    far = np.hypot(*np.meshgrid(axis, axis))[..., None]
    tone = (40 + 0.78 * grey) * np.array([1.05, 0.88, 0.66]) * (1.08 - 0.3 * far**2)
    return np.clip(tone + np.random.default_rng(1).normal(0, 7, (size, size, 1)), 0, 255).astype(np.uint8)


def side_light(picture: Picture) -> Picture:
    """One warm lamp at the picture's left; the other half is nearly dark."""
    size = picture.shape[0]
    x = np.linspace(-1, 1, size)[None, :, None]
    share = 1 / (1 + np.exp(9 * (x - 0.02)))
    linear = (picture / 255.0) ** 2.2 * (0.07 + 1.5 * share * np.array([1.1, 1.0, 0.85]))
    return (np.clip(linear, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


STRANGERS = {"drawing": drawing, "painting": painting, "sepia": sepia, "side light": side_light}
