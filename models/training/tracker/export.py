"""Writes models/tracker from the checkpoints: detector.onnx, landmarks.onnx, manifest.json.

    cd models/training && python -m tracker.export --checkpoints /tmp/facewire-tracker --out ../tracker

Pictures go in as uint8 and results come out in plain units, so that no caller needs to know the networks' insides.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from tracker.detector import Detector
from tracker.expression import Expression
from tracker.landmarker import Landmarker
from tracker.layout import CELL, CROP, DETECTOR, LANDMARKS, MOTION, STRIDE
from warp.facekit import EXPRESSIONS

OPSET = 17
VERSION = "1.1.0"


class DetectorGraph(nn.Module):
    """image uint8 [B,H,W,3] -> cells float32 [B,H/8,W/8,6]: score 0..1, offset x, y (cells), log(size/192), cos, sin of roll."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> Tensor:
        cells = self.detector(image)
        return torch.cat([torch.sigmoid(cells[..., :1]), cells[..., 1:]], -1)


class LandmarkGraph(nn.Module):
    """image uint8 [B,128,128,3] -> landmarks [B,68,2], spread [B,68] (crop units), motion [B,58], face [B] 0..1."""

    def __init__(self, landmarker: Landmarker, expression: Expression):
        super().__init__()
        self.landmarker, self.expression = landmarker, expression

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        landmarks, log_spread, pose, face = self.landmarker(image)
        motion = torch.cat([pose, self.expression(image, landmarks).clamp(0, 1)], 1)
        return landmarks, torch.exp(log_spread.clamp(-7, 1)), motion, torch.sigmoid(face)


def load(network: type[nn.Module], path: Path) -> nn.Module:
    """The network with its averaged weights, ready to be used."""
    saved = torch.load(path, map_location="cpu", weights_only=False)
    model = network(width=saved["config"]["width"])
    # Checkpoints to be committed hold the weights as float16 without the optimiser; see slim().
    model.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in saved["average"].items()})
    return model.eval()


def export_graph(graph: nn.Module, size: int, path: Path, outputs: list[str], dynamic: dict[str, dict[int, str]]) -> None:
    example = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    # Newer versions of PyTorch have two exporters; this one is in all of them.
    which = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph, (example,), str(path), input_names=["image"], output_names=outputs, dynamic_axes=dynamic, opset_version=OPSET, **which
        )
    onnx.checker.check_model(onnx.load(str(path)))


def value(name: str, dtype: str, shape: list[int | str]) -> dict:
    return {"name": name, "dtype": dtype, "shape": shape}


def file_entry(path: Path, stage: str, gflop: float, inputs: list[dict], outputs: list[dict]) -> dict:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"role": "tracker", "stage": stage, "file": path.name, "sha256": digest, "gflop": gflop, "inputs": inputs, "outputs": outputs}


def gflop(model: nn.Module, size: int) -> float:
    """Of one picture; a multiplication and an addition are two."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    return round(counter.get_total_flops() / 1e9, 3)


def export(checkpoints: Path, out: Path, training: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    detector = load(Detector, checkpoints / "detector.pt")
    landmarks = LandmarkGraph(load(Landmarker, checkpoints / "landmarker.pt"), load(Expression, checkpoints / "expression.pt")).eval()
    export_graph(
        DetectorGraph(detector).eval(), DETECTOR, out / "detector.onnx", ["cells"],
        {"image": {0: "B", 1: "H", 2: "W"}, "cells": {0: "B", 1: "h", 2: "w"}},
    )
    names = ["landmarks", "spread", "motion", "face"]
    export_graph(landmarks, CROP, out / "landmarks.onnx", names, {name: {0: "B"} for name in ["image", *names]})
    files = [
        file_entry(
            out / "detector.onnx", "detector", gflop(detector, DETECTOR),
            [value("image", "uint8", ["B", "H", "W", 3])], [value("cells", "float32", ["B", "h", "w", CELL])],
        ),
        file_entry(
            out / "landmarks.onnx", "landmarks", gflop(landmarks, CROP),
            [value("image", "uint8", ["B", CROP, CROP, 3])],
            [value("landmarks", "float32", ["B", LANDMARKS, 2]), value("spread", "float32", ["B", LANDMARKS]),
             value("motion", "float32", ["B", MOTION]), value("face", "float32", ["B"])],
        ),
    ]
    manifest = {
        "format": 1, "name": "tracker", "family": "dense-landmarks", "version": VERSION, "licence": "MIT",
        "trainingData": training, "expressionNames": list(EXPRESSIONS), "stride": STRIDE, "files": files,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def slim(path: Path, out: Path) -> None:
    """A checkpoint small enough to be committed: averaged weights as float16; training goes on from them with a fresh optimiser."""
    saved = torch.load(path, map_location="cpu", weights_only=False)
    average = {name: value.half() if value.is_floating_point() else value for name, value in saved["average"].items()}
    torch.save({name: saved[name] for name in ("config", "spent", "step", "history")} | {"average": average}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, default=Path("/tmp/facewire-tracker"))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[2] / "tracker")
    parser.add_argument("--training", default="synthetic heads of models/training/heads (ICT-FaceKit, MIT, see NOTICE); no photographs")
    args = parser.parse_args()
    export(args.checkpoints, args.out, args.training)
    for path in sorted(args.out.glob("*.onnx")):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
