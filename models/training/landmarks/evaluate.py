"""Measures the reader and its rivals on people never seen, moved by tracks that no training saw. Writes a table, and all of it as JSON.

    cd models/training && python -m landmarks.evaluate --short /tmp/short --json ../landmarks/evaluation.json

--short: a folder with the readers trained equally long, each without one part (short-none.pt, short-codes.pt, short-time.pt, short-memory.pt).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from heads.rig import load_rig
from landmarks.classical import fit
from landmarks.codes import nearest
from landmarks.export import PACKAGE, load
from landmarks.faces import Faces, rotations
from landmarks.features import corrected, features, solver
from landmarks.layout import GROUPS, LANDMARKS
from landmarks.network import Reader
from landmarks.tracks import ADDED, HELD_OUT, eased, read_tracks
from landmarks.train import LOOKS, TRACKS, Tracked, shape_products
from landmarks.trackers import Trackers
from portrait.prepare import FACEKIT
from warp.facekit import EXPRESSIONS

PEOPLE, SEED = 10, 1_000_000  # for each track and kind of turn
STILL = 45  # frames at the end in which nothing moves but the tracker's noise
BANDS = ((0, 20), (20, 40), (40, 60))  # degrees of yaw
PLAIN = 0.3  # cm; coefficients that move some landmark further than this in the picture can be seen
SHORT = {"ours, short": "none", "without codes": "codes", "without time": "time", "without memory": "memory"}


@dataclass(frozen=True)
class Stream:
    """A tracked video, as Tracked with B = 1, of a person whose landmarks at rest are rest [68,3]."""

    seen: Tracked
    rest: Tensor


def streams(faces: Faces, tracks: list, seed: int = SEED, people: int = PEOPLE) -> list[Stream]:
    """Each track on several people: as it is, and turned up to 60° to the sides; then the last frame held."""
    rng, g, trackers, out = np.random.default_rng(seed), torch.Generator().manual_seed(seed), Trackers(faces), []
    for track in tracks:
        for turned in (False, True):
            for person in range(people):
                motion = np.concatenate([track.motion, np.repeat(track.motion[-1:], STILL, 0)])
                if turned:
                    seconds = np.arange(len(motion)) / track.rate
                    keys = np.arange(0, seconds[-1] + 4, 2.0)
                    turn = rng.uniform(-1, 1, (len(keys), 3)) * ADDED * [0.5, 1, 0.5]
                    turn[-3:] = turn[-3]  # still at the end
                    motion[:, :3] += eased(seconds, keys, turn)
                    motion[-STILL:] = motion[-STILL]
                dt = torch.full((1, len(motion)), 1000 / track.rate)
                rest, balls = faces.people(rng, 1)
                found = trackers.find(rest, balls, torch.from_numpy(motion[None]).float(), dt, g)
                irises = torch.full((1, len(motion)), float(person % 2))
                out.append(Stream(Tracked(found[0], irises, dt, found[1], found[2]), rest[0, :LANDMARKS]))
    return out


@torch.no_grad()
def read_by(reader: Reader, faces: Faces, all_streams: list[Stream], hard: bool = False) -> list[tuple[Tensor, Tensor]]:
    """(pose [T,6], expression [T,52]) of each stream; hard: the likeliest code in each place, no mixture."""
    solve, out = torch.from_numpy(solver(faces.mean.numpy())), []
    for s in all_streams:
        given = features(s.seen.points, s.seen.irises, s.seen.dt, faces.mean, solve)
        read = reader(given)
        expression = read.expression.clone()
        if hard:
            for name, (indices, _, _) in GROUPS.items():
                expression[..., indices] = reader.codes[name].decoded(nearest(read.logits[name]))
        out.append((corrected(given.pose, read.correction)[0], expression[0].clamp(0, 1)))
    return out


def fitted_by(faces: Faces, all_streams: list[Stream], told: bool) -> list[tuple[Tensor, Tensor]]:
    lengths = [s.seen.points.shape[1] for s in all_streams]
    rest = torch.cat([s.rest.expand(n, -1, -1) for s, n in zip(all_streams, lengths, strict=True)]) if told else None
    pose, expression = fit(faces, torch.cat([s.seen.points[0] for s in all_streams]), torch.cat([s.seen.irises[0] for s in all_streams]), rest)
    return list(zip(pose.split(lengths), expression.split(lengths), strict=True))


def neutral(all_streams: list[Stream]) -> list[tuple[Tensor, Tensor]]:
    return [(torch.cat([torch.zeros(len(s.seen.pose[0]), 3), s.seen.pose[0, :, 3:]], 1), torch.zeros_like(s.seen.expression[0])) for s in all_streams]


def visible(faces: Faces) -> list[int]:
    """Coefficients that landmarks can tell; gaze is counted where there are irises only."""
    moves = faces.expression[:, :LANDMARKS, :2].norm(dim=-1).amax(1)
    return [i for i in range(len(EXPRESSIONS)) if moves[i] > PLAIN and i not in LOOKS]


def degrees_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle [N] of the turn from one pose [N,3] to another."""
    trace = (rotations(a.double()) * rotations(b.double())).sum((-1, -2))
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()).float()


def measure(read: list[tuple[Tensor, Tensor]], all_streams: list[Stream], products: Tensor, seen: list[int]) -> dict:
    pose, expression = (torch.cat(v) for v in zip(*read, strict=True))
    true_pose, true = torch.cat([s.seen.pose[0] for s in all_streams]), torch.cat([s.seen.expression[0] for s in all_streams])
    irises = torch.cat([s.seen.irises[0] for s in all_streams]) > 0
    off = expression - true
    mm = ((off @ products) * off).sum(-1).clamp(min=0).sqrt()
    turn = degrees_between(pose[:, :3], true_pose[:, :3])
    place = (pose[:, 3:5] - true_pose[:, 3:5]).norm(dim=1) * torch.exp(-true_pose[:, 5]) * 10
    still = lambda values: torch.stack([torch.diff(v[-STILL + 1 :], dim=0).abs().mean() for v in values]).mean()  # noqa: E731
    yaw = torch.rad2deg(true_pose[:, 1].abs())
    rows = {"all": yaw < 90} | {f"{a}–{b}°": (yaw >= a) & (yaw < b) for a, b in BANDS}
    bands = {
        name: {
            "frames": int(rows_of.sum()), "poseDeg": float(turn[rows_of].mean()), "coefficient": float(off[rows_of].abs().mean()),
            "seenCoefficient": float(off[rows_of][:, seen].abs().mean()), "gaze": float(off[rows_of & irises][:, LOOKS].abs().mean()),
            "shapeMm": float(mm[rows_of].mean()), "placeMm": float(place[rows_of].mean()),
            "sizePercent": float((pose[rows_of, 5] - true_pose[rows_of, 5]).abs().mean() * 100),
        }
        for name, rows_of in rows.items()
        if rows_of.any()
    }
    trembles = {"trembleDeg": float(torch.rad2deg(still([p[:, :3] for p, _ in read]))), "tremble": float(still([e for _, e in read]))}
    return {**bands, **trembles}


def table(results: dict[str, dict], *, short: bool = False) -> str:
    """short: means over all frames alone."""
    names = [] if short else [f"{a}–{b}°" for a, b in BANDS]
    columns = [("pose, °", "all", "poseDeg", 2), *((f"at {b}", b, "poseDeg", 2) for b in names)]
    columns += [("coefficients", "all", "coefficient", 4), ("seen", "all", "seenCoefficient", 4)]
    columns += [] if short else [("gaze", "all", "gaze", 4)]
    columns += [("shape, mm", "all", "shapeMm", 2), *((f"at {b}", b, "shapeMm", 2) for b in names)]
    columns += [] if short else [("trembles, °", None, "trembleDeg", 3), ("coefficients", None, "tremble", 4)]
    lines = ["| " + " | ".join(["", *(c[0] for c in columns)]) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name, r in results.items():
        cells = [f"{(r[band] if band else r)[key]:.{digits}f}" for _, band, key, digits in columns]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--tracks", type=Path, default=TRACKS)
    parser.add_argument("--weights", type=Path, default=PACKAGE / "landmarks.bin")
    parser.add_argument("--short", type=Path, help="folder of the readers that lack a part")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    rig = load_rig(a.facekit)
    faces = Faces.open(rig)
    all_streams = streams(faces, read_tracks(a.tracks, HELD_OUT), people=a.people)
    products, seen = shape_products(rig.basis.reshape(52, -1, 3)[:, :9409:8]), visible(faces)
    rivals: dict[str, Callable[[], list[tuple[Tensor, Tensor]]]] = {
        "neutral always": lambda: neutral(all_streams),
        "least squares": lambda: fitted_by(faces, all_streams, told=False),
        "least squares, told the person's face": lambda: fitted_by(faces, all_streams, told=True),
        "**ours**": lambda: read_by(load(a.weights), faces, all_streams),
    }
    if load(a.weights).codes is not None:
        rivals["ours, likeliest codes alone"] = lambda: read_by(load(a.weights), faces, all_streams, hard=True)
    if a.short:
        rivals |= {name: lambda f=f: read_by(load(a.short / f"short-{f}.pt", time=f != "time"), faces, all_streams) for name, f in SHORT.items()}
    results = {}
    for name, rival in rivals.items():
        results[name] = measure(rival(), all_streams, products, seen)
        print(name, {k: round(v, 4) for k, v in results[name]["all"].items()}, flush=True)
    print(table(results))
    if a.json:
        a.json.write_text(json.dumps({"people": a.people, "tracks": HELD_OUT, "seen": [EXPRESSIONS[i] for i in seen], "rows": results}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
