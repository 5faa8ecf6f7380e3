"""Reads the shards of models/training/heads: frames with motion, landmarks and regions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FRAME = 256


@dataclass(frozen=True)
class Frame:
    """image uint8 [256,256,3], landmarks float32 [68,2] in pixels, motion float32 [58], region uint8 [128,128]."""

    image: np.ndarray
    landmarks: np.ndarray
    motion: np.ndarray
    region: np.ndarray


class Shards:
    """All complete shards of one split, memory mapped; `refresh` finds those that were finished since."""

    def __init__(self, folder: Path, split: str):
        self.folder, self.split = Path(folder), split
        self.arrays: dict[str, dict[str, np.ndarray]] = {}
        self.refresh()

    def refresh(self) -> int:
        """Number of frames now."""
        for meta in sorted(self.folder.glob(f"{self.split}-*/meta.json")):
            shard = meta.parent
            if shard.name not in self.arrays:
                self.arrays[shard.name] = {
                    name: np.load(shard / f"{name}.npy", mmap_mode="r") for name in ("images", "landmarks", "motion", "region")
                }
        self.names = sorted(self.arrays)
        self.ends = np.cumsum([len(self.arrays[name]["images"]) for name in self.names]) if self.names else np.zeros(1, int)
        return int(self.ends[-1])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> Frame:
        shard = int(np.searchsorted(self.ends, index, side="right"))
        arrays = self.arrays[self.names[shard]]
        row = index - (int(self.ends[shard - 1]) if shard else 0)
        landmarks = (np.asarray(arrays["landmarks"][row], np.float32) + 1) * (FRAME / 2)
        return Frame(
            np.asarray(arrays["images"][row]), landmarks, np.asarray(arrays["motion"][row], np.float32), np.asarray(arrays["region"][row])
        )

    def random(self, rng: np.random.Generator) -> Frame:
        return self[int(rng.integers(len(self)))]
