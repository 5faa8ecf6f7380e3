"""Trains encoder and generator together; resumes from the last checkpoint.

    python -m portrait.train --config portrait/config.json [--samples N] [--checkpoints DIR] [--minutes M]

Most of a step is not convolutions, so two processes of one thread learn faster than one of two threads: start each with
`--processes 2 --rank 0` (and 1); they average their gradients over gloo, and rank 0 keeps the checkpoints.

Every checkpoint holds weights, their moving average, the optimiser, counters and random states. `losses.csv` and
`losses.png` are written beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed
import torch.nn.functional as F

from portrait import observer as observing
from portrait.adversary import critics, told_apart
from portrait.dataset import Shards, to_batch
from portrait.network import Encoder, Generator
from portrait.objective import draw, losses


def rate(config: dict, seen: int) -> float:
    """Warm-up, then a cosine down to a fiftieth."""
    if seen < config["warmup"]:
        return config["learningRate"] * (seen + 1) / config["warmup"]
    t = min(1.0, (seen - config["warmup"]) / max(1, config["samples"] - config["warmup"]))
    return config["learningRate"] * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * t)))


def draw_curves(rows: list[dict[str, float]], path: Path) -> None:
    """Loss curves, logarithmic, as a small picture."""
    import cv2

    width, height = 900, 420
    canvas = np.full((height, width, 3), 255, np.uint8)
    names = [k for k in rows[-1] if k not in ("seen", "seconds", "psnr128", "warp128") and not k.startswith("critic")]
    values = {k: np.array([max(r.get(k, np.nan), 1e-6) for r in rows]) for k in names}
    low = np.log(min(np.nanmin(v) for v in values.values()))
    high = np.log(max(np.nanmax(v) for v in values.values()))
    for i, (name, v) in enumerate(values.items()):
        colour = tuple(int(c) for c in cv2.cvtColor(np.uint8([[[i * 179 // len(names), 200, 170]]]), cv2.COLOR_HSV2BGR)[0, 0])
        xs = np.linspace(60, width - 150, len(v))
        ys = height - 30 - (np.log(v) - low) / (high - low + 1e-9) * (height - 60)
        good = ~np.isnan(ys)
        cv2.polylines(canvas, [np.stack([xs[good], ys[good]], 1).astype(np.int32)], False, colour, 1, cv2.LINE_AA)
        cv2.putText(canvas, f"{name} {v[good][-1]:.4f}", (width - 145, 30 + 22 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    cv2.putText(canvas, f"0 ... {int(rows[-1]['seen'])} samples, log scale", (60, height - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (90, 90, 90), 1, cv2.LINE_AA)
    cv2.imwrite(str(path), canvas)


def widen(own: dict[str, torch.Tensor], given: dict[str, torch.Tensor]) -> int:
    """Copies given tensors into own ones of the same name, in place; returns how many fitted.

    A wider layer takes the narrower one in: what it has beyond keeps its beginning, its new inputs count for nothing to
    the old outputs.
    """
    fit = 0
    for name, value in given.items():
        if name not in own or own[name].dim() != value.dim() or any(a < b for a, b in zip(own[name].shape, value.shape)):
            continue
        if value.dim() > 1:
            own[name][: value.shape[0]].zero_()
        own[name][tuple(slice(n) for n in value.shape)] = value.to(own[name])
        fit += 1
    return fit


class Run:
    """One training: models, their averages, optimiser and counters."""

    def __init__(self, config: dict, rank: int = 0, processes: int = 1):
        self.config, self.folder, self.rank, self.processes = config, Path(config["checkpoints"]), rank, processes
        torch.manual_seed(config["seed"])
        self.rng = np.random.default_rng(config["seed"])
        self.models = torch.nn.ModuleDict({"encoder": Encoder(), "net": Generator(**config["parts"])}).to(memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.models.state_dict().items()}
        # The relighter is small and its errors are: at everybody's rate it loses what it learns alone.
        relighter = list(self.models["net"].relighter.parameters())
        others = [p for p in self.models.parameters() if not any(p is r for r in relighter)]
        groups = [{"params": others, "times": 1.0}, {"params": relighter, "times": config["relighterRate"]}]
        self.optimiser = torch.optim.AdamW(groups, lr=config["learningRate"], betas=(0.9, 0.98), weight_decay=1e-3)
        self.observer = observing.load(Path(config["observer"])) if config["observer"] else None
        self.critics = critics(config["critics"])
        self.critic_optimiser = torch.optim.Adam([{"params": self.critics.parameters(), "times": config["criticRate"]}], lr=config["learningRate"], betas=(0.0, 0.98))
        self.seen, self.before, self.rows = 0, 0, []  # before: samples behind the weights that this run began with
        if (self.folder / "last.pt").exists():
            state = torch.load(self.folder / "last.pt", map_location="cpu", weights_only=False)
            self.models.load_state_dict(state["models"])
            self.average = state["average"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.critics.load_state_dict(state["critics"])
            self.critic_optimiser.load_state_dict(state["criticOptimiser"])
            self.seen, self.before, self.rows = state["seen"], state["before"], state["rows"]
            self.rng.bit_generator.state = state["rng"]
            torch.set_rng_state(state["torch"])
        if rank:
            self.rng = np.random.default_rng([config["seed"], rank, self.seen])

    def average_gradients(self, modules: torch.nn.ModuleDict) -> None:
        if self.processes == 1:
            return
        found = [p.grad for p in modules.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in found])
        torch.distributed.all_reduce(flat)
        for gradient, part in zip(found, flat.div_(self.processes).split([g.numel() for g in found])):
            gradient.copy_(part.view_as(gradient))

    def begin_with(self, checkpoint: Path) -> None:
        given = torch.load(checkpoint, map_location="cpu", weights_only=False)
        state, self.before = given["average"], given["seen"] + given["before"]
        own = self.models.state_dict()
        fit = widen(own, state)
        self.average = {k: v.detach().clone() for k, v in self.models.state_dict().items()}
        print(f"{fit} of {len(own)} tensors from {checkpoint}")

    def save(self) -> None:
        if self.rank:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "config": self.config, "models": self.models.state_dict(), "average": self.average, "optimiser": self.optimiser.state_dict(),
            "critics": self.critics.state_dict(), "criticOptimiser": self.critic_optimiser.state_dict(),
            "seen": self.seen, "before": self.before, "rows": self.rows, "rng": self.rng.bit_generator.state, "torch": torch.get_rng_state(),
        }
        torch.save(state, self.folder / "last.tmp")
        (self.folder / "last.tmp").replace(self.folder / "last.pt")
        if self.rows:
            names = sorted({k for r in self.rows for k in r})
            lines = [",".join(names)] + [",".join(f"{r.get(k, float('nan')):.6g}" for k in names) for r in self.rows]
            (self.folder / "losses.csv").write_text("\n".join(lines) + "\n")
            draw_curves(self.rows, self.folder / "losses.png")

    def terms(self, batch: dict[str, torch.Tensor], small_windows: bool, adversarial: bool):
        drawn = draw(self.models, batch, self.config["drivers"], small_windows)
        terms = losses(drawn, batch, self.config, self.observer, self.critics if adversarial else None)
        seen = {"frame": drawn.frame.detach()} | {n: w.drawn.detach() for n, w in drawn.windows.items()}
        true = {"frame": F.avg_pool2d(batch["target"], 2)} | {n: w.true for n, w in drawn.windows.items()}
        return sum(terms.values()), torch.stack([t.detach() for t in terms.values()]), list(terms), drawn.trunk.warped.detach(), seen, true

    def critic_loss(self, seen: dict[str, torch.Tensor], true: dict[str, torch.Tensor], given: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean of the critics' hinge losses: 2 if they tell nothing apart."""
        with torch.autocast("cpu", torch.bfloat16):
            return sum(told_apart(critic, seen[n], true[n], given[n]) for n, critic in self.critics.items()) / len(self.critics)

    def step(self, shards: Shards) -> dict[str, float]:
        c = self.config
        for group in (*self.optimiser.param_groups, *self.critic_optimiser.param_groups):
            group["lr"] = group["times"] * rate(c, self.seen)
        batch = to_batch(shards.draw(self.rng, c["sources"], c["drivers"]), self.rng, c["drivers"])
        small = bool(self.rng.random() < 0.25)
        adversarial = self.seen >= c["criticFrom"]
        self.critics.requires_grad_(False)
        loss, values, names, warped, seen, true = self.terms(batch, small, adversarial)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.average_gradients(self.models)
        norm = torch.nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        figures = dict(zip(names, values.tolist()))
        if self.critics and self.seen >= c["criticFrom"] - c["criticAhead"]:
            self.critics.requires_grad_(True)
            half = (lambda v: F.avg_pool2d(v, 2)) if small else (lambda v: v)
            given = {"frame": F.interpolate(batch["normal"], scale_factor=2)} | {n: half(batch[f"{n}_geometry"].flatten(0, -4)) for n in ("mouth", "eye")}
            told = self.critic_loss(seen, true, given)
            self.critic_optimiser.zero_grad(set_to_none=True)
            told.backward()
            self.average_gradients(self.critics)
            self.critic_optimiser.step()
            figures["told apart"] = float(told.detach())
        self.seen += c["sources"] * c["drivers"] * self.processes
        keep = min(c["ema"], self.seen / (self.seen + 2000))
        with torch.no_grad():
            for mine, theirs in zip(self.average.values(), self.models.state_dict().values()):
                mine.lerp_(theirs, 1 - keep)
        psnr = lambda a: float(-10 * torch.log10(((a.clamp(0, 1) - true["frame"]) ** 2).mean()))  # noqa: E731
        return figures | {"psnr128": psnr(seen["frame"]), "warp128": psnr(warped)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument("--samples", type=int)
    parser.add_argument("--checkpoints")
    parser.add_argument("--data")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--port", type=int, default=29517, help="of the loopback interface, where processes meet")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--start", type=Path, help="begin with the weights that fit of another run's checkpoint")
    parser.add_argument("--parts", type=json.loads, default={}, help='e.g. {"codebooks": false}')
    a = parser.parse_args()
    config = json.loads(a.config.read_text())
    config |= {k: v for k, v in (("samples", a.samples), ("checkpoints", a.checkpoints), ("data", a.data), ("threads", a.threads)) if v}
    config["parts"] = config["parts"] | a.parts
    torch.set_num_threads(config["threads"])
    if a.processes > 1:
        torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{a.port}", rank=a.rank, world_size=a.processes)
    run = Run(config, a.rank, a.processes)
    if a.start and not run.seen:
        run.begin_with(a.start)
    shards = Shards(Path(config["data"]), "train")
    if not shards.open:
        parser.error(f"no prepared shard train-* in {config['data']}: run python -m heads.generate, then python -m portrait.prepare")
    print(f"{len(shards.open)} shards, from sample {run.seen}", flush=True)
    start, saved, sums, steps = time.time(), time.time(), {}, 0
    while run.seen < config["samples"] and time.time() - start < a.minutes * 60:
        for k, v in run.step(shards).items():
            sums.setdefault(k, []).append(v)
        steps += 1
        if steps % 100 == 0:
            row = {k: float(np.mean(v)) for k, v in sums.items()} | {"seen": run.seen, "seconds": time.time() - start}
            run.rows.append(row)
            sums = {}
            print(f"{run.seen} {run.seen and steps * config['sources'] * config['drivers'] * a.processes / (time.time() - start):.1f}/s " + " ".join(f"{k} {v:.4f}" for k, v in row.items() if k not in ("seen", "seconds")), flush=True)
            shards.refresh()
        if time.time() - saved > 180:
            run.save()
            saved = time.time()
    run.save()


if __name__ == "__main__":
    main()
