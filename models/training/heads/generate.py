"""python -m heads.generate --out DIR --train N --test N --jobs J: writes the training data set, shard by shard."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from functools import lru_cache
from pathlib import Path

from .motion import load_tracks
from .rig import load_rig
from .shard import is_complete, write_shard

SHARED = Path(__file__).resolve().parent / "../../../../shared"


@lru_cache(maxsize=1)
def _studio(facekit: str, tracks: str):
    from .sitter import Studio

    return Studio.open(load_rig(facekit), load_tracks(Path(tracks)))


def work(task: tuple[str, str, str, str, int, tuple[float, ...]]) -> str:
    """Writes one shard: (out, facekit, tracks, split, index, turns)."""
    out, facekit, tracks, split, index, turns = task
    from .sitter import identity

    start = time.monotonic()
    folder = Path(out) / f"{split}-{index:04d}"
    studio = _studio(facekit, tracks)
    write_shard(folder, split, index, lambda seed: identity(studio, seed, turns))
    return f"{folder.name} {time.monotonic() - start:.1f} s"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="/tmp/facewire-heads")
    parser.add_argument("--facekit", default=str(SHARED / "ict-facekit"), help="ict-facekit.npz, its folder, or FaceXModel")
    parser.add_argument("--tracks", default=str(SHARED / "motion-tracks"), help="motion tracks; without them expressions are sampled")
    parser.add_argument("--train", type=int, default=40)
    parser.add_argument("--test", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="index of the first shard: each has people of its own")
    parser.add_argument("--turns", type=float, nargs="*", default=(), help="degrees of yaw: these views of heads at rest instead of motions")
    parser.add_argument("--part", default="0/1", help="K/N: only every N-th shard from the K-th on, to share the work between runs")
    options = parser.parse_args(arguments)
    part, parts = (int(x) for x in options.part.split("/"))
    tasks = [
        (options.out, options.facekit, options.tracks, split, k, tuple(options.turns))
        for split, count in (("test", options.test), ("train", options.train))
        for k in range(options.first, options.first + count)
        if k % parts == part and not is_complete(Path(options.out) / f"{split}-{k:04d}")
    ]
    # One thread per process: the jobs already fill the cores.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LP_NUM_THREADS"):
        os.environ[name] = "1"
    with multiprocessing.get_context("spawn").Pool(max(1, min(options.jobs, len(tasks) or 1))) as pool:
        for line in pool.imap(work, tasks):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
