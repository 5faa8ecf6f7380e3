"""Training samples of the landmark network: turned crops of frames, changed in appearance, some without a face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tracker.augment import appearance, regional_palette
from tracker.backgrounds import Backgrounds
from tracker.crops import Crop, face_box, face_crop, motion_in_crop
from tracker.layout import CROP, LANDMARK_MIRROR, LANDMARKS, MOTION, MOTION_MIRROR
from tracker.shards import FRAME, Frame, Shards


@dataclass(frozen=True)
class Sample:
    """image uint8 [128,128,3], landmarks float32 [68,2] in -1..1 of it, motion float32 [58] in it, face 0 or 1."""

    image: np.ndarray
    landmarks: np.ndarray
    motion: np.ndarray
    face: np.float32


def mirrored(frame: Frame) -> Frame:
    """The frame as in a mirror, with everything that is left now right."""
    index, sign = MOTION_MIRROR
    landmarks = frame.landmarks[LANDMARK_MIRROR] * np.array([-1, 1], np.float32) + np.array([FRAME, 0], np.float32)
    return Frame(
        cv2.flip(frame.image, 1), landmarks.astype(np.float32), frame.motion[index] * sign, cv2.flip(frame.region, 1)
    )


def cut(image: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """The crop as a picture, averaged where it shrinks; beyond the image its edge is repeated."""
    while crop.side / size > 1.5:
        height, width = image.shape[:2]
        image = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        crop = Crop(crop.x / 2, crop.y / 2, crop.side / 2, crop.roll)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, crop.affine(size), (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def cut_region(region: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """Region numbers [128,128] of a frame of 256 -> of the crop; background beyond the frame."""
    half = Crop(crop.x / 2, crop.y / 2, crop.side / 2, crop.roll)
    return cv2.warpAffine(region, half.affine(size), (size, size), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)


def paste(head: np.ndarray, background: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The head (region > 0) of one picture over another, with soft edges."""
    matte = cv2.blur((region > 0).astype(np.float32), (3, 3))
    return cv2.blendLinear(head, background, matte, 1 - matte)


def faceless(image: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paints over the face (landmarks in the image's pixels): bare skin, or the hair of the back of a head."""
    hull = cv2.convexHull(landmarks.astype(np.float32)).astype(np.int32)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, hull, 255)
    reach = max(3, int(np.ptp(landmarks[:, 0]) * 0.06)) | 1
    mask = cv2.GaussianBlur(cv2.dilate(mask, np.ones((reach, reach), np.uint8)), (0, 0), reach / 2)
    if rng.random() < 0.5:
        blurred = cv2.GaussianBlur(cv2.resize(image, None, fx=0.25, fy=0.25), (0, 0), max(0.5, float(np.ptp(landmarks[:, 0])) * 0.06))
        paint = cv2.resize(blurred, image.shape[1::-1]).astype(np.float32)
    else:
        strands = cv2.GaussianBlur(rng.normal(0, 1, image.shape[:2]).astype(np.float32), (0, 0), sigmaX=0.8, sigmaY=6)
        paint = rng.uniform(10, 150, 3) * (1 + 0.9 * strands[..., None])
    weight = mask[..., None].astype(np.float32) / 255
    return np.clip(image * (1 - weight) + paint * weight, 0, 255).astype(np.uint8)


def scrambled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square picture cut into tiles that are shuffled and flipped: eyes, mouths and hair in places that make no face."""
    size, n = image.shape[0], int(rng.integers(2, 6))
    tile = size // n
    order = rng.permutation(n * n)
    while n == 2 and order[0] == 0:
        order = rng.permutation(4)
    out = cv2.resize(image, (tile * n, tile * n), interpolation=cv2.INTER_LINEAR)
    rows = out.reshape(n, tile, n, tile, 3).swapaxes(1, 2).reshape(n * n, tile, tile, 3)[order]
    flips = rng.integers(0, 3, n * n)
    rows = np.stack([row if flip == 0 else row[::-1] if flip == 1 else row[:, ::-1] for row, flip in zip(rows, flips)])
    out = rows.reshape(n, n, tile, tile, 3).swapaxes(1, 2).reshape(tile * n, tile * n, 3)
    return cv2.resize(np.ascontiguousarray(out), (size, size), interpolation=cv2.INTER_LINEAR)


def jittered(crop: Crop, rng: np.random.Generator) -> Crop:
    """As a detector or the last frame of a video would have it: a little off."""
    wide = rng.random() < 0.25
    roll = rng.normal(0, 0.25 if wide else 0.09)
    scale = np.exp(np.clip(rng.normal(0, 0.17 if wide else 0.08), -0.35, 0.35))
    shift = np.clip(rng.normal(0, 0.085 if wide else 0.035, 2), -0.18, 0.18) * crop.side
    return Crop(crop.x + shift[0], crop.y + shift[1], crop.side * scale, crop.roll + roll)


def trimmed(frame: Frame, crop: Crop, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Crop]:
    """(image, region, crop) of a frame whose edge cuts into the face, as in pictures that were taken or cut carelessly."""
    box = face_box(frame.landmarks, crop.roll)
    image, region = frame.image, frame.region
    where = rng.uniform(0.15, 0.55) * box.side
    side = int(rng.integers(3))
    if side == 0:  # right
        end = int(np.clip(box.x + where, 32, FRAME)) // 2
        return np.ascontiguousarray(image[:, : 2 * end]), np.ascontiguousarray(region[:, :end]), crop
    if side == 1:  # bottom
        end = int(np.clip(box.y + where, 32, FRAME)) // 2
        return np.ascontiguousarray(image[: 2 * end]), np.ascontiguousarray(region[:end]), crop
    start = int(np.clip(box.y - where, 0, FRAME - 32)) // 2  # top
    moved = Crop(crop.x, crop.y - 2 * start, crop.side, crop.roll)
    return np.ascontiguousarray(image[2 * start :]), np.ascontiguousarray(region[start:]), moved


class Sampler:
    """Draws samples; one generator, so the same seed and shards give the same samples. negatives: share without a face;
    changed: share whose appearance is changed."""

    def __init__(self, shards: Shards, seed: int, negatives: float = 0.18, changed: float = 1.0):
        self.shards, self.rng, self.negatives, self.changed = shards, np.random.default_rng(seed), negatives, changed
        self.backgrounds = Backgrounds(self.rng, CROP)

    def draw(self) -> Sample:
        rng = self.rng
        frame = self.shards.random(rng)
        if rng.random() < 0.5:
            frame = mirrored(frame)
        crop = jittered(face_crop(frame.landmarks, float(frame.motion[2])), rng)
        if rng.random() < self.negatives:
            return self._negative(frame, crop)
        image, region, view = trimmed(frame, crop, rng) if rng.random() < 0.08 else (frame.image, frame.region, crop)
        image, region = cut(image, view, CROP), cut_region(region, view, CROP)
        if rng.random() < self.changed:
            if rng.random() < 0.35:
                image = regional_palette(image, region, rng)
            if rng.random() < 0.5:
                image = paste(image, self.backgrounds.draw(), region)
            image = appearance(image, self.backgrounds.draw(), rng)
        landmarks = crop.from_picture(frame.landmarks).astype(np.float32)
        return Sample(image, landmarks, motion_in_crop(frame.motion, crop, FRAME, FRAME), np.float32(1))

    def _negative(self, frame: Frame, crop: Crop) -> Sample:
        rng = self.rng
        kind = rng.random()
        if kind < 0.3:
            image = self.backgrounds.draw()
        elif kind < 0.55:
            image = scrambled(cut(frame.image, Crop(crop.x, crop.y, crop.side * rng.uniform(0.6, 1.5), crop.roll), CROP), rng)
        elif kind < 0.75:
            image = faceless(cut(frame.image, crop, CROP), (crop.from_picture(frame.landmarks) + 1) * (CROP / 2), rng)
        else:  # beside the face, or far too near or too turned
            box = face_box(frame.landmarks, crop.roll)
            how = rng.random()
            if how < 0.5:
                angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.4) * box.side
                crop = Crop(crop.x + far * np.cos(angle), crop.y + far * np.sin(angle), crop.side * rng.uniform(0.5, 1.1), rng.uniform(-3, 3))
            elif how < 0.75:
                crop = Crop(crop.x, crop.y, crop.side, crop.roll + rng.choice([-1, 1]) * rng.uniform(1.4, np.pi))
            else:
                shift = rng.normal(0, 0.15, 2) * box.side
                crop = Crop(crop.x + shift[0], crop.y + shift[1], crop.side * rng.uniform(0.15, 0.4), crop.roll)
            image = cut(frame.image, crop, CROP)
        image = appearance(np.ascontiguousarray(image), self.backgrounds.draw(), rng)
        return Sample(image, np.zeros((LANDMARKS, 2), np.float32), np.zeros(MOTION, np.float32), np.float32(0))
