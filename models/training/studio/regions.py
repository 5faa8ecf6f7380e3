"""Masks on the mean head, from its landmarks: where lips, brows, cheeks, beard and scalp lie."""

import numpy as np

from .facekit import Facekit
from .noise import smoothstep, value_noise


def segment_distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = end - start
    t = np.clip(((points - start) @ along) / (along @ along), 0, 1)
    return np.linalg.norm(points - start - t[:, None] * along, axis=1)


def polyline_distance(points: np.ndarray, line: np.ndarray, closed: bool = False) -> np.ndarray:
    pairs = list(zip(line[:-1], line[1:], strict=True)) + ([(line[-1], line[0])] if closed else [])
    return np.min([segment_distance(points, a, b) for a, b in pairs], axis=0)


def inside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Even-odd rule; points N×2."""
    x, y = points[:, 0], points[:, 1]
    inside = np.zeros(len(points), dtype=bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (a[1] > y) != (b[1] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0]
        inside ^= crosses & (x < at)
    return inside


def round_off(polygon: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Chaikin's corner cutting of a closed polygon, blended back so that it does not shrink much."""
    for _ in range(rounds):
        after = np.roll(polygon, -1, axis=0)
        polygon = np.stack([0.8 * polygon + 0.2 * after, 0.2 * polygon + 0.8 * after], 1).reshape(-1, polygon.shape[1])
    return polygon


def lip_distance(kit: Facekit, points: np.ndarray) -> np.ndarray:
    """Signed distance in the frontal plane to the outline of the lips, negative inside; canonical points N×3."""
    outline = round_off(kit.neutral[kit.landmarks[48:60]][:, :2])
    distance = polyline_distance(points[:, :2], outline, closed=True)
    distance = np.where(inside_polygon(points[:, :2], outline), -distance, distance)
    return np.where(points[:, 2] > 7.0, distance, 9.0)


def eye_distance(kit: Facekit, points: np.ndarray) -> np.ndarray:
    """Distance in the frontal plane to the nearer lid opening, negative inside."""
    best = np.full(len(points), 9.0)
    for start in (36, 42):
        outline = round_off(kit.neutral[kit.landmarks[start : start + 6]][:, :2])
        distance = polyline_distance(points[:, :2], outline, closed=True)
        best = np.minimum(best, np.where(inside_polygon(points[:, :2], outline), -distance, distance))
    return np.where(points[:, 2] > 5.0, best, 9.0)


def blob(points: np.ndarray, centre: tuple[float, float, float], radius: tuple[float, float, float]) -> np.ndarray:
    """Gaussian blob, mirrored in x."""
    p = np.abs(points) * [1, 0, 0] + points * [0, 1, 1]
    return np.exp(-0.5 * (((p - centre) / radius) ** 2).sum(1))


def hairline_height(points: np.ndarray, *, temples: float = 0.0, forehead: float = 0.0) -> np.ndarray:
    """Height of the hairline (cm) at the azimuth of each canonical point.

    temples > 0 lets it recede at the sides of the forehead, forehead > 0 raises it in the middle.
    """
    azimuth = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2] + 1.0))
    line = np.interp(
        azimuth,
        [0, 20, 34, 45, 55, 66, 74, 86, 96, 112, 135, 180],
        [9.6, 9.5, 9.0, 7.6, 5.4, 2.8, 2.2, 4.4, 4.6, 1.2, -4.2, -5.6],
    )
    line = line + temples * np.exp(-0.5 * ((azimuth - 36) / 9) ** 2)
    return line + forehead * np.exp(-0.5 * (azimuth / 30) ** 2)


def scalp_weight(points: np.ndarray, **hairline: float) -> np.ndarray:
    """How much hair grows at canonical points, 0…1, with a soft hairline; none on the ears."""
    # A real hairline wanders and thins out: fine hairs grow up to a centimetre before the full ones.
    wander = 0.45 * value_noise(points * 1.1, 3) + 0.3 * value_noise(points * 3.1, 4)
    weight = smoothstep(-0.55, 1.2, points[:, 1] - hairline_height(points, **hairline) + wander) ** 1.5
    ear = (np.abs(points[:, 0]) > 7.5) & (points[:, 1] < 5.2) & (points[:, 1] > -2.5)
    ear &= (points[:, 2] < 3.4) & (points[:, 2] > -3.2)
    return np.where(ear, 0.0, weight)


def beard_weight(kit: Facekit, points: np.ndarray, *, moustache: float = 1.0, cheeks: float = 1.0) -> np.ndarray:
    """How much beard grows at canonical points, 0…1."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    # Upper edge: from the sideburn down to the corner of the mouth.
    edge = np.interp(x, [0, 1.8, 2.6, 3.6, 5.0, 6.4, 7.3], [-4.9, -4.9, -3.2, -3.3, -2.3, -0.4, 3.4]) - 1.2 * (1 - cheeks)
    jaw = smoothstep(0.5, -0.6, y - edge)
    under = smoothstep(-11.0, -8.8, y + 0.25 * np.clip(z - 4, 0, 5))
    front = smoothstep(1.6, 3.6, z + 0.25 * np.clip(x - 6.2, 0, 2) * np.clip(y + 2, 0, 6))
    weight = jaw * under * front
    lips = lip_distance(kit, points)
    lip_top = smoothstep(-1.35, -1.75, y) * smoothstep(-3.6, -3.1, y) * smoothstep(3.2, 2.6, x) * smoothstep(-0.1, 0.25, x)
    weight = np.maximum(weight, 1.5 * moustache * lip_top * (z > 8))
    soul = smoothstep(1.4, 0.7, x) * smoothstep(-4.4, -4.9, y) * (z > 8)
    weight = np.maximum(weight, soul * jaw)
    return weight * smoothstep(0.04, 0.3, lips)
