"""A portrait driven by true motion, and by what the reader and least squares make of the same landmarks, to be judged by eye.

    cd models/training && python -m landmarks.sheet --out ../../docs/pictures/landmarks.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evaluation.placement import Placement, load_warp
from evaluation.rows import PackageRow
from evaluation.sheets import ROOT, close_ups, grid, portrait_frames, save
from heads.rig import load_rig
from landmarks.evaluate import Stream, fitted_by, read_by, streams
from landmarks.export import PACKAGE, load
from landmarks.faces import Faces
from landmarks.tracks import HELD_OUT, read_tracks
from landmarks.train import TRACKS
from portrait.prepare import FACEKIT
from warp.run import read_portrait

LIMIT = 300_000  # bytes
SKIP = 30  # frames of a stream that nobody is shown: the reader has only begun
MOST = np.radians(45)  # of yaw, as far as portraits turn well
ROWS = ("truth", "ours", "least squares")  # from above


def telling(stream: Stream, count: int) -> list[int]:
    """Frames that show much and differ from each other: the one with most expression, then whatever is furthest from those taken."""
    face = stream.seen.expression[0].numpy()
    able = [i for i in range(SKIP, len(face) - 45) if abs(float(stream.seen.pose[0, i, 1])) < MOST]
    taken = [max(able, key=lambda i: float(np.square(face[i]).sum()))]
    while len(taken) < count:
        taken.append(max(able, key=lambda i: min(float(np.square(face[i] - face[j]).sum()) for j in taken)))
    return taken


def motions_of(pose: Tensor, expression: Tensor) -> np.ndarray:
    """Rows [N,58] as packets have them: place and size stay the portrait's."""
    return np.concatenate([pose[:, :3], torch.zeros(len(pose), 3), expression], 1).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--tracks", type=Path, default=TRACKS)
    parser.add_argument("--weights", type=Path, default=PACKAGE / "landmarks.bin")
    parser.add_argument("--portrait", type=Path, default=ROOT / "models/portraits/ada.jpg")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures/landmarks.jpg")
    a = parser.parse_args()
    torch.set_num_threads(1)
    faces = Faces.open(load_rig(a.facekit))
    # Of each track a person with irises: as it was, then turned.
    every = streams(faces, read_tracks(a.tracks, HELD_OUT), people=2)[1::2]
    reads = {"ours": read_by(load(a.weights), faces, every), "least squares": fitted_by(faces, every, told=False)}
    chosen = [(k, frame) for k, stream in enumerate(every) for frame in telling(stream, 1 + (k + 1) % 2)]
    pixels, points = read_portrait(a.portrait)
    row = PackageRow("portrait", ROOT / "models/portrait", threads=1)
    placement = Placement.of(load_warp(ROOT / "models"), pixels, points)
    lines = []
    for name in ROWS:
        pick = lambda k, i: (every[k].seen.pose[0, i], every[k].seen.expression[0, i]) if name == "truth" else tuple(v[i] for v in reads[name][k])  # noqa: B023, E731
        pose, expression = (torch.stack(v) for v in zip(*(pick(k, i) for k, i in chosen), strict=True))
        motions = motions_of(pose, expression)
        frames = list(portrait_frames(row, pixels, points, motions))
        heads = [f[: 5 * len(f) // 8, 3 * len(f) // 16 : 13 * len(f) // 16] for f in frames]
        lines += [heads, *close_ups(frames, [placement.landmarks(m) for m in motions])]
    captions = [f"{HELD_OUT[k // 2]}, frame {i}{', turned' * (k % 2)}" for k, i in chosen]
    sheet: Image.Image = grid(lines, captions, 144)
    print(a.out, sheet.size, "quality", save(sheet, a.out, LIMIT))


if __name__ == "__main__":
    main()
