"""What only the studio can answer: free views of a person, short clips with true flow, identities nobody has seen.

Renders with models/training/heads and keeps the result beside the data set, named by the studio's sources and the seed.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from evaluation.data import Person
from evaluation.suite import Clip, Link

SHARED = Path(__file__).resolve().parents[4] / "shared"
FRESH = 3_000_000  # first seed of fresh identities, far from those of train and test
FRESH_STEP = 10_000  # seeds kept for one --seed
DEGREE = np.pi / 180

# (name, yaw, pitch) in degrees; yaw > 0 turns the face to the picture's left, pitch > 0 puts the nose down
VIEWS = [("0°", 0, 0)] + [(f"yaw {a:+d}°", a, 0) for a in (-15, 15, -30, 30, -45, 45)] + [(f"pitch {a:+d}°", 0, a) for a in (-15, 15)]
CLIP = 5  # frames of a clip; every frame's flow leads to frame 1 or 3, which are the studio's two flow sources
LINKS = ((0, 1), (2, 1), (2, 3), (4, 3))  # (now, before) within a clip
FRAMES_A_SECOND = 30
PICTURES = ("images", "motion", "landmarks", "region")  # arrays of a Person
UNSTEADY = (0, 2, 10, 12)  # regions: background, hair, brows and lashes, beard


@dataclass
class Scenes:
    """Rendered once: people whose frames 1... are the VIEWS, and clips."""

    views: list[Person]
    clips: list[Clip]


def open_studio() -> tuple[Any | None, str]:
    """The studio, or None and why not."""
    try:
        from heads.motion import load_tracks
        from heads.rig import load_rig
        from heads.sitter import Studio

        return Studio.open(load_rig(str(SHARED / "ict-facekit")), load_tracks(SHARED / "motion-tracks")), ""
    except (ImportError, OSError, RuntimeError) as problem:
        return None, f"free view and temporal warping error were not measured: the studio does not start here ({problem})"
    except Exception as problem:  # moderngl raises plain exceptions when there is no EGL
        if type(problem).__module__.startswith(("moderngl", "glcontext", "builtins")):
            return None, f"free view and temporal warping error were not measured: no OpenGL for the studio ({problem})"
        raise


def fingerprint() -> str:
    """Of the studio's sources and of this file: another studio renders other pictures."""
    import heads

    files = sorted([*Path(heads.__file__).parent.glob("*.py"), Path(__file__)])
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]


def render(studio: Any, seed: int, motions: list) -> dict[str, np.ndarray]:
    """The data set's arrays of one identity in given motions; the first two are the flow's sources."""
    with _given(motions):
        from heads import sitter

        return sitter.identity(studio, seed)


@contextmanager
def _given(motions: list):
    """The sitter draws its motions itself, after everything else of an identity: here it is handed them instead."""
    from heads import sitter

    queue = iter(motions)
    hand = lambda *_, **__: next(queue)  # noqa: E731
    with patch.multiple(sitter, source_motion=hand, driven_motion=hand, FRAMES=len(motions)):
        yield


def portrait_motion(seed: int):
    """A motion as of the data set's frame 0."""
    from heads.motion import source_motion

    return source_motion(np.random.default_rng([seed, 1]), True)


def clip_motions(seed: int) -> list:
    """CLIP consecutive frames: a quick turn of the head, with mouth and eyes moving."""
    from heads.motion import Motion, look, procedural

    rng = np.random.default_rng([seed, 2])
    start, end = (rng.uniform(-1, 1, 3) * np.array([10, 22, 8]) * DEGREE for _ in range(2))
    first, last = procedural(rng), procedural(rng)
    for e in (first, last):
        look(e, *rng.uniform(-0.4, 0.4, 2))
    times = rng.uniform(0.2, 0.6) + np.arange(CLIP) / FRAMES_A_SECOND * 2.5  # the way from start to end takes 0.4 s
    shift = rng.normal(size=2) * 0.3
    mix = lambda a, b, t: a + (b - a) * (3 * t**2 - 2 * t**3)  # noqa: E731
    return [Motion(mix(start, end, t), shift, 0.0, mix(first, last, t).astype(np.float32)) for t in times]


def scene(studio: Any, seed: int) -> dict[str, np.ndarray]:
    """Frames in this order: clip 1 and 3 (the flow's sources), clip 0, 2, 4, the portrait, the VIEWS."""
    portrait, clip = portrait_motion(seed), clip_motions(seed)
    turned = [replace(portrait, angles=np.array([pitch, yaw, 0.0]) * DEGREE) for _, yaw, pitch in VIEWS]
    return render(studio, seed, [clip[1], clip[3], clip[0], clip[2], clip[4], portrait, *turned])


def take_apart(arrays: dict[str, np.ndarray], seed: int) -> tuple[Person, Clip]:
    """(person with portrait and VIEWS, clip) of a scene's arrays."""
    at = {1: 0, 3: 1, 0: 2, 2: 3, 4: 4}  # clip frame -> row
    pick = lambda rows: Person(seed, *(np.ascontiguousarray(arrays[k][rows]) for k in PICTURES))  # noqa: E731

    def link(now: int, before: int) -> Link:
        row = at[now]
        visible = steady(arrays["visible"][row, at[before]], arrays["region"][row])
        return Link(now + 1, before + 1, arrays["flow"][row, at[before]].astype(np.float32), visible)

    links = tuple(link(*pair) for pair in LINKS)
    return pick([5, *range(6, 6 + len(VIEWS))]), Clip(pick([5, *(at[i] for i in range(CLIP))]), links)


def steady(visible: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Where a clip's flow [64,64] can be relied on: seen before, on the person, and a cell away from strands, which are finer than it."""
    side = visible.shape[0]
    loose = np.isin(region, UNSTEADY).reshape(side, region.shape[0] // side, side, -1).any((1, 3))
    padded = np.pad(loose, 1)
    near = np.max([padded[dy : dy + side, dx : dx + side] for dy in range(3) for dx in range(3)], 0)
    return visible.astype(bool) & ~near


def load_scenes(studio: Any, count: int, seed: int, cache: Path | None) -> Scenes:
    """`count` fresh identities, rendered or read from the cache."""
    views, clips = [], []
    for index in range(count):
        one = FRESH + seed * FRESH_STEP + index
        file = cache / f"scene-{fingerprint()}-{one}.npz" if cache else None
        if file and file.exists():
            arrays = dict(np.load(file))
        else:
            arrays = scene(studio, one)
            if file:
                cache.mkdir(parents=True, exist_ok=True)
                np.savez(file, **arrays)
        person, clip = take_apart(arrays, one)
        views.append(person)
        clips.append(clip)
    return Scenes(views, clips)


def fresh_people(studio: Any, count: int, seed: int) -> list[Person]:
    """Whole identities as in the data set, with seeds that no shard uses."""
    from heads import sitter

    people = []
    for one in range(FRESH + seed * FRESH_STEP + FRESH_STEP // 2, FRESH + seed * FRESH_STEP + FRESH_STEP // 2 + count):
        arrays = sitter.identity(studio, one)
        people.append(Person(one, *(arrays[k] for k in PICTURES)))
    return people
