"""The tracker as the server runs it (server/src/inference/faceTracker.ts), with numpy and ONNX Runtime: for evaluation and tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tracker.crops import Crop, face_box, face_crop, motion_in_picture
from tracker.layout import CROP, CROP_MARGIN, DETECTOR, STRIDE

DETECTED = 0.3  # score from which a detection is looked at
FACE = 0.5  # the landmark network's verdict
TURNS = (0.0, np.pi / 2, -np.pi / 2, np.pi)  # the detector knows faces turned by up to about 60 degrees
UNSURE = 0.036  # spread of the landmarks by the face's size above which they are guesses
CERTAIN = 0.03  # below which no other turn of the picture is tried
SMALL = 0.4  # in the doubled picture, faces up to this part of it are taken


@dataclass(frozen=True)
class Face:
    """landmarks [68,2] in pixels; motion [58] in -1..1 of the square around the picture's middle; face 0..1; spread [68] in pixels;
    crop: what the landmark network saw last, image: its picture."""

    landmarks: np.ndarray
    motion: np.ndarray
    face: float
    spread: np.ndarray
    crop: Crop
    image: np.ndarray


def cut(image: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """uint8 [size,size,3]: bilinear, averaged over n x n places per pixel where the crop shrinks; edges go on beyond the image."""
    height, width = image.shape[:2]
    n = int(np.clip(np.floor(crop.side / size + 0.5), 1, 8))
    axis = (np.arange(size * n) + 0.5) / (size * n) * 2 - 1
    u, v = np.meshgrid(axis, axis)
    at = crop.to_picture(np.stack([u, v], -1)) - 0.5
    x, y = np.clip(at[..., 0], 0, width - 1), np.clip(at[..., 1], 0, height - 1)
    x0, y0 = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    source = image.astype(np.float32)
    value = (source[y0, x0] * (1 - fx) + source[y0, x1] * fx) * (1 - fy) + (source[y1, x0] * (1 - fx) + source[y1, x1] * fx) * fy
    return np.floor(value.reshape(size, n, size, n, 3).mean((1, 3)) + 0.5).astype(np.uint8)


def detections(cells: np.ndarray, side: int) -> list[tuple[float, Crop]]:
    """cells [h,w,6] of a picture of side x side -> (score, box in its pixels), best first: local maxima above DETECTED."""
    score = cells[..., 0]
    padded = np.pad(score, 1, constant_values=-1)
    rows, columns = score.shape
    highest = np.max([padded[dy : dy + rows, dx : dx + columns] for dy in range(3) for dx in range(3)], 0)
    found = []
    for row, column in zip(*np.nonzero((score >= highest) & (score > DETECTED))):
        s, dx, dy, log_size, cos, sin = (float(v) for v in cells[row, column])
        box = Crop((column + 0.5 + dx) * STRIDE, (row + 0.5 + dy) * STRIDE, float(np.exp(log_size)) * DETECTOR, float(np.arctan2(sin, cos)))
        found.append((s, box))
    return sorted(found, key=lambda each: -each[0])


def same_face(a: Crop, b: Crop) -> bool:
    """Whether two boxes are about one face: middles near each other and sizes alike, or one within the other."""
    return bool(np.hypot(a.x - b.x, a.y - b.y) < 0.45 * max(a.side, b.side))


def distinct(found: list[tuple[float, Crop]]) -> list[tuple[float, Crop]]:
    kept: list[tuple[float, Crop]] = []
    for each in sorted(found, key=lambda e: -e[0]):
        if not any(same_face(each[1], other) for _, other in kept):
            kept.append(each)
    return kept


def sureness(face: Face) -> float:
    """Mean spread of the landmarks by the face's size; the less the surer."""
    return float(face.spread.mean() / face_box(face.landmarks, float(face.motion[2])).side)


class Tracker:
    """A built models/tracker."""

    def __init__(self, folder: Path, threads: int = 2):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = lambda name: ort.InferenceSession(str(Path(folder) / name), options, providers=["CPUExecutionProvider"])  # noqa: E731
        self.detector, self.landmarks = session("detector.onnx"), session("landmarks.onnx")

    def detect(self, image: np.ndarray, turned: float = 0.0) -> list[tuple[float, Crop]]:
        """(score, box in the image's pixels) of every candidate, from two scales, in the picture turned back by `turned`."""
        height, width = image.shape[:2]
        frame = Crop(width / 2, height / 2, max(width, height), turned)
        found = []
        for side in (DETECTOR, 2 * DETECTOR):
            cells = self.detector.run(None, {"image": cut(image, frame, side)[None]})[0][0]
            for score, box in detections(cells, side):
                if side > DETECTOR and box.side > SMALL * side:
                    continue
                x, y = frame.to_picture(np.array([box.x, box.y]) / side * 2 - 1)
                found.append((score, Crop(float(x), float(y), box.side / side * frame.side, box.roll + turned)))
        return distinct(found)[:8]

    def look(self, image: np.ndarray, crop: Crop) -> Face:
        """One pass of the landmark network."""
        picture = cut(image, crop, CROP)
        landmarks, spread, motion, face = (v[0] for v in self.landmarks.run(None, {"image": picture[None]}))
        height, width = image.shape[:2]
        side = max(width, height)
        inside = Crop(crop.x - (width - side) / 2, crop.y - (height - side) / 2, crop.side, crop.roll)  # in the square around the picture
        return Face(crop.to_picture(landmarks), motion_in_picture(motion, inside, side, side), float(face), spread * crop.side / 2, crop, picture)

    def follow(self, image: np.ndarray, landmarks: np.ndarray, roll: float) -> Face:
        return self.look(image, face_crop(landmarks, roll))

    def find(self, image: np.ndarray) -> list[Face]:
        """Every face, largest first: detected, looked at, and looked at again from where the first look saw it. Where no face
        stands about upright, the picture is turned by quarters."""
        best: tuple[float, list[Face]] = (UNSURE, [])
        for turned in TURNS:
            faces = self._find(image, turned)
            surest = min((sureness(face) for face in faces), default=UNSURE)
            if surest < best[0]:
                best = surest, faces
            if best[0] < CERTAIN:
                break
        return best[1]

    def _find(self, image: np.ndarray, turned: float) -> list[Face]:
        faces: list[Face] = []
        for _, box in self.detect(image, turned):
            first = self.look(image, Crop(box.x, box.y, box.side * CROP_MARGIN, box.roll))
            if first.face < FACE / 2:
                continue
            face = self.follow(image, first.landmarks, float(first.motion[2]))
            own = face_box(face.landmarks, float(face.motion[2]))
            if face.face > FACE and sureness(face) < UNSURE and not any(same_face(own, face_box(f.landmarks, float(f.motion[2]))) for f in faces):
                faces.append(face)
        return sorted(faces, key=lambda f: -face_box(f.landmarks, float(f.motion[2])).side)
