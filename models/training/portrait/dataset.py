"""Batches for the training: S sources with D drivers each, colours augmented alike in everything of one source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

ARRAYS = (
    "texture256", "backdrop256", "sides", "harmonics", "pair", "flow", "side", "light", "side_light", "normal", "was", "code", "mouth", "mouth_geometry",
    "mouth_corner", "eyes", "eye_geometry", "eye_corners",
)
SIDEWAYS = 54  # entry of the code: the view's rotation, row 0, column 2; above 0 the right side comes into view
TRUTH = ("images", "flow", "visible", "region")


class Shards:
    """Prepared shards of one split as memory maps; `refresh` picks up shards that were finished meanwhile."""

    def __init__(self, folder: Path, prefix: str):
        self.folder, self.prefix, self.open = folder, prefix, {}
        self.refresh()

    def refresh(self) -> int:
        for meta in sorted(self.folder.glob(f"{self.prefix}-*/meta.json")):
            if meta.parent.name in self.open:
                continue
            truth = Path(json.loads(meta.read_text())["data"])
            shard = {name: np.load(meta.parent / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
            shard |= {f"truth_{name}": np.load(truth / f"{name}.npy", mmap_mode="r") for name in TRUTH}
            self.open[meta.parent.name] = shard
        return len(self.open)

    def draw(self, rng: np.random.Generator, sources: int, drivers: int) -> dict[str, torch.Tensor]:
        names = list(self.open)
        rows: dict[str, list[np.ndarray]] = {}
        keep = lambda name, value: rows.setdefault(name, []).append(np.ascontiguousarray(value))  # noqa: E731
        for _ in range(sources):
            shard = self.open[names[rng.integers(len(names))]]
            pair = shard["pair"]
            index = rng.integers(len(shard["texture256"]))
            mine = np.flatnonzero(pair[:, 0] == index)
            chosen = rng.choice(mine, drivers, replace=False)
            s, side = int(pair[chosen[0], 2]), int(pair[chosen[0], 3])
            keep("texture", shard["texture256"][index])
            keep("backdrop", shard["backdrop256"][index])
            keep("harmonics", shard["harmonics"][index])
            keep("portrait", shard["truth_images"][s])
            for p in chosen:
                d = int(pair[p, 1])
                for name in ARRAYS[5:]:
                    keep(name, shard[name][p])
                keep("sides", shard["sides"][index][int(shard["code"][p][SIDEWAYS] > 0)])
                keep("target", shard["truth_images"][d])
                keep("true_flow", shard["truth_flow"][d, side])
                keep("visible", shard["truth_visible"][d, side])
                keep("region", shard["truth_region"][d])
        return {name: torch.from_numpy(np.stack(values)) for name, values in rows.items()}


AS_THEY_ARE = 0.5  # share of the people whose colours stay: light is a factor in these alone


def colour_map(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random affine colour map (M [3,3], b [3]): affine, so that it commutes with compositing and warping."""
    m, b = np.eye(3), np.zeros(3)
    if rng.random() < AS_THEY_ARE:
        return m, b
    luma = np.outer(np.ones(3), [0.3, 0.59, 0.11])
    saturation = rng.uniform(0.4, 1.5) if rng.random() > 0.12 else 0.0
    m = luma + saturation * (np.eye(3) - luma)
    if rng.random() < 0.25:  # hue: rotation about the grey axis
        a = rng.uniform(0, 2 * np.pi)
        k = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
        m = (np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k) @ m
    m = np.diag(rng.uniform(0.75, 1.25, 3)) @ m * rng.uniform(0.6, 1.2)
    b = rng.uniform(-0.08, 0.12) + rng.uniform(-0.04, 0.04, 3)
    if rng.random() < 0.08:
        m, b = -m, 1 - b
    return m, b


def grey_light(m: np.ndarray) -> float:
    """How far light, a factor per colour, survives the colour map M: 1 as long as no colours mix or turn around."""
    return float(np.clip(np.diag(m) / np.abs(m).sum(1), 0, 1).min())


SHORTENED = 0.15  # share of the frames that get a shorter expression code


def shortened(code: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """code [N,71] with some of the 52 coefficients left out in some rows (the semantic-aware prior's dropout), so that a
    sender may leave some out as well."""
    keep = np.ones(code.shape, np.float32)
    for row in np.flatnonzero(rng.random(len(code)) < SHORTENED):
        keep[row, :52] = rng.random(52) < rng.random()
    return code * torch.from_numpy(keep)


def to_batch(raw: dict[str, torch.Tensor], rng: np.random.Generator, drivers: int, augment: bool = True) -> dict[str, torch.Tensor]:
    """uint8 and float16 rows -> float32, 0..1, images [N,C,H,W]; per-source arrays stay [S,...]."""
    s = len(raw["texture"])
    maps = [colour_map(rng) if augment else (np.eye(3), np.zeros(3)) for _ in range(s)]
    m = torch.tensor(np.stack([x[0] for x in maps]), dtype=torch.float32)
    b = torch.tensor(np.stack([x[1] for x in maps]), dtype=torch.float32)

    def recolour(image, alpha=1.0, repeat=1):
        mm, bb = (v.repeat_interleave(repeat, 0) for v in (m, b))
        flat = torch.einsum("bij,bj...->bi...", mm, image)
        return flat + bb.reshape(bb.shape + (1,) * (image.dim() - 2)) * alpha

    unit = lambda x: x.float() / 255  # noqa: E731
    texture, sides = unit(raw["texture"]), unit(raw["sides"])
    out = {
        "texture": torch.cat([recolour(texture[:, :3], texture[:, 3:]), texture[:, 3:]], 1),
        "sides": torch.cat([recolour(sides[:, :3], sides[:, 3:], drivers), sides[:, 3:]], 1),
        "backdrop": recolour(unit(raw["backdrop"])),
        "portrait": recolour(unit(raw["portrait"]).permute(0, 3, 1, 2)),
        "target": recolour(unit(raw["target"]).permute(0, 3, 1, 2), repeat=drivers),
        "mouth": recolour(unit(raw["mouth"]), repeat=drivers),
        "eye": recolour(unit(raw["eyes"]).transpose(1, 2), repeat=drivers).transpose(1, 2),
        "true_flow": raw["true_flow"].float().permute(0, 3, 1, 2).nan_to_num(0.0),
        "visible": raw["visible"][:, None].float(),
        "region": raw["region"].long(),
    }
    for name in ("flow", "side", "normal", "was", "code", "mouth_geometry", "eye_geometry"):
        out[name] = raw[name].float()
    if augment:
        out["code"] = shortened(out["code"], rng)
    # A sepia picture is lit in sepia; an inverted one not at all.
    pure = torch.tensor([grey_light(x[0]) for x in maps], dtype=torch.float32)
    lit = torch.tensor([float(np.trace(x[0]) > 0) for x in maps])
    spread = lambda v: v.repeat_interleave(drivers)[:, None, None, None]  # noqa: E731
    for name in ("light", "side_light"):
        light = raw[name].float()
        mean = light.mean(1, keepdim=True)
        out[name] = (mean + (light - mean) * spread(pure)) * spread(lit)
    own = raw["harmonics"].float()
    mean = own.mean(2, keepdim=True)
    out["harmonics"] = (mean + (own - mean) * pure[:, None, None]) * lit[:, None, None]
    out["mouth_corner"], out["eye_corner"] = raw["mouth_corner"].long(), raw["eye_corners"].long()
    return out
