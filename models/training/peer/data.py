"""Pairs of frames of one person from the data set of models/training/heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Pair:
    """A batch: pictures [B,3,S,S] in 0..1 and the driver's true angles [B,3] (pitch, yaw, roll, radians)."""

    source: Tensor
    driving: Tensor
    source_angles: Tensor
    driving_angles: Tensor


class Pairs:
    """Draws batches of pairs; the number of a batch and the seed alone decide its content, so training resumes exactly."""

    def __init__(self, folder: Path, *, size: int, batch: int, seed: int, split: str = "train", limit: int | None = None):
        self.shards = sorted(p.parent for p in folder.glob(f"{split}-*/meta.json"))[:limit]
        if not self.shards:
            raise FileNotFoundError(f"{folder} has no complete {split} shard; make one with models/training/heads (see its README)")
        self.size, self.batch, self.seed = size, batch, seed
        self._open = [
            (np.load(s / "images.npy", mmap_mode="r"), np.load(s / "motion.npy"), people_of(np.load(s / "identity.npy")))
            for s in self.shards
        ]

    def at(self, step: int) -> Pair:
        rng = np.random.default_rng([self.seed, step])
        pictures, angles = [], []
        for _ in range(self.batch):
            images, motion, people = self._open[rng.integers(len(self._open))]
            source, driver = rng.choice(people[rng.integers(len(people))], 2, replace=False)
            pictures.append(np.stack([images[source], images[driver]]))
            angles.append(motion[[source, driver], :3])
        x = torch.from_numpy(np.stack(pictures)).permute(1, 0, 4, 2, 3).float() / 255
        x = F.interpolate(x.flatten(0, 1), size=self.size, mode="area").unflatten(0, (2, self.batch)) if x.shape[-1] != self.size else x
        a = torch.from_numpy(np.stack(angles)).float()
        return Pair(x[0], x[1], a[:, 0], a[:, 1])

    def batches(self, first: int, count: int) -> Iterator[Pair]:
        for step in range(first, first + count):
            yield self.at(step)


def people_of(identity: np.ndarray) -> list[np.ndarray]:
    """Row numbers of every person of a shard."""
    return [np.flatnonzero(identity == one) for one in dict.fromkeys(identity.tolist())]
