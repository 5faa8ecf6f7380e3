"""Second stage of training: the expression head alone, by squared error, over cached features of the frozen network.

    cd models/training && python -m tracker.expression --data /tmp/facewire-heads --checkpoints /tmp/facewire-tracker

The first stage's robust loss pulls coefficients, most of which are near 0 most of the time, to their medians: smiles came out
as a tenth of what they were. Squared error aims at the mean. Features are computed once, so this costs minutes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tracker.landmarker import POSE, Landmarker
from tracker.samples import Sampler
from tracker.shards import Shards


def cached(model: Landmarker, sampler: Sampler, seconds: float, batch: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    """(local features [N,51,96], seen [N,392], coefficients [N,52]) of as many samples with a face as the time allows."""
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        samples = [sample for sample in (sampler.draw() for _ in range(batch)) if sample.face]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            _, local, seen = model.features(torch.from_numpy(np.stack([sample.image for sample in samples])))
        rows.append((local.half(), seen.float(), torch.from_numpy(np.stack([sample.motion[POSE:] for sample in samples]))))
    local, seen, truth = (torch.cat(column) for column in zip(*rows))
    return local, seen, truth


def fit(head: nn.Module, local: Tensor, seen: Tensor, truth: Tensor, seconds: float, batch: int = 256) -> list[float]:
    """Trains the head in place until the time is up; returns the mean squared error of each epoch on a tenth held out."""
    held = len(truth) // 10
    optimiser = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=0.1)
    best, state, errors, begin = float("inf"), None, [], time.monotonic()
    while time.monotonic() - begin < seconds:
        share = (time.monotonic() - begin) / seconds
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - share) + 1e-5
        head.train()
        for rows in (torch.randperm(len(truth) - held) + held).split(batch):
            loss = (head(local[rows].float(), seen[rows]) - truth[rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        head.eval()
        with torch.no_grad():
            errors.append(float((head(local[:held].float(), seen[:held]) - truth[:held]).square().mean()))
        if errors[-1] < best:
            best, state = errors[-1], {name: value.clone() for name, value in head.state_dict().items()}
    head.load_state_dict(state)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--checkpoints", type=Path, default=Path("/tmp/facewire-tracker"))
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(args.seed)
    path = args.checkpoints / "landmarker.pt"
    saved = torch.load(path, map_location="cpu", weights_only=False)
    model = Landmarker(width=saved["config"]["width"])
    others = {name: value for name, value in saved["average"].items() if not name.startswith("express.")}
    model.load_state_dict(others, strict=False)  # the head begins anew
    model.eval()
    sampler = Sampler(Shards(args.data, "train"), args.seed, negatives=0)
    local, seen, truth = cached(model, sampler, args.seconds)
    print(f"{len(truth)} samples, variance of the truth {float(truth.var(0).mean()):.4f}", flush=True)
    errors = fit(model.express, local, seen, truth, args.seconds / 3)
    print(f"squared error held out: {errors[0]:.4f} after the first epoch, {min(errors):.4f} at best")
    saved["average"] = model.state_dict()
    saved["expression samples"] = len(truth)
    torch.save(saved, path)


if __name__ == "__main__":
    main()
