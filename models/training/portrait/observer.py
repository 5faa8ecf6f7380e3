"""A network that knows faces: it tells the studio's regions (skin, lips, teeth, iris …) of a picture, and what it sees on
the way is the perceptual loss of the training, since no public network's features can be had.

    python -m portrait.observer --data /tmp/facewire-heads --out portrait/observer.pt [--samples 40000]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.blocks import SLOPE, conv, enlarge
from portrait.dataset import colour_map

REGIONS = 13


class Observer(nn.Module):
    """Picture [B,3,H,W], 0..1, H and W even -> logits [B,13,H/2,W/2] of the regions of `heads`."""

    WIDTHS = (48, 96, 128)

    def __init__(self):
        super().__init__()
        a, b, c = self.WIDTHS
        body = lambda n: nn.Sequential(conv(n, n), nn.LeakyReLU(SLOPE), conv(n, n))  # noqa: E731
        self.stem, self.first = conv(12, a), body(a)
        self.down1, self.second = conv(a, b, stride=2), body(b)
        self.down2, self.third = conv(b, c, stride=2), body(c)
        self.up2, self.up1, self.out = conv(c, b, 1), conv(b, a, 1), conv(a, REGIONS)

    def features(self, picture: Tensor) -> list[Tensor]:
        """At a half, a quarter and an eighth of the picture's sides."""
        act = lambda v: F.leaky_relu(v, SLOPE)  # noqa: E731
        x1 = act(self.stem(F.pixel_unshuffle(picture, 2) - 0.5))
        x1 = act(x1 + self.first(x1))
        x2 = act(self.down1(x1))
        x2 = act(x2 + self.second(x2))
        x3 = act(self.down2(x2))
        return [x1, x2, act(x3 + self.third(x3))]

    def forward(self, picture: Tensor) -> Tensor:
        x1, x2, x3 = self.features(picture)
        x2 = F.leaky_relu(x2 + enlarge(self.up2(x3), 2), SLOPE)
        return self.out(F.leaky_relu(x1 + enlarge(self.up1(x2), 2), SLOPE))

    def distance(self, out: Tensor, target: Tensor) -> Tensor:
        """Perceptual distance: mean absolute difference of the features, each level by the mean size of the target's."""
        with torch.no_grad():
            wanted = self.features(target)
        return sum((a - b).abs().mean() / (b.abs().mean() + 1e-3) for a, b in zip(self.features(out), wanted)) / len(wanted)


def load(path: Path) -> Observer:
    observer = Observer().to(memory_format=torch.channels_last)
    observer.load_state_dict({k: v.float() for k, v in torch.load(path, map_location="cpu", weights_only=False).items()})
    return observer.eval().requires_grad_(False)


def batch(shards: list[Path], rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Pictures [N,3,128,128] and regions [N,64,64]: whole frames at half their size, or parts of them at full size."""
    pictures, regions = [], []
    for _ in range(count):
        shard = shards[rng.integers(len(shards))]
        images, region = (np.load(shard / f"{name}.npy", mmap_mode="r") for name in ("images", "region"))
        row = rng.integers(len(images))
        picture = torch.from_numpy(np.ascontiguousarray(images[row])).float().permute(2, 0, 1) / 255
        truth = torch.from_numpy(np.ascontiguousarray(region[row])).long()
        if rng.random() < 0.5:
            picture, truth = F.avg_pool2d(picture, 2), truth[::2, ::2]
        else:
            x, y = rng.integers(24, 41, 2)  # the face lies in the middle
            picture, truth = picture[:, 2 * y : 2 * y + 128, 2 * x : 2 * x + 128], truth[y : y + 64, x : x + 64]
        m, b = (torch.tensor(v, dtype=torch.float32) for v in colour_map(rng))
        pictures.append(torch.einsum("ij,jhw->ihw", m, picture) + b[:, None, None])
        regions.append(truth)
    return torch.stack(pictures), torch.stack(regions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("observer.pt"))
    parser.add_argument("--samples", type=int, default=40000)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    rng = np.random.default_rng(a.seed)
    observer = Observer().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(observer.parameters(), lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=a.samples // 12)
    start = time.time()
    for step in range(a.samples // 12):
        shards = sorted(p.parent for p in a.data.glob("train-*/meta.json")) if step % 100 == 0 else shards  # noqa: F821
        pictures, regions = batch(shards, rng, 12)
        with torch.autocast("cpu", torch.bfloat16):
            logits = observer(pictures.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), regions)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            right = (logits.argmax(1) == regions).float().mean()
            print(f"{step * 12} {step * 12 / (time.time() - start):.0f}/s loss {loss:.4f} right {right:.3f}", flush=True)
    torch.save({k: v.half() for k, v in observer.state_dict().items()}, a.out)


if __name__ == "__main__":
    main()
