"""Who someone is: the morphable head's modes, amplified, and a few sculpting handles that artists would reach for."""

from dataclasses import dataclass, field

import numpy as np

from .facekit import EYE_CENTRES, Facekit
from .noise import smoothstep


@dataclass(frozen=True)
class Shape:
    """seed and amount of the random identity; expression coefficients; sculpt: handle name → strength (about −1…1)."""

    seed: int = 0
    amount: float = 1.0
    sculpt: dict[str, float] = field(default_factory=dict)
    expression: dict[str, float] = field(default_factory=dict)


# name → list of (centre, radius cm, displacement cm at strength 1); mirrored in x unless the centre lies on x = 0.
# A displacement starting with "scale" moves points away from the centre by that fraction instead.
HANDLES: dict[str, list[tuple]] = {
    "jaw_width": [((5.9, -4.2, 5.5), 3.6, (0.75, 0, 0))],
    "jaw_angle": [((6.3, -3.2, 3.8), 2.6, (0.6, -0.5, 0))],
    "chin_length": [((0, -7.6, 9.8), 3.0, (0, -0.7, 0.15))],
    "chin_width": [((2.6, -7.0, 9.4), 2.2, (0.6, 0, 0))],
    "chin_forward": [((0, -6.8, 10.3), 2.6, (0, 0, 0.7))],
    "cheekbones": [((5.4, 1.3, 8.4), 2.5, (0.45, 0.1, 0.45))],
    "cheek_full": [((4.6, -2.2, 8.6), 2.8, (0.6, 0, 0.6))],
    "brow_ridge": [((2.6, 5.4, 10.3), 2.0, (0, -0.22, 0.42))],
    "forehead": [((0, 8.6, 9.5), 4.2, (0, 0.2, 0.5))],
    "nose_width": [((1.5, -0.4, 11.0), 1.25, (0.42, 0, 0))],
    "nose_length": [((0, -0.3, 12.4), 1.9, (0, -0.5, 0.0))],
    "nose_tip": [((0, 0.4, 12.9), 1.3, (0, 0.15, 0.5))],
    "nose_bridge": [((0, 2.6, 11.4), 1.5, (0, 0, 0.5))],
    "lip_upper": [((0, -2.75, 11.7), 1.15, (0, 0.16, 0.26)), ((1.3, -2.95, 11.4), 1.0, (0, 0.12, 0.2))],
    "lip_lower": [((0, -4.0, 11.5), 1.1, (0, -0.2, 0.3)), ((1.2, -3.9, 11.2), 1.0, (0, -0.12, 0.2))],
    "mouth_width": [((2.5, -3.5, 10.2), 1.5, (0.45, 0.0, 0))],
    "mouth_corner": [((2.5, -3.5, 10.2), 1.0, (0.05, 0.28, 0))],
    "ears": [((8.2, 2.2, 0.2), 3.0, (0.6, 0.1, 0))],
    "eyes_tilt": [((4.4, 3.5, 8.7), 1.1, (0.0, 0.3, 0.0))],
    "neck": [((4.6, -9.5, -1.5), 5.0, (0.9, 0, 0.2))],
    "face_width": [((7.0, 1.0, 5.0), 6.0, (0.7, 0, 0))],
}


def head_vertices(kit: Facekit, shape: Shape) -> np.ndarray:
    """V×3 cm. Symmetry of the mean head is kept as far as the modes keep it."""
    rng = np.random.default_rng(shape.seed)
    weights = rng.normal(size=len(kit.identity))
    # The modes' RMS falls from 0.37 to 0.07 cm by the ninth: later ones are raised, or all faces look related.
    mode = np.arange(len(weights))
    gain = np.where(mode < 40, np.minimum(0.75 + 0.16 * mode, 2.2), 0)
    weights = shape.amount * gain * np.clip(weights, -1.7, 1.7)
    vertices = kit.neutral + np.tensordot(weights, kit.identity.astype(np.float64), axes=1)
    for name, value in shape.expression.items():
        vertices = vertices + value * kit.expressions[name].astype(np.float64)
    vertices = sculpt(vertices, kit.neutral, shape.sculpt)
    return slope_shoulders(close_lips(kit, vertices), kit.neutral)


def close_lips(kit: Facekit, vertices: np.ndarray, overlap: float = 0.03) -> np.ndarray:
    """Amplified identities part their lips: brings upper and lower inner lip together, half each."""
    out = vertices.copy()
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        top, bottom = kit.landmarks[upper], kit.landmarks[lower]
        gap = vertices[top, 1] - vertices[bottom, 1] + overlap
        if gap <= 0:
            continue
        for index, sign in ((top, -0.5), (bottom, 0.5)):
            distance = np.linalg.norm((kit.neutral - kit.neutral[index]) * [0.9, 1.3, 0.7], axis=1)
            side = kit.neutral[:, 1] > kit.neutral[kit.landmarks[62], 1] - 0.02
            weight = np.exp(-0.5 * (distance / 0.55) ** 2) * (side if sign < 0 else ~side)
            out[:, 1] += 0.62 * sign * gap * weight
    return out


def slope_shoulders(vertices: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """The scanned busts raise their shoulders; let them hang."""
    outer = np.clip(np.abs(neutral[:, 0]) - 5.2, 0, None) * smoothstep(-8.5, -13.0, neutral[:, 1])
    return vertices - 0.42 * outer[:, None] * np.array([0.0, 1.0, 0.0])


def sculpt(vertices: np.ndarray, neutral: np.ndarray, handles: dict[str, float]) -> np.ndarray:
    """Moves vertices by handles whose places are those of the neutral head. Raises KeyError for unknown names."""
    out = vertices.copy()
    for name, strength in handles.items():
        if name == "eye_size":
            out = _grow_eyes(out, neutral, strength)
            continue
        for centre, radius, move in HANDLES[name]:
            sides = (1.0, -1.0) if centre[0] > 0 else (1.0,)
            for side in sides:
                distance = np.linalg.norm(neutral - np.array(centre) * [side, 1, 1], axis=1)
                weight = np.exp(-0.5 * (distance / (0.6 * radius)) ** 2)
                out += strength * weight[:, None] * np.array(move) * [side, 1, 1]
    return out


def _grow_eyes(vertices: np.ndarray, neutral: np.ndarray, strength: float) -> np.ndarray:
    """Scales eyeball, lids and lashes together about the eye's centre; strength 1 = 15 % larger."""
    out = vertices.copy()
    for side in ("left", "right"):
        centre = EYE_CENTRES[side]
        distance = np.linalg.norm((neutral - centre) * [0.8, 1.0, 0.6], axis=1)
        weight = 1 - smoothstep(1.6, 3.2, distance)
        near = np.linalg.norm(neutral - centre, axis=1) < 1.75
        pivot = vertices[near].mean(0)
        out += 0.15 * strength * weight[:, None] * (vertices - pivot)
    return out


def turn_head(
    vertices: np.ndarray, neutral: np.ndarray, yaw: float, pitch: float, roll: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rotates the head (degrees) about the top of the neck, fading out to the shoulders. Returns (vertices, R 3×3).

    yaw + turns the face to the image's right, pitch + up, roll + tilts to the image's left.
    """
    y, p, r = np.radians([yaw, -pitch, roll])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    rotation = rz @ ry @ rx
    pivot = np.array([0.0, -4.0, -1.0])
    weight = smoothstep(-12.5, -5.0, neutral[:, 1] + 0.35 * np.clip(neutral[:, 2], 0, 8))[:, None]
    turned = (vertices - pivot) @ rotation.T + pivot
    return vertices + weight * (turned - vertices), rotation
