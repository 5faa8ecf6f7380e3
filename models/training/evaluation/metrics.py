"""Picture metrics. Pictures are uint8 [H,W,3] (or [B,H,W,3] where said), landmarks [68,2] in -1..1.

Everything is numpy, so that the figures do not depend on a deep-learning library.
"""

from __future__ import annotations

import numpy as np

CEILING = 60.0  # dB of two equal pictures: finite, so that a mean over frames stays finite
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # SSIM's constants (Wang 2004)
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # MS-SSIM's exponents (Wang 2003)
MOUTH, LEFT_EYE, RIGHT_EYE = slice(48, 68), slice(36, 42), slice(42, 48)

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, ends excluded


def mean_absolute(a: np.ndarray, b: np.ndarray) -> float:
    """L1 in 0..1, of pictures in 0..255."""
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).mean() / 255)


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, over the pixels of `mask` [H,W] where it is given; NaN over none."""
    square = (a.astype(np.float32) - b.astype(np.float32)) ** 2
    if mask is not None:
        square = square[mask]
    if square.size == 0:
        return float("nan")
    error = float(square.mean())
    return CEILING if error == 0 else min(CEILING, float(10 * np.log10(255**2 / error)))


def boxed_psnr(a: np.ndarray, b: np.ndarray, boxes: list[Box]) -> float:
    """PSNR over the union of boxes."""
    mask = np.zeros(a.shape[:2], bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return psnr(a, b, mask)


def box_around(points: np.ndarray, size: int, margin: float) -> Box:
    """The box of points in -1..1, widened by `margin` of its width on every side and cut to the picture."""
    low, high = points.min(0), points.max(0)
    grow = margin * (high[0] - low[0])
    x0, y0 = np.floor((low - grow + 1) / 2 * size).astype(int)
    x1, y1 = np.ceil((high + grow + 1) / 2 * size).astype(int)
    return max(0, x0), max(0, y0), min(size, x1), min(size, y1)


def mouth_boxes(landmarks: np.ndarray, size: int) -> list[Box]:
    return [box_around(landmarks[MOUTH], size, 0.15)]


def eye_boxes(landmarks: np.ndarray, size: int) -> list[Box]:
    return [box_around(landmarks[part], size, 0.3) for part in (LEFT_EYE, RIGHT_EYE)]


TAPS = np.exp(-0.5 * (np.arange(-5, 6, dtype=np.float32) / 1.5) ** 2)
TAPS /= TAPS.sum()


def _blur(x: np.ndarray) -> np.ndarray:
    """[...,H,W] -> [...,H-10,W-10]: the 11-tap Gaussian of sigma 1.5, valid part. Sums of slices, because a matrix product
    by OpenBLAS takes forty times as long when other work holds one of its threads."""
    for axis in (-2, -1):
        length = x.shape[axis] - 10
        part = lambda i: x[..., i : i + length, :] if axis == -2 else x[..., i : i + length]  # noqa: B023, E731
        total = TAPS[5] * part(5)
        for i in range(5):
            total += TAPS[i] * (part(i) + part(10 - i))
        x = total
    return x


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, y float32 [3,H,W] in 0..255 -> (SSIM, its contrast-structure factor), both [3]."""
    mx, my = _blur(x), _blur(y)
    vx, vy, vxy = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    contrast = (2 * vxy + C2) / (vx + vy + C2)
    luminance = (2 * mx * my + C1) / (mx * mx + my * my + C1)
    return (luminance * contrast).mean((1, 2)), contrast.mean((1, 2))


def structural(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(SSIM, MS-SSIM), means over the colour channels, 11x11 Gaussian windows, valid part.

    Negative factors count as 0 in MS-SSIM. Sides of at least 176, so that five scales fit.
    """
    x, y = (np.ascontiguousarray(v.transpose(2, 0, 1), np.float32) for v in (a, b))
    product = np.ones(3)
    single = 0.0
    for level, exponent in enumerate(SCALES):
        full, contrast = _similarity(x, y)
        if level == 0:
            single = float(full.mean())
        factor = full if level == len(SCALES) - 1 else contrast
        product *= np.maximum(factor, 0) ** exponent
        if level < len(SCALES) - 1:
            x, y = (v[:, : v.shape[1] // 2 * 2, : v.shape[2] // 2 * 2].reshape(3, v.shape[1] // 2, 2, -1, 2).mean((2, 4)) for v in (x, y))
    return single, float(product.mean())


def keypoint_distance(found: np.ndarray, true: np.ndarray, part: slice = slice(None), size: int = 256) -> float:
    """AKD: mean distance in pixels at `size` of landmarks [68,2] (or a part of them) found in two pictures."""
    return float(np.linalg.norm(found[part] - true[part], axis=-1).mean() * size / 2)


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """R = Rz(roll) Ry(yaw) Rx(pitch), radians, axes x right, y down, z into the picture."""
    (sx, sy, sz), (cx, cy, cz) = np.sin([pitch, yaw, roll]), np.cos([pitch, yaw, roll])
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rz @ ry @ rx


def pose_error(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in degrees between the head rotations of two motion rows (pitch, yaw, roll first)."""
    relative = rotation(*a[:3]).T @ rotation(*b[:3])
    return float(np.degrees(np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1))))


def expression_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of the 52 coefficients of two motion rows."""
    return float(np.abs(a[6:58] - b[6:58]).mean())


def sample_bilinear(picture: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """picture [H,W,C] at grid [h,w,2] (x, y in -1..1, pixel centres) -> float32 [h,w,C], repeating the border."""
    height, width = picture.shape[:2]
    x = np.clip((grid[..., 0] + 1) * width / 2 - 0.5, 0, width - 1)
    y = np.clip((grid[..., 1] + 1) * height / 2 - 0.5, 0, height - 1)
    x0, y0 = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    p = picture.astype(np.float32)
    top = p[y0, x0] * (1 - fx) + p[y0, x0 + 1] * fx
    bottom = p[y0 + 1, x0] * (1 - fx) + p[y0 + 1, x0 + 1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.float32)


def warping_error(now: np.ndarray, before: np.ndarray, flow: np.ndarray, visible: np.ndarray) -> float:
    """Temporal warping error: RMS in 0..255 between a frame and the one before it moved along the true flow.

    flow [h,w,2] tells where in the frame before the point seen at a pixel's centre was, visible [h,w] whether it was seen
    there; both may be coarser than the frames. Cells beside a jump of the flow are left out: in between it is undefined.
    """
    height, width = flow.shape[:2]
    steady = visible.astype(bool).copy()
    for axis in (0, 1):
        jump = np.abs(np.diff(flow.astype(np.float32) - centres(height, width), axis=axis)).max(-1) > 4 / now.shape[0]
        lower, upper = [slice(None)] * 2, [slice(None)] * 2
        lower[axis], upper[axis] = slice(0, -1), slice(1, None)
        steady[tuple(lower)] &= ~jump
        steady[tuple(upper)] &= ~jump
    factor = now.shape[0] // height
    mask = steady.repeat(factor, 0).repeat(factor, 1)
    if not mask.any():
        return float("nan")
    # displacements are interpolated, not positions, so that the border is not repeated
    fine = sample_bilinear(flow.astype(np.float32) - centres(height, width), centres(*now.shape[:2])) + centres(*now.shape[:2])
    moved = sample_bilinear(before, fine)
    return float(np.sqrt(((now.astype(np.float32) - moved)[mask] ** 2).mean()))


def centres(height: int, width: int) -> np.ndarray:
    """Pixel centres in -1..1, [height,width,2] (x, y)."""
    x, y = (np.arange(n, dtype=np.float32) * 2 / n + 1 / n - 1 for n in (width, height))
    return np.stack(np.meshgrid(x, y), -1)
