"""Appearance changes that carry the tracker from studio heads to photographs, paintings and drawings.

All take and give uint8 [H,W,3] and leave the geometry alone.
"""

from __future__ import annotations

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def regional_palette(image: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another colour for each region [H,W] (skin, hair, clothes, ...), soft at the seams."""
    gains = np.exp(rng.normal(0, 0.3, (16, 1)) + rng.normal(0, 0.14, (16, 3))).astype(np.float32)
    return cv2.multiply(image, cv2.blur(gains[region], (3, 3)), dtype=cv2.CV_8U)


def light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A gradient of light across the picture; sometimes a cast shadow with a soft or fairly hard edge."""
    y, x = np.mgrid[-1:1:48j, -1:1:48j].astype(np.float32)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1.1)
    tint = np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    gain = np.exp(strength * (x * np.cos(angle) + y * np.sin(angle))[..., None] * tint)
    if rng.random() < 0.3:
        edge = (x * np.cos(angle + 1) + y * np.sin(angle + 1) + rng.uniform(-0.6, 0.6)) / rng.uniform(0.05, 0.5)
        gain = gain * (rng.uniform(0.3, 0.8) + (1 / (1 + np.exp(-np.clip(4 * edge, -30, 30))))[..., None] * 0.6)
    field = cv2.resize(gain.astype(np.float32), (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, field, dtype=cv2.CV_8U)


def colours(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey, sepia, inversion, swapped channels or another saturation and hue; then gamma, contrast, brightness."""
    kind = rng.random()
    identity = np.eye(3, dtype=np.float32)
    grey = np.broadcast_to(LUMA, (3, 3))
    if kind < 0.15:
        matrix = grey
    elif kind < 0.22:
        matrix = grey * np.array([[1.08], [0.93], [0.74]], np.float32)
    elif kind < 0.25:
        matrix = identity[rng.permutation(3)]
    else:
        matrix = identity + (grey - identity) * rng.uniform(-0.5, 0.9) + rng.normal(0, 0.06, (3, 3)).astype(np.float32)
    out = cv2.transform(image, np.ascontiguousarray(matrix, np.float32))
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma, contrast = np.exp(rng.normal(0, 0.35)), np.exp(rng.normal(0, 0.25))
    ramp = (ramp**gamma - 0.5) * contrast + 0.5 + rng.normal(0, 0.06)
    if rng.random() < 0.06:
        ramp = ramp * rng.uniform(0.06, 0.4)  # a dark room
    if rng.random() < 0.03:
        ramp = 1 - ramp
    return cv2.LUT(out, np.clip(ramp * 255, 0, 255).astype(np.uint8))


def stylise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Towards a drawing: flat colours, ink lines, pencil, or brush strokes."""
    kind = rng.random()
    if kind < 0.3:  # poster: flat areas
        levels = int(rng.integers(3, 8))
        flat = cv2.medianBlur(image, 5)
        step = 256 / levels
        return np.clip((flat // step + 0.5) * step, 0, 255).astype(np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if kind < 0.6:  # ink over flat colours
        sigma = float(rng.uniform(0.6, 1.4))
        fine, coarse = cv2.GaussianBlur(grey, (0, 0), sigma), cv2.GaussianBlur(grey, (0, 0), sigma * 1.6)
        line = np.clip((coarse.astype(np.float32) - fine) * rng.uniform(10, 30), 0, 255)
        base = cv2.medianBlur(image, 7) if rng.random() < 0.7 else np.full_like(image, 240)
        return np.clip(base - line[..., None], 0, 255).astype(np.uint8)
    if kind < 0.8:  # pencil: colour dodge with the blurred negative
        soft = cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(2, 5))).astype(np.float32)
        sketch = np.clip(grey / np.maximum(soft, 1) * 245, 0, 255)
        weight = rng.uniform(0.5, 1)
        return np.clip(sketch[..., None] * weight + image * (1 - weight), 0, 255).astype(np.uint8)
    return cv2.bilateralFilter(image, 7, float(rng.uniform(40, 120)), 3)


def occlude(image: np.ndarray, stock: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Covers a part with patches of another picture: hands, microphones, scarves, hats seen as blobs, bars and strands."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        kind = rng.random()
        if kind < 0.5:
            axes = (int(rng.uniform(0.04, 0.2) * width), int(rng.uniform(0.04, 0.2) * height))
            cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
        else:
            end = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.line(mask, centre, end, 255, int(rng.integers(1, max(2, width // 12))), cv2.LINE_AA)
    weight = mask[..., None].astype(np.float32) / 255
    return (image * (1 - weight) + stock * weight).astype(np.uint8)


def camera(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What lenses, sensors and files do: blur, motion, few pixels, noise, JPEG."""
    height, width = image.shape[:2]
    if rng.random() < 0.3:
        factor = float(np.exp(rng.uniform(0, np.log(4))))
        small = cv2.resize(image, (max(8, int(width / factor)), max(8, int(height / factor))), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 2)))
    if rng.random() < 0.07:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        middle = np.full(2, (length - 1) / 2)
        cv2.line(kernel, tuple(int(v) for v in np.round(middle - reach)), tuple(int(v) for v in np.round(middle + reach)), 1.0)
        image = cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1))
    if rng.random() < 0.12:
        sharp = cv2.addWeighted(image, 1.8, cv2.GaussianBlur(image, (0, 0), 1.2), -0.8, 0)
        image = sharp
    if rng.random() < 0.3:
        noise = rng.standard_normal((height, width, 1 if rng.random() < 0.5 else 3), np.float32) * rng.uniform(2, 22)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 90))])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if ok else image
    return image


def appearance(image: np.ndarray, stock: np.ndarray, rng: np.random.Generator, occlusion: float = 0.2) -> np.ndarray:
    """All of it in the order of the world: light, things in front, the artist, the camera, the file."""
    if rng.random() < 0.6:
        image = light(image, rng)
    if rng.random() < occlusion:
        image = occlude(image, stock, rng)
    if rng.random() < 0.15:
        image = stylise(image, rng)
    if rng.random() < 0.85:
        image = colours(image, rng)
    return camera(image, rng)
