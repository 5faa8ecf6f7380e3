"""Trains the reader of landmarks on faces of the morphable head, made as it learns.

    cd models/training && python -m landmarks.train --out /tmp/landmarks.pt [--steps 6000] [--without codes|time|memory]

Tracks of ../shared/motion-tracks move the faces where they are, but for those that the evaluation keeps to itself.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from heads.rig import load_rig
from landmarks.codes import learn_codes
from landmarks.faces import Faces
from landmarks.features import Frames, features, lacking, solver
from landmarks.layout import GROUPS
from landmarks.network import Read, Reader
from landmarks.tracks import Motions, read_tracks
from landmarks.trackers import USUAL, Trackers, Trouble, clock
from portrait.prepare import FACEKIT
from warp.facekit import EXPRESSIONS

TRACKS = FACEKIT.parents[1] / "motion-tracks"
FRAMES, GLIMPSES = 40, 14
CODE_STEPS = 1500
WARMUP, REPORT, KEEP, MEMORY = 100, 100, 500, 0.998  # steps; of the averaged weights
LOOKS = [i for i, name in enumerate(EXPRESSIONS) if name.startswith("eyeLook")]


class Tracked(NamedTuple):
    """points [B,T,70,2] in pixels; irises [B,T]: whether there are (0, 1); dt [B,T] ms; the true pose [B,T,6] and expression [B,T,52]."""

    points: Tensor
    irises: Tensor
    dt: Tensor
    pose: Tensor
    expression: Tensor


class Truth(NamedTuple):
    """correction [B,T,6] of the mean face's pose; expression [B,T,52]."""

    correction: Tensor
    expression: Tensor


class Videos:
    """Draws batches of tracked faces; a seed gives the same ones again."""

    def __init__(self, faces: Faces, motions: Motions, seed: int, trouble: Trouble = USUAL):
        self.faces, self.motions, self.trackers = faces, motions, Trackers(faces, trouble)
        self.rng, self.g = np.random.default_rng([seed, 1]), torch.Generator().manual_seed(seed)
        self.solve = torch.from_numpy(solver(faces.mean.numpy()))

    def tracked(self, count: int, frames: int = FRAMES) -> Tracked:
        dt = np.stack([clock(self.rng, frames, GLIMPSES) for _ in range(count)])
        motion = torch.from_numpy(np.stack([self.motions.draw(d.cumsum() / 1000) for d in dt]).astype(np.float32))
        dt = torch.from_numpy(dt)
        points, pose, expression = self.trackers.find(*self.faces.people(self.rng, count), motion, dt, self.g)
        irises = (torch.rand(count, 1, generator=self.g) < 0.5).float().expand(-1, frames)
        return Tracked(points, irises, dt, pose, expression)

    def draw(self, count: int, frames: int = FRAMES) -> tuple[Frames, Truth]:
        seen = self.tracked(count, frames)
        given = features(seen.points, seen.irises, seen.dt, self.faces.mean, self.solve)
        return given, Truth(lacking(given.pose, seen.pose), seen.expression)


def shape_products(basis: np.ndarray) -> Tensor:
    """ARKit basis [52,V,3] cm -> [52,52]: with coefficients' errors on both sides, the mean square move of the face's points, mm²."""
    flat = basis.reshape(len(basis), -1) * 10
    return torch.from_numpy((flat @ flat.T / basis.shape[1]).astype(np.float32))


def losses(read: Read, truth: Truth, products: Tensor, shares: dict[str, Tensor] | None) -> dict[str, Tensor]:
    off = read.expression - truth.expression
    mm = ((off @ products) * off).sum(-1).clamp(min=1e-4).sqrt()
    seen = torch.ones(52)
    seen[LOOKS] = 2.0
    pose = read.correction - truth.correction
    units = torch.tensor([57.3, 57.3, 57.3, 2.0, 2.0, 20.0])  # a degree counts as half a cm of shift, or 5 % of size
    trembles = torch.diff(off, dim=1).abs().mean() * 10 + (torch.diff(pose, dim=1).abs() * units).mean() * 0.5
    parts = {"shape": mm.mean(), "coefficients": (off.abs() * seen).mean() * 10, "pose": (pose.abs() * units).mean(), "tremble": trembles}
    if shares is not None:
        parts["codes"] = sum(-(shares[n] * l.log_softmax(-1)).sum(-1).mean() for n, l in read.logits.items()) * 0.03
    return parts


def train(reader: Reader, videos: Videos, products: Tensor, *, steps: int, minutes: float, batch: int, rate: float, out: Path) -> None:
    """So many steps, or as many as so many minutes hold."""
    optimiser = torch.optim.AdamW(reader.parameters(), lr=rate, weight_decay=1e-4)
    average = {k: v.detach().clone() for k, v in reader.state_dict().items()}
    began, sums, step, part = time.monotonic(), {}, 0, 0.0
    while part < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / WARMUP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
        given, truth = videos.draw(batch)
        shares = None
        if reader.codes is not None:
            with torch.no_grad():
                shares = {n: reader.codes[n].shares(truth.expression[..., c]) for n, (c, _, _) in GROUPS.items()}
        parts = losses(reader(given), truth, products, shares)
        optimiser.zero_grad(set_to_none=True)
        sum(parts.values()).backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(reader.parameters(), 2.0)):
            optimiser.step()
        keep = min(MEMORY, step / (step + 50))
        with torch.no_grad():
            for k, v in reader.state_dict().items():
                average[k].lerp_(v, 1 - keep)
        for name, value in parts.items():
            sums.setdefault(name, []).append(float(value.detach()))
        step += 1
        part = max(step / steps, (time.monotonic() - began) / 60 / minutes)
        if step % REPORT == 0:
            means = " ".join(f"{n} {np.mean(v):.3f}" for n, v in sums.items())
            print(f"{step} steps {part:.3f} {means}", flush=True)
            sums = {}
        if step % KEEP == 0:
            torch.save(average, out)
    torch.save(average, out)
    print(f"{step} steps of {batch} sequences in {(time.monotonic() - began) / 60:.1f} min", flush=True)


def opened(facekit: Path, tracks: Path, seed: int) -> tuple[Faces, Videos, Tensor]:
    rig = load_rig(facekit)
    faces = Faces.open(rig)
    face = rig.basis.reshape(52, -1, 3)[:, :9409:8]
    return faces, Videos(faces, Motions(read_tracks(tracks), np.random.default_rng([seed, 2])), seed), shape_products(face)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--tracks", type=Path, default=TRACKS)
    parser.add_argument("--without", choices=["codes", "time", "memory"])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=60, help="at most, by the clock")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    _, videos, products = opened(a.facekit, a.tracks, a.seed)
    reader = Reader(**{a.without: False} if a.without else {})
    if a.start:
        reader.load_state_dict(torch.load(a.start, map_location="cpu"))
    elif reader.codes is not None:
        faces = torch.cat([videos.draw(64)[1].expression.flatten(0, 1)[::3] for _ in range(40)])
        print(learn_codes(reader.codes, {n: c for n, (c, _, _) in GROUPS.items()}, faces, steps=CODE_STEPS), flush=True)
    train(reader, videos, products, steps=a.steps, minutes=a.minutes, batch=a.batch, rate=a.rate, out=a.out)


if __name__ == "__main__":
    main()
