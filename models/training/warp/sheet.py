"""Draws docs/pictures/warp-sheet.jpg: built-in portraits by expressions and poses, to be judged by eye.

    python models/training/warp/sheet.py [--portraits models/portraits] [--count 6] [--size 256]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from warp.run import Package, motion_row, pose_angles, read_portrait, stack  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


def sides(name: str, value: float) -> dict[str, float]:
    return {f"{name}Left": value, f"{name}Right": value}


EXPRESSIONS = {
    "neutral": {},
    "open": {"jawOpen": 0.75},
    "smile": {**sides("mouthSmile", 0.9), **sides("cheekSquint", 0.5)},
    "laugh": {**sides("mouthSmile", 0.9), **sides("mouthUpperUp", 0.4), **sides("cheekSquint", 0.6), "jawOpen": 0.35},
    "blink": sides("eyeBlink", 1.0),
    "gaze": {"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8},
    "pucker": {"mouthPucker": 1.0},
    "brows": {"browInnerUp": 1.0, **sides("browOuterUp", 0.9), **sides("eyeWide", 0.6)},
}
POSES = {
    "yaw -25": {"yaw": -25}, "yaw -12": {"yaw": -12}, "yaw 12": {"yaw": 12}, "yaw 25": {"yaw": 25},
    "pitch -12": {"pitch": -12}, "pitch 12": {"pitch": 12},
}


def sheet(package: Package, portraits: list[Path], size: int) -> Image.Image:
    pairs = [read_portrait(p) for p in portraits]
    avatars = [package.encode(*pair) for pair in pairs]
    bank = stack(avatars)
    rows = []
    for slot, avatar in enumerate(avatars):
        pitch, yaw, roll = pose_angles(avatar)
        own = {"pitch": pitch, "yaw": yaw, "roll": roll}
        motions = [motion_row(**own, **e) for e in EXPRESSIONS.values()]
        motions += [motion_row(**{k: np.radians(v) for k, v in p.items()}) for p in POSES.values()]
        motion = np.stack(motions)
        rgb, _ = package.render(bank, [slot] * len(motion), motion, np.zeros((len(motion), 2)), size)
        source = np.asarray(Image.fromarray(pairs[slot][0]).resize((size, size), Image.Resampling.BOX))
        rows.append(np.concatenate([source, *rgb], 1))
    head = 18
    picture = Image.new("RGB", (rows[0].shape[1], head + len(rows) * size), "white")
    picture.paste(Image.fromarray(np.concatenate(rows)), (0, head))
    pen = ImageDraw.Draw(picture)
    for i, label in enumerate(["portrait", *EXPRESSIONS, *POSES]):
        pen.text((i * size + 6, 3), label, fill="black")
    return picture


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, default=ROOT / "models/warp")
    parser.add_argument("--portraits", type=Path, default=ROOT / "models/portraits")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures/warp-sheet.jpg")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--size", type=int, choices=(128, 256, 512), default=256)
    arguments = parser.parse_args()
    found = sorted(p for p in arguments.portraits.iterdir() if p.suffix in (".jpg", ".png") and p.with_suffix(".json").exists())
    if not found:
        parser.error(f"{arguments.portraits} has no portrait (image with a .json beside it)")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(Package(arguments.package), found[: arguments.count], arguments.size).save(arguments.out, quality=68, optimize=True)
    print(arguments.out)
