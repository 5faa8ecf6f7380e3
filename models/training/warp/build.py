"""Writes models/warp: encoder.onnx, renderer-{128,256,512}.onnx, manifest.json. No training, no random numbers.

    python models/training/warp/build.py --facekit ../shared/ict-facekit/ict-facekit.npz

--facekit takes the packed npz or ICT-FaceKit's own FaceXModel folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from warp.encoder import encoder_graph  # noqa: E402
from warp.facekit import EXPRESSIONS, tables  # noqa: E402
from warp.layout import SIZES, avatar_tensors, renderer_tensors  # noqa: E402
from warp.renderer import renderer_graph  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
# Arithmetic of one frame, counted by hand per pixel and per coarse cell (sampling 8 per channel).
GFLOP = {128: 0.006, 256: 0.015, 512: 0.050}


def renderer_entry(size: int, file: str, digest: str) -> dict:
    inputs = [{"name": f"bank.{t['name']}", "dtype": t["dtype"], "shape": ["S", *t["shape"]]} for t in renderer_tensors(size)]
    inputs += [
        {"name": "slots", "dtype": "int64", "shape": ["B"]},
        {"name": "motion", "dtype": "float32", "shape": ["B", 58]},
        {"name": "view", "dtype": "float32", "shape": ["B", 2]},
    ]
    outputs = [
        {"name": "rgb", "dtype": "uint8", "shape": ["B", size, size, 3]},
        {"name": "i420", "dtype": "uint8", "shape": ["B", size * 3 // 2, size]},
    ]
    return {"role": "renderer", "size": size, "file": file, "sha256": digest, "gflop": GFLOP[size], "inputs": inputs, "outputs": outputs}


def build(facekit: Path, out: Path) -> dict:
    """Builds the package in `out` and returns its manifest."""
    out.mkdir(parents=True, exist_ok=True)
    t = tables(facekit)

    def write(file: str, model) -> str:
        data = model.SerializeToString(deterministic=True)
        (out / file).write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    digest = write("encoder.onnx", encoder_graph(t).model("Facewire warp encoder"))
    files = [
        {
            "role": "encoder", "file": "encoder.onnx", "sha256": digest,
            "inputs": [
                {"name": "portrait", "dtype": "uint8", "shape": [512, 512, 3]},
                {"name": "landmarks", "dtype": "float32", "shape": [68, 2]},
            ],
            "outputs": avatar_tensors(),
        }
    ]
    for size in SIZES:
        file = f"renderer-{size}.onnx"
        files.append(renderer_entry(size, file, write(file, renderer_graph(t, size).model(f"Facewire warp renderer, {size}x{size}"))))
    manifest = {
        "format": 1, "name": "warp", "family": "keypoint-warp", "version": "1.1.0", "licence": "MIT",
        "trainingData": "none: equations only; the keypoint and expression basis is ICT-FaceKit's (MIT, see NOTICE)",
        "expressionNames": EXPRESSIONS, "keypoints": 0, "avatar": avatar_tensors(), "files": files,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facekit", type=Path, default=ROOT.parent / "shared/ict-facekit/ict-facekit.npz")
    parser.add_argument("--out", type=Path, default=ROOT / "models/warp")
    arguments = parser.parse_args()
    if not arguments.facekit.exists():
        parser.error(f"{arguments.facekit} is missing: give the path of ict-facekit.npz or FaceXModel with --facekit")
    for entry in build(arguments.facekit, arguments.out)["files"]:
        print(entry["file"], entry["sha256"][:12], (arguments.out / entry["file"]).stat().st_size)
