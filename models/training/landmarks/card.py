"""Writes models/landmarks/card.md from what landmarks.evaluate and landmarks.pictures measured.

    cd models/training && python -m landmarks.card
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import nn

from landmarks.evaluate import table
from landmarks.export import PACKAGE, VERSION, load
from landmarks.features import Frames
from landmarks.layout import CODE, CODES, INPUTS, POINTS, TOKENS, WIDTH, WINDOW
from landmarks.network import Reader

TEXT = Path(__file__).with_name("card.txt")


def multiplications(reader: Reader) -> int:
    """Of the linear layers, a frame."""
    counts: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, out: counts.append(out.numel() * layer.in_features))
        for layer in reader.modules()
        if isinstance(layer, nn.Linear)
    ]
    reader(Frames([torch.zeros(1, 1, n) for n in INPUTS], torch.zeros(1, 1, 6), torch.full((1, 1), 33.0)))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluation", type=Path, default=PACKAGE / "evaluation.json")
    parser.add_argument("--pictures", type=Path, default=PACKAGE / "pictures.json")
    a = parser.parse_args()
    measured, pictures = json.loads(a.evaluation.read_text()), json.loads(a.pictures.read_text())
    reader = load(PACKAGE / "landmarks.bin")
    rows = measured["rows"]
    frames = rows["neutral always"]
    counts = ", ".join(f"{band['frames']:,} at {name}" for name, band in frames.items() if isinstance(band, dict) and name != "all")
    facts = {
        "version": VERSION, "table": table(rows), "people": measured["people"] * len(measured["tracks"]) * 2,
        "tracks": ", ".join(measured["tracks"]), "frames": f"{frames['all']['frames']:,}", "counts": counts,
        "unseen": 52 - 8 - len(measured["seen"]), "place": f"{rows['**ours**']['all']['placeMm']:.1f}", "size": f"{rows['**ours**']['all']['sizePercent']:.1f}",
        "parameters": f"{sum(p.numel() for k, p in reader.named_parameters() if '.encoder.' not in k) / 1000:.0f},000",
        "multiplications": f"{multiplications(reader) / 1e6:.2f}", "kilobytes": f"{(PACKAGE / 'landmarks.bin').stat().st_size / 1000:.0f}",
        "pictures": table(pictures["rows"], short=True), "filmed": pictures["rows"]["neutral always"]["all"]["frames"],
        "points": POINTS, "tokens": TOKENS, "width": WIDTH, "window": WINDOW, "codes": CODES, "code": CODE,
    }
    (PACKAGE / "card.md").write_text(TEXT.read_text().format(**facts))


if __name__ == "__main__":
    main()
