"""Renders the built-in portraits: python -m studio.portraits --out ../portraits"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from .backdrop import paint_room
from .facekit import Facekit, load_facekit
from .grade import develop
from .people import PEOPLE
from .person import Person, build
from .renderer import render

HERE = Path(__file__).resolve()
ROOT = HERE.parents[3]
CREDIT = "Rendered by Facewire's portrait studio from ICT-FaceKit (MIT)"
JPEG_QUALITY = 95
ATTEMPTS = 3


def photograph(kit: Facekit, person: Person, *, size: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (sRGB uint8 size×size×3, landmarks 68×2 in pixels)."""
    scene = build(kit, person, size=size, detail=2 if size >= 400 else 1)
    picture = render(scene.surfaces, scene.strands, scene.camera, person.lights, samples=samples, seed=person.skin.seed)
    image = develop(picture, paint_room(person.room, size), size / scene.camera.width_cm)
    return image, scene.camera.project(scene.landmarks)


def write_portrait(folder: Path, person: Person, image: np.ndarray, landmarks: np.ndarray) -> None:
    Image.fromarray(image).save(folder / f"{person.id}.jpg", quality=JPEG_QUALITY, subsampling=0)
    points = [[round(float(x), 2), round(float(y), 2)] for x, y in landmarks]
    record = {"id": person.id, "name": person.name, "landmarks": points, "credit": CREDIT}
    (folder / f"{person.id}.json").write_text(json.dumps(record) + "\n")


def contact_sheet(folder: Path, file: Path, tile: int = 256) -> None:
    """All portraits of the folder side by side, in rows of four."""
    images = [Image.open(folder / f"{p.id}.jpg").resize((tile, tile), Image.Resampling.LANCZOS) for p in PEOPLE
              if (folder / f"{p.id}.jpg").exists()]
    columns = 4
    sheet = Image.new("RGB", (columns * tile, -(-len(images) // columns) * tile))
    for k, image in enumerate(images):
        sheet.paste(image, (k % columns * tile, k // columns * tile))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file, quality=88)


def _in_child(person: Person, options: argparse.Namespace) -> None:
    """One process a portrait: Mitsuba's LLVM back end crashes now and then (3.9.1), and must not take the rest along."""
    command = [sys.executable, "-m", "studio.portraits", "--here", "--only", person.id, "--out", str(options.out)]
    command += ["--facekit", str(options.facekit), "--size", str(options.size), "--samples", str(options.samples)]
    # One thread a process, as in the renderer: the jobs fill the cores.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for attempt in range(1, ATTEMPTS + 1):
        code = subprocess.run(command, cwd=HERE.parents[1], env=environment, check=False).returncode
        if code == 0:
            return
        if code > 0:
            raise SystemExit(f"{person.id}: rendering failed with code {code}, see above")
        print(f"{person.id}: attempt {attempt} of {ATTEMPTS} ended with code {code}", file=sys.stderr, flush=True)
    raise SystemExit(f"{person.id} could not be rendered; try STUDIO_VARIANT=scalar_rgb, which is slower but plain")


def _here(person: Person, options: argparse.Namespace) -> None:
    start = time.monotonic()
    kit = load_facekit(options.facekit)
    image, landmarks = photograph(kit, person, size=options.size, samples=options.samples)
    write_portrait(options.out, person, image, landmarks)
    print(f"{person.id}: {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "models/portraits")
    parser.add_argument("--facekit", type=Path, default=ROOT.parent / "shared/ict-facekit")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--samples", type=int, default=192, help="light paths per pixel")
    parser.add_argument("--only", nargs="*", help="ids of portraits to render")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="portraits rendered at a time, each on one thread")
    parser.add_argument("--here", action="store_true", help="render in this process, one after another, and do not retry")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet of --out here")
    options = parser.parse_args()
    options.out, options.facekit = options.out.resolve(), options.facekit.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = [person for person in PEOPLE if not options.only or person.id in options.only]
    if options.here:
        for person in chosen:
            _here(person, options)
    else:
        with ThreadPoolExecutor(max(1, options.jobs)) as pool:
            # list() raises what the first failed portrait raised; those under way are finished first.
            list(pool.map(lambda person: _in_child(person, options), chosen))
    if options.sheet:
        contact_sheet(options.out, options.sheet)


if __name__ == "__main__":
    main()
