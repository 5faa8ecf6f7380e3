"""Packs a trained reader for the SDK: int8 weights in one file, the module that holds them, and golden frames.

    cd models/training && python -m landmarks.export /tmp/landmarks.pt

Writes models/landmarks/landmarks.bin, client-sdk/src/landmarks/weights.ts (the same bytes, as text) and golden.json beside it.

The file: the header's length (uint32, little-endian), the header (JSON), then tensors in the header's order. Of an int8 tensor
[n,…] first come n scales (float32), one a row; everything begins at a multiple of four.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from heads.rig import load_rig
from landmarks.faces import Faces
from landmarks.features import corrected, features, solver
from landmarks.layout import GAP_MS
from landmarks.network import Reader
from landmarks.train import Videos
from landmarks.tracks import Motions
from portrait.prepare import FACEKIT

ROOT = Path(__file__).resolve().parents[3]
PACKAGE, SDK = ROOT / "models/landmarks", ROOT / "client-sdk/src/landmarks"
VERSION = "1.0.0"
SMALL = 1024  # numbers; smaller tensors stay float32
NOTE = """/**
 * models/landmarks/landmarks.bin, base64: written by `python -m landmarks.export` (models/training), not by hand.
 *
 * It holds the mean face's landmarks of ICT-FaceKit: Copyright (c) 2020 USC Institute for Creative Technologies, MIT licence.
 */
"""
HEADER = {
    "format": 1, "name": "landmarks", "version": VERSION, "licence": "MIT",
    "trainingData": "landmarks of the morphable head of ICT-FaceKit (MIT, see NOTICE), moved by motion tracks; no pictures, no people's landmarks",
}


def rounded(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n,…] -> (int8 [n,…], scales float32 [n])."""
    flat = value.reshape(len(value), -1)
    scales = np.maximum(np.abs(flat).max(1), 1e-8).astype(np.float32) / 127
    return np.clip(np.round(flat / scales[:, None]), -127, 127).astype(np.int8).reshape(value.shape), scales


def packed(tensors: dict[str, np.ndarray]) -> bytes:
    entries, parts, at = [], [], 0
    for name, value in tensors.items():
        small = value.ndim < 2 or value.size < SMALL
        data = value.astype("<f4").tobytes() if small else b"".join(v.tobytes() for v in rounded(value)[::-1])
        entries.append({"name": name, "shape": list(value.shape), "type": "float32" if small else "int8", "offset": at})
        data += bytes(-len(data) % 4)
        parts.append(data)
        at += len(data)
    header = json.dumps({**HEADER, "tensors": entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    return len(header).to_bytes(4, "little") + header + b"".join(parts)


def unpacked(data: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """(header, tensors as float32) of a packed file."""
    length = int.from_bytes(data[:4], "little")
    header, body, out = json.loads(data[4 : 4 + length]), data[4 + length :], {}
    for entry in header["tensors"]:
        shape, at = entry["shape"], entry["offset"]
        count = int(np.prod(shape))
        if entry["type"] == "float32":
            out[entry["name"]] = np.frombuffer(body, "<f4", count, at).reshape(shape).copy()
        else:
            scales = np.frombuffer(body, "<f4", shape[0], at)
            numbers = np.frombuffer(body, np.int8, count, at + 4 * shape[0]).reshape(shape[0], -1)
            out[entry["name"]] = (numbers * scales[:, None]).reshape(shape)
    return header, out


def tensors_of(state: dict[str, Tensor], faces: Faces) -> dict[str, np.ndarray]:
    """What the SDK needs: the network without what only training uses, and the mean face's landmarks with their solver."""
    kept = {k: v.float().numpy() for k, v in state.items() if ".encoder." not in k}
    return {"mean": faces.mean.numpy(), "solve": solver(faces.mean.numpy()), **kept}


def load(file: Path, *, time: bool = True) -> Reader:
    """The reader of a checkpoint (.pt), or of a packed file; time: whether it was trained to look back, which weights do not tell."""
    if file.suffix == ".pt":
        state = torch.load(file, map_location="cpu")
    else:
        state = {k: torch.from_numpy(v) for k, v in unpacked(file.read_bytes())[1].items() if k not in ("mean", "solve")}
    kinds = {"codes": any(k.startswith("codes.") for k in state), "memory": any(k.startswith("memory.") for k in state)}
    reader = Reader(time=time, **kinds)
    missing, unknown = reader.load_state_dict(state, strict=False)
    if unknown or any(".encoder." not in k for k in missing):
        raise ValueError(f"{file}: not a reader's weights: missing {missing}, unknown {unknown}")
    return reader.eval()


@torch.no_grad()
def golden(reader: Reader, faces: Faces, seed: int = 7, frames: int = 14) -> dict:
    """Frames of a video with a gap, as the reader reads them. Motion is procedural, so that anyone can make them."""
    videos = Videos(faces, Motions([], np.random.default_rng(seed)), seed)
    while True:
        seen = videos.tracked(1, frames)
        if seen.irises.all():
            break
    dt = torch.full((1, frames), 33.0)
    dt[:, 2], dt[:, 9] = 140.0, GAP_MS * 1.5
    points = (seen.points * 1000).round() / 1000
    given = features(points, seen.irises, dt, videos.faces.mean, videos.solve)
    read = reader(given)
    rows = lambda v: [[float(f"{x:.6g}") for x in row] for row in v[0].flatten(1)]  # noqa: E731
    return {
        "points": rows(points), "dtMs": dt[0].tolist(), "pose": rows(corrected(given.pose, read.correction)),
        "expression": rows(read.expression.clamp(0, 1)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    faces = Faces.open(load_rig(a.facekit))
    data = packed(tensors_of(load(a.checkpoint).state_dict(), faces))
    PACKAGE.mkdir(exist_ok=True)
    (PACKAGE / "landmarks.bin").write_bytes(data)
    text = base64.b64encode(data).decode()
    (SDK / "weights.ts").write_text(f"{NOTE}export const LANDMARK_WEIGHTS =\n  '{text}';\n")
    (SDK / "golden.json").write_text(json.dumps(golden(load(PACKAGE / "landmarks.bin"), faces), separators=(",", ":")) + "\n")
    print(f"{len(data)} bytes, {len(text)} as text")


if __name__ == "__main__":
    main()
