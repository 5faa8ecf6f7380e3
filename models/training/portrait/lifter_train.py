"""Trains the Lifter on landmarks of the morphable head's people, of whom there are as many as one likes.

    python -m portrait.lifter_train [--people 450000] [--minutes 8] [--data /tmp/facewire-heads]

No pictures are needed but for what models/tracker gets wrong: with --data, a third of the people have landmarks as it finds them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor

from heads.motion import driven_motion, load_tracks, rotation, source_motion
from heads.rig import Rig, load_rig
from heads.sitter import sample_coefficients, stretch
from portrait.lifter import DEPTH_UNIT, INPUTS, LANDMARKS, POSE_UNITS, WEIGHTS, Lifted, Lifter, Pose, lacking, load
from portrait.marker import Marker, jittered
from portrait.prepare import FACEKIT, session as open_session
from portrait.timed import Timed
from warp.encoder import fit_pose, missed
from warp.facekit import Tables, tables
from warp.graph import Graph

TURNED = 0.25  # share of faces that a performer turns and moves, beside portraits
MOTIONS = 8  # faces that share an expression and a pose
FLIP = np.array([1, -1, -1], np.float32)  # ICT's axes to Facewire's
SHARDS, LOOKED_AT = 28, 20  # of these the tracker's errors are measured, so many portraits each
KINDS = ("exact", "by hand", "tracked")
LOUDER = (0.5, 1.4)  # by what those errors are multiplied


def fit_model(t: Tables) -> ort.InferenceSession:
    """landmarks [68,2] -> scale, shift, rotation and residual (the head's frame) of the mean face."""
    g = Graph("fit")
    landmarks = g.input("landmarks", "float32", [LANDMARKS, 2])
    scale, shift, turned = fit_pose(g, landmarks, t)
    residual = g.concat([missed(g, t, landmarks, scale, shift, turned), g.const(np.zeros((LANDMARKS, 1)))], 1) @ turned
    for name, value, shape in (("scale", scale, [1]), ("shift", shift, [2]), ("rotation", turned, [3, 3]), ("residual", residual, [LANDMARKS, 3])):
        g.output(value * 1.0, name, "float32", shape)
    return open_session(g.model("fit").SerializeToString(), threads=1)


@dataclass(frozen=True)
class Errors:
    """What the tracker gets wrong, cm of the view: it takes the share `usual` off what makes a face differ from the mean one;
    beyond that its errors were always [68,2] on average and others [n,68,2] off that."""

    usual: float
    always: np.ndarray
    others: np.ndarray

    @staticmethod
    def measure(data: Path, mean: np.ndarray) -> Errors:
        """On portraits of the shards in data; mean [68,3], the mean face's landmarks."""
        marker, off, own = Marker(), [], []
        for shard in sorted(data.glob("train-*"))[:SHARDS]:
            images, landmarks, motion, frame = (np.load(shard / f"{n}.npy", mmap_mode="r") for n in ("images", "landmarks", "motion", "frame"))
            for row in np.flatnonzero(frame[:] < 2)[:LOOKED_AT]:
                scale = np.exp(motion[row, 5])
                off.append((marker.tracked(images[row], landmarks[row]) - landmarks[row]) / scale)
                own.append((landmarks[row] - motion[row, 3:5]) / scale - (mean @ rotation(*motion[row, :3]).T)[:, :2])
        off, own = np.array(off), np.array(own)
        own -= own.mean(0)
        usual = -float(((off - off.mean(0)) * own).sum() / (own * own).sum())
        off += usual * own
        return Errors(usual, off.mean(0), off - off.mean(0))

    def draw(self, rng: np.random.Generator, own: np.ndarray) -> np.ndarray:
        """Errors [68,2] for a face that differs from the mean one by own [68,2], cm: never those that were measured, which the
        network would learn by heart, but as they vary together."""
        share = rng.normal(size=len(self.others)) / len(self.others) ** 0.5
        return self.always + np.tensordot(share, self.others, 1) * rng.uniform(*LOUDER) - self.usual * own


@dataclass(frozen=True)
class Faces:
    """Landmarks of the morphable head in Facewire's axes, cm: neutral [68,3], identity [100,68,3], expression [52,68,3]; mean
    [68,3] of the mean face."""

    neutral: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    mean: np.ndarray
    fit: ort.InferenceSession
    tracks: np.ndarray
    errors: Errors | None = None

    @staticmethod
    def open(rig: Rig, t: Tables, tracks: np.ndarray, errors: Errors | None = None) -> Faces:
        of = lambda basis: basis.reshape(len(basis), -1, 3)[:, rig.landmarks] * FLIP  # noqa: E731
        return Faces(rig.neutral[rig.landmarks] * FLIP, of(rig.identity), of(rig.basis), t.landmarks, fit_model(t), tracks, errors)

    def found(self, rng: np.random.Generator, view: np.ndarray, mean: np.ndarray, scale: float, kind: str) -> np.ndarray:
        """The picture's landmarks [68,2] of a face [68,3] in the view (cm), the mean one's beside it, found in one of KINDS."""
        if kind == "tracked":
            view = view[:, :2] + self.errors.draw(rng, (view - mean)[:, :2])
        marks = view[:, :2] * scale
        return jittered(marks, rng) if kind == "by hand" else marks

    def draw(self, rng: np.random.Generator, count: int, kind: str | None = None) -> tuple[Tensor, Tensor]:
        """(inputs [n,213], truth [n,75]: pose and depth in the network's units, 1 if landmarks are not exact) of `count` people,
        rounded up to whole MOTIONS, with landmarks found in one way, or in all ways alike."""
        given, true = [], []
        for _ in range(-(-count // MOTIONS)):
            motion = driven_motion(rng, self.tracks) if rng.random() < TURNED else source_motion(rng, first=bool(rng.random() < 0.5))
            turned = rotation(*motion.angles)
            moved = np.tensordot(motion.expression, self.expression, 1)
            for _ in range(MOTIONS):
                face = (self.neutral + np.tensordot(sample_coefficients(rng, len(self.identity)), self.identity, 1)) * stretch(rng) + moved
                view = face @ turned.T
                scale, shift = np.exp(rng.normal(-3.1, 0.07)), rng.normal(0, 0.05, 2)
                way = kind or KINDS[rng.integers(3 if self.errors else 2)]
                marks = self.found(rng, view, self.mean @ turned.T, scale, way) + shift
                fitted = dict(zip(("scale", "shift", "rotation", "residual"), self.fit.run(None, {"landmarks": marks.astype(np.float32)})))
                pose = lacking(Pose(fitted["rotation"], fitted["shift"], float(fitted["scale"][0])), Pose(turned, shift, scale))
                depth = view[:, 2] - self.mean @ turned[2]
                given.append(np.concatenate([fitted["residual"].ravel(), fitted["rotation"].ravel()]))
                true.append(np.concatenate([pose / POSE_UNITS, depth / DEPTH_UNIT, [way != "exact"]]))
        return tuple(torch.from_numpy(np.stack(v).astype(np.float32)) for v in (given, true))


def split(given: Tensor) -> list[Tensor]:
    return list(given.split([shape[0] for shape in INPUTS.values()], 1))


def errors(found: Lifted, true: Tensor) -> dict[str, Tensor]:
    """Mean absolute errors in the network's units, and the doubt's cross-entropy."""
    pose, depth, inexact = true.split([len(POSE_UNITS), LANDMARKS, 1], 1)
    return {
        "pose": (found.pose / torch.tensor(POSE_UNITS) - pose).abs().mean(), "depth": (found.depth[..., 0] / DEPTH_UNIT - depth).abs().mean(),
        "doubt": F.binary_cross_entropy(found.doubt.clamp(1e-4, 1 - 1e-4), inexact),
    }


@torch.no_grad()
def validate(lifter: Lifter, faces: Faces, people: int = 4000) -> None:
    """Prints errors on people never seen."""
    for name in KINDS if faces.errors else KINDS[:2]:
        given, true = faces.draw(np.random.default_rng(2), people, name)
        found = lifter(*split(given))
        off = (found.pose - true[:, : len(POSE_UNITS)] * torch.tensor(POSE_UNITS)).abs().mean(0)
        fit = (true[:, : len(POSE_UNITS)].abs() * torch.tensor(POSE_UNITS)).mean(0)
        show = lambda v: f"pitch, yaw, roll {', '.join(f'{x:.2f}' for x in np.degrees(v[:3]))} deg, shift {v[3]:.3f}, {v[4]:.3f} cm, scale {v[5]:.4f}"  # noqa: E731
        depth = float((found.depth[..., 0] - true[:, len(POSE_UNITS) : -1] * DEPTH_UNIT).abs().mean())
        print(f"{name}: {show(off)}, depth {depth:.3f} cm, doubt {float(found.doubt.mean()):.2f} (the mean face: {show(fit)})", flush=True)


def train(faces: Faces, *, people: int, minutes: float, batch: int, rate: float, out: Path, start: Path | None, seed: int = 1) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    began = time.time()
    given, true = faces.draw(rng, people)
    print(f"{len(given)} people in {time.time() - began:.0f} s", flush=True)
    lifter = (load(start) if start else Lifter()).train()
    if not start:
        lifter.mean.copy_(given.mean(0))
        lifter.deviation.copy_(given.std(0) + 0.01)
    optimiser = torch.optim.AdamW(lifter.parameters(), lr=rate, weight_decay=1e-3)
    run = Timed(lifter, out, minutes=minutes, batch=batch, rate=rate)
    while run.part < 1:
        run.set_rate(optimiser)
        rows = torch.randint(0, len(given), (batch,))
        parts = errors(lifter(*split(given[rows])), true[rows])
        parts["pose"] = parts["pose"] * 5  # a degree too much shows more than a millimetre of depth
        run.learn(optimiser, parts.values())
        run.report(parts)
        run.keep()
    run.keep(now=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--tracks", type=Path, default=FACEKIT.parents[1] / "motion-tracks")
    parser.add_argument("--data", type=Path, help="shards of heads.generate")
    parser.add_argument("--people", type=int, default=450_000)
    parser.add_argument("--minutes", type=float, default=8, help="of processor time, after the people are made")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    a = parser.parse_args()
    torch.set_num_threads(1)
    t = tables(a.facekit)
    faces = Faces.open(load_rig(a.facekit), t, load_tracks(a.tracks), Errors.measure(a.data, t.landmarks) if a.data else None)
    train(faces, people=a.people, minutes=a.minutes, batch=a.batch, rate=a.rate, out=a.out, start=a.start, seed=a.seed)
    validate(load(a.out), faces)


if __name__ == "__main__":
    main()
