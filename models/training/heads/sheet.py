"""python -m heads.sheet SHARD [SHARD …] --out FILE.jpg: a contact sheet of identities × frames, with mouths and eyes enlarged."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CELL = 112


def row(images: np.ndarray, landmarks: np.ndarray, frames: list[int], close: list[int]) -> np.ndarray:
    """One identity: frames small, then the face of the frames `close` enlarged; [CELL, …, 3]."""
    cells = [np.asarray(Image.fromarray(images[k]).resize((CELL, CELL), Image.LANCZOS)) for k in frames]
    for k in close:
        middle = (landmarks[k, 36:68].mean(0) + 1) / 2 * len(images[k])
        x, y = np.clip(middle - 34, 0, len(images[k]) - 68).astype(int)
        cells.append(np.asarray(Image.fromarray(images[k][y : y + 68, x : x + 68]).resize((CELL, CELL), Image.BICUBIC)))
    return np.concatenate(cells, 1)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--skip", type=int, nargs="*", default=[], help="rows to leave out, counted over all shards")
    parser.add_argument("--rows", type=int, default=12)
    options = parser.parse_args(arguments)
    rows = []
    for shard in options.shards:
        images, landmarks = np.load(shard / "images.npy", mmap_mode="r"), np.load(shard / "landmarks.npy")
        frames = int(np.load(shard / "frame.npy").max()) + 1
        for start in range(0, len(images), frames):
            rows.append(row(images[start : start + frames], landmarks[start : start + frames], [0, 2, 3, 4, 5, 6], [7, 8]))
    chosen = [r for k, r in enumerate(rows) if k not in options.skip][: options.rows]
    Image.fromarray(np.concatenate(chosen)).save(options.out, quality=85)
    return 0


if __name__ == "__main__":
    sys.exit(main())
