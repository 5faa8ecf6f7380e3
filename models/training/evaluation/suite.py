"""What is measured, as functions from rows and people to plain numbers.

A figure is None where its means are missing (no tracker, no identity network, no studio), never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation import metrics
from evaluation.data import Person, drive_rows
from evaluation.rows import Drive, Row
from evaluation.trackers import Embedder, Tracker

Figures = dict[str, float | None]

INSIDE, EYEBALLS = (7, 8, 9), (4, 5)  # regions of models/training/heads: cavity, teeth, tongue; whites and irises
ENOUGH = 40  # pixels


@dataclass(frozen=True)
class Judges:
    """Networks that some figures need."""

    tracker: Tracker | None = None
    embedder: Embedder | None = None


def reconstruct(row: Row, people: Sequence[Person], judges: Judges) -> Figures:
    """Same identity: frame 0 is the portrait, the others are driver and truth. Means over all frames of all people."""
    columns: dict[str, list[float]] = {}
    for person in people:
        state = row.encode(person.images[0], person.landmarks[0], person.motion[0])
        made = row.render(state, Drive(drive_rows(person.motion[1:], person.motion[0]), person.images[1:]))
        if made is None:
            return {}
        _add(columns, picture_figures(made, person.images[1:], person.landmarks[1:], person.region[1:]))
        if judges.tracker:
            (found, _), (true, _) = (judges.tracker.track(p, person.motion[1:]) for p in (made, person.images[1:]))
            _add(columns, [
                {"akd": metrics.keypoint_distance(f, t), "akdMouth": metrics.keypoint_distance(f, t, metrics.MOUTH)}
                for f, t in zip(found, true)
            ])
        if judges.embedder:
            one, other = judges.embedder.embed(made, person.motion[1:]), judges.embedder.embed(person.images[1:], person.motion[1:])
            _add(columns, [{"identityDistance": float(1 - a @ b)} for a, b in zip(one, other)])
    return means(columns)


def region_psnr(a: np.ndarray, b: np.ndarray, labels: np.ndarray, regions: tuple[int, ...]) -> float:
    """PSNR over the pixels of some regions of the truth; NaN where it shows less than ENOUGH of them."""
    times = a.shape[0] // labels.shape[0]
    mask = np.isin(labels, regions).repeat(times, 0).repeat(times, 1)
    return metrics.psnr(a, b, mask) if mask.sum() >= ENOUGH else float("nan")


def picture_figures(made: np.ndarray, truth: np.ndarray, landmarks: np.ndarray, region: np.ndarray) -> list[dict[str, float]]:
    """Per frame: l1 and psnr (whole, boxes of mouth and eyes, foreground, inside of the mouth, eyeballs), ssim, msSsim."""
    size = truth.shape[1]
    out = []
    for a, b, points, labels in zip(made, truth, landmarks, region):
        ssim, multi = metrics.structural(a, b)
        person = (labels != 0).repeat(size // labels.shape[0], 0).repeat(size // labels.shape[1], 1)
        out.append({
            "l1": metrics.mean_absolute(a, b),
            "psnr": metrics.psnr(a, b),
            "psnrMouth": metrics.boxed_psnr(a, b, metrics.mouth_boxes(points, size)),
            "psnrEyes": metrics.boxed_psnr(a, b, metrics.eye_boxes(points, size)),
            "psnrForeground": metrics.psnr(a, b, person),
            "psnrInside": region_psnr(a, b, labels, INSIDE),
            "psnrEyeballs": region_psnr(a, b, labels, EYEBALLS),
            "ssim": ssim,
            "msSsim": multi,
        })
    return out


def reenact(row: Row, people: Sequence[Person], judges: Judges) -> Figures:
    """Cross identity: person i is driven by person i+1; place and size move relative to the driver's frame 0."""
    if len(people) < 2 or not (judges.tracker or judges.embedder):
        return {}
    columns: dict[str, list[float]] = {}
    for person, driver in zip(people, [*people[1:], people[0]]):
        rows = drive_rows(driver.motion[1:], driver.motion[0])
        made = row.render(row.encode(person.images[0], person.landmarks[0], person.motion[0]), Drive(rows, driver.images[1:]))
        if made is None:
            return {}
        asked = rows.copy()
        asked[:, 3:6] += person.motion[0, 3:6]  # where the head ought to be
        if judges.embedder:
            own = judges.embedder.embed(person.images[:1], person.motion[:1])[0]
            _add(columns, [{"identitySimilarity": float(e @ own)} for e in judges.embedder.embed(made, asked)])
        if judges.tracker:
            (_, found), (_, true) = judges.tracker.track(made, asked), judges.tracker.track(driver.images[1:], driver.motion[1:])
            errors = lambda f, t: {"poseError": metrics.pose_error(f, t), "expressionError": metrics.expression_error(f, t)}  # noqa: E731
            _add(columns, [errors(f, t) for f, t in zip(found, true)])
    return means(columns)


def judge_the_judges(people: Sequence[Person], judges: Judges) -> Figures:
    """What the judges say of the truth itself: the tracker against true landmarks and motion, a person's frames against the portrait."""
    columns: dict[str, list[float]] = {}
    for person in people:
        pictures, motion = person.images[1:], person.motion[1:]
        if judges.tracker:
            found, rows = judges.tracker.track(pictures, motion)
            _add(columns, [{"landmarks": metrics.keypoint_distance(f, t)} for f, t in zip(found, person.landmarks[1:])])
            _add(columns, [{"pose": metrics.pose_error(r, m), "expression": metrics.expression_error(r, m)} for r, m in zip(rows, motion)])
        if judges.embedder:
            own = judges.embedder.embed(person.images[:1], person.motion[:1])[0]
            _add(columns, [{"similarity": float(e @ own)} for e in judges.embedder.embed(pictures, motion)])
    out = means(columns)
    if judges.tracker:
        every = np.concatenate([p.motion[1:, 6:58] for p in people])
        out["expressionOfConstant"] = float(np.abs(every - np.median(every, 0)).mean())  # what always saying the median would cost
    return out


@dataclass(frozen=True)
class Link:
    """Frames `now` and `before` of a clip, and the true flow [h,w,2] (-1..1) from the one to the other where visible [h,w]."""

    now: int
    before: int
    flow: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class Clip:
    """A short sequence of one person: frame 0 is the portrait, frames 1... are consecutive at 30 frames/s."""

    person: Person
    links: tuple[Link, ...]


def flicker(row: Row | None, clips: Iterable[Clip]) -> Figures:
    """Temporal warping error over clips, in levels of 0..255; of the truth without a row."""
    errors: list[float] = []
    for clip in clips:
        person, frames = clip.person, clip.person.images
        if row is not None:
            state = row.encode(frames[0], person.landmarks[0], person.motion[0])
            made = row.render(state, Drive(drive_rows(person.motion[1:], person.motion[0]), frames[1:]))
            if made is None:
                return {}
            frames = np.concatenate([frames[:1], made])
        errors += [metrics.warping_error(frames[one.now], frames[one.before], one.flow, one.visible) for one in clip.links]
    return means({"warpingError": errors})


def free_view(row: Row, people: Sequence[Person], views: Sequence[tuple[str, float, float]], judges: Judges) -> dict[str, Figures]:
    """Against the studio's truth; each person's frame 0 is the portrait and frame 1+v shows view v = (name, yaw, pitch)."""
    columns: dict[str, dict[str, list[float]]] = {name: {} for name, _, _ in views}
    for person in people:
        state = row.encode(person.images[0], person.landmarks[0], person.motion[0])
        made = row.render(state, Drive(drive_rows(person.motion[1:], person.motion[0]), person.images[1:]))
        if made is None:
            return {}
        figures = picture_figures(made, person.images[1:], person.landmarks[1:], person.region[1:])
        for (name, _, _), one in zip(views, figures):
            _add(columns[name], [one])
        if judges.tracker:
            (found, _), (true, _) = (judges.tracker.track(p, person.motion[1:]) for p in (made, person.images[1:]))
            for (name, _, _), f, t in zip(views, found, true):
                _add(columns[name], [{"akd": metrics.keypoint_distance(f, t)}])
    return {name: means(values) for name, values in columns.items()}


def means(columns: dict[str, list[float]]) -> Figures:
    """Means without NaN (a mouth outside the picture, a face not found); None where nothing is left."""
    out: Figures = {}
    for name, values in columns.items():
        kept = [v for v in values if np.isfinite(v)]
        out[name] = float(np.mean(kept)) if kept else None
    return out


def _add(columns: dict[str, list[float]], frames: list[dict[str, float]]) -> None:
    for frame in frames:
        for name, value in frame.items():
            columns.setdefault(name, []).append(value)
