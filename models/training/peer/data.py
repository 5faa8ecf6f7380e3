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
    """A batch: sources [B,3,S,S], N drivers of each in a row [B*N,3,S,S] (0..1), and their true angles (pitch, yaw, roll, radians)."""

    source: Tensor
    driving: Tensor
    source_angles: Tensor
    driving_angles: Tensor


class Pairs:
    """Draws batches of pairs; the number of a batch and the seed alone decide its content, so training resumes exactly."""

    def __init__(
        self, folder: Path, *, size: int, batch: int, seed: int, drivers: int = 1, split: str = "train", limit: int | None = None
    ):
        """`batch` pairs each: batch / drivers sources, each with that many drivers."""
        self.shards = sorted(p.parent for p in folder.glob(f"{split}-*/meta.json"))[:limit]
        if not self.shards:
            raise FileNotFoundError(f"{folder} has no complete {split} shard; make one with models/training/heads (see its README)")
        if batch % drivers:
            raise ValueError(f"a batch of {batch} pairs cannot be drawn with {drivers} drivers per source: expected a multiple")
        self.size, self.sources, self.drivers, self.seed = size, batch // drivers, drivers, seed
        self._open = [
            (np.load(s / "images.npy", mmap_mode="r"), np.load(s / "motion.npy"), people_of(np.load(s / "identity.npy")))
            for s in self.shards
        ]

    def at(self, step: int) -> Pair:
        rng = np.random.default_rng([self.seed, step])
        pictures, angles = [], []
        for _ in range(self.sources):
            images, motion, people = self._open[rng.integers(len(self._open))]
            frames = rng.choice(people[rng.integers(len(people))], 1 + self.drivers, replace=False)
            pictures.append(np.stack([images[frame] for frame in frames]))
            angles.append(motion[frames, :3])
        x = torch.from_numpy(np.stack(pictures)).permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
        if x.shape[-1] != self.size:
            x = F.avg_pool2d(x, x.shape[-1] // self.size)
        x = x.contiguous(memory_format=torch.channels_last).unflatten(0, (self.sources, 1 + self.drivers))
        a = torch.from_numpy(np.stack(angles)).float()
        return Pair(x[:, 0], x[:, 1:].flatten(0, 1), a[:, 0], a[:, 1:].flatten(0, 1))

    def batches(self, first: int, count: int) -> Iterator[Pair]:
        for step in range(first, first + count):
            yield self.at(step)


def people_of(identity: np.ndarray) -> list[np.ndarray]:
    """Row numbers of every person of a shard."""
    return [np.flatnonzero(identity == one) for one in dict.fromkeys(identity.tolist())]
