"""Seeded value noise in three dimensions, vectorised over points."""

import numpy as np


def _hash(x: np.ndarray, y: np.ndarray, z: np.ndarray, seed: int) -> np.ndarray:
    """Integer lattice point → float in 0…1."""
    h = (x.astype(np.uint64) * np.uint64(0x9E3779B1)) ^ (y.astype(np.uint64) * np.uint64(0x85EBCA77))
    h ^= (z.astype(np.uint64) * np.uint64(0xC2B2AE3D)) ^ np.uint64((seed * 0x27D4EB2F) & 0xFFFFFFFF)
    h &= np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(0x2C1B3C6D)) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(12))) * np.uint64(0x297A2D39)) & np.uint64(0xFFFFFFFF)
    return ((h ^ (h >> np.uint64(15))) & np.uint64(0xFFFFFF)).astype(np.float64) / 0xFFFFFF


def value_noise(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Smooth noise in −1…1 with a period of about one unit; points N×3."""
    base = np.floor(points).astype(np.int64)
    f = points - base
    f = f * f * f * (f * (f * 6 - 15) + 10)
    total = np.zeros(len(points))
    for dx in (0, 1):
        for dy in (0, 1):
            for dz in (0, 1):
                weight = (
                    np.where(dx, f[:, 0], 1 - f[:, 0])
                    * np.where(dy, f[:, 1], 1 - f[:, 1])
                    * np.where(dz, f[:, 2], 1 - f[:, 2])
                )
                total += weight * _hash(base[:, 0] + dx, base[:, 1] + dy, base[:, 2] + dz, seed)
    return total * 2 - 1


def fractal_noise(points: np.ndarray, octaves: int = 4, seed: int = 0) -> np.ndarray:
    """Sum of octaves, about −1…1."""
    total = np.zeros(len(points))
    for k in range(octaves):
        total += 0.5**k * value_noise(points * 2.03**k + 17.3 * k, seed + k)
    return total / (2 - 0.5 ** (octaves - 1))


def vector_noise(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Three independent noises, N×3."""
    return np.stack([value_noise(points + 31.7 * k, seed + 101 * k) for k in range(3)], 1)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
