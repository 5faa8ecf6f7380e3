"""Colours, light and materials of one identity, as uniforms for the shaders."""

from __future__ import annotations

import numpy as np

HAIR_COLOURS = np.array(
    [
        (0.020, 0.016, 0.014), (0.060, 0.034, 0.020), (0.140, 0.075, 0.035), (0.420, 0.270, 0.120), (0.300, 0.090, 0.030),
        (0.380, 0.370, 0.360), (0.650, 0.610, 0.540),
    ]
)
IRISES = np.array(
    [(0.16, 0.08, 0.03), (0.08, 0.04, 0.02), (0.14, 0.26, 0.42), (0.16, 0.25, 0.13), (0.24, 0.27, 0.30), (0.30, 0.19, 0.06)]
)

SKIN_WRAP = 0.25  # `wrap` of the shader


def direction(elevation: float, azimuth: float) -> np.ndarray:
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])


def skin_tone(rng: np.random.Generator) -> np.ndarray:
    """Linear albedo between very light and very dark."""
    t = rng.random() ** 0.9
    stops = np.array([(0.82, 0.58, 0.47), (0.70, 0.44, 0.31), (0.46, 0.26, 0.16), (0.24, 0.125, 0.075), (0.11, 0.055, 0.035)])
    at = t * (len(stops) - 1)
    k = min(int(at), len(stops) - 2)
    tone = stops[k] + (stops[k + 1] - stops[k]) * (at - k)
    return np.clip(tone * rng.uniform(0.88, 1.1) * (1 + rng.normal(size=3) * 0.035), 0.02, 0.95)


def sample_look(rng: np.random.Generator) -> dict:
    """Uniforms by name, and under 'wild' 0…1 how far this identity is from a photograph."""
    u = rng.uniform
    wild = rng.random() < 0.25
    look: dict = {}
    skin = skin_tone(rng)
    hair = HAIR_COLOURS[rng.choice(7, p=[0.26, 0.22, 0.17, 0.13, 0.07, 0.10, 0.05])] * u(0.75, 1.3)
    iris = IRISES[rng.choice(6, p=[0.28, 0.22, 0.19, 0.11, 0.09, 0.11])] * u(0.8, 1.4)
    sclera, lip = np.array([0.82, 0.79, 0.77]), skin * np.clip(np.array([0.95, 0.60, 0.60]) + rng.normal(size=3) * 0.07, 0.3, 1.1)
    if rng.random() < 0.3:
        lip = lip * np.array([0.98, 0.5, 0.55]) + np.array([0.08, 0.0, 0.015]) * u(0, 1)
    if rng.random() < 0.05:
        hair = u(0.02, 0.6, 3)
    brow = np.clip(hair * u(0.3, 0.9), 0.008, 0.35)
    mark = (0.0, 0.0, 1.0)
    if wild:
        kind = rng.random()
        if kind < 0.45:
            skin, hair, lip, iris = u(0.05, 0.85, 3), u(0.02, 0.8, 3), u(0.05, 0.8, 3), u(0.05, 0.8, 3)
            sclera = np.clip(u(0.5, 1.0, 3), 0, 0.9)
            brow = hair * u(0.2, 1.0)
        if kind > 0.3:
            mark = (float(rng.integers(1, 6)), u(0.25, 1.0), u(0.4, 2.2))
    look |= {
        "skin": skin, "lip": np.clip(lip, 0.01, 0.95), "hair": hair * 0.5, "browc": brow, "beard": np.clip(hair * 0.5 + 0.12 * skin, 0, 1),
        "iris": iris, "iris2": iris * u(0.4, 1.6, 3), "sclera": sclera,
        "tooth": np.array([0.80, 0.76, 0.66]) * u(0.8, 1.08) * [1, 1, u(0.85, 1.05)],
        "gum": np.array([0.55, 0.20, 0.19]) * u(0.75, 1.15), "tint1": u(0.02, 0.85, 3), "tint2": u(0.02, 0.85, 3),
        "shadow": skin * u(0.25, 0.9, 3),
        "skinp": (u(0.15, 0.7), u(0, 1), (rng.random() < 0.25) * u(0.3, 1), u(0.4, 1.2)),
        "bp": ((rng.random() < 0.25) * u(0.2, 0.9), u(0.42, 0.8), u(0.35, 0.9), (rng.random() < 0.28) * u(0.3, 0.9)),
        "eyep": (u(0.38, 0.44), u(0.30, 0.48), u(0.3, 0.8), u(0, 1)),
        "rim": u(0.01, 0.25, 3) if rng.random() < 0.6 else np.full(3, u(0.01, 0.06)),
        "seed": u(0, 60), "lash": u(0.2, 0.65),
    }
    cloth = np.clip(_cloth_colour(rng), 0.01, 0.85)
    other = np.clip(_cloth_colour(rng), 0.01, 0.85)
    look |= {"cloth": cloth, "cloth2": other}
    look["pattern"] = (float(rng.choice(7, p=[0.46, 0.14, 0.10, 0.09, 0.09, 0.06, 0.06])) + 0.5, u(0.18, 0.8))
    tint = lambda k: np.clip(1 + rng.normal(size=3) * k, 0.5, 1.5)  # noqa: E731
    key = u(-1.1, 1.1)
    look |= {
        "L0": direction(u(0.1, 0.95), key), "c0": u(0.6, 1.15) * tint(0.06),
        "L1": direction(u(-0.2, 0.5), -np.sign(key) * u(0.4, 1.4)), "c1": u(0.08, 0.5) * tint(0.12),
        "L2": direction(u(-0.1, 0.8), u(2.1, 4.2)), "c2": u(0, 1.0) * tint(0.15),
        "amb0": u(0.20, 0.50) * tint(0.08), "amb1": u(0.08, 0.26) * tint(0.08),
    }
    toon = wild and rng.random() < 0.4
    look["style"] = (float(rng.integers(1, 4)) if toon else 0.0, u(0.03, 0.14), u(0.10, 0.34), 0.0 if toon else u(1.6, 2.6))
    look["outline"] = toon and rng.random() < 0.7
    look["mk_paint"] = mark
    look["hair_colour"] = hair
    look["brow_colour"] = brow
    return look


def harmonics(n: np.ndarray) -> np.ndarray:
    """The nine spherical harmonics up to degree 2, without their constants, of unit normals [...,3]: [...,9]."""
    x, y, z = n[..., 0], n[..., 1], n[..., 2]
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], -1)


def irradiance(look: dict) -> np.ndarray:
    """[9,3]: the light that skin gathers, by its normal in Facewire's axes (x right, y down, z into the picture)."""
    count = 400
    z = 1 - 2 * (np.arange(count) + 0.5) / count
    turn = np.arange(count) * np.pi * (3 - 5**0.5)
    ring = np.sqrt(1 - z * z)
    n = np.stack([ring * np.cos(turn), ring * np.sin(turn), z], 1)  # the shaders' axes: y up, z to the viewer
    light = look["amb1"] + (look["amb0"] - look["amb1"]) * (0.5 + 0.5 * n[:, 1:2])
    for k in range(3):
        light = light + look[f"c{k}"] * np.maximum((n @ look[f"L{k}"] + SKIN_WRAP) / (1 + SKIN_WRAP), 0)[:, None]
    return np.linalg.lstsq(harmonics(n * [1, -1, -1]), light, rcond=None)[0]


def _cloth_colour(rng: np.random.Generator) -> np.ndarray:
    colour = rng.uniform(0.01, 0.85, 3) * rng.uniform(0.3, 1.2)
    muted = rng.random()
    return colour.mean() + (colour - colour.mean()) * muted
