"""What the trainings of the encoder's networks share: they learn for so much processor time, and keep an average."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

WARMUP = 60  # steps
MEMORY = 0.996  # of the average, at most
REPORT, KEEP = 50, 120  # steps between reports, seconds between checkpoints


def save(state: dict[str, Tensor], path: Path) -> None:
    """Weights in half precision."""
    draft = path.with_suffix(".tmp")
    torch.save({k: v.half() for k, v in state.items()}, draft)
    draft.replace(path)


class Timed:
    """One training of a module: how far it is, its rate, its averaged weights and its reports.

    Time is the processor's: a run that is paused meanwhile loses nothing.
    """

    def __init__(self, module: nn.Module, out: Path, *, minutes: float, batch: int, rate: float):
        self.module, self.out, self.minutes, self.batch, self.rate = module, out, minutes, batch, rate
        self.average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self.steps, self.sums = 0, {}
        self.begin, self.saved = time.process_time(), time.time()

    @property
    def part(self) -> float:
        """Share of the time that is over."""
        return (time.process_time() - self.begin) / 60 / self.minutes

    def set_rate(self, *optimisers: torch.optim.Optimizer) -> None:
        """Warm-up, then a cosine down to a fiftieth."""
        rate = self.rate * min(1, (self.steps + 1) / WARMUP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.part)))
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate

    def learn(self, optimiser: torch.optim.Optimizer, parts: Iterable[Tensor]) -> None:
        """A step down the sum of the losses; one whose gradients are no numbers is left out."""
        optimiser.zero_grad(set_to_none=True)
        sum(parts).backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.module.parameters(), 2.0)):
            optimiser.step()
        self.steps += 1
        keep = min(MEMORY, self.steps / (self.steps + 100))
        with torch.no_grad():
            for k, v in self.module.state_dict().items():
                self.average[k].lerp_(v, 1 - keep)

    def report(self, parts: dict[str, Tensor]) -> bool:
        """Prints the means of the losses now and then; whether it did."""
        for name, value in parts.items():
            self.sums.setdefault(name, []).append(float(value.detach()))
        if self.steps % REPORT:
            return False
        seen = self.steps * self.batch
        speed = seen / (time.process_time() - self.begin)
        print(f"{seen} {speed:.1f}/s {self.part:.2f} " + " ".join(f"{n} {np.mean(v):.4f}" for n, v in self.sums.items()), flush=True)
        self.sums = {}
        return True

    def keep(self, *, now: bool = False) -> bool:
        """Saves the averaged weights now and then, or now; whether it did."""
        if not now and time.time() - self.saved < KEEP:
            return False
        save(self.average, self.out)
        self.saved = time.time()
        return True
