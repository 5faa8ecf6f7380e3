"""Trains one of the three networks; can be stopped and started again at any time.

    cd models/training && python -m tracker.train tracker/detector.json --data /tmp/facewire-heads --out /tmp/facewire-tracker
    cd models/training && python -m tracker.train tracker/landmarker.json --data /tmp/facewire-heads --out /tmp/facewire-tracker
    cd models/training && python -m tracker.train tracker/expression.json --data /tmp/facewire-heads --out /tmp/facewire-tracker

The budget is time (`seconds` of training in all, over all restarts), because the machine decides how many samples that is:
the learning rate falls along the share of it that is spent. (`steps` in the config ends it sooner, for tests.) Writes <out>/<network>.pt (weights, their moving average, the
optimiser, counts) once a minute and at the end, and <out>/<network>-curves.png.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tracker.curves import draw_curves
from tracker.detector import Detector
from tracker.expression import Expression, unsure
from tracker.landmarker import Landmarker
from tracker.losses import detector_loss, expression_loss, landmarker_loss
from tracker.samples import Sampler
from tracker.scenes import SceneSampler
from tracker.shards import Shards

NETWORKS = {"detector": Detector, "landmarker": Landmarker, "expression": Expression}
SAMPLERS = {"detector": SceneSampler, "landmarker": Sampler, "expression": partial(Sampler, negatives=0, changed=0.5)}


class Stream(IterableDataset):
    """Endless batches of a network's samples, as tuples of tensors; looks for new shards every 200 batches."""

    def __init__(self, network: str, folder: Path, seed: int, batch: int):
        self.network, self.folder, self.seed, self.batch = network, folder, seed, batch

    def __iter__(self):
        cv2.setNumThreads(0)
        worker = get_worker_info()
        shards = Shards(self.folder, "train")
        seed = self.seed * 1000 + (worker.id if worker else 0)
        sampler = SAMPLERS[self.network](shards, seed)
        count = 0
        while True:
            if count % 200 == 199:
                shards.refresh()
            count += 1
            samples = [sampler.draw() for _ in range(self.batch)]
            fields = samples[0].__dict__
            yield tuple(torch.from_numpy(np.stack([getattr(s, name) for s in samples])) for name in fields)


def loss_of(network: str, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    image, *truth = batch
    with torch.autocast("cpu", torch.bfloat16):
        output = model(image, unsure(truth[0])) if network == "expression" else model(image)
    if network == "expression":
        return expression_loss(output, truth[1])
    return detector_loss(output, *truth) if network == "detector" else landmarker_loss(output, *truth)


class Average:
    """Moving average of all weights and statistics; quick at the start, slow later."""

    def __init__(self, model: nn.Module):
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def update(self, model: nn.Module, step: int) -> None:
        decay = min(0.998, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if value.dtype.is_floating_point:
                    self.state[name].lerp_(value, 1 - decay)
                else:
                    self.state[name].copy_(value)


def train(config: dict, data: Path, out: Path, threads: int, workers: int, start: Path | None = None) -> None:
    torch.set_num_threads(threads)
    network, budget = config["network"], float(config["seconds"])
    torch.manual_seed(config["seed"])
    model = NETWORKS[network](width=config["width"]).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config["rate"], weight_decay=config["decay"])
    average = Average(model)
    spent, step, history = 0.0, 0, []
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{network}.pt"
    if path.exists():
        saved = torch.load(path, weights_only=False)
        model.load_state_dict(saved["model"])
        if saved["optimiser"] is not None:
            optimiser.load_state_dict(saved["optimiser"])
        average.state, spent, step, history = saved["average"], saved["spent"], saved["step"], saved["history"]
        print(f"goes on at step {step}, {spent:.0f} of {budget:.0f} s spent", flush=True)

    elif start is not None:
        weights, own = torch.load(start, map_location="cpu", weights_only=False)["average"], model.state_dict()
        fitting = {name: value.to(own[name].dtype) for name, value in weights.items() if name in own and own[name].shape == value.shape}
        model.load_state_dict(own | fitting)
        average = Average(model)
        print(f"begins with {len(fitting)} of {len(own)} tensors of {start}", flush=True)

    def save() -> None:
        state = {"config": config, "model": model.state_dict(), "average": average.state, "optimiser": optimiser.state_dict()}
        torch.save(state | {"spent": spent, "step": step, "history": history}, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)
        draw_curves(history, out / f"{network}-curves.png", f"{network}: {step * config['batch']} samples, {spent:.0f} s")

    # A restart draws other samples than the first start did: it goes on, it does not repeat.
    ahead = {"num_workers": workers, "prefetch_factor": 4} if workers else {}
    loader = DataLoader(Stream(network, data, config["seed"] + step, config["batch"]), batch_size=None, **ahead)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    model.train()
    sums: dict[str, float] = {}
    begin = last = saved_at = time.monotonic()
    for batch in loader:
        share = min(1.0, max(spent / budget, step / config.get("steps", math.inf)))
        rate = config["rate"] * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * share)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses = loss_of(network, model, batch)
        optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        average.update(model, step)
        step += 1
        now = time.monotonic()
        spent, last = spent + now - last, now
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + float(value.detach())
        if step % config["report"] == 0:
            means = {name: value / config["report"] for name, value in sums.items()}
            history.append({"step": step, "spent": spent, **means})
            sums = {}
            print(f"{step:6d} {spent:6.0f} s {step * config['batch'] / max(spent, 1):5.0f}/s  " + "  ".join(f"{k} {v:.4f}" for k, v in means.items()), flush=True)
        done = spent >= budget or step >= config.get("steps", math.inf) or stop
        if done or now - saved_at > 60:
            save()
            saved_at = time.monotonic()
        if done:
            break
    print(f"done: {step * config['batch']} samples, {time.monotonic() - begin:.0f} s this time", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--out", type=Path, default=Path("/tmp/facewire-tracker"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--start", type=Path, help="a checkpoint whose weights are the beginning (when --out has none)")
    parser.add_argument("--seconds", type=float, help="instead of the config's")
    args = parser.parse_args()
    config = json.loads(args.config.read_text())
    if args.seconds:
        config["seconds"] = args.seconds
    train(config, args.data, args.out, args.threads, args.workers, args.start)


if __name__ == "__main__":
    main()
