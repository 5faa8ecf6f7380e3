"""Paints skin on the head: tone, warm and cool zones, lips, freckles, stubble, make-up, and how oily it is where."""

from dataclasses import dataclass

import numpy as np

from .facekit import EYE_CENTRES, Facekit
from .mesh import Mesh, adjacency, smooth_values
from .noise import fractal_noise, smoothstep, value_noise
from .regions import beard_weight, blob, eye_distance, lip_distance, polyline_distance, scalp_weight

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Skin:
    """Colours are sRGB 0…1 as one would pick them from a picture; amounts 0…1."""

    tone: Colour = (0.86, 0.67, 0.56)
    lips: Colour = (0.76, 0.46, 0.42)
    blush: float = 0.5
    freckles: float = 0.0
    age: float = 0.2
    stubble: float = 0.0
    scalp: Colour | None = None  # colour of hair showing through the scalp
    brow_shade: float = 0.3
    eye_shadow: Colour = (0.45, 0.33, 0.30)
    make_up: float = 0.15
    liner: float = 0.4
    oil: float = 0.5
    seed: int = 0


def to_linear(colour) -> np.ndarray:
    c = np.asarray(colour, dtype=np.float64)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def mix(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    w = np.clip(weight, 0, 1)[:, None]
    return a * (1 - w) + b * w


def paint_skin(kit: Facekit, mesh: Mesh, skin: Skin, hair_colour: Colour, hairline: dict[str, float]) -> Mesh:
    """Adds attributes "color" (linear RGB) and "roughness"; needs the attribute "canonical" (place on the mean head)."""
    p = mesh.attributes["canonical"]
    tone = to_linear(skin.tone)
    colour = np.repeat(tone[None], len(p), 0)
    front = smoothstep(2.0, 7.0, p[:, 2])

    # Blood shows at cheeks, nose, ears, chin; bone is paler and yellower; the eye sockets are darker and cooler.
    red = tone * np.array([1.06, 0.72, 0.68])
    cheeks = blob(p, (4.4, 0.1, 9.0), (1.7, 1.3, 2.6)) + 0.25 * blob(p, (5.4, 1.2, 8.0), (1.3, 1.0, 2.5))
    nose = blob(p, (0, 0.1, 12.6), (1.2, 1.0, 1.4))
    chin = blob(p, (0, -6.3, 10.6), (1.6, 0.9, 2.0))
    ears = smoothstep(7.6, 8.4, np.abs(p[:, 0])) * smoothstep(-3, -1.5, p[:, 1]) * smoothstep(6, 5, p[:, 1])
    colour = mix(colour, red, 0.85 * skin.blush * cheeks + 0.75 * skin.blush * nose + 0.35 * chin + 0.45 * ears)
    pale = tone * np.array([1.05, 1.06, 1.04])
    colour = mix(colour, pale, 0.7 * blob(p, (0, 8.0, 10.3), (3.0, 1.6, 3)) + 0.4 * blob(p, (0, 2.5, 11.5), (0.5, 1.5, 2)))
    socket = blob(p, (3.0, 2.6, 9.0), (1.5, 0.6, 1.4)) + 0.7 * blob(p, (1.5, 3.7, 9.3), (0.5, 0.8, 1.2))
    colour = mix(colour, tone * np.array([0.80, 0.70, 0.72]), (0.30 + 0.45 * skin.age) * socket)

    # Mottling at several scales; older skin is less even.
    rough = 0.5 + skin.age
    mottle = fractal_noise(p * 0.8, 4, skin.seed)
    colour *= 1 + 0.05 * rough * mottle[:, None] * np.array([0.5, 1.0, 1.0])
    fine = fractal_noise(p * 4.5, 3, skin.seed + 5)
    colour *= 1 + 0.055 * rough * fine[:, None]
    if skin.freckles > 0:
        where = front * np.exp(-0.5 * ((p[:, 1] - 0.9) / 2.4) ** 2) * smoothstep(6.8, 4.5, np.abs(p[:, 0]))
        spots = smoothstep(0.30, 0.55, value_noise(p * 3.3, skin.seed + 9)) * smoothstep(-0.5, 0.4, mottle)
        spots = np.maximum(spots, 0.7 * smoothstep(0.35, 0.6, value_noise(p * 5.6, skin.seed + 10)))
        colour = mix(colour, tone * np.array([0.72, 0.52, 0.40]), 0.75 * skin.freckles * where * spots)

    colour *= 1 - 0.36 * skin.age**1.5 * _wrinkles(p)[:, None] * np.array([0.7, 1.0, 1.0])
    lips = lip_distance(kit, p)
    colour = _paint_eyes(kit, p, colour, skin)
    lip_colour = to_linear(skin.lips)
    lip_colour = lip_colour * (1 + 0.12 * fractal_noise(p * [6, 1.5, 2], 2, skin.seed + 20))[:, None]
    inner = polyline_distance(p, kit.neutral[kit.landmarks[[60, 61, 62, 63, 64]]])
    lip_colour = lip_colour * (1 - 0.5 * np.exp(-0.5 * (inner / 0.16) ** 2))[:, None]
    colour = mix(colour, lip_colour, smoothstep(0.16, -0.10, lips) * (p[:, 2] > 8.5))
    # The mouth's inside is dark: nothing of it shows while the lips are closed.
    colour *= np.where((p[:, 2] < 10.2) & (lips < -0.2), 0.35, 1.0)[:, None]

    brow = np.min([polyline_distance(p, kit.neutral[kit.landmarks[s : s + 5]] + [0, 0.1, 0]) for s in (17, 22)], axis=0)
    colour = mix(colour, to_linear(hair_colour), skin.brow_shade * np.exp(-0.5 * (brow / 0.3) ** 2) * front)
    if skin.stubble > 0:
        grain = smoothstep(-0.5, 0.7, value_noise(p * 7, skin.seed + 30))
        shade = beard_weight(kit, p) * (0.55 + 0.45 * grain)
        colour = mix(colour, 0.6 * to_linear(hair_colour) + 0.25 * tone * [0.75, 0.85, 1.0], 0.62 * skin.stubble * shade)
    if skin.scalp is not None:
        scalp = scalp_weight(p, **hairline)
        colour = mix(colour, to_linear(skin.scalp), 0.92 * smoothstep(0.25, 1.0, scalp))
    colour *= _cavity(mesh)[:, None]

    rough = 0.52 - 0.08 * skin.oil * np.ones(len(p))
    rough -= 0.07 * skin.oil * (nose + blob(p, (0, 8, 10.3), (2.6, 1.6, 3)) + 0.6 * blob(p, (4.6, 1.4, 9), (1.0, 0.8, 2)))
    rough = np.where(lips < 0, 0.34, rough) + 0.05 * fine
    mesh.attributes["color"] = np.clip(colour, 0.004, 0.95)
    mesh.attributes["roughness"] = np.clip(rough, 0.22, 0.7)
    return mesh


def _paint_eyes(kit: Facekit, p: np.ndarray, colour: np.ndarray, skin: Skin) -> np.ndarray:
    eye = eye_distance(kit, p)
    tone = to_linear(skin.tone)
    upper = np.max([blob(p, (abs(c[0]), 4.55, 9.2), (1.5, 0.45, 1.5)) for c in EYE_CENTRES.values()], axis=0)
    colour = mix(colour, to_linear(skin.eye_shadow), skin.make_up * upper)
    # Upper lash line; the lower one stays pink.
    line = np.zeros(len(p))
    for start in (36, 42):
        lid = kit.neutral[kit.landmarks[start : start + 4]]
        line = np.maximum(line, np.exp(-0.5 * (polyline_distance(p, lid) / 0.13) ** 2))
    colour = mix(colour, np.array([0.02, 0.015, 0.012]), skin.liner * line)
    rim = np.exp(-0.5 * (eye / 0.10) ** 2) * (p[:, 2] > 7)
    colour = mix(colour, tone * np.array([0.85, 0.55, 0.52]), 0.5 * rim * (1 - line))
    return colour


# Lines that years draw, as polylines on the mean head's right half (x ≥ 0), seen from the front, with widths in cm.
WRINKLES = (
    (0.16, [(1.9, 0.2), (2.5, -0.9), (2.95, -2.2), (3.05, -3.4)]),
    (0.10, [(1.5, 2.6), (2.4, 2.15), (3.4, 2.2), (4.2, 2.6)]),
    (0.07, [(4.9, 3.5), (5.6, 3.9), (6.1, 4.4)]),
    (0.07, [(4.9, 3.2), (5.7, 3.2), (6.2, 3.2)]),
    (0.07, [(4.8, 2.9), (5.5, 2.4), (5.9, 2.0)]),
    (0.08, [(2.7, -4.1), (2.95, -4.7), (3.0, -5.1)]),
    (0.09, [(0.0, 7.4), (1.6, 7.6), (3.2, 7.4), (4.2, 7.0)]),
    (0.09, [(0.0, 8.4), (1.8, 8.6), (3.4, 8.3)]),
    (0.08, [(0.55, 4.6), (0.65, 5.2), (0.6, 5.8)]),
)


def _wrinkles(p: np.ndarray) -> np.ndarray:
    place = np.stack([np.abs(p[:, 0]), p[:, 1]], 1)
    wander = 0.12 * value_noise(p * 1.4, 77)
    depth = np.zeros(len(p))
    for width, line in WRINKLES:
        distance = polyline_distance(place + wander[:, None], np.array(line))
        depth = np.maximum(depth, np.exp(-0.5 * (distance / width) ** 2))
    return depth * (p[:, 2] > 4)


def _cavity(mesh: Mesh) -> np.ndarray:
    """Slight darkening of creases, from how far each vertex lies below its neighbourhood's mean."""
    neighbours = adjacency(len(mesh.vertices), mesh.triangles)
    smooth = smooth_values(mesh.vertices, neighbours, 10)
    depth = ((smooth - mesh.vertices) * mesh.normals).sum(1)
    return np.clip(1 - 3.0 * np.clip(depth, 0, 0.08), 0.72, 1.0)
