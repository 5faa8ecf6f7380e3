"""Trains the small identity network of identity.py on the train identities and tests it on pairs of test identities.

    cd models/training
    python -m evaluation.identity_training --data /tmp/facewire-heads --minutes 7 --threads 1

Supervised contrastive learning (Khosla 2020, eq. 2): frames of one person attract, of different people repel. Backgrounds
are replaced and colours, sharpness and framing varied per frame, so that neither backdrop nor blur tells who it is.
"""

from __future__ import annotations

import argparse
import inspect
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluation.data import complete_shards, read_shard
from evaluation.identity import HALF, NETWORK, SIDE, crop

WIDE = 80  # side of the stored crops, which the training crops are cut from
PEOPLE, FRAMES = 40, 4  # of a batch
TEMPERATURE = 0.1


class Embed(nn.Module):
    """Faces [B,3,64,64] in 0..1 -> unit vectors [B,64]."""

    def __init__(self, *, width: int = 24, size: int = 64):
        super().__init__()
        w = width
        self.stem = nn.Conv2d(3, w, 3, 2, 1)
        self.down = nn.ModuleList([nn.Conv2d(w, 2 * w, 3, 2, 1), nn.Conv2d(2 * w, 4 * w, 3, 2, 1)])
        self.same = nn.ModuleList([nn.Conv2d(2 * w, 2 * w, 3, 1, 1), nn.Conv2d(4 * w, 4 * w, 3, 1, 1)])
        self.norms = nn.ModuleList([nn.GroupNorm(8, 2 * w), nn.GroupNorm(8, 4 * w)])
        self.head = nn.Linear(4 * w * 4, size)

    def forward(self, face: Tensor) -> Tensor:
        # the mean colour goes: light and white balance are not identity
        x = face - face.mean((2, 3), keepdim=True)
        x = F.relu(self.stem(x * 4))
        for down, same, norm in zip(self.down, self.same, self.norms):
            x = norm(F.relu(down(x)))
            x = x + F.relu(same(x))
        return F.normalize(self.head(F.avg_pool2d(x, 4).flatten(1)), dim=1)


def contrastive_loss(vectors: Tensor, people: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Supervised contrastive loss of unit vectors [B,D] with the people's numbers [B]."""
    alike = vectors @ vectors.T / temperature
    itself = torch.eye(len(people), dtype=torch.bool)
    log = alike - torch.logsumexp(alike.masked_fill(itself, -1e9), 1, keepdim=True)
    positive = (people[:, None] == people[None]) & ~itself
    return -((log * positive).sum(1) / positive.sum(1).clamp(min=1)).mean()


def stored_crops(folder: Path, split: str, limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(faces uint8 [N,80,80,3], person bool [N,80,80], identity [N]) of up to `limit` identities."""
    faces, masks, names = [], [], []
    for shard in complete_shards(folder, split):
        for person in read_shard(shard):
            for image, motion, region in zip(person.images, person.motion, person.region):
                half = HALF * WIDE / SIDE
                faces.append(np.rint(crop(image, motion, WIDE, half)).astype(np.uint8))
                masks.append(crop((region != 0)[..., None].astype(np.float32), motion, WIDE, half)[..., 0] > 0.5)
                names.append(person.identity)
            if len(set(names)) >= limit:
                return np.stack(faces), np.stack(masks), np.array(names)
    return np.stack(faces), np.stack(masks), np.array(names)


def vary(faces: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Stored crops -> network input [B,3,64,64] with another background, framing, colour and sharpness."""
    out = []
    for face, mask in zip(faces, masks):
        x = face.astype(np.float32) / 255
        if rng.random() < 0.7:
            patch = rng.random((5, 5, 3)).astype(np.float32).repeat(WIDE // 5, 0).repeat(WIDE // 5, 1)
            backdrop = patch if rng.random() < 0.5 else rng.random((1, 1, 3), np.float32)
            x = np.where(mask[..., None], x, backdrop)
        x0, y0 = rng.integers(4, WIDE - SIDE - 3, 2)
        out.append(x[y0 : y0 + SIDE, x0 : x0 + SIDE])
    batch = torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2)
    n = len(batch)
    uniform = lambda low, high, channels=1: torch.from_numpy(rng.uniform(low, high, (n, channels, 1, 1)).astype(np.float32))  # noqa: E731
    batch = (batch * uniform(0.8, 1.2) * uniform(0.92, 1.08, 3)).clamp(1e-3, 1) ** uniform(0.85, 1.2)
    soft = F.avg_pool2d(F.pad(batch, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return batch + (soft - batch) * uniform(-0.3, 1.0).clamp(min=0)


@torch.no_grad()
def pair_scores(network: Embed, faces: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all pairs of frames of one person, and of as many random pairs of two people."""
    cut = (WIDE - SIDE) // 2
    x = torch.from_numpy(faces[:, cut : cut + SIDE, cut : cut + SIDE]).permute(0, 3, 1, 2).float() / 255
    vectors = torch.cat([network(part) for part in x.split(256)]).numpy()
    alike = vectors @ vectors.T
    upper = np.triu(np.ones_like(alike, bool), 1)
    same = alike[upper & (names[:, None] == names[None])]
    other = alike[upper & (names[:, None] != names[None])]
    return same, np.random.default_rng(0).permutation(other)[: len(same)]


def best_threshold(same: np.ndarray, other: np.ndarray) -> float:
    """The cosine that tells most pairs right."""
    candidates = np.quantile(np.concatenate([same, other]), np.linspace(0, 1, 401))
    return float(candidates[np.argmax([(same >= c).mean() + (other < c).mean() for c in candidates])])


def train(folder: Path, *, minutes: float, limit: int, seed: int = 0) -> tuple[Embed, dict]:
    """Trains for some minutes; a tenth of the train identities is held out to choose the threshold."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    faces, masks, names = stored_crops(folder, "train", limit)
    people = np.unique(names)
    kept_out = people[: max(2, len(people) // 10)]
    training = np.setdiff1d(people, kept_out)
    frames = {p: np.flatnonzero(names == p) for p in training}
    network = Embed()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    end, steps, losses = time.monotonic() + minutes * 60, 0, []
    began = time.monotonic()
    while time.monotonic() < end:
        share = (time.monotonic() - began) / (minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (steps + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * min(1.0, share))) + 1e-5
        chosen = rng.choice(training, min(PEOPLE, len(training)), replace=False)
        rows = np.concatenate([rng.choice(frames[p], FRAMES, replace=False) for p in chosen])
        numbers = torch.from_numpy(np.repeat(np.arange(len(chosen)), FRAMES))
        loss = contrastive_loss(network(vary(faces[rows], masks[rows], rng)), numbers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        steps += 1
        if steps % 100 == 0:
            print(f"step {steps}: loss {np.mean(losses[-100:]):.3f}", flush=True)
    network.eval()
    held = np.isin(names, kept_out)
    threshold = best_threshold(*pair_scores(network, faces[held], names[held]))
    return network, {"steps": steps, "identities": len(training), "loss": float(np.mean(losses[-100:])), "threshold": threshold}


def verify(network: Embed, folder: Path, threshold: float) -> dict:
    """Accuracy and area under the curve on all pairs of frames of the test identities."""
    faces, _, names = stored_crops(folder, "test", 10_000)
    same, other = pair_scores(network, faces, names)
    ranks = np.searchsorted(np.sort(other), same)
    return {
        "testIdentities": int(len(np.unique(names))),
        "testPairs": int(len(same) * 2),
        "accuracy": float(((same >= threshold).mean() + (other < threshold).mean()) / 2),
        "areaUnderCurve": float(ranks.mean() / len(other)),
        "meanCosineSame": float(same.mean()),
        "meanCosineOther": float(other.mean()),
    }


def export(network: Embed, file: Path) -> None:
    """With the TorchScript exporter, which all torch versions from 1.13 on have."""
    newer = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(
        network, (torch.rand(2, 3, SIDE, SIDE),), str(file), input_names=["face"], output_names=["embedding"],
        dynamic_axes={"face": {0: "B"}, "embedding": {0: "B"}}, opset_version=17, **newer,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--identities", type=int, default=1500, help="at most so many train identities are held in memory")
    parser.add_argument("--out", type=Path, default=NETWORK)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network, figures = train(options.data, minutes=options.minutes, limit=options.identities)
    figures |= verify(network, options.data, figures["threshold"])
    export(network, options.out)
    options.out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
