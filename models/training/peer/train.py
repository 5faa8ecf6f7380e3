"""Trains face-vid2vid on the studio's data set; stops and resumes at any time.

    cd models/training
    python -m peer.train --data /tmp/facewire-heads --samples 1000000 --out /tmp/facewire-peer      # the paper's size, needs a GPU
    python -m peer.train --data /tmp/facewire-heads --samples 20000 --size 128 --width 0.25 --out ...  # narrow, on a CPU

--samples counts pairs since the first start; over them the rate falls to a twentieth along a cosine, and over their first
half fewer and fewer pairs are rendered with the true head angles instead of the estimator's. The newest state is in
OUT/checkpoint.pt, losses in OUT/losses.jsonl, and at the end what renders in OUT/model.pt: of the narrow one that is
narrow.pt beside this file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from peer import losses, sampling
from peer.data import Pairs
from peer.discriminator import Discriminator
from peer.model import FaceVid2Vid
from peer.networks import Shape
from peer.objective import discriminator_loss, generator_losses
from portrait import observer

OBSERVER = Path(observer.__file__).with_suffix(".pt")


def adam(module: torch.nn.Module, rate: float) -> torch.optim.Adam:
    """The paper's optimiser, in one pass over the weights where PyTorch has that on CPUs."""
    quick = {"fused": True} if torch.__version__ >= (2, 4) else {}
    return torch.optim.Adam(module.parameters(), lr=rate, betas=(0.5, 0.999), **quick)


class Training:
    """Networks, optimisers and the number of samples seen."""

    def __init__(self, shape: Shape, *, adversarial: bool, device: str, rate: float, seed: int, distance: losses.Distance | None = None):
        torch.manual_seed(seed)
        self.shape, self.device, self.seed = shape, device, seed
        self.model = FaceVid2Vid(shape).to(device)
        self.optimiser = adam(self.model, rate)
        self.discriminator = Discriminator(width=shape.width).to(device) if adversarial else None
        self.judge = adam(self.discriminator, rate) if self.discriminator else None
        self.distance, self.rate, self.told = distance, rate, 0.0
        self.samples = 0

    def schedule(self, share: float) -> None:
        """Sets the rate, and how many pairs are told their true angles, for this share (0..1) of the training being over."""
        self.told = max(0.0, 1 - 2 * share)
        for optimiser in filter(None, (self.optimiser, self.judge)):
            for group in optimiser.param_groups:
                group["lr"] = self.rate * (0.05 + 0.95 * (1 + math.cos(math.pi * min(1.0, share))) / 2)

    def step(self, pair, number: int, *, autocast: bool) -> dict[str, float]:
        """One batch; returns the losses as numbers."""
        pair = type(pair)(*(v.to(self.device) for v in vars(pair).values()))
        transform = losses.Affine.random(len(pair.driving), torch.Generator().manual_seed(self.seed * 1_000_003 + number))
        self.model.train()
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=autocast):
            parts, made = generator_losses(
                self.model, pair, transform, told=self.told, discriminator=self.discriminator, distance=self.distance
            )
            total = sum(parts.values())
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        if self.discriminator:
            with torch.autocast(self.device, dtype=torch.bfloat16, enabled=autocast):
                judged = discriminator_loss(self.discriminator, made, pair.driving)
            self.judge.zero_grad(set_to_none=True)
            judged.backward()
            self.judge.step()
            parts["discriminator"] = judged
        self.samples += len(pair.driving)
        return {name: float(value.detach()) for name, value in parts.items()}

    def save(self, file: Path) -> None:
        """All that resuming needs."""
        state = {"shape": asdict(self.shape), "samples": self.samples}
        state |= {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        if self.discriminator:
            state |= {"discriminator": self.discriminator.state_dict(), "judge": self.judge.state_dict()}
        write(state, file)

    def save_model(self, file: Path) -> None:
        """Only what renders, its weights in float16: for load_model."""
        weights = {name: v.half() if v.dim() > 1 else v for name, v in self.model.state_dict().items()}
        write({"shape": asdict(self.shape), "samples": self.samples, "model": weights}, file)

    def load(self, file: Path) -> None:
        state = torch.load(file, map_location=self.device)
        if Shape(**{k: tuple(v) if isinstance(v, list) else v for k, v in state["shape"].items()}) != self.shape:
            raise SystemExit(f"{file} holds another shape ({state['shape']}): choose another --out, or the same --size and --width")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.discriminator and "discriminator" in state:
            self.discriminator.load_state_dict(state["discriminator"])
            self.judge.load_state_dict(state["judge"])
        self.samples = state["samples"]


def write(state: dict, file: Path) -> None:
    """Written beside and renamed, so that a stop in between leaves the old one."""
    torch.save(state, file.with_suffix(".part"))
    os.replace(file.with_suffix(".part"), file)


def quicken(device: str) -> None:
    """Compiles the sampler for a CPU, where there is a compiler; without one, training takes a third longer."""
    if device != "cpu":
        return
    try:
        sampling.compile()
    except (RuntimeError, OSError) as reason:
        print(f"sampling.cpp was not compiled, PyTorch's grid_sample reads the volumes: {reason}", file=sys.stderr)


def load_model(file: Path) -> tuple[FaceVid2Vid, int]:
    """(model ready to render, samples it was trained on) of a checkpoint, or of what save_model left."""
    state = torch.load(file, map_location="cpu")
    model = FaceVid2Vid(Shape(**{k: tuple(v) if isinstance(v, list) else v for k, v in state["shape"].items()}))
    model.load_state_dict(state["model"])
    return model.eval(), state["samples"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--out", type=Path, default=Path("/tmp/facewire-peer"))
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=6, help="pairs a step")
    parser.add_argument("--drivers", type=int, default=3, help="drivers of each source; a batch is a multiple")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--adversarial", action="store_true", help="add the patch discriminator and feature matching")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long; the same command goes on from there")
    parser.add_argument("--observer", type=Path, default=OBSERVER, help="network of the perceptual loss (portrait.observer)")
    parser.add_argument("--shards", type=int, help="use only the first ones (a trial)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "checkpoint.pt"
    shape = Shape.scaled(size=options.size, width=options.width)
    distance = observer.load(options.observer).to(options.device).distance
    training = Training(
        shape, adversarial=options.adversarial, device=options.device, rate=options.rate, seed=options.seed, distance=distance
    )
    quicken(options.device)
    if file.exists():
        training.load(file)
    pairs = Pairs(options.data, size=options.size, batch=options.batch, drivers=options.drivers, seed=options.seed, limit=options.shards)
    began, saved, first = time.monotonic(), time.monotonic(), training.samples
    with (options.out / "losses.jsonl").open("a") as log:
        while training.samples < options.samples and time.monotonic() - began < options.minutes * 60:
            number = training.samples // options.batch
            training.schedule(training.samples / options.samples)
            parts = training.step(pairs.at(number), number, autocast=True)
            if number % 20 == 0:
                rate = (training.samples - first) / (time.monotonic() - began)
                line = {"samples": training.samples, "samplesPerSecond": round(rate, 2), **{k: round(v, 4) for k, v in parts.items()}}
                log.write(json.dumps(line) + "\n")
                log.flush()
                print(line, flush=True)
            if time.monotonic() - saved > 120:
                training.save(file)
                saved = time.monotonic()
    training.save(file)
    training.save_model(options.out / "model.pt")
    print(json.dumps({"samples": training.samples, "checkpoint": str(file)}))


if __name__ == "__main__":
    main()
