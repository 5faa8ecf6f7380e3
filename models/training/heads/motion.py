"""Head pose and expression of the frames: real tracks where there are any, otherwise a procedural sampler."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from warp.facekit import EXPRESSIONS, INDEX

DEGREE = np.pi / 180
LOOKS = np.array([i for i, name in enumerate(EXPRESSIONS) if name.startswith("eyeLook")])


@dataclass(frozen=True)
class Motion:
    """angles: pitch, yaw, roll (rad, Facewire axes); shift: cm in the picture, x right, y down; zoom: ln of the head's scale."""

    angles: np.ndarray
    shift: np.ndarray
    zoom: float
    expression: np.ndarray


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """R = Rz(roll)·Ry(yaw)·Rx(pitch) in Facewire's axes (x right, y down, z into the picture)."""
    cp, sp, cy, sy, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return rz @ ry @ rx


def track_expressions(data: dict) -> np.ndarray:
    """ARKit's coefficients [N,52] of a motion track's document."""
    names = [n.replace("_L", "Left").replace("_R", "Right") for n in data["names"]]
    frames = np.asarray(data["frames"], np.float32)[:, 6:]
    out = np.zeros((len(frames), 52), np.float32)
    for k, name in enumerate(names):
        # browInnerUp and cheekPuff may come in halves.
        key = name if name in INDEX else name.removesuffix("Left").removesuffix("Right")
        if key in INDEX:
            share = 1.0 if name in INDEX else 0.5
            out[:, INDEX[key]] += share * frames[:, k]
    return out


def load_tracks(folder: Path | None) -> np.ndarray:
    """All frames of the motion tracks as ARKit coefficients [N,52]; [0,52] where there are none."""
    files = sorted(folder.glob("*.json")) if folder and folder.is_dir() else []
    rows = [track_expressions(json.loads(file.read_text())) for file in files]
    return np.concatenate(rows) if rows else np.zeros((0, 52), np.float32)


def pair(e: np.ndarray, name: str, value: float, rng: np.random.Generator, uneven: float = 0.12) -> None:
    for side in ("Left", "Right"):
        e[INDEX[name + side]] = np.clip(value * (1 + uneven * rng.normal()), 0, 1)


def look(e: np.ndarray, x: float, y: float) -> None:
    """Gaze, −1…1: x > 0 towards the subject's left, y > 0 up."""
    for name in EXPRESSIONS:
        if name.startswith("eyeLook"):
            e[INDEX[name]] = 0
    e[INDEX["eyeLookOutLeft"]] = e[INDEX["eyeLookInRight"]] = max(x, 0)
    e[INDEX["eyeLookInLeft"]] = e[INDEX["eyeLookOutRight"]] = max(-x, 0)
    for side in ("Left", "Right"):
        e[INDEX["eyeLookUp" + side]] = max(y, 0)
        e[INDEX["eyeLookDown" + side]] = max(-y, 0)


def procedural(rng: np.random.Generator) -> np.ndarray:
    """A random expression [52]."""
    e = np.zeros(52, np.float32)
    if rng.random() < 0.6:
        e[INDEX["jawOpen"]] = rng.random() ** 1.5 * 0.9
    shape = rng.random()
    for limit, name, paired in (
        (0.3, "mouthSmile", True), (0.4, "mouthFrown", True), (0.52, "mouthPucker", False), (0.64, "mouthFunnel", False),
        (0.72, "mouthStretch", True),
    ):
        if shape < limit:
            if paired:
                pair(e, name, rng.random(), rng)
            else:
                e[INDEX[name]] = rng.random()
            break
    for name, chance in (
        ("mouthUpperUp", 0.2), ("mouthLowerDown", 0.25), ("mouthPress", 0.1), ("mouthDimple", 0.1), ("cheekSquint", 0.15),
        ("eyeSquint", 0.2), ("eyeWide", 0.15), ("browDown", 0.2), ("browOuterUp", 0.2), ("noseSneer", 0.1),
    ):
        if rng.random() < chance:
            pair(e, name, rng.random() ** 1.2, rng, 0.3)
    for name, chance in (
        ("mouthLeft", 0.06), ("mouthRight", 0.06), ("jawLeft", 0.05), ("jawRight", 0.05), ("mouthRollLower", 0.1),
        ("mouthRollUpper", 0.1), ("mouthShrugUpper", 0.1), ("mouthShrugLower", 0.1), ("jawForward", 0.05), ("cheekPuff", 0.06),
        ("browInnerUp", 0.2),
    ):
        if rng.random() < chance:
            e[INDEX[name]] = rng.random() * 0.8
    if e[INDEX["jawOpen"]] > 0.1 and rng.random() < 0.25:
        e[INDEX["mouthClose"]] = e[INDEX["jawOpen"]] * rng.random()
    return e


def source_motion(rng: np.random.Generator, first: bool) -> Motion:
    """Frame 0 looks like a portrait; frame 1 is turned further, with a mild expression."""
    reach = np.array([8, 10, 5]) if first else np.array([8, 25, 8])
    angles = rng.uniform(-1, 1, 3) * reach * DEGREE
    e = np.zeros(52, np.float32)
    if first:
        if rng.random() < 0.6:
            pair(e, "mouthSmile", rng.uniform(0, 0.5), rng)
    else:
        e = 0.5 * procedural(rng)
    for side in ("Left", "Right"):
        e[INDEX["eyeBlink" + side]] = 0
        e[INDEX["eyeSquint" + side]] *= 0.5
    blink = rng.random() < 0.05
    if blink:
        pair(e, "eyeBlink", rng.uniform(0.5, 1.0), rng, 0.02)
    look(e, *np.clip(rng.normal(size=2) * ([0.12, 0.08] if first else [0.3, 0.2]), -1, 1))
    return Motion(angles, rng.normal(size=2) * 0.35, float(rng.normal() * 0.01), e)


def turned_motion(first: Motion, yaw: float) -> Motion:
    """The portrait's head (frame 0) at rest, turned by yaw degrees."""
    return Motion(np.array([0, yaw, 0]) * DEGREE, first.shift, first.zoom, np.zeros(52, np.float32))


def driven_motion(rng: np.random.Generator, tracks: np.ndarray) -> Motion:
    """Frames 2…: anything a performer does."""
    wide = rng.random() < 0.5
    yaw = rng.uniform(-45, 45) if wide else np.clip(rng.normal() * 18, -45, 45)
    angles = np.array([np.clip(rng.normal() * 11, -25, 25), yaw, np.clip(rng.normal() * 8, -20, 20)]) * DEGREE
    if len(tracks) and rng.random() < 0.65:
        e = tracks[rng.integers(len(tracks))].copy()
        if rng.random() < 0.4:
            e *= rng.uniform(1.0, 1.7)
        e[LOOKS] *= 0.75
        for side in ("Left", "Right"):
            e[INDEX["eyeBlink" + side]] *= 0.6
    else:
        e = procedural(rng)
    if rng.random() < 0.2:
        e[INDEX["jawOpen"]] = rng.random() ** 0.8
        e[INDEX["mouthClose"]] = 0
    if rng.random() < 0.5:
        look(e, *np.clip(rng.normal(size=2) * [0.5, 0.4], -1, 1))
    if rng.random() < 0.15:
        pair(e, "eyeBlink", rng.choice([rng.random(), 1.0]), rng, 0.02)
    elif rng.random() < 0.04:
        e[INDEX["eyeBlink" + ("Left", "Right")[rng.integers(2)]]] = rng.uniform(0.7, 1)
    if rng.random() < 0.04:
        e[INDEX["tongueOut"]] = rng.uniform(0.3, 1)
        e[INDEX["jawOpen"]] = max(float(e[INDEX["jawOpen"]]), rng.uniform(0.3, 0.7))
        e[INDEX["mouthClose"]] = 0
    e = np.clip(e, 0, 1).astype(np.float32)
    return Motion(angles, rng.normal(size=2) * 0.9, float(np.clip(rng.normal() * 0.03, -0.08, 0.08)), e)
