"""Trains the Reader on the studio's portraits, whose matte, depth, light and expression are known.

    python -m portrait.reader_train --data /tmp/facewire-heads --cache /tmp/facewire-reader --minutes 12

The Reader's inputs (what the geometric encoder knows of a frame) are made once per shard and kept under --cache.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor

from heads.look import harmonics
from heads.motion import rotation
from portrait.dataset import colour_map
from portrait.graft import inlined_lifter
from portrait.lifter import POSE_UNITS, WEIGHTS as LIFTER, Pose, lacking, load as load_lifter
from portrait.marker import Marker
from portrait.reader import RELIEF_UNIT, WEIGHTS, Reader, load
from portrait.reading import DARKEST, READER_INPUTS, RESTING, reader_inputs
from portrait.timed import Timed
from warp.encoder import encoder_graph
from warp.facekit import tables

ROOT = Path(__file__).resolve().parents[3]
FACEKIT = ROOT.parent / "shared/ict-facekit/ict-facekit.npz"
EACH = 5  # frames of an identity that are used, both portraits among them, where there are so many
# Regions whose normals are a surface's; hair, brows, lashes and beards are strands.
SMOOTH = torch.tensor([0, 1, 0, 0.5, 0, 0, 1, 0.3, 0, 0, 0, 0, 0.3])


def input_model(facekit: Path, lifter: Path) -> ort.InferenceSession:
    """The encoder up to what the Reader is given."""

    def keep(g, image, fitted, alpha, backdrop):
        given, _ = reader_inputs(g, image, fitted, alpha, backdrop)
        for name, shape in READER_INPUTS.items():
            g.output(given[name], f"reader.{name}", "float32", [1, *shape])
        return fitted, alpha, backdrop

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(encoder_graph(tables(facekit), keep, inlined_lifter(load_lifter(lifter))).model("inputs").SerializeToString(), options, providers=["CPUExecutionProvider"])


def cache(session: ort.InferenceSession, data: Path, out: Path) -> None:
    """Inputs of EACH frames per identity (of both portraits alone, where the other frames are the Turner's): rows [n], alpha,
    backdrop uint8, placed, residual float16; fit [n,32] (`pose`)."""
    read = lambda name: np.load(data / f"{name}.npy", mmap_mode="r")  # noqa: E731
    images, landmarks, frame, identity = (read(n) for n in ("images", "landmarks", "frame", "identity"))
    rng, marker = np.random.default_rng(int(identity[0]) + 11), Marker()
    people = [np.flatnonzero(identity == person) for person in np.unique(identity)]
    others = EACH - 2 if len(people[0]) > EACH else 0
    rows = np.concatenate([np.concatenate([own[frame[own] < 2], rng.choice(own[frame[own] >= 2], others, replace=False)]) for own in people])
    names = [n for n in READER_INPUTS if n != "portrait"]
    kept: dict[str, list[np.ndarray]] = {n: [] for n in (*names, "fit")}
    for row in rows:
        portrait = cv2.resize(images[row], (512, 512), interpolation=cv2.INTER_CUBIC)
        *values, fit = session.run([*(f"reader.{n}" for n in names), "pose"], {"portrait": portrait, "landmarks": marker(images[row], landmarks[row], rng)})
        kept["fit"].append(fit)
        for name, value in zip(names, values):
            kept[name].append(np.round(value[0] * 255).astype(np.uint8) if name in ("alpha", "backdrop") else value[0].astype(np.float16))
    out.mkdir(parents=True, exist_ok=True)
    for name, values in kept.items():
        np.save(out / f"{name}.npy", np.stack(values))
    np.save(out / "rows.npy", rows)  # last: the shard is complete


def truth_of(data: dict[str, np.ndarray], row: int, placed: np.ndarray, fit: np.ndarray) -> dict[str, np.ndarray]:
    """What the Reader should find in one frame; placed [PLACED,64,64] as it was given, fit [32] the fitted pose."""
    motion, person = data["motion"][row], int(np.searchsorted(np.unique(data["identity"]), data["identity"][row]))
    depth = data["depth"][row].astype(np.float32)
    solid = (depth > -50).astype(np.float32)
    # Strands make depth rough: a pixel's surroundings, of the person only.
    blur = lambda v: cv2.GaussianBlur(v, (0, 0), 1.2)  # noqa: E731
    smooth = blur(depth * solid) / np.maximum(blur(solid), 1e-3)
    step = 2 / 128 / np.exp(motion[5])  # cm between pixels
    by_y, by_x = np.gradient(smooth, step)
    normal = np.stack([-by_x, -by_y, -np.ones_like(smooth)])
    normal /= np.linalg.norm(normal, axis=0, keepdims=True)
    half = lambda v: v.reshape(*v.shape[:-2], 64, 2, 64, 2).mean((-3, -1))  # noqa: E731
    weight = half(solid)
    near = half(smooth * solid) / np.maximum(weight, 1e-3)
    # In units of the fitted head, so that the picture's own lengths are right.
    scale = fit[0]
    relief = near * np.exp(motion[5]) / scale + placed[3] * 10
    pose = lacking(Pose(fit[3:12].reshape(3, 3), fit[1:3], scale), Pose(rotation(*motion[:3]), motion[3:5], np.exp(motion[5])))
    return {
        "matte": data["cover"][row], "relief": np.clip(relief, -9, 9), "solid": (weight > 0.9).astype(np.float32),
        "normal": half(normal), "region": data["region"][row][::2, ::2], "light": data["light"][person], "rest": np.clip(motion[6:], 0, 1), "pose": pose.astype(np.float32),
    }


class Portraits:
    """All cached frames of one split."""

    NAMES = ("images", "motion", "identity", "frame", "cover", "depth", "light", "region")

    def __init__(self, cache: Path, data: list[Path], prefix: str):
        self.cache, self.data, self.prefix, self.open = cache, data, prefix, {}
        self.refresh()

    def refresh(self) -> int:
        for folder in (shard for data in self.data for shard in sorted(data.glob(f"{self.prefix}-*"))):
            rows = self.cache / folder.name / "rows.npy"
            if folder.name not in self.open and rows.exists():
                given = {n: np.load(rows.parent / f"{n}.npy", mmap_mode="r") for n in ("alpha", "backdrop", "placed", "residual", "fit", "rows")}
                self.open[folder.name] = given, {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in self.NAMES}
        return len(self.open)

    def sample(self, shard: str, k: int) -> dict[str, np.ndarray]:
        given, data = self.open[shard]
        row = int(given["rows"][k])
        found = {f"given.{n}": np.asarray(given[n][k]) for n in ("alpha", "backdrop", "placed", "residual")}
        found["given.portrait"] = data["images"][row]
        return found | {f"true.{n}": v for n, v in truth_of(data, row, found["given.placed"].astype(np.float32), given["fit"][k]).items()}

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        names = list(self.open)
        rows = []
        for _ in range(count):
            shard = names[rng.integers(len(names))]
            given, data = self.open[shard]
            people = len(data["light"])
            each = len(given["rows"]) // people
            rows.append(self.sample(shard, int(rng.integers(people)) * each + int(rng.integers(each) if rng.random() < 0.5 else rng.integers(2))))
        return {n: np.stack([r[n] for r in rows]) for n in rows[0]}


def to_batch(raw: dict[str, np.ndarray], rng: np.random.Generator | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(inputs, truth) in float32; colours augmented if there is an rng. truth["lit"] [B]: whether the light still holds."""
    count = len(raw["given.portrait"])
    t = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in raw.items()}
    picture = t["given.portrait"].permute(0, 3, 1, 2).float() / 255
    flooded = t["given.backdrop"].float() / 255
    lit = torch.ones(count)
    if rng:
        m, b = torch.empty(count, 3, 3), torch.zeros(count, 3)
        for i in range(count):
            if rng.random() < 0.6:  # gains change the light's colour only, which is not asked for
                m[i] = torch.from_numpy(np.diag(rng.uniform(0.8, 1.2, 3) * rng.uniform(0.7, 1.15)))
            else:
                matrix, offset = colour_map(rng)
                m[i], b[i], lit[i] = torch.from_numpy(matrix), torch.from_numpy(offset), 0
        recolour = lambda v: (torch.einsum("bij,bjhw->bihw", m, v) + b[:, :, None, None]).clamp(0, 1)  # noqa: E731
        picture, flooded = recolour(picture), recolour(flooded)
        noise = torch.from_numpy(rng.uniform(0, 0.03, (count, 1, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.3)).float()
        picture = (picture + noise * torch.randn(picture.shape)).clamp(0, 1)
    given = {
        "portrait": picture, "alpha": t["given.alpha"].float() / 255, "backdrop": flooded, "placed": t["given.placed"].float(),
        "residual": t["given.residual"].float(),
    }
    true = {
        "matte": t["true.matte"][:, None].float() / 255, "relief": t["true.relief"][:, None],
        "solid": t["true.solid"][:, None], "normal": t["true.normal"], "region": t["true.region"].long()[:, None], "light": t["true.light"],
        "rest": t["true.rest"], "pose": t["true.pose"], "lit": lit,
    }
    return given, {n: v.float() if n != "region" else v for n, v in true.items()}


def directions(count: int = 96) -> Tensor:
    """[9,count] harmonics of normals that a viewer sees."""
    z = -(np.arange(count) + 0.5) / count
    turn = np.arange(count) * np.pi * (3 - 5**0.5)
    ring = np.sqrt(1 - z * z)
    return torch.tensor(harmonics(np.stack([ring * np.cos(turn), ring * np.sin(turn), z], 1)).T, dtype=torch.float32)


SPHERE = directions()


def log_irradiance(light: Tensor) -> Tensor:
    """[B,9,3] -> logarithms over the sphere's front [B,3,n], less their mean."""
    value = (light.transpose(1, 2) @ SPHERE / light[:, :1].transpose(1, 2)).clamp_min(DARKEST).log()
    return value - value.mean(2, keepdim=True)


def losses(found, given: dict[str, Tensor], true: dict[str, Tensor]) -> dict[str, Tensor]:
    slope = lambda v: (v[..., 1:, :] - v[..., :-1, :], v[..., 1:] - v[..., :-1])  # noqa: E731
    cover, wrong = true["matte"], (found.matte - true["matte"]).abs()
    edge = (F.max_pool2d(cover, 9, 1, 4) - (-F.max_pool2d(-cover, 9, 1, 4))).clamp(0, 1)
    solid, turns = true["solid"], given["placed"][:, 4:5]
    normals = SMOOTH[true["region"]] + 0.25 * solid
    return {
        "matte": (wrong * (1 + 3 * edge)).mean() * 4 + sum((a - b).abs().mean() for a, b in zip(slope(found.matte), slope(cover))) * 2,
        "relief": (F.smooth_l1_loss(found.relief / RELIEF_UNIT, true["relief"] / RELIEF_UNIT, reduction="none", beta=0.3) * solid * (0.05 + turns)).mean(),
        "normal": ((1 - (found.normal * true["normal"]).sum(1, keepdim=True)) * solid * normals).mean(),
        "light": 0.4 * ((log_irradiance(found.light) - log_irradiance(true["light"])).abs().mean((1, 2)) * true["lit"]).mean(),
        "pose": 0.3 * ((found.pose - true["pose"]) / torch.tensor(POSE_UNITS)).abs().mean(),
        # Most coefficients are 0 most of the time: for their median no network would be needed.
        "rest": 8 * (F.smooth_l1_loss(found.rest, true["rest"], reduction="none", beta=0.5) * torch.from_numpy(RESTING)).mean(),
    }


@torch.no_grad()
def validate(reader: Reader, portraits: Portraits) -> dict[str, float]:
    """Mean losses over the portraits proper (frames 0 and 1), colours as they are."""
    sums: dict[str, list[float]] = {}
    for shard, (given, data) in portraits.open.items():
        for k in range(0, len(given["rows"]), len(given["rows"]) // len(data["light"])):
            raw = [portraits.sample(shard, k + j) for j in (0, 1)]
            inputs, true = to_batch({n: np.stack([r[n] for r in raw]) for n in raw[0]}, None)
            for name, value in losses(reader(**inputs), inputs, true).items():
                sums.setdefault(name, []).append(float(value))
    return {n: float(np.mean(v)) for n, v in sums.items()}


def train(portraits: Portraits, tests: Portraits, *, minutes: float, batch: int, rate: float, out: Path, start: Path | None, seed: int = 1) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    reader = (load(start) if start else Reader()).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(reader.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=1e-3)
    run = Timed(reader, out, minutes=minutes, batch=batch, rate=rate)
    while run.part < 1:
        run.set_rate(optimiser)
        given, true = to_batch(portraits.draw(rng, batch), rng)
        with torch.autocast("cpu", torch.bfloat16):
            found = reader(**{n: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v for n, v in given.items()})
        parts = losses(found, given, true)
        run.learn(optimiser, parts.values())
        if run.report(parts):
            portraits.refresh()
        run.keep()
    run.keep(now=True)
    print("test", {n: round(v, 4) for n, v in validate(load(out), tests).items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", default=[Path("/tmp/facewire-heads")], help="also the Turner's people, for their portraits")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/facewire-reader"))
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--lifter", type=Path, default=LIFTER, help="weights of portrait.lifter_train")
    parser.add_argument("--minutes", type=float, default=12, help="of processor time")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--only-cache", action="store_true", help="make the inputs of all complete shards and stop")
    a = parser.parse_args()
    todo = [f.parent for data in a.data for f in sorted(data.glob("*/meta.json")) if not (a.cache / f.parent.name / "rows.npy").exists()]
    session = input_model(a.facekit, a.lifter) if todo else None
    for data in todo:
        began = time.time()
        cache(session, data, a.cache / data.name)
        print(f"{data.name}: inputs in {time.time() - began:.0f} s", flush=True)
    if not a.only_cache:
        torch.set_num_threads(1)
        train(
            Portraits(a.cache, a.data, "train"), Portraits(a.cache, a.data, "test"), minutes=a.minutes, batch=a.batch, rate=a.rate,
            out=a.out, start=a.start,
        )


if __name__ == "__main__":
    main()
