"""Measures the reader behind a face tracker that looks at pictures: models/tracker on portraits that held-out tracks move.

    cd models/training && python -m landmarks.pictures --json ../landmarks/pictures.json

The landmarks' errors are a real network's, none that the reader was trained with, and it also tells coefficients itself, from pixels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from evaluation.placement import Placement, load_warp
from evaluation.rows import PackageRow
from evaluation.sheets import ROOT, portrait_frames
from heads.rig import load_rig
from landmarks.evaluate import Stream, fitted_by, measure, neutral, read_by, table, visible
from landmarks.export import PACKAGE, load
from landmarks.faces import Faces
from landmarks.layout import IRISES, LANDMARKS
from landmarks.tracks import EYE_DISTANCE, HELD_OUT, Track, read_tracks
from landmarks.train import TRACKS, Tracked, shape_products
from portrait.prepare import FACEKIT
from tracker.run import Tracker
from warp.run import read_portrait

PORTRAITS = ("ada", "chidi", "emi")
IN_IMAGE = 0.36  # distance of the outer eye corners in a portrait, image coordinates (trackToMotions)
EVERY = 2  # frames: 12 to 15 a second


def filmed(row: PackageRow, warp, tracker: Tracker, portrait: Path, track: Track) -> tuple[Stream, np.ndarray]:
    """A portrait moved by a track, and found by the tracker; beside it what the tracker itself says [T,58]."""
    pixels, points = read_portrait(portrait)
    placement = Placement.of(warp, pixels, points)
    motion = track.motion[::EVERY].copy()
    motion[:, 3:5] *= IN_IMAGE / EYE_DISTANCE
    frames = portrait_frames(row, pixels, points, motion)
    half = frames.shape[1] / 2
    found, said = [], []
    near, roll = (placement.landmarks(motion[0]) + 1) * half, float(motion[0, 2])
    for frame in frames:
        face = tracker.follow(frame, near, roll)
        near, roll = face.landmarks, float(face.motion[2])
        found.append(near)
        said.append(face.motion)
    marks = torch.from_numpy(np.stack(found)).float()
    true = np.concatenate([motion[:, :3], (placement.shift + motion[:, 3:5] + 1) * half, np.log(placement.scale * half) + motion[:, 5:6]], 1)
    dt = torch.full((1, len(motion)), 1000 * EVERY / track.rate)
    seen = Tracked(
        torch.cat([marks, torch.zeros(len(marks), IRISES, 2)], 1)[None], torch.zeros(1, len(marks)), dt,
        torch.from_numpy(true).float()[None], torch.from_numpy(motion[:, 6:]).float()[None],
    )  # fmt: skip
    return Stream(seen, torch.zeros(LANDMARKS, 3)), np.stack(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--tracks", type=Path, default=TRACKS)
    parser.add_argument("--weights", type=Path, default=PACKAGE / "landmarks.bin")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    rig = load_rig(a.facekit)
    faces = Faces.open(rig)
    row, warp, tracker = PackageRow("portrait", ROOT / "models/portrait", threads=1), load_warp(ROOT / "models"), Tracker(ROOT / "models/tracker", threads=1)
    films = [filmed(row, warp, tracker, ROOT / f"models/portraits/{p}.jpg", t) for t in read_tracks(a.tracks, HELD_OUT) for p in PORTRAITS]
    films, said = [film for film, _ in films], [s for _, s in films]
    products, seen = shape_products(rig.basis.reshape(52, -1, 3)[:, :9409:8]), visible(faces)
    own = [(torch.cat([torch.from_numpy(s[:, :3]).float(), f.seen.pose[0, :, 3:]], 1), torch.from_numpy(s[:, 6:]).float()) for f, s in zip(films, said, strict=True)]
    rivals = {
        "neutral always": neutral(films), "least squares": fitted_by(faces, films, told=False), "**ours**": read_by(load(a.weights), faces, films),
        "the tracker's own, from pixels": own,
    }
    told = ("frames", "poseDeg", "coefficient", "seenCoefficient", "shapeMm")  # there are no irises, and nobody holds still
    results = {name: {"all": {k: measure(read, films, products, seen)["all"][k] for k in told}} for name, read in rivals.items()}
    print(table(results, short=True))
    if a.json:
        a.json.write_text(json.dumps({"portraits": PORTRAITS, "tracks": HELD_OUT, "rows": results}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
