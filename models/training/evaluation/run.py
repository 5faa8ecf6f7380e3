"""Evaluates renderers on test identities and writes the table into a model card.

    cd models/training
    python -m evaluation.run --data /tmp/facewire-heads --identities 20 --seed 0 \\
        --rows source,warp,portrait,portrait+int8,portrait+float16,portrait+tracker,face-vid2vid --out ../portrait/

Every row sees the same frames. `--packages NAME=FOLDER` adds further packages (ablations); a row whose package or
checkpoint is missing stays in the table with its note and without figures. Figures whose means are missing stay empty.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from evaluation.data import DataMissing, Person, load_people
from evaluation.identity import load_embedder
from evaluation.rows import PackageRow, Row, SourceRow, TrackedRow, package_version, samples_behind
from evaluation.scenes import VIEWS, Scenes, fresh_people, load_scenes, open_studio
from evaluation.suite import Judges, flicker, free_view, judge_the_judges, reconstruct, reenact
from evaluation.table import SECTION, cell, report, write_json, write_section
from evaluation.trackers import Remembering, load_tracker

ROOT = Path(__file__).resolve().parents[3]
ROWS = "source,warp,portrait,portrait+int8,portrait+float16,portrait+tracker,face-vid2vid"
TRACKED = "+tracker"
PRECISIONS = ("+int8", "+float16")


def make_rows(names: list[str], packages: list[str], checkpoint: Path | None, threads: int) -> tuple[list[Row], list[dict]]:
    """Rows that can run, and table entries of those that cannot, with what would make them run."""
    rows: list[Row] = []
    absent: list[dict] = []
    added: list[str] = []
    folders = {name: ROOT / "models" / name.partition("+")[0] for name in names if name not in ("source", "face-vid2vid")}
    for entry in packages:
        name, equals, folder = entry.partition("=")
        if not equals:
            raise SystemExit(f"--packages {entry}: expected NAME=FOLDER")
        folders[name] = Path(folder)
        added.append(name)
    for name in dict.fromkeys([*names, *folders]):
        if name == "source":
            rows.append(SourceRow())
        elif name == "face-vid2vid":
            from evaluation.peer_row import face_vid2vid_row

            made, told = face_vid2vid_row(checkpoint, threads)
            rows += made
            absent += told
        elif not (folders[name] / "manifest.json").exists():
            absent.append(entry_of(name, note=f"not measured, {folders[name]} has no manifest.json"))
        elif name.endswith(TRACKED):
            rows.append(TrackedRow(name, folders[name], threads=threads))
        else:
            precision = name.partition("+")[2] if name.endswith(PRECISIONS) else ""
            row = PackageRow(name, folders[name], threads=threads, precision=precision)
            if name in added and (samples := samples_behind(folders[name])):
                row.note = f"trained on {samples:,} samples"
            rows.append(row)
    return rows, absent


def entry_of(name: str, *, note: str = "", cost: dict | None = None) -> dict:
    """A row of the result without figures."""
    return {"name": name, "note": note, "reconstruction": {}, "reenactment": {}, "freeView": {}, "cost": cost or {}}


def measure(row: Row, people: list[Person], judges: Judges, scenes: Scenes) -> dict:
    """All figures of one row."""
    entry = entry_of(row.name, note=row.note)
    began = time.perf_counter()
    entry["reconstruction"] = reconstruct(row, people, judges)
    if scenes.clips:
        entry["reconstruction"] |= flicker(row, scenes.clips)
    entry["reenactment"] = reenact(row, people, judges)
    if scenes.views:
        entry["freeView"] = free_view(row, scenes.views, VIEWS, judges)
    entry["cost"] = vars(row.cost()).copy()
    psnr = entry["reconstruction"].get("psnr")
    say(f"{row.name}: PSNR {psnr if psnr is None else round(psnr, 2)} in {time.perf_counter() - began:.0f} s")
    return entry


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"), help="data set of models/training/heads")
    parser.add_argument("--identities", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="which test identities are drawn, or rendered with --fresh")
    parser.add_argument("--fresh", action="store_true", help="render identities nobody has seen instead of drawing from the test shards")
    parser.add_argument("--rows", default=ROWS, help="source, face-vid2vid, or names of packages in models/; NAME+tracker: a package that has to find the landmarks; NAME+int8, NAME+float16: its renderers of that precision")
    parser.add_argument("--packages", nargs="*", default=[], metavar="NAME=FOLDER", help="further model packages, such as ablations")
    parser.add_argument("--checkpoint", type=Path, help="of peer.train, for the face-vid2vid row; models/training/peer/narrow.pt without")
    parser.add_argument("--no-studio", action="store_true", help="skip free view and temporal error, which models/training/heads renders")
    parser.add_argument("--studio-identities", type=int, default=6, help="identities in free view and temporal error")
    parser.add_argument("--tracker", type=Path, default=ROOT / "models/tracker", help="package that finds landmarks and motion")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "models/portrait", help="folder of card.md and evaluation.json")
    parser.add_argument("--section", default=SECTION, help="of the card, and the JSON file's name: another table beside the first")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def gather_judges(folder: Path, notes: list[str]) -> Judges:
    """The judges at hand; what is missing goes to the notes."""
    tracker, why = load_tracker(folder)
    notes += [why] if why else []
    embedder, why = load_embedder()
    notes += [why] if why else []
    return Judges(Remembering(tracker) if tracker else None, Remembering(embedder) if embedder else None)


def gather_pictures(options: argparse.Namespace, notes: list[str]) -> tuple[list[Person], Scenes]:
    """Test identities, and what the studio renders for free view and clips."""
    studio = None
    if options.fresh or not options.no_studio:
        studio, why = open_studio()
        notes += [why] if why else []
    if options.fresh:
        if studio is None:
            raise SystemExit(notes[-1])
        people = fresh_people(studio, options.identities, options.seed)
    else:
        try:
            people = load_people(options.data, count=options.identities, seed=options.seed)
        except DataMissing as missing:
            raise SystemExit(str(missing)) from missing
    if len(people) < options.identities:
        notes.append(f"{options.identities} identities were asked for, the test shards hold {len(people)}")
    if studio is None or options.no_studio:
        return people, Scenes([], [])
    began = time.perf_counter()
    scenes = load_scenes(studio, options.studio_identities, options.seed, options.data / "evaluation")
    true = flicker(None, scenes.clips)["warpingError"]
    notes.append(
        f"free view and temporal warping error: {len(scenes.views)} identities rendered for it. The truth's own warping error is "
        f"{cell(true, 2)} (levels of 0..255, on skin, eyes, mouth and clothes); "
        "less than that is a picture stiller or softer than it should be"
    )
    say(f"studio: {len(scenes.views)} identities in {time.perf_counter() - began:.0f} s")
    return people, scenes


def notes_on_judges(own: dict[str, float | None]) -> list[str]:
    """What the judges' figures are worth."""
    notes = []
    if own.get("landmarks") is not None:
        notes.append(
            f"the tracker itself, on the true pictures: {own['landmarks']:.2f} px from the true landmarks, pose {own['pose']:.1f}° and "
            f"coefficients {own['expression']:.3f} from the true motion; AKD and the errors to the driver compare tracker with tracker"
        )
        if own["expression"] > 0.8 * own["expressionOfConstant"]:
            notes.append(
                f"the expression error tells little of small coefficients: always saying the median would be off by {own['expressionOfConstant']:.3f}; "
                "models/tracker/card.md says which ones the tracker sees"
            )
    if own.get("similarity") is not None:
        notes.append(
            f"true frames of a person have an identity similarity of {own['similarity']:.3f} to their own portrait. The network is "
            "small and trained on the studio's people (evaluation/identity.json). It looks where the head ought to be, so that a copied "
            "portrait loses by being elsewhere"
        )
    return notes


def main(arguments: list[str] | None = None) -> dict:
    options = parse(arguments)
    notes: list[str] = []
    names = [n for n in options.rows.split(",") if n]
    rows, absent = make_rows(names, options.packages, options.checkpoint, options.threads)
    judges = gather_judges(options.tracker, notes)
    people, scenes = gather_pictures(options, notes)
    own = judge_the_judges(people, judges)
    notes += notes_on_judges(own)
    measured = [measure(row, people, judges, scenes) for row in rows]
    drawn = f"rendered fresh with seed {options.seed}" if options.fresh else f"drawn with seed {options.seed}"
    pairs = sum(len(p.images) - 1 for p in people)
    result = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": "python -m evaluation.run " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, ONNX Runtime CPU, {options.threads} threads",
        "conditions": (
            f"{len(people)} test identities {drawn}, {pairs} pairs at 256², frame 0 of each is the portrait. Means over frames. "
            "L1 in 0..1; PSNR in dB, boxes of mouth and eyes from the true landmarks, insides of mouths (cavity, teeth, tongue) and eyeballs where the truth shows them; AKD (AKD-M: mouth) between landmarks that the "
            "tracker finds in output and truth, pixels at 256. ms: renderer at batch 1 on two threads, best of repeated runs. "
            f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores meanwhile: "
            "above that, ms are too high. A dash was not measured."
        ),
        "identities": [p.identity for p in people],
        "packages": {r.name: package_version(r.folder) for r in rows if isinstance(r, PackageRow)},
        "views": [name for name, _, _ in VIEWS] if scenes.views else [],
        "rows": in_order([*measured, *absent], [*names, *(p.partition("=")[0] for p in options.packages)]),
        "judges": own,
        "notes": notes,
    }
    write_section(options.out / "card.md", report(result, options.section), options.section)
    write_json(options.out / f"{options.section}.json", result)
    print(json.dumps({e["name"]: e["reconstruction"].get("psnr") for e in result["rows"]}))
    return result


def in_order(entries: list[dict], names: list[str]) -> list[dict]:
    """Entries in the order they were asked for; face-vid2vid may have two, a narrow one and the full width."""

    def place(entry: dict) -> int:
        own = entry["name"]
        exact = [i for i, n in enumerate(names) if own == n]
        return (exact or [i for i, n in enumerate(names) if own.startswith((f"{n},", f"{n} "))] or [len(names)])[0]

    return sorted(entries, key=place)


if __name__ == "__main__":
    main()
