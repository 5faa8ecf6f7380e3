"""Trains encoder and generator together; resumes from the last checkpoint.

    python -m portrait.train --config portrait/config.json [--samples N] [--checkpoints DIR] [--minutes M]

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
import torch.nn.functional as F

from portrait.dataset import Shards, to_batch
from portrait.layout import G, window_sizes
from portrait.losses import HAIR, WEIGHTS, flow_loss, picture
from portrait.network import Encoder, Generator, combine, composite, enlarge, pixel_grid, sample, window_feather


def cut(image: torch.Tensor, x: torch.Tensor, y: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Windows [B,C,height,width] of image [B,C,H,W] from first pixels x, y [B]."""
    return torch.stack([image[i, :, b : b + height, a : a + width] for i, (a, b) in enumerate(zip(x.tolist(), y.tolist()))])


def choose_crop(batch: dict[str, torch.Tensor], crop: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """First pixels (x, y), multiples of 4: half of the crops hold the windows, half lie anywhere."""
    corners = torch.cat([batch["mouth_corner"][:, None], batch["eye_corners"]], 1)
    n = len(corners)
    low, high = corners.min(1).values, torch.stack([batch["mouth_corner"] + 72, batch["eye_corners"].max(1).values + torch.tensor([48, 40])]).max(0).values
    middle = (low + high).float() / 2 - crop / 2 + torch.from_numpy(rng.uniform(-8, 8, (n, 2))).float()
    anywhere = torch.from_numpy(rng.uniform(0, 256 - crop, (n, 2))).float()
    face = torch.from_numpy(rng.random((n, 1)) < 0.7)
    first = (torch.where(face, middle, anywhere) / 4).round().long().mul(4).clamp(0, 256 - crop)
    return first[:, 0], first[:, 1]


def step_loss(encoder: Encoder, net: Generator, batch: dict[str, torch.Tensor], config: dict, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
    crop = config["crop"]
    drivers = len(batch["flow"]) // len(batch["texture"])
    spread = lambda v: v.repeat_interleave(drivers, 0)  # noqa: E731
    with torch.autocast("cpu", torch.bfloat16):
        features, identity = encoder(batch["portrait"].contiguous(memory_format=torch.channels_last))
        features, identity = spread(features.float()), spread(identity.float())
        texture, backdrop = spread(batch["texture"]), spread(batch["backdrop"])
        texture128, backdrop128 = F.avg_pool2d(texture, 2), F.avg_pool2d(backdrop, 2)
        motion = net.embed(batch["code"], identity)
        flow, occlusion, mirrored = net.flows(texture128, features, identity, motion, batch["flow"], batch["mirror"])
        trunk = net.trunk(texture128, backdrop128, features, identity, motion, flow, batch["mirror"], occlusion, mirrored)
        weights128 = net.weights(trunk)
        frame128 = combine(weights128, trunk.warped, trunk.mirrored, backdrop128, enlarge(trunk.colour, 2), enlarge(trunk.shade, 4))

        # The frame at 256 and the windows see half of the drivers: they learn faster than the trunk, and cost more.
        half = np.sort(rng.permutation(len(flow))[: len(flow) // 2])
        crops = {k: batch[k][half] for k in ("target", "region", "mouth", "eyes", "mouth_geometry", "eye_geometry", "mouth_corner", "eye_corners")}
        motion, identity = motion[half], identity[half]
        x, y = choose_crop(crops, crop, rng)
        grid = pixel_grid(256, 256)
        grid = cut(grid.expand(len(x), -1, -1, -1), x, y, crop, crop)
        behind = cut(backdrop[half], x, y, crop, crop)
        warped256, other256 = (
            composite(sample(texture[half], grid + cut(enlarge(f[half], 4), x, y, crop, crop)), behind) for f in (flow, batch["mirror"])
        )
        weights256, colour256, shade256 = (
            cut(enlarge(v[half], k), x, y, crop, crop) for v, k in ((weights128, 2), (trunk.colour, 4), (trunk.shade, 8))
        )
        frame256 = combine(weights256, warped256, other256, behind, colour256, shade256)

        (mw, mh), (ew, eh) = window_sizes(256)
        windows = []
        for name, refiner, corner, (w, h) in (
            ("mouth", net.mouth, crops["mouth_corner"][:, None], (mw, mh)), ("eye", net.eyes, crops["eye_corners"], (ew, eh)),
        ):
            count = corner.shape[1]
            painted = crops["mouth"][:, None] if name == "mouth" else crops["eyes"]
            geometry = crops["mouth_geometry"][:, None] if name == "mouth" else crops["eye_geometry"]
            cx, cy = corner[..., 0].reshape(-1), corner[..., 1].reshape(-1)
            repeat = lambda v: v.repeat_interleave(count, 0)  # noqa: B023, E731
            ox, oy = cx - repeat(x), cy - repeat(y)
            inside = (ox >= 0) & (oy >= 0) & (ox + w <= crop) & (oy + h <= crop)
            if not inside.any():
                continue
            base = cut(repeat(frame256)[inside], ox[inside], oy[inside], w, h)
            target = cut(repeat(crops["target"])[inside], cx[inside], cy[inside], w, h)
            weight = cut(repeat(WEIGHTS[crops["region"]][:, None].repeat_interleave(2, 2).repeat_interleave(2, 3))[inside], cx[inside], cy[inside], w, h)
            painted, geometry = painted.flatten(0, 1)[inside], geometry.flatten(0, 1)[inside]
            m, i = repeat(motion)[inside], repeat(identity)[inside]
            # A third of the steps sees the windows as the 128 frame has them.
            if rng.random() < 0.33:
                base, target, weight, painted, geometry = (F.avg_pool2d(v, 2) for v in (base, target, weight, painted, geometry))
            light, mask = refiner(base, painted, geometry, m, i)
            colour = painted * light
            mask = mask * window_feather(*base.shape[2:])
            # Inside the aperture (its cover is the fifth coordinate) only the painter knows teeth, tongue and eyeball; and
            # where painter and frame differ, as under a closing lid, a mixture of both is a ghost.
            differ = (painted - base).abs().mean(1, keepdim=True)
            missed = ((1 - mask) * (geometry[:, 4:5] + config["ghosts"] * differ.detach()) * window_feather(*base.shape[2:])).mean()
            windows.append((name, base + (colour - base) * mask, colour, target, weight, missed))

    target, region = batch["target"], batch["region"]
    weight128 = WEIGHTS[region][:, None]
    target128 = F.avg_pool2d(target, 2)
    weight256 = cut(weight128[half].repeat_interleave(2, 2).repeat_interleave(2, 3), x, y, crop, crop)
    target256 = cut(target[half], x, y, crop, crop)
    person = (region[:, None, ::2, ::2] != 0).float()
    visible = batch["visible"] * person
    # Where the source shows a point, or where it is hair (strands hide each other all the time), its own pixel is the one.
    half_size = region[:, None, ::2, ::2]
    shown = F.avg_pool2d(torch.maximum(batch["visible"], (half_size == HAIR).float()), 3, 1, 1)
    own = F.avg_pool2d(person, 3, 1, 1)
    shown256, own256 = (cut(enlarge(v[half], 4), x, y, crop, crop) for v in (shown, own))

    def invented(weights, shown, own):
        return ((weights[:, 3:] + 0.5 * weights[:, 1:2]) * shown).mean() + (weights[:, 2:3] * own).mean()

    hidden = 1 - shown
    parts = {
        "128": picture(frame128, target128, weight128),
        "256": picture(frame256, target256, weight256),
        "colour": ((trunk.colour - F.avg_pool2d(target, 4)).abs() * hidden).mean(),
        "invented": config["invented"] * (invented(weights128, enlarge(shown, 2), enlarge(own, 2)) + invented(weights256, shown256, own256)),
        "flow": config["flow"] * flow_loss(pixel_grid(G, G) + flow, batch["true_flow"], visible),
        "occlusion": 0.03 * (F.binary_cross_entropy_with_logits(occlusion, 1 - batch["visible"], reduction="none") * person).mean(),
    }
    for name, frame, colour, goal, weight, missed in windows:
        parts[name] = 0.5 * picture(frame, goal, weight) + 0.1 * ((colour - goal).abs() * weight).mean() + missed
    figures = {k: float(v.detach()) for k, v in parts.items()}
    with torch.no_grad():
        figures["psnr128"] = float(-10 * torch.log10(((frame128.clamp(0, 1) - target128) ** 2).mean()))
        figures["warp128"] = float(-10 * torch.log10(((trunk.warped.clamp(0, 1) - target128) ** 2).mean()))
    return sum(parts.values()), figures


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
    names = [k for k in rows[-1] if k not in ("seen", "seconds", "psnr128", "warp128")]
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


class Run:
    """One training: models, their averages, optimiser and counters."""

    def __init__(self, config: dict):
        self.config, self.folder = config, Path(config["checkpoints"])
        torch.manual_seed(config["seed"])
        self.rng = np.random.default_rng(config["seed"])
        self.models = torch.nn.ModuleDict({"encoder": Encoder(), "net": Generator(**config["parts"])}).to(memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.models.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.models.parameters(), lr=config["learningRate"], betas=(0.9, 0.98), weight_decay=1e-3)
        self.seen, self.before, self.rows = 0, 0, []  # before: samples behind the weights that this run began with
        if (self.folder / "last.pt").exists():
            state = torch.load(self.folder / "last.pt", map_location="cpu", weights_only=False)
            self.models.load_state_dict(state["models"])
            self.average = state["average"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.seen, self.before, self.rows = state["seen"], state["before"], state["rows"]
            self.rng.bit_generator.state = state["rng"]
            torch.set_rng_state(state["torch"])

    def begin_with(self, checkpoint: Path) -> None:
        given = torch.load(checkpoint, map_location="cpu", weights_only=False)
        state, self.before = given["average"], given["seen"] + given["before"]
        own = self.models.state_dict()
        fit = {k: v.float() for k, v in state.items() if k in own and own[k].shape == v.shape}
        self.models.load_state_dict(fit, strict=False)
        self.average = {k: v.detach().clone() for k, v in self.models.state_dict().items()}
        print(f"{len(fit)} of {len(own)} tensors from {checkpoint}")

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "config": self.config, "models": self.models.state_dict(), "average": self.average, "optimiser": self.optimiser.state_dict(),
            "seen": self.seen, "before": self.before, "rows": self.rows, "rng": self.rng.bit_generator.state, "torch": torch.get_rng_state(),
        }
        torch.save(state, self.folder / "last.tmp")
        (self.folder / "last.tmp").replace(self.folder / "last.pt")
        if self.rows:
            names = sorted({k for r in self.rows for k in r})
            lines = [",".join(names)] + [",".join(f"{r.get(k, float('nan')):.6g}" for k in names) for r in self.rows]
            (self.folder / "losses.csv").write_text("\n".join(lines) + "\n")
            draw_curves(self.rows, self.folder / "losses.png")

    def step(self, shards: Shards) -> dict[str, float]:
        c = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = rate(c, self.seen)
        batch = to_batch(shards.draw(self.rng, c["sources"], c["drivers"]), self.rng, c["drivers"])
        loss, figures = step_loss(self.models["encoder"], self.models["net"], batch, c, self.rng)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.seen += c["sources"] * c["drivers"]
        keep = min(c["ema"], self.seen / (self.seen + 2000))
        with torch.no_grad():
            for k, v in self.models.state_dict().items():
                self.average[k].lerp_(v, 1 - keep)
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument("--samples", type=int)
    parser.add_argument("--checkpoints")
    parser.add_argument("--data")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--start", type=Path, help="begin with the weights that fit of another run's checkpoint")
    parser.add_argument("--parts", type=json.loads, default={}, help='e.g. {"codebooks": false}')
    a = parser.parse_args()
    config = json.loads(a.config.read_text())
    config |= {k: v for k, v in (("samples", a.samples), ("checkpoints", a.checkpoints), ("data", a.data), ("threads", a.threads)) if v}
    config["parts"] = config["parts"] | a.parts
    torch.set_num_threads(config["threads"])
    run = Run(config)
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
            print(f"{run.seen} {run.seen and steps * config['sources'] * config['drivers'] / (time.time() - start):.1f}/s " + " ".join(f"{k} {v:.4f}" for k, v in row.items() if k not in ("seen", "seconds")), flush=True)
            shards.refresh()
        if time.time() - saved > 180:
            run.save()
            saved = time.time()
    run.save()


if __name__ == "__main__":
    main()
