"""Shards on disk: written under a temporary name, complete once meta.json is there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

IDENTITIES = 20
FIRST_SEED = {"train": 0, "test": 1_000_000}


def seeds(split: str, index: int) -> list[int]:
    start = FIRST_SEED[split] + index * IDENTITIES
    return list(range(start, start + IDENTITIES))


def is_complete(folder: Path) -> bool:
    return (folder / "meta.json").is_file()


def write_shard(folder: Path, split: str, index: int, make: Callable[[int], dict[str, np.ndarray]], identities: int = IDENTITIES) -> None:
    """make(seed) -> arrays of one identity's frames. Does nothing if the shard is complete."""
    if is_complete(folder):
        return
    draft = folder.with_name(folder.name + f".{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    own = seeds(split, index)[:identities]
    parts = [make(seed) for seed in own]
    frames = len(parts[0]["images"])
    arrays = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    arrays["identity"] = np.repeat(np.array(own, np.int64), frames)
    arrays["frame"] = np.tile(np.arange(frames, dtype=np.int64), len(own))
    for name, values in arrays.items():
        np.save(draft / f"{name}.npy", values)
    meta = {
        "split": split, "index": index, "seeds": own, "frames": frames,
        "arrays": {name: [str(v.dtype), *v.shape] for name, v in sorted(arrays.items())},
    }
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    ready = folder / "meta.json.part"
    ready.write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")
    ready.rename(folder / "meta.json")
