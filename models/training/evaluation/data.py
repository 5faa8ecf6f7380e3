"""Test identities of the data set of models/training/heads (see its README for the arrays of a shard)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Person:
    """All frames of one test identity. Frame 0 is the portrait that rows are given."""

    identity: int
    images: np.ndarray  # uint8 [F,256,256,3]
    motion: np.ndarray  # float32 [F,58] absolute pitch, yaw, roll, tx, ty, logScale, 52 coefficients
    landmarks: np.ndarray  # float32 [F,68,2] -1..1
    region: np.ndarray  # uint8 [F,128,128], 0 is background


class DataMissing(Exception):
    """No test shard where one was expected; the message says how to make it."""


def complete_shards(folder: Path, split: str = "test") -> list[Path]:
    """A shard counts once its meta.json exists, which is written last."""
    return sorted(p.parent for p in folder.glob(f"{split}-*/meta.json"))


def read_shard(shard: Path) -> list[Person]:
    arrays = {name: np.load(shard / f"{name}.npy", mmap_mode="r") for name in ("images", "motion", "landmarks", "region")}
    identity, frame = np.load(shard / "identity.npy"), np.load(shard / "frame.npy")
    people = []
    for one in dict.fromkeys(identity.tolist()):
        rows = np.flatnonzero(identity == one)
        rows = rows[np.argsort(frame[rows], kind="stable")]
        people.append(Person(one, **{name: np.ascontiguousarray(values[rows]) for name, values in arrays.items()}))
    return people


def load_people(folder: Path, *, count: int, seed: int, split: str = "test") -> list[Person]:
    """`count` identities drawn by `seed` from all complete shards of the split (fewer when there are no more)."""
    shards = complete_shards(folder, split)
    if not shards:
        raise DataMissing(f"{folder} has no complete {split} shard; make one with models/training/heads (see its README)")
    index = [(shard, int(one)) for shard in shards for one in dict.fromkeys(np.load(shard / "identity.npy").tolist())]
    chosen = {index[i] for i in np.random.default_rng(seed).permutation(len(index))[:count]}
    people = [p for shard in shards if any(s == shard for s, _ in chosen) for p in read_shard(shard) if (shard, p.identity) in chosen]
    return sorted(people, key=lambda p: p.identity)


def drive_rows(motion: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Motion rows [B,58] as renderers take them, of absolute rows [B,58] and the row [58] at rest.

    Angles and coefficients stay absolute; tx, ty and logScale become differences, since a portrait's own place
    and size are in its avatar.
    """
    rows = motion.astype(np.float32).copy()
    rows[:, 3:6] -= rest[3:6]
    return rows
