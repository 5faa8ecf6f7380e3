"""Mouth and eyes as they are painted: models/warp on a drawn face."""

from __future__ import annotations

import numpy as np
from test_warp import avatar, box, own_pose, package, portrait, render, shrink

from warp import reference


def test_an_opening_jaw_paints_a_dark_mouth_that_was_not_there():
    a = avatar()
    at = box(portrait()[1][60:68] + np.array([0, 0.06]), 256, 0.01)
    shut, _ = render(a, own_pose(a))
    open_, _ = render(a, own_pose(a, jawOpen=0.8))
    dark = lambda f: (f[at].max(-1) < 75).mean()  # noqa: E731
    assert dark(shut) < 0.02 < 0.25 < dark(open_)


def test_an_old_photograph_opens_a_mouth_of_its_own_tone():
    pixels, landmarks = portrait()
    luma = pixels @ np.array([0.3, 0.59, 0.11])
    sepia = np.clip(luma[..., None] * [1.0, 0.85, 0.65] + [12, 6, 0], 0, 255).astype(np.uint8)
    open_mouth = lambda a: render(a, own_pose(a, jawOpen=0.7))[0][box(landmarks[60:68], 256, 0)].astype(float).reshape(-1, 3)  # noqa: E731
    red, brown = open_mouth(avatar()), open_mouth(package.encode(sepia, landmarks))
    expected = (brown @ [0.3, 0.59, 0.11])[:, None]
    expected = (expected - 7.1) / 0.873 * [1.0, 0.85, 0.65] + [12, 6, 0]
    assert np.abs(brown - expected).mean() < 4
    assert (red[:, 0] / (red[:, 1] + 8)).max() > 1.5


def brightest(a, landmarks) -> float:
    """Luma (0..255) of the brightest twentieth of a broad smile."""
    smile = {f"{name}{side}": 1 for name in ("mouthSmile", "mouthUpperUp") for side in ("Left", "Right")}
    frame, _ = render(a, own_pose(a, jawOpen=0.2, **smile))
    mouth = np.sort((frame[box(landmarks[48:68], 256, 0.02)] @ [0.3, 0.59, 0.11]).ravel())
    return float(mouth[-len(mouth) // 20 :].mean())


def test_teeth_are_as_white_as_the_eyes_say_whatever_the_skin():
    pixels, landmarks = portrait()
    white = pixels.min(-1) > 200  # of the eyes
    dark_skin = np.where(white[..., None], pixels, pixels * 0.35).astype(np.uint8)
    dark_room = (pixels * 0.35).astype(np.uint8)
    light, dark, dim = (brightest(package.encode(p, landmarks), landmarks) for p in (pixels, dark_skin, dark_room))
    assert light > 170 and abs(dark - light) < 12
    assert 0.35 < dim / light < 0.85  # less light, and the eyes show it


def test_a_tongue_that_is_put_out_hides_the_lower_teeth():
    a = avatar()
    at = box(portrait()[1][60:68] + np.array([0, 0.06]), 256, 0.04)
    mouth = dict(jawOpen=0.5, mouthLowerDownLeft=1, mouthLowerDownRight=1)
    white = lambda **c: (render(a, own_pose(a, **mouth, **c))[0][at].min(-1) > 150).mean()  # noqa: E731
    assert white(tongueOut=1) < 0.2 * white() and white() > 0.005


def test_a_portrait_that_looks_aside_looks_straight_with_a_performer_who_does():
    pixels, landmarks = portrait()
    aside = pixels.copy()
    for eye in (36, 42):  # both eyes' pictures, moved within the eye
        rows, columns = box(landmarks[eye : eye + 6], 512, 0.0)
        aside[rows, columns.start + 4 : columns.stop] = pixels[rows, columns.start : columns.stop - 4]
    a = package.encode(aside, landmarks)
    rows, columns = box(landmarks[42:48], 256, 0.0)

    def iris(frame):
        dark = (frame[rows, columns].max(-1) < 90).astype(float)
        return (dark * np.arange(dark.shape[1])).sum() / dark.sum()

    straight, _ = render(avatar(), own_pose(avatar()))
    portrayed = iris(shrink(aside, 256))
    assert portrayed > iris(straight) + 1.0
    assert iris(render(a, own_pose(a))[0]) < portrayed - 0.4


def test_mouth_close_alone_never_crosses_the_lips():
    a = avatar()
    assert reference.psnr(render(a, own_pose(a, mouthClose=1))[0], render(a, own_pose(a))[0]) > 60


def test_a_blink_shuts_the_eye_and_a_glance_moves_the_iris():
    a = avatar()
    landmarks = portrait()[1]
    at = box(landmarks[42:48], 256, 0.0)
    white = lambda f: (f[at].min(-1) > 190).mean()  # noqa: E731
    neutral, _ = render(a, own_pose(a))
    assert white(neutral) > 0.2
    assert white(render(a, own_pose(a, eyeBlinkLeft=1))[0]) < 0.02
    # The right eye keeps still while the left one blinks.
    other = box(landmarks[36:42], 256, 0.0)
    blink, _ = render(a, own_pose(a, eyeBlinkLeft=1))
    assert np.abs(blink[other].astype(int) - neutral[other]).max() <= 2

    def iris(f):
        dark = (f[at].max(-1) < 90).astype(float)
        return (dark * np.arange(dark.shape[1])).sum() / dark.sum()

    assert iris(render(a, own_pose(a, eyeLookOutLeft=0.7))[0]) > iris(neutral) + 1.5
    assert iris(render(a, own_pose(a, eyeLookInLeft=0.7))[0]) < iris(neutral) - 1.5


def test_a_small_face_keeps_both_eyes_and_the_mouth_painted():
    a = avatar()
    small = own_pose(a, eyeBlinkLeft=1, eyeBlinkRight=1, jawOpen=0.8)
    small[5] = -0.8
    shut, _ = render(a, small, 512)
    small[6:] = 0
    neutral, _ = render(a, small, 512)
    landmarks = (portrait()[1] - np.array([0.02, 0.05])) * np.exp(-0.8) + np.array([0.02, 0.05])
    white = lambda f, i: (f[box(landmarks[i : i + 6], 512, 0.0)].min(-1) > 190).mean()  # noqa: E731
    for eye in (36, 42):
        assert white(neutral, eye) > 0.15
        assert white(shut, eye) < 0.03
    mouth = box(landmarks[60:68] + np.array([0, 0.03]), 512, 0.005)
    assert (shut[mouth].max(-1) < 75).mean() > 0.25 > 0.02 > (neutral[mouth].max(-1) < 75).mean()
