"""Trains the Turner on heads at rest that the studio shows from the side; inputs are made once per shard.

    python -m heads.generate --out /tmp/facewire-sides --first 100 --train 60 --test 1 --turns -50 50
    python -m portrait.turner_train --data /tmp/facewire-sides [--minutes M] [--start portrait/turner.pt]

The people are others than those the renderer is trained on: it meets side pictures as good as those of strangers.
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

from portrait import observer as observing
from portrait.adversary import Critic, fooled, told_apart
from portrait.blocks import enlarge, pixel_grid, sample
from portrait.dataset import colour_map, grey_light
from portrait.graft import inlined_lifter, inlined_reader
from portrait.lifter import load as load_lifter
from portrait.losses import WEIGHTS as REGIONS, picture
from portrait.marker import Marker
from portrait.prepare import FACEKIT, SOURCES, session as open_session
from portrait.reader import load as load_reader
from portrait.reading import read_with
from portrait.stage import aside, aside_motion
from portrait.timed import Timed
from portrait.turner import INPUTS as TURNER_INPUTS, WEIGHTS, Turned, Turner, load
from warp.encoder import encoder_graph
from warp.facekit import tables
from warp.graph import Value

MAPS = ("flow", "mirror", "light", "normal", "position")
CRITIC_AHEAD = 0.08  # share of the time that the critic learns before it is listened to
KNOWN = 2  # frames of a person that are portraits; the views from the left and from the right follow


def input_model(facekit: Path, looks: Path) -> ort.InferenceSession:
    """portrait, landmarks, motion [2,58] -> what the Turner is given and the portrait's pose."""
    t = tables(facekit)
    g = encoder_graph(t, read_with(inlined_reader(load_reader(looks / "reader.pt"))), inlined_lifter(load_lifter(looks / "lifter.pt")))
    motion = g.input("motion", "float32", [2, 58])
    seen = aside(g, t, {x.name: Value(g, x.name) for x in list(g.outputs)}, motion)
    for name, value in seen.given.items():
        g.output(value, f"turner.{name}", "float32", [2, *TURNER_INPUTS[name]])
    return open_session(g.model("Turner's inputs").SerializeToString(), threads=1)


def cache(session: ort.InferenceSession, data: Path, out: Path) -> None:
    read = lambda name: np.load(data / f"{name}.npy", mmap_mode="r")  # noqa: E731
    images, landmarks, motion, identity, frame = (read(n) for n in ("images", "landmarks", "motion", "identity", "frame"))
    rng, marker = np.random.default_rng(int(identity[0]) + 11), Marker()
    names = ("texture128", "backdrop128", *MAPS)
    kept: dict[str, list[np.ndarray]] = {n: [] for n in (*names, "rows")}
    for source in np.flatnonzero(frame[:] < SOURCES):
        rows = source - frame[source] + KNOWN + np.arange(2)
        turned = aside_motion()
        turned[:, 3:6] = motion[rows, 3:6] - motion[source, 3:6]
        portrait = cv2.resize(images[source], (512, 512), interpolation=cv2.INTER_CUBIC)
        found = dict(zip(names, session.run([f"turner.{n}" for n in names], {"portrait": portrait, "landmarks": marker(images[source], landmarks[source], rng), "motion": turned})))
        kept["rows"].append(rows)
        for name in names:
            kept[name].append(np.round(found[name] * 255).astype(np.uint8) if name.endswith("128") else found[name].astype(np.float16))
    out.mkdir(parents=True, exist_ok=True)
    for name, values in kept.items():
        if name != "rows":
            np.save(out / f"{name}.npy", np.concatenate(values))
    np.save(out / "rows.npy", np.concatenate(kept["rows"]))  # last: the shard is complete


class Views:
    """All cached views of one split: even ones from the left, in the mirror."""

    TRUTH = ("images", "cover", "region", "backdrop", "identity")

    def __init__(self, cache: Path, data: Path, prefix: str):
        self.cache, self.data, self.prefix, self.open = cache, data, prefix, {}
        self.refresh()

    def refresh(self) -> None:
        for rows in sorted(self.cache.glob(f"{self.prefix}-*/rows.npy")):
            name = rows.parent.name
            if name not in self.open:
                given = {n: np.load(rows.parent / f"{n}.npy", mmap_mode="r") for n in ("texture128", "backdrop128", *MAPS, "rows")}
                truth = {n: np.load(self.data / name / f"{n}.npy", mmap_mode="r") for n in self.TRUTH}
                self.open[name] = given, truth | {"person": np.unique(truth["identity"], return_inverse=True)[1]}

    def sample(self, shard: str, k: int) -> dict[str, np.ndarray]:
        given, truth = self.open[shard]
        row = int(given["rows"][k])
        seen = (lambda v: v[:, ::-1]) if k % 2 == 0 else (lambda v: v)
        found = {n: np.asarray(given[n][k]) for n in ("texture128", "backdrop128", *MAPS)}
        found |= {f"true.{n}": np.ascontiguousarray(seen(truth[n][row])) for n in ("images", "cover", "region")}
        return found | {"true.backdrop": np.ascontiguousarray(seen(truth["backdrop"][truth["person"][row]]))}

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        names, rows = list(self.open), []
        for _ in range(count):
            shard = names[rng.integers(len(names))]
            rows.append(self.sample(shard, int(rng.integers(len(self.open[shard][0]["rows"])))))
        return {n: np.stack([r[n] for r in rows]) for n in rows[0]}


def to_batch(raw: dict[str, np.ndarray], rng: np.random.Generator | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(inputs of the Turner, truth at 128: target, backdrop [B,3,..], cover [B,1,..], region [B,..]); colours augmented if there is an rng."""
    t = {n: torch.from_numpy(v) for n, v in raw.items()}
    maps = [colour_map(rng) if rng else (np.eye(3), np.zeros(3)) for _ in range(len(t["flow"]))]
    m, b = (torch.tensor(np.stack([x[k] for x in maps]), dtype=torch.float32) for k in (0, 1))
    recolour = lambda v, alpha: torch.einsum("bij,bjhw->bihw", m, v) + b[..., None, None] * alpha  # noqa: E731
    texture = t["texture128"].float() / 255
    small = lambda name: F.avg_pool2d(t[name].permute(0, 3, 1, 2).float() / 255, 2)  # noqa: E731
    given = {"texture128": torch.cat([recolour(texture[:, :3], texture[:, 3:]), texture[:, 3:]], 1), "backdrop128": recolour(t["backdrop128"].float() / 255, 1.0)}
    given |= {n: t[n].float() for n in MAPS}
    pure = torch.tensor([grey_light(x[0]) for x in maps])[:, None, None, None].float()
    lit = torch.tensor([float(np.trace(x[0]) > 0) for x in maps])[:, None, None, None]
    mean = given["light"].mean(1, keepdim=True)
    given["light"] = (mean + (given["light"] - mean) * pure) * lit
    return given, {
        "target": recolour(small("true.images"), 1.0), "backdrop": recolour(small("true.backdrop"), 1.0),
        "cover": F.avg_pool2d(t["true.cover"][:, None].float() / 255, 2), "region": t["true.region"].long(),
    }


def shown(turned: Turned, backdrop: Tensor) -> Tensor:
    return turned.picture * turned.alpha + backdrop * (1 - turned.alpha)


def losses(turned: Turned, true: dict[str, Tensor], observer, critic: Critic | None, given: Tensor) -> dict[str, Tensor]:
    made, cover = shown(turned, true["backdrop"]), true["cover"]
    weight = REGIONS[true["region"]][:, None]
    person = lambda v: v * cover + true["backdrop"] * (1 - cover)  # noqa: E731
    terms = {
        "picture": picture(made, true["target"], weight),
        # Whatever is chosen, the colour by itself ought to be right in the mean.
        "paint": 0.3 * ((F.avg_pool2d(person(turned.paint) - true["target"], 4)).abs() * F.avg_pool2d(weight, 4)).mean(),
        "matte": 2 * (turned.alpha - cover).abs().mean() + (F.avg_pool2d(turned.alpha - cover, 4)).abs().mean(),
    }
    with torch.autocast("cpu", torch.bfloat16):
        terms["seen"] = 0.05 * observer.distance(made, true["target"])
        if critic is not None:
            adversarial, matching = fooled(critic, made, true["target"], given)
            terms["critic"], terms["matching"] = 0.006 * adversarial, 0.05 * matching
    return terms


@torch.no_grad()
def validate(turner: Turner, views: Views, folder: Path | None = None) -> dict[str, float]:
    """PSNR over the true person, dB: as geometry alone turns it, and as turned; and the matte's error."""
    found: dict[str, list[float]] = {"stage": [], "turned": [], "matte": []}
    rows = []
    for shard, (given, _) in views.open.items():
        for k in range(0, len(given["rows"]), 8):
            raw = [views.sample(shard, k + j) for j in range(8)]
            inputs, true = to_batch({n: np.stack([r[n] for r in raw]) for n in raw[0]}, None)
            turned = turner.decide(**inputs)
            warped = sample(inputs["texture128"], pixel_grid(128, 128) + enlarge(inputs["flow"], 2))
            warped = warped[:, :3] * torch.exp(enlarge(inputs["light"], 2)) + inputs["backdrop128"] * (1 - warped[:, 3:])
            made = shown(turned, true["backdrop"])
            for name, value in (("stage", warped), ("turned", made)):
                error = ((value.clamp(0, 1) - true["target"]) ** 2 * true["cover"]).sum((1, 2, 3)) / (3 * true["cover"].sum((1, 2, 3)))
                found[name] += (-10 * torch.log10(error + 1e-9)).tolist()
            found["matte"] += (turned.alpha - true["cover"]).abs().mean((1, 2, 3)).tolist()
            if folder and k % 16 == 0:
                small = sample(inputs["texture128"], pixel_grid(128, 128).repeat(8, 1, 1, 1))
                small = small[:, :3] + inputs["backdrop128"] * (1 - small[:, 3:])
                show = torch.cat([small, warped, made, true["target"], turned.weights[:, 1:]], 3)
                rows += [x for x in show[::3]]
    if folder:
        sheet = (torch.cat(rows[:24], 1).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
        half = sheet.shape[0] // 2
        cv2.imwrite(str(folder), np.concatenate([sheet[:half], sheet[half : 2 * half]], 1)[..., ::-1])
    return {n: float(np.mean(v)) for n, v in found.items()}


def train(views: Views, tests: Views, *, minutes: float, batch: int, rate: float, out: Path, start: Path | None, critic_from: float, seed: int = 1) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    turner = (load(start) if start else Turner()).to(memory_format=torch.channels_last).train()
    observer, critic = observing.load(Path(__file__).with_name("observer.pt")), Critic(given=3).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(turner.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=1e-3)
    critic_optimiser = torch.optim.Adam(critic.parameters(), lr=rate, betas=(0.0, 0.98))
    run = Timed(turner, out, minutes=minutes, batch=batch, rate=rate)
    test = lambda: print("test", validate(load(out), tests, out.with_suffix(".png")), flush=True)  # noqa: E731
    while (part := run.part) < 1:
        run.set_rate(optimiser, critic_optimiser)
        given, true = to_batch(views.draw(rng, batch), rng)
        given = {n: v.contiguous(memory_format=torch.channels_last) for n, v in given.items()}
        with torch.autocast("cpu", torch.bfloat16):
            turned = turner.decide(**given)
        critic.requires_grad_(False)
        conditions = F.interpolate(given["normal"], scale_factor=2)
        parts = losses(turned, true, observer, critic if part > critic_from else None, conditions)
        run.learn(optimiser, parts.values())
        if part > critic_from - CRITIC_AHEAD:
            critic.requires_grad_(True)
            with torch.autocast("cpu", torch.bfloat16):
                apart = told_apart(critic, shown(turned, true["backdrop"]), true["target"], conditions)
            critic_optimiser.zero_grad(set_to_none=True)
            apart.backward()
            critic_optimiser.step()
            parts["apart"] = apart
        if run.report(parts):
            views.refresh()
        if run.keep():
            test()
    run.keep(now=True)
    test()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-sides"))
    parser.add_argument("--cache", type=Path, default=Path("/tmp/facewire-turner"))
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--looks", type=Path, default=WEIGHTS.parent, help="folder of lifter.pt and reader.pt")
    parser.add_argument("--minutes", type=float, default=40, help="of processor time")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--critic-from", type=float, default=0.5, help="share of the time after which the critic is listened to")
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--only-cache", action="store_true", help="make the inputs of all complete shards and stop")
    a = parser.parse_args()
    todo = [f.parent for f in sorted(a.data.glob("*/meta.json")) if not (a.cache / f.parent.name / "rows.npy").exists()]
    session = input_model(a.facekit, a.looks) if todo else None
    for data in todo:
        began = time.time()
        cache(session, data, a.cache / data.name)
        print(f"{data.name}: inputs in {time.time() - began:.0f} s", flush=True)
    if not a.only_cache:
        torch.set_num_threads(1)
        train(
            Views(a.cache, a.data, "train"), Views(a.cache, a.data, "test"), minutes=a.minutes, batch=a.batch, rate=a.rate,
            out=a.out, start=a.start, critic_from=a.critic_from,
        )


if __name__ == "__main__":
    main()
