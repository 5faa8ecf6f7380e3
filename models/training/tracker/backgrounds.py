"""Procedural pictures without a face: what heads are pasted over, and the detector's negatives."""

from __future__ import annotations

import cv2
import numpy as np


def _colours(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """float32 [*shape,3] in 0..255, mostly muted as in the world."""
    colours = rng.uniform(0, 255, (*shape, 3))
    grey = colours.mean(-1, keepdims=True)
    return (grey + (colours - grey) * rng.uniform(0, 1) ** 1.5).astype(np.float32)


def _skin(rng: np.random.Generator) -> np.ndarray:
    light = rng.uniform(0.25, 1)
    return np.clip(np.array([236, 188, 160]) * light * rng.uniform(0.92, 1.08, 3), 0, 255)


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    small = _colours(rng, 2, 2)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)


def _noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Value noise over octaves between two to four colours."""
    height = np.zeros((size, size), np.float32)
    for octave in range(int(rng.integers(1, 6))):
        n = 3 * 2**octave
        height += cv2.resize(rng.normal(size=(n, n)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC) * rng.uniform(0.3, 0.8) ** octave
    height = (height - height.min()) / max(float(np.ptp(height)), 1e-6)
    stops = _colours(rng, int(rng.integers(2, 5)))
    ramp = cv2.resize(stops[None], (256, 1), interpolation=cv2.INTER_LINEAR)[0]
    return ramp[(height * 255).astype(np.uint8)]


def _stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 60)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    if rng.random() < 0.5:
        wave = wave * np.sin((y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / rng.uniform(4, 60))
    if rng.random() < 0.5:
        wave = np.sign(wave)
    mix = (wave[..., None] + 1) / 2
    return _colours(rng) * mix + _colours(rng) * (1 - mix)


def _wheels(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Round things with rings, spokes and blots inside: wheels, coins, cups, badges, lenses."""
    size = picture.shape[0]
    out = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(1, 8))):
        x, y, radius = rng.uniform(0, size), rng.uniform(0, size), float(np.exp(rng.uniform(np.log(6), np.log(size * 0.5))))
        centre = (int(x), int(y))
        for share in np.sort(rng.uniform(0.2, 1, int(rng.integers(1, 6))))[::-1]:
            cv2.circle(out, centre, max(1, int(radius * share)), tuple(float(c) for c in _colours(rng)), -1 if rng.random() < 0.6 else 2, cv2.LINE_AA)
        for _ in range(int(rng.integers(0, 10))):
            angle, far = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.2, 0.9)
            at = (int(x + far * np.cos(angle)), int(y + far * np.sin(angle)))
            colour = tuple(float(c) for c in _colours(rng))
            if rng.random() < 0.5:
                cv2.line(out, centre, at, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
            else:
                axes = (max(1, int(radius * rng.uniform(0.05, 0.25))), max(1, int(radius * rng.uniform(0.03, 0.15))))
                cv2.ellipse(out, at, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return out


def _shapes(rng: np.random.Generator, picture: np.ndarray, count: int) -> np.ndarray:
    """Ellipses, boxes, polygons, lines and letters, now and then skin coloured, striped or soft."""
    size = picture.shape[0]
    out = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))
    for _ in range(count):
        colour = tuple(float(c) for c in (_skin(rng) if rng.random() < 0.3 else _colours(rng)))
        centre = tuple(int(c) for c in rng.integers(0, size, 2))
        axes = tuple(int(a) for a in np.maximum(1, np.abs(rng.normal(0, size * 0.16, 2))).astype(int))
        filled = -1 if rng.random() < 0.75 else int(rng.integers(1, 6))
        kind = rng.random()
        if kind < 0.4:
            cv2.ellipse(out, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, filled, cv2.LINE_AA)
        elif kind < 0.6:
            corner = (centre[0] + axes[0] * 2, centre[1] + axes[1] * 2)
            cv2.rectangle(out, centre, corner, colour, filled)
        elif kind < 0.75:
            points = rng.normal(centre, max(axes), (int(rng.integers(3, 8)), 2)).astype(np.int32)
            cv2.fillPoly(out, [points], colour, cv2.LINE_AA)
        elif kind < 0.9:
            end = tuple(int(c) for c in rng.integers(0, size, 2))
            cv2.line(out, centre, end, colour, int(rng.integers(1, 8)), cv2.LINE_AA)
        else:
            text = "".join(chr(int(c)) for c in rng.integers(48, 122, int(rng.integers(2, 9))))
            cv2.putText(out, text, centre, int(rng.integers(0, 8)), float(rng.uniform(0.4, 2)), colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return out


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """uint8 [size,size,3]."""
    kind = rng.random()
    if kind < 0.3:
        picture = _gradient(rng, size)
    elif kind < 0.65:
        picture = _noise(rng, size)
    elif kind < 0.8:
        picture = _stripes(rng, size)
    else:
        picture = np.broadcast_to(_colours(rng), (size, size, 3))
    out = _shapes(rng, picture, int(rng.integers(0, 25)) if rng.random() < 0.6 else 0)
    if rng.random() < 0.25:
        out = _wheels(rng, out)
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, size / 24)))
    return out


class Backgrounds:
    """A stock of pictures, one made anew every `renew` draws, because making one costs more than using it."""

    def __init__(self, rng: np.random.Generator, size: int, count: int = 96, renew: int = 8):
        self.rng, self.size, self.renew, self.drawn = rng, size, renew, 0
        self.stock = [background(rng, size) for _ in range(count)]

    def draw(self) -> np.ndarray:
        """uint8 [size,size,3]; not to be written to."""
        self.drawn += 1
        if self.drawn % self.renew == 0:
            self.stock[int(self.rng.integers(len(self.stock)))] = background(self.rng, self.size)
        return cv2.flip(self.stock[int(self.rng.integers(len(self.stock)))], int(self.rng.integers(-1, 2)))
