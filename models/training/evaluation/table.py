"""Writes the figures as Markdown between two marker comments of the model card, which name the section, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SECTION = "evaluation"

# (key, heading, digits, better: "up" or "down")
RECONSTRUCTION = (
    ("l1", "L1", 4, "down"), ("psnr", "PSNR", 2, "up"), ("psnrMouth", "PSNR mouth", 2, "up"), ("psnrEyes", "PSNR eyes", 2, "up"),
    ("psnrForeground", "PSNR person", 2, "up"), ("psnrInside", "PSNR inside mouth", 2, "up"), ("psnrEyeballs", "PSNR eyeballs", 2, "up"), ("ssim", "SSIM", 3, "up"), ("msSsim", "MS-SSIM", 3, "up"), ("akd", "AKD px", 2, "down"),
    ("akdMouth", "AKD-M px", 2, "down"), ("identityDistance", "identity distance", 3, "down"),
    ("warpingError", "temporal warping error", 2, "none"),
)
COST = (("gflop", "GFLOP", 3, "none"), ("parameters", "parameters", -1, "none"), ("ms", "ms/frame", 1, "none"))
REENACTMENT = (
    ("identitySimilarity", "identity similarity", 3, "up"), ("poseError", "pose error °", 2, "down"),
    ("expressionError", "expression error", 3, "down"),
)


def cell(value: float | None, digits: int) -> str:
    """A number with `digits` decimals, -1 for a count in millions; a dash where nothing was measured."""
    if value is None:
        return "–"
    return f"{value / 1e6:.2f} M" if digits < 0 else f"{value:.{digits}f}"


def markdown_table(
    rows: Sequence[tuple[str, dict[str, float | None]]], columns: Sequence[tuple[str, str, int, str]], floor: frozenset[str] = frozenset(),
) -> str:
    """One table; the best figure of a column is bold when at least two rows compete for it (those not in `floor`)."""
    arrow = {"up": " ↑", "down": " ↓", "none": ""}
    lines = ["| row | " + " | ".join(title + arrow[better] for _, title, _, better in columns) + " |", "|---|" + "---:|" * len(columns)]
    best = {}
    for key, _, _, better in columns:
        values = [figures[key] for name, figures in rows if figures.get(key) is not None and name not in floor]
        if better != "none" and len(values) > 1:
            best[key] = max(values) if better == "up" else min(values)
    for name, figures in rows:
        cells = []
        for key, _, digits, _ in columns:
            text = cell(figures.get(key), digits)
            won = name not in floor and figures.get(key) is not None and figures.get(key) == best.get(key)
            cells.append(f"**{text}**" if won else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(result: dict[str, Any], section: str = SECTION) -> str:
    """The card's section, from the object that its JSON file holds."""
    rows, floor = result["rows"], frozenset({"source copied"})
    parts = [f"## {section.replace('-', ' ').capitalize()}", "", result["conditions"], "", "### Same identity", "",
             markdown_table([(r["name"], {**r["reconstruction"], **r["cost"]}) for r in rows], RECONSTRUCTION + COST, floor)]
    if any(r["reenactment"] for r in rows):
        parts += ["", "### Another person's motion", "", markdown_table([(r["name"], r["reenactment"]) for r in rows], REENACTMENT, floor)]
    views = result.get("views") or []
    if views:
        parts += ["", "### Free view: PSNR of the person against the studio's own picture, dB", "",
                  markdown_table([(r["name"], {v: r["freeView"].get(v, {}).get("psnrForeground") for v in views}) for r in rows],
                                 [(v, v, 2, "up") for v in views], floor)]
    notes = [f"- {r['name']}: {r['note']}" for r in rows if r["note"]] + [f"- {n}" for n in result["notes"]]
    if notes:
        parts += ["", *notes]
    return "\n".join(parts)


def write_section(card: Path, text: str, section: str = SECTION) -> None:
    """Puts `text` between the section's markers of the card, which are made at the end where they are missing."""
    old = card.read_text() if card.exists() else ""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    block = f"{begin}\n{text}\n{end}"
    if begin in old and end in old[old.index(begin):]:
        start = old.index(begin)
        stop = old.index(end, start) + len(end)
        new = old[:start] + block + old[stop:]
    else:
        new = (old.rstrip("\n") + "\n\n" if old.strip() else "") + block + "\n"
    card.parent.mkdir(parents=True, exist_ok=True)
    card.write_text(new)


def write_json(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
