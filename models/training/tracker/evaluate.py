"""Measures models/tracker on test identities, on the built-in portraits, and on pictures without a face.

    cd models/training && python -m tracker.evaluate --data /tmp/facewire-heads --package ../tracker --json /tmp/tracker.json
    cd models/training && python -m tracker.evaluate --pictures FOLDER --sheet /tmp/sheet.png   # looks at your own pictures

Landmark errors are in percent of the distance between the outer corners of the eyes (NME), from the whole cascade: the
picture goes in, nothing is known about the face.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from tracker.backgrounds import background
from tracker.layout import DETECTOR
from tracker.run import Face, Tracker, cut
from tracker.crops import Crop, face_box
from tracker.samples import faceless
from tracker.shards import FRAME, Shards
from warp.facekit import EXPRESSIONS

PARTS = {"all": slice(0, 68), "jaw": slice(0, 17), "brows": slice(17, 27), "nose": slice(27, 36), "eyes": slice(36, 48), "mouth": slice(48, 68)}
CONDITIONS = ("as rendered", "turned by 90 degrees", "a quarter of the width", "dark", "grey and blurred")


def errors(face: Face, truth: np.ndarray) -> np.ndarray:
    """[68] in percent of the outer eye distance."""
    eyes = np.linalg.norm(truth[36] - truth[45])
    return np.linalg.norm(face.landmarks - truth, axis=1) / eyes * 100


def under(condition: str, image: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """(image, landmarks, added roll) of a frame under one of CONDITIONS."""
    size = image.shape[0]
    if condition == "turned by 90 degrees":
        return np.ascontiguousarray(np.rot90(image, -1)), np.stack([size - landmarks[:, 1], landmarks[:, 0]], 1), np.pi / 2
    if condition == "a quarter of the width":
        canvas = background(rng, 4 * size)
        x, y = rng.integers(0, 3 * size, 2)
        canvas[y : y + size, x : x + size] = image
        return canvas, landmarks + [x, y], 0.0
    if condition == "dark":
        return (image * 0.12).astype(np.uint8), landmarks, 0.0
    if condition == "grey and blurred":
        grey = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 2), cv2.COLOR_RGB2GRAY)
        return np.repeat(grey[..., None], 3, 2), landmarks, 0.0
    return image, landmarks, 0.0


def on_test_identities(tracker: Tracker, shards: Shards, count: int, seed: int) -> dict:
    """Errors over `count` frames drawn from the test shards, under each condition; the pose's and coefficients' as rendered."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(shards))[:count]
    out: dict = {"frames": int(len(rows))}
    for condition in CONDITIONS:
        nme, angles, wrong, mouths, truths, found_motion = [], [], 0, [], [], []
        for row in rows[: count if condition == "as rendered" else count // 3]:
            frame = shards[int(row)]
            image, truth, turned = under(condition, frame.image, frame.landmarks, rng)
            faces = tracker.find(image)
            size = face_box(truth, 0).side
            face = next((f for f in faces if np.linalg.norm(f.landmarks.mean(0) - truth.mean(0)) < size / 3), None)
            wrong += len(faces) - (face is not None)
            mouths.append(face is not None)
            if face is None:
                continue
            nme.append(errors(face, truth))
            expected = frame.motion[:3] + np.array([0, 0, turned])
            angles.append(np.abs((face.motion[:3] - expected + np.pi) % (2 * np.pi) - np.pi))
            truths.append(frame.motion[6:])
            found_motion.append(face.motion[6:])
        nme, angles = np.array(nme), np.degrees(angles)
        out[condition] = {
            "found": float(np.mean(mouths)), "extra": wrong,
            "nme": {name: round(float(nme[:, part].mean()), 2) for name, part in PARTS.items()},
            "median": round(float(np.median(nme.mean(1))), 2), "worse than 10": round(float((nme.mean(1) > 10).mean()), 4),
            "degrees": {name: round(float(angles[:, i].mean()), 2) for i, name in enumerate(("pitch", "yaw", "roll"))},
        }
        if condition == "as rendered":
            truths, found_motion = np.array(truths), np.array(found_motion)
            out["coefficients"] = {
                "mean absolute error": round(float(np.abs(found_motion - truths).mean()), 4),
                "error of always saying the mean": round(float(np.abs(truths - truths.mean(0)).mean()), 4),
                "root mean square error": round(float(np.sqrt(np.square(found_motion - truths).mean())), 4),
                "deviation of the truth": round(float(np.sqrt(truths.var(0).mean())), 4),
                "correlation": {
                    name: round(float(np.corrcoef(truths[:, i], found_motion[:, i])[0, 1]), 3)
                    for i, name in enumerate(EXPRESSIONS)
                    if truths[:, i].std() > 0.01 and found_motion[:, i].std() > 0
                },
            }
    return out


def without_a_face(tracker: Tracker, shards: Shards, count: int, seed: int) -> dict:
    """How often a face is found where there is none: backgrounds, and test heads with the face painted over."""
    rng = np.random.default_rng(seed)
    backgrounds = sum(bool(tracker.find(background(rng, DETECTOR))) for _ in range(count))
    painted = 0
    for row in rng.integers(0, len(shards), count):
        frame = shards[int(row)]
        painted += bool(tracker.find(faceless(frame.image, frame.landmarks, rng)))
    return {"pictures each": count, "backgrounds": backgrounds, "heads without a face": painted}


def on_portraits(tracker: Tracker, folder: Path) -> dict:
    """NME of each built-in portrait: path traced, never trained on."""
    out = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        image = read(path.with_suffix(".jpg"))
        faces = tracker.find(image)
        truth = np.array(data["landmarks"])
        out[data["id"]] = {name: round(float(errors(faces[0], truth)[part].mean()), 2) for name, part in PARTS.items()} | {"faces": len(faces)} if faces else None
    return out


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def drawn(image: np.ndarray, faces: list[Face], size: int = 320) -> np.ndarray:
    """The picture, letterboxed, with landmarks, pose and verdict of each face."""
    height, width = image.shape[:2]
    square = Crop(width / 2, height / 2, max(width, height), 0.0)
    out = cut(image, square, size)
    for face in faces:
        for x, y in (square.from_picture(face.landmarks) + 1) * (size / 2):
            cv2.circle(out, (int(x), int(y)), 1, (0, 255, 0), -1)
        pitch, yaw, roll = np.degrees(face.motion[:3])
        best = [f"{EXPRESSIONS[i]} {face.motion[6 + i]:.1f}" for i in np.argsort(-face.motion[6:])[:3]]
        for i, text in enumerate([f"{face.face:.2f} p{pitch:.0f} y{yaw:.0f} r{roll:.0f}", *best]):
            cv2.putText(out, text, (4, 14 + 13 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1, cv2.LINE_AA)
    return out


def sheet(tracker: Tracker, folder: Path, path: Path, columns: int = 5) -> None:
    tiles = []
    for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
        image = read(file)
        faces = tracker.find(image)
        print(f"{file.name}: " + (", ".join(f"{f.face:.2f} at {f.landmarks.mean(0).round()} {np.degrees(f.motion[:3]).round()}" for f in faces) or "no face"))
        tiles.append(drawn(image, faces))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


def timing(tracker: Tracker, image: np.ndarray) -> dict:
    """Milliseconds, best of several, of the networks alone."""
    picture = cut(image, Crop(FRAME / 2, FRAME / 2, FRAME, 0.0), DETECTOR)[None]
    crop = picture[:, :128, :128]
    best = lambda run: round(min(_timed(run) for _ in range(15)), 2)  # noqa: E731
    return {
        "detector 192": best(lambda: tracker.detector.run(None, {"image": picture})),
        "landmarks 128": best(lambda: tracker.landmarks.run(None, {"image": np.ascontiguousarray(crop)})),
    }


def _timed(run) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1000


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--package", type=Path, default=root / "tracker")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--sheet", type=Path, default=Path("tracker-sheet.png"))
    args = parser.parse_args()
    tracker = Tracker(args.package)
    if args.pictures:
        return sheet(tracker, args.pictures, args.sheet)
    shards = Shards(args.data, "test")
    result = {
        "portraits": on_portraits(tracker, root / "portraits"),
        "test identities": on_test_identities(tracker, shards, args.count, args.seed),
        "no face": without_a_face(tracker, shards, args.count // 3, args.seed),
        "ms": timing(tracker, shards[0].image),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
