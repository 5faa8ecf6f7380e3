"""Counts GFLOP and parameters of face-vid2vid, and times it; the last results stand in cost.json beside this file.

    cd models/training && python -m peer.cost [--time]

A multiply-add counts 2. Convolutions and linear layers are counted from the shapes of a run on torch's meta device, so the
full width needs no memory; sampling, softmax and norms are left out (under 1 %).
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import nn

from peer.model import FaceVid2Vid
from peer.networks import Shape

FILE = Path(__file__).with_suffix(".json")


def count(shape: Shape) -> dict[str, float]:
    """GFLOP of the portrait (once) and of a frame (each), parameters, of one model."""
    totals = {"portrait": 0.0, "frame": 0.0}
    phase = "portrait"

    def add(layer: nn.Module, _inputs, output: torch.Tensor) -> None:
        weight = layer.weight
        inner = weight[0].numel()  # a convolution's inputs times kernel, a linear layer's inputs
        totals[phase] += 2 * output.numel() * inner / 1e9

    meta = torch.device("meta")
    with meta:  # torch 2.0 or later
        model = FaceVid2Vid(shape).eval()
    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d, nn.Linear))]
    picture = torch.rand(1, 3, shape.size, shape.size, device=meta)
    with torch.no_grad():
        portrait = model.encode(picture)
        phase = "frame"
        model.render(portrait, model.estimator(picture))
    for hook in hooks:
        hook.remove()
    return {
        "gflopPortrait": round(totals["portrait"], 2), "gflopFrame": round(totals["frame"], 2),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


@torch.no_grad()
def milliseconds(shape: Shape, *, threads: int, repeats: int) -> float:
    """Best CPU time of one frame (pose and expression of the driver, motion, generator) in PyTorch, divided by the threads.

    That is the wall time on idle cores, and hardly longer on busy ones.
    """
    torch.set_num_threads(threads)
    model = FaceVid2Vid(shape).eval()
    picture = torch.rand(1, 3, shape.size, shape.size)
    portrait = model.encode(picture)
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        model.render(portrait, model.estimator(picture))
        best = min(best, (time.process_time() - start) / threads)
    return best * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true", help="also time a frame at full width (seconds, 2 GB) and write cost.json")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    result = {"full": count(Shape()), "narrow": count(Shape.scaled(size=128, width=0.25))}
    if options.time:
        result["full"]["msPyTorchCpu"] = round(milliseconds(Shape(), threads=options.threads, repeats=3), 0)
        result |= {"threads": options.threads, "torch": torch.__version__, "machine": platform.machine()}
        result["date"] = datetime.now(timezone.utc).strftime("%Y-%m-%d")
        FILE.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
