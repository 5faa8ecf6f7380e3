"""Sequences of motion: real tracks, bent and mixed, and procedural ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from heads.motion import procedural, rotation, track_expressions
from landmarks.layout import GROUPS
from tracker.layout import MOTION_MIRROR
from warp.facekit import EXPRESSIONS, INDEX

HELD_OUT = ("d12", "d18", "s20")  # whole videos that no training sees
CALM = 0.7  # frames; the tracks hold their tracker's jitter, which is no motion
ADDED = np.radians([35.0, 60.0, 15.0])  # turns beyond the tracks', pitch, yaw, roll
EYE_DISTANCE = 8.918  # cm between the outer corners of the eyes of the mean face
PROCEDURAL = 4000
LOOKS = [6 + i for i, name in enumerate(EXPRESSIONS) if name.startswith("eyeLook")]  # columns of a motion


@dataclass(frozen=True)
class Track:
    """motion [N,58] as Facewire's packets have it, but shift in cm; frames a second."""

    name: str
    motion: np.ndarray
    rate: float


def angles_of(turned: np.ndarray) -> np.ndarray:
    """Rotation [...,3,3] = Rz·Ry·Rx -> pitch, yaw, roll [...,3]."""
    return np.stack([
        np.arctan2(turned[..., 2, 1], turned[..., 2, 2]), -np.arcsin(np.clip(turned[..., 2, 0], -1, 1)),
        np.arctan2(turned[..., 1, 0], turned[..., 0, 0]),
    ], -1)  # fmt: skip


def read_track(file: Path) -> Track:
    """As proto/src/motion/trackToMotions.ts has it: the tracks' y and z point the other way, R = Ry·Rx·Rz there."""
    data = json.loads(file.read_text())
    frames = np.asarray(data["frames"], np.float64)
    flip = np.diag([1.0, -1.0, -1.0])
    turned = [flip @ rotation(0, yaw, 0) @ rotation(pitch, 0, 0) @ rotation(0, 0, roll) @ flip for pitch, yaw, roll in frames[:, :3]]
    shift = (frames[:, 3:5] - np.median(frames[:, 3:5], 0)) * [EYE_DISTANCE, -EYE_DISTANCE]
    motion = np.concatenate([angles_of(np.stack(turned)), shift, frames[:, 5:6], track_expressions(data)], 1)
    return Track(file.stem, motion.astype(np.float32), float(data["fps"]))


def read_tracks(folder: Path, names: tuple[str, ...] | None = None) -> list[Track]:
    """The tracks of a folder, by default those that are not HELD_OUT; none where there is no folder."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [read_track(f) for f in files if (f.stem not in HELD_OUT if names is None else f.stem in names)]


@dataclass
class Motions:
    """Draws motion at given times. Without tracks all of it is procedural."""

    tracks: list[Track]
    rng: np.random.Generator
    pool: np.ndarray = field(init=False)

    def __post_init__(self):
        self.tracks = [Track(t.name, np.clip(gaussian_filter1d(t.motion, CALM, 0), -4, 4), t.rate) for t in self.tracks]
        self.pool = np.stack([procedural(self.rng) for _ in range(PROCEDURAL)])

    def draw(self, seconds: np.ndarray) -> np.ndarray:
        """Motion [T,58] at the times [T] of a sequence; shift in cm."""
        rng = self.rng
        seconds = held(seconds, rng) if rng.random() < 0.3 else seconds
        out = self.recorded(seconds) if self.tracks and rng.random() < 0.75 else self.invented(seconds)
        if self.tracks and rng.random() < 0.5:
            out[:, :6] = self.recorded(seconds)[:, :6]
        for indices, _, _ in GROUPS.values():
            at = 6 + np.array(indices)
            if rng.random() < 0.2:
                out[:, at] = (self.recorded(seconds) if self.tracks and rng.random() < 0.6 else self.invented(seconds))[:, at]
            if rng.random() < 0.4:
                out[:, at] *= rng.uniform(0.5, 1.7)
            if rng.random() < 0.15:  # more on one side
                side = ("Left", "Right")[rng.integers(2)]
                out[:, [k for k in at if EXPRESSIONS[k - 6].endswith(side)]] *= rng.uniform(0, 1)
        if rng.random() < 0.15:
            out[:, 6:] *= 0.15  # a face at rest
        if rng.random() < 0.4:
            out[:, LOOKS] = looked(seconds, rng)
        if rng.random() < 0.4:
            blink(out, seconds, rng)
        out[:, :3] += turns(seconds, rng)
        out[:, :3] = np.clip(out[:, :3], -np.radians([50, 75, 45]), np.radians([50, 75, 45]))
        out[:, 6:] = np.clip(out[:, 6:], 0, 1)
        index, sign = MOTION_MIRROR
        return out[:, index] * sign if rng.random() < 0.5 else out

    def recorded(self, seconds: np.ndarray) -> np.ndarray:
        """A track from anywhere, faster or slower, there and back where it ends."""
        track = self.tracks[self.rng.integers(len(self.tracks))]
        last = len(track.motion) - 1
        at = self.rng.uniform(0, last) + seconds * track.rate * self.rng.uniform(0.5, 1.6)
        at = last - np.abs(last - at % (2 * last))
        below = np.minimum(at.astype(int), last - 1)
        part = (at - below)[:, None].astype(np.float32)
        return track.motion[below] * (1 - part) + track.motion[below + 1] * part

    def invented(self, seconds: np.ndarray) -> np.ndarray:
        """From one random expression to the next and back to rest, as fast as faces move."""
        rng = self.rng
        out = np.zeros((len(seconds), 58), np.float32)
        keys = [0.0]
        while keys[-1] < seconds[-1] - seconds[0]:
            keys.append(keys[-1] + rng.uniform(0.12, 0.7))
        faces = self.pool[rng.integers(len(self.pool), size=len(keys))] * (rng.random((len(keys), 1)) < 0.7)
        out[:, 6:] = eased(seconds - seconds[0], np.array(keys), faces)
        out[:, 3:6] = eased(seconds - seconds[0], np.array(keys), rng.normal(size=(len(keys), 3)) * [0.4, 0.4, 0.03])
        return out


def eased(at: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values [K,n] of the times keys [K], at the times [T], with a soft start and stop at each."""
    k = np.clip(np.searchsorted(keys, at, side="right") - 1, 0, max(len(keys) - 2, 0))
    after = np.minimum(k + 1, len(keys) - 1)
    part = np.clip((at - keys[k]) / np.maximum(keys[after] - keys[k], 1e-6), 0, 1)[:, None]
    part = part * part * (3 - 2 * part)
    return (values[k] * (1 - part) + values[after] * part).astype(np.float32)


def turns(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pitch, yaw, roll [T,3] that are added: held, swaying, or none."""
    if rng.random() < 0.25:
        return np.zeros((len(seconds), 3), np.float32)
    keys = np.arange(0, seconds[-1] - seconds[0] + 3, rng.uniform(0.4, 3.0))
    to = rng.uniform(-1, 1, (len(keys), 3)) * ADDED
    if rng.random() < 0.4:
        to[:] = to[0]
    return eased(seconds - seconds[0], keys, to)


def looked(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaze [T,8], in the order of LOOKS: now here, now there."""
    keys = np.arange(0, seconds[-1] - seconds[0] + 3, rng.uniform(0.2, 1.2))
    x, y = eased(seconds - seconds[0], keys, np.clip(rng.normal(size=(len(keys), 2)) * [0.5, 0.4], -1, 1)).T
    # To the subject's left the left eye looks out and the right one in.
    parts = {"OutLeft": x, "InRight": x, "InLeft": -x, "OutRight": -x, "UpLeft": y, "UpRight": y, "DownLeft": -y, "DownRight": -y}
    return np.stack([np.maximum(parts[EXPRESSIONS[k - 6].removeprefix("eyeLook")], 0) for k in LOOKS], 1)


def blink(motion: np.ndarray, seconds: np.ndarray, rng: np.random.Generator) -> None:
    """Shuts the eyes now and then, or one of them, for a moment or longer; motion [T,58] is changed."""
    for _ in range(rng.integers(1, 5)):
        middle, shut, lid = rng.uniform(seconds[0], seconds[-1]), rng.choice([0.0, rng.uniform(0, 1)]), rng.uniform(0.06, 0.2)
        amount = np.clip(1 - (np.abs(seconds - middle) - shut / 2) / lid, 0, 1) * rng.uniform(0.6, 1)
        eyes = [("Left", "Right"), ("Left",), ("Right",)][rng.choice(3, p=[0.6, 0.2, 0.2])]
        for side in eyes:
            k = 6 + INDEX[f"eyeBlink{side}"]
            motion[:, k] = np.maximum(motion[:, k], amount)


def held(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Times that stand still for a while, so that the face does."""
    start = rng.uniform(seconds[0], seconds[-1])
    end = start + rng.uniform(0.2, 2)
    return np.where(seconds < start, seconds, np.where(seconds < end, start, seconds - (end - start)))
