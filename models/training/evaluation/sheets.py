"""Contact sheets of a model package, to be judged by eye.

    cd models/training
    python -m evaluation.sheets --package ../portrait --data /tmp/facewire-heads --out ../../docs/pictures

Writes NAME-identities.jpg (test identities x motions: truth, warp, the package), NAME-yaw.jpg (-45 to 45 degrees),
NAME-expressions.jpg (edits of the 52 coefficients by hand) and NAME-strangers.jpg (portraits unlike the studio's), these
two with eyes and mouths enlarged, and NAME-sides.jpg (the built-in portraits and the side pictures that the encoder made of
them), if the package has such. Sheets that need test shards are left out without them.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from evaluation.data import DataMissing, Person, drive_rows, load_people
from evaluation.metrics import LEFT_EYE, MOUTH, RIGHT_EYE
from evaluation.placement import Placement, load_warp
from evaluation.rows import SIZE, Drive, PackageRow
from evaluation.scenes import VIEWS, load_scenes, open_studio
from evaluation.strangers import STRANGERS
from warp.run import motion_row, read_portrait
from warp.sheet import sides

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 400_000  # bytes of a sheet
HEAD = 18  # pixels of the caption line

EDITS = {
    "neutral": {},
    "smile": {**sides("mouthSmile", 0.9), **sides("cheekSquint", 0.5)},
    "laugh": {
        **sides("mouthSmile", 0.9), **sides("mouthUpperUp", 0.5), **sides("mouthLowerDown", 0.4), **sides("cheekSquint", 0.6),
        "jawOpen": 0.35,
    },
    "jaw": {"jawOpen": 0.8},
    "pucker": {"mouthPucker": 1.0},
    "brows up": {"browInnerUp": 1.0, **sides("browOuterUp", 0.9), **sides("eyeWide", 0.6)},
    "brows down": {**sides("browDown", 1.0), **sides("noseSneer", 0.5), **sides("mouthFrown", 0.6)},
    "gaze left": {"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8},
    "gaze up": sides("eyeLookUp", 0.9),
    "blink": sides("eyeBlink", 1.0),
}
YAWS = (-45, -30, -15, 0, 15, 30, 45)


def grid(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], tile: int) -> Image.Image:
    """Rows of pictures of any shape, each scaled to `tile` wide, under a line of captions."""
    strips = []
    for row in rows:
        size = lambda p: (tile, round(tile * p.shape[0] / p.shape[1]))  # noqa: E731
        cells = [np.asarray(Image.fromarray(p).resize(size(p), Image.Resampling.LANCZOS)) for p in row]
        strips.append(np.concatenate(cells, 1))
    width = max(s.shape[1] for s in strips)
    strips = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    body = np.concatenate(strips)
    sheet = Image.new("RGB", (width, HEAD + len(body)), "white")
    sheet.paste(Image.fromarray(body), (0, HEAD))
    pen = ImageDraw.Draw(sheet)
    for i, caption in enumerate(captions):
        pen.text((i * tile + 4, 3), caption, fill="black")
    return sheet


def save(sheet: Image.Image, file: Path, limit: int = LIMIT) -> int:
    """JPEG at the best quality that keeps to `limit` bytes; the quality. Raises ValueError where none does."""
    for quality in range(88, 30, -4):
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(buffer.getvalue())
            return quality
    raise ValueError(f"{file.name} ({sheet.width}x{sheet.height}) is over {limit} bytes even at quality 32: fewer or smaller tiles")


def enlarged(frame: np.ndarray, landmarks: np.ndarray, parts: Sequence[slice], *, band: float, drop: float = 0.0) -> np.ndarray:
    """The part of a frame around some landmarks, `band` times as high as wide, lowered by `drop` of its height."""
    points = np.concatenate([landmarks[p] for p in parts])
    half = (points[:, 0].max() - points[:, 0].min()) * 0.75
    middle = (points.min(0) + points.max(0)) / 2 + [0, drop * 2 * half * band]
    corner = np.concatenate([middle - [half, half * band], middle + [half, half * band]])
    box = tuple(float(v) for v in (corner + 1) / 2 * frame.shape[0])
    return np.asarray(Image.fromarray(frame).transform((SIZE, int(SIZE * band)), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC))


def close_ups(frames: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """A row of both eyes and a row of mouths; the mouths' crop leaves room for a dropped jaw."""
    eyes = [enlarged(f, p, (LEFT_EYE, RIGHT_EYE), band=0.4) for f, p in zip(frames, landmarks)]
    return [eyes, [enlarged(f, p, (MOUTH,), band=0.75, drop=0.2) for f, p in zip(frames, landmarks)]]


def identity_sheet(rows: Sequence[PackageRow], people: Sequence[Person], columns: int = 7, tile: int = 128) -> Image.Image:
    """Per person: the source, then truth over every row's frames."""
    lines = []
    for person in people:
        frames = slice(2, 2 + columns)
        motion = drive_rows(person.motion[frames], person.motion[0])
        lines.append([person.images[0], *person.images[frames]])
        blank = np.full_like(person.images[0], 255)
        for row in rows:
            made = row.render(row.encode(person.images[0], person.landmarks[0], person.motion[0]), Drive(motion))
            lines.append([blank, *made])
    names = " / ".join(["truth", *(r.name for r in rows)])
    return grid(lines, ["source", f"each: {names}"], tile)


def portrait_frames(row: PackageRow, pixels: np.ndarray, points: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Frames [B,256,256,3] of a portrait of 512 pixels."""
    state = row.encode(pixels, points, np.zeros(58, np.float32))
    return row.render(state, Drive(motions))


def yaw_sheet(rows: Sequence[PackageRow], portraits: Sequence[Path], people: Sequence[Person], tile: int = 128) -> Image.Image:
    """Source, then the yaws, level and upright. Per person of the studio (scenes.VIEWS) the truth and every row, per portrait every row."""
    motions = np.stack([motion_row(yaw=np.radians(a)) for a in YAWS])
    order = [1 + next(i for i, (_, yaw, pitch) in enumerate(VIEWS) if (yaw, pitch) == (a, 0)) for a in YAWS]
    lines = []
    for person in people:
        lines.append([person.images[0], *person.images[order]])
        drive = Drive(drive_rows(person.motion[order], person.motion[0]))
        for row in rows:
            state = row.encode(person.images[0], person.landmarks[0], person.motion[0])
            lines.append([np.full_like(person.images[0], 255), *row.render(state, drive)])
    for path in portraits:
        pixels, points = read_portrait(path)
        lines += [[pixels, *portrait_frames(row, pixels, points, motions)] for row in rows]
    captions = [" / ".join([*(["truth"] if people else []), *(r.name for r in rows)]), *(f"yaw {a:+d}" if a else "yaw 0" for a in YAWS)]
    return grid(lines, captions, tile)


def expression_sheet(row: PackageRow, placer, portraits: Sequence[Path], tile: int = 144) -> Image.Image:
    """Per portrait: frames at its own pose, both eyes enlarged, mouths enlarged."""
    lines = []
    for path in portraits:
        pixels, points = read_portrait(path)
        placement = Placement.of(placer, pixels, points)
        own = dict(zip(("pitch", "yaw", "roll"), placement.angles))
        frames = portrait_frames(row, pixels, points, np.stack([motion_row(**own, **e) for e in EDITS.values()]))
        lines += [list(frames), *close_ups(frames, [points] * len(frames))]
    return grid(lines, list(EDITS), tile)


def stranger_sheet(row: PackageRow, placer, portraits: Sequence[Path], tile: int = 144) -> Image.Image:
    """Per style, in the order of STRANGERS: the portrait, turned both ways, smiling, jaw open, blinking; eyes and mouths enlarged."""
    lines = []
    for path, (_, style) in zip(portraits, STRANGERS.items()):
        pixels, points = read_portrait(path)
        picture = style(pixels)
        placement = Placement.of(placer, picture, points)
        own = dict(zip(("pitch", "yaw", "roll"), placement.angles))
        turns = [{**own, "yaw": np.radians(a)} for a in (-30, 30)]
        edits = [{**own, **EDITS[e]} for e in ("smile", "jaw", "gaze left", "blink")]
        motions = np.stack([motion_row(**m) for m in (own, *turns, *edits)])
        frames = portrait_frames(row, picture, points, motions)
        small = np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BOX))
        places = [points, *(placement.landmarks(m) for m in motions)]
        lines += [[small, *frames], *close_ups([small, *frames], places)]
    return grid(lines, ["portrait", "own pose", "yaw -30", "yaw +30", "smile", "jaw", "gaze left", "blink"], tile)


def side_sheet(row: PackageRow, portraits: Sequence[Path], columns: int = 3, tile: int = 128) -> Image.Image:
    """Per portrait: itself and the avatar's two side pictures over its backdrop, as many portraits in a line as `columns`."""
    lines: list[list[np.ndarray]] = []
    for k, path in enumerate(portraits):
        pixels, points = read_portrait(path)
        avatar = row.package.encode(pixels, points)
        sides, backdrop = (avatar[n].astype(np.float32) for n in ("sides", "backdrop128"))
        shown = np.round(sides[:, :3] + backdrop * (1 - sides[:, 3:] / 255)).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        if k % columns == 0:
            lines.append([])
        lines[-1] += [pixels, *shown]
    return grid(lines, ["portrait", "yaw -50", "yaw +50"] * columns, tile)


def studio_people(data: Path, seed: int, count: int = 2) -> list[Person]:
    """The first people of the evaluation's free views; none where the studio does not start."""
    studio, why = open_studio()
    if studio is None:
        print(why, file=sys.stderr)
        return []
    return load_scenes(studio, count, seed, data / "evaluation").views


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, default=ROOT / "models/portrait")
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--portraits", type=Path, default=ROOT / "models/portraits")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    name = options.package.resolve().name
    row, warp = PackageRow(name, options.package), PackageRow("warp", ROOT / "models/warp")
    both = [warp, row] if name != "warp" else [row]
    placer = load_warp(ROOT / "models")
    portraits = sorted(p for p in options.portraits.glob("*.jpg") if p.with_suffix(".json").exists())
    if len(portraits) < len(STRANGERS):
        parser.error(f"{options.portraits} holds {len(portraits)} portraits (image with a .json beside it), {len(STRANGERS)} are needed")
    sheets = {
        "yaw": lambda: yaw_sheet(both, portraits[:3], studio_people(options.data, options.seed)),
        "expressions": lambda: expression_sheet(row, placer, portraits[:3]),
        "strangers": lambda: stranger_sheet(row, placer, portraits[-len(STRANGERS):]),
    }
    if any(output.name == "sides" for output in row.package.session("encoder.onnx").get_outputs()):
        sheets["sides"] = lambda: side_sheet(row, portraits)
    try:
        people = load_people(options.data, count=4, seed=options.seed)
        sheets = {"identities": lambda: identity_sheet(both, people), **sheets}
    except DataMissing as missing:
        print(f"no {name}-identities.jpg: {missing}", file=sys.stderr)
    for kind, draw in sheets.items():
        file = options.out / f"{name}-{kind}.jpg"
        quality = save(draw(), file)
        print(f"{file} quality {quality}, {file.stat().st_size // 1000} kB", flush=True)


if __name__ == "__main__":
    main()
