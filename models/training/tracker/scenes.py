"""Training samples of the detector: pictures with no, one or several heads of any size, turned by up to 60 degrees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tracker.augment import appearance, regional_palette
from tracker.backgrounds import Backgrounds
from tracker.crops import Crop, face_box
from tracker.layout import CELL, DETECTOR, STRIDE
from tracker.samples import cut, cut_region, faceless, mirrored, paste, scrambled
from tracker.shards import FRAME, Frame, Shards

GRID = DETECTOR // STRIDE
SMALLEST = 13.0  # pixels of a face's box below which it is nobody's task


@dataclass(frozen=True)
class Scene:
    """image uint8 [192,192,3]; target float32 [24,24,6]: heat 0..1, offset x and y in cells, log(size / 192), cos and sin of
    roll; weight float32 [24,24,2]: of the heat (0 where a face is cut off or tiny) and of the geometry."""

    image: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def draw_face(target: np.ndarray, weight: np.ndarray, box: Crop) -> None:
    """Writes one face (box in pixels of the scene) into target and weight."""
    cx, cy = box.x / STRIDE, box.y / STRIDE
    y, x = np.mgrid[0:GRID, 0:GRID]
    sigma = max(0.75, box.side / STRIDE * 0.11)
    heat = np.exp(-((x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2) / (2 * sigma**2)).astype(np.float32)
    column, row = int(np.clip(cx, 0, GRID - 1)), int(np.clip(cy, 0, GRID - 1))
    heat[row, column] = 1
    mine = heat > target[..., 0]
    target[..., 0] = np.maximum(target[..., 0], heat)
    values = np.stack(
        [cx - x - 0.5, cy - y - 0.5, np.full_like(heat, np.log(box.side / DETECTOR)), np.full_like(heat, np.cos(box.roll)), np.full_like(heat, np.sin(box.roll))], -1
    )
    target[..., 1:][mine] = values[mine]
    weight[..., 1][mine] = np.where(heat[mine] > 0.3, heat[mine], 0)


def inside(box: Crop) -> float:
    """Share of the box that lies within the scene, roughly (turn ignored)."""
    overlap = [max(0.0, min(c + box.side / 2, DETECTOR) - max(c - box.side / 2, 0)) for c in (box.x, box.y)]
    return overlap[0] * overlap[1] / box.side**2


def covers(region: np.ndarray, box: Crop) -> bool:
    """Whether a head (region > 0) would hide a part of a face that is there already."""
    half = box.side / 2
    top, left = int(max(0, box.y - half)), int(max(0, box.x - half))
    return bool((region[top : int(max(0, box.y + half)), left : int(max(0, box.x + half))] > 0).any())


class SceneSampler:
    """Draws scenes; one generator, so the same seed and shards give the same scenes."""

    def __init__(self, shards: Shards, seed: int):
        self.shards, self.rng = shards, np.random.default_rng(seed)
        self.backgrounds = Backgrounds(self.rng, DETECTOR, count=64)

    def draw(self) -> Scene:
        rng = self.rng
        target = np.zeros((GRID, GRID, CELL), np.float32)
        weight = np.zeros((GRID, GRID, 2), np.float32)
        weight[..., 0] = 1
        kind = rng.random()
        if kind < 0.4:
            image = self._whole(target, weight)
        elif kind < 0.8:
            image = self.backgrounds.draw().copy()
            boxes: list[Crop] = []
            for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.45, 0.3, 0.15, 0.1]))):
                image = self._paste(image, target, weight, boxes)
        else:
            image = self._nobody()
        if rng.random() < 0.12:
            self._letterbox(image)
        return Scene(appearance(np.ascontiguousarray(image), self.backgrounds.draw(), rng, 0.1), target, weight)

    def _frame(self) -> Frame:
        frame = self.shards.random(self.rng)
        return mirrored(frame) if self.rng.random() < 0.5 else frame

    def _roll(self) -> float:
        """Within 60 degrees: for more the tracker turns the picture and looks again."""
        rng = self.rng
        return float(rng.uniform(-1, 1) if rng.random() < 0.4 else rng.normal(0, 0.2))

    def _view(self, frame: Frame, low: float, high: float) -> tuple[Crop, Crop]:
        """(the part of the frame that fills the scene, the face's box in the scene): face of low..high of the scene's side."""
        rng = self.rng
        face = face_box(frame.landmarks, float(frame.motion[2]))
        side = face.side / np.exp(rng.uniform(np.log(low), np.log(high)))
        turned = self._roll() - face.roll  # the scene shows the head turned by _roll()
        reach = max(0.0, (1 - face.side / side) / 2 + 0.08)
        at = rng.uniform(-reach, reach, 2) * 2
        view = Crop(0, 0, side, -turned)
        x, y = np.array([face.x, face.y]) - view.to_picture(at)
        view = Crop(float(x), float(y), side, -turned)
        centre = (view.from_picture(np.array([face.x, face.y])) + 1) * (DETECTOR / 2)
        return view, Crop(float(centre[0]), float(centre[1]), face.side / side * DETECTOR, face.roll + turned)

    def _note(self, box: Crop, target: np.ndarray, weight: np.ndarray) -> None:
        if box.side < SMALLEST or inside(box) < 0.7:
            y, x = np.mgrid[0:GRID, 0:GRID] * float(STRIDE) + STRIDE / 2
            near = np.maximum(np.abs(x - box.x), np.abs(y - box.y)) < box.side / 2 + STRIDE
            weight[..., 0][near & (target[..., 0] < 0.3)] = 0
        else:
            draw_face(target, weight, box)

    def _whole(self, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """One frame with its own background, which goes on beyond its edges, mirrored far away from the face."""
        frame = self._frame()
        view, box = self._view(frame, 0.12, 0.9)
        self._note(box, target, weight)
        image = cut(frame.image, view, DETECTOR)
        if self.rng.random() < 0.3:
            image = regional_palette(image, cut_region(frame.region, view, DETECTOR), self.rng)
        return image

    def _paste(self, image: np.ndarray, target: np.ndarray, weight: np.ndarray, boxes: list[Crop]) -> np.ndarray:
        frame = self._frame()
        view, box = self._view(frame, 0.07, 0.6)
        if any(np.hypot(other.x - box.x, other.y - box.y) < 0.8 * (other.side + box.side) for other in boxes):
            return image
        region = cut_region(frame.region, view, DETECTOR)
        if any(covers(region, other) for other in boxes):
            return image
        boxes.append(box)
        head = cut(frame.image, view, DETECTOR)
        if self.rng.random() < 0.4:
            head = regional_palette(head, region, self.rng)
        if self.rng.random() < 0.12:
            head = faceless(head, (view.from_picture(frame.landmarks) + 1) * (DETECTOR / 2), self.rng)
        else:
            self._note(box, target, weight)
        return paste(head, image, region)

    def _nobody(self) -> np.ndarray:
        """Backgrounds, clothes and hair from near, heads without a face."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return self.backgrounds.draw().copy()
        frame = self._frame()
        if kind < 0.6:
            view, _ = self._view(frame, 0.6, 1.3)
            return scrambled(cut(frame.image, view, DETECTOR), rng)
        if kind < 0.8:
            view, _ = self._view(frame, 0.15, 0.8)
            return faceless(cut(frame.image, view, DETECTOR), (view.from_picture(frame.landmarks) + 1) * (DETECTOR / 2), rng)
        # A part of the frame away from the face: the corners' shoulders, hair and backdrop.
        face = face_box(frame.landmarks, float(frame.motion[2]))
        side = float(rng.uniform(0.2, 0.4) * FRAME)
        angle = rng.uniform(0, 2 * np.pi)
        far = (face.side / 2 + side * 0.72) * 1.08
        view = Crop(face.x + far * np.cos(angle), face.y + far * np.sin(angle), side, float(rng.uniform(-np.pi, np.pi)))
        return cut(frame.image, view, DETECTOR)

    def _letterbox(self, image: np.ndarray) -> None:
        """Grey bars as the server's letterbox makes them; what they cover is gone (targets near the edge stay: rare)."""
        bar = int(self.rng.integers(4, 14))
        if self.rng.random() < 0.5:
            image[:bar], image[-bar:] = 128, 128
        else:
            image[:, :bar], image[:, -bar:] = 128, 128
