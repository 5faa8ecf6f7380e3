"""The backdrop behind the person."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
ort = pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from portrait.behind import SIDE, fill_behind  # noqa: E402
from warp.encoder import layers  # noqa: E402
from warp.graph import Graph  # noqa: E402

Y, X = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(-1, 1, 256), indexing="ij")
PERSON = ((X / 0.4) ** 2 + ((Y + 0.1) / 0.5) ** 2 < 1) | ((Y > 0.3) & (np.abs(X) < 0.7))
MATTE = PERSON.astype(np.float32)[None, None]


@pytest.fixture(scope="module")
def fill():
    g = Graph("fill")
    g.output(fill_behind(g, g.input("image", "float32", [1, 3, 256, 256]), g.input("matte", "float32", [1, 1, 256, 256])), "behind", "float32", [1, 3, SIDE, SIDE])
    session = ort.InferenceSession(g.model("test").SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda image, matte=MATTE: session.run(None, {"image": image.astype(np.float32), "matte": matte})[0]


def before(ground: np.ndarray, colour: float) -> np.ndarray:
    """ground [3,256,256] with a person of one colour before it."""
    return np.where(PERSON, colour, ground)[None]


def half(v: np.ndarray) -> np.ndarray:
    return v.reshape(-1, SIDE, 2, SIDE, 2).mean((2, 4))


def test_plain_walls_and_gradients_go_on_behind_the_person(fill):
    for ground in (np.full((3, 256, 256), 0.3), np.stack([0.5 + 0.3 * X, 0.4 - 0.2 * Y, 0.5 + 0.1 * (X + Y)])):
        assert np.abs(fill(before(ground, 0.9))[0] - half(ground)).max() < 0.01


def test_nothing_of_the_person_shows(fill):
    ground = np.random.default_rng(0).random((3, 1, 1)) * (1 + 0.3 * np.sin(9 * X) * np.cos(7 * Y))
    dark, bright = fill(before(ground, 0.0)), fill(before(ground, 1.0))
    assert np.array_equal(dark, bright)
    rim = np.random.default_rng(1).random((3, 256, 256))  # hair that the matte misses, two pixels of it
    near = cv2.dilate(PERSON.astype(np.uint8), np.ones((5, 5))) > 0
    strands = np.where(near & ~PERSON, rim, before(ground, 0.5)[0])[None]
    assert np.array_equal(fill(strands), dark)


def test_what_is_seen_stays_and_what_is_near_counts_most(fill):
    ground = np.where(X < 0, 0.2, 0.8)[None].repeat(3, 0)
    found = fill(before(ground, 0.5))[0]
    far = ~half(PERSON.astype(float))[0].astype(bool)
    far[:, 32:96] = False  # away from the person
    assert np.abs(found - half(ground))[:, far].max() < 0.02
    assert found[:, 58, 42].max() < 0.4 and found[:, 58, 85].min() > 0.6  # just inside either side of the head


def test_a_picture_full_of_the_person_has_a_backdrop_all_the_same(fill):
    found = fill(np.random.default_rng(2).random((1, 3, 256, 256)), np.ones((1, 1, 256, 256), np.float32))
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_of_a_sure_matte_the_outline_is_left_to_the_backdrop():
    """A guessed matte's outline is the picture's own; a sure one's holds the person's colours and is painted over."""
    image = np.where(PERSON, 0.9, 0.2)[None, None].repeat(3, 1).repeat(2, 2).repeat(2, 3).astype(np.float32)
    rows = {}
    for sure in (False, True):
        g = Graph("layers")
        given = (g.input("image", "float32", [1, 3, 512, 512]), g.input("alpha", "float32", [1, 1, 256, 256]), g.input("backdrop", "float32", [1, 3, 64, 64]))
        g.output(layers(g, *given, sure=sure)["backdrop256"], "out", "uint8", [3, 256, 256])
        session = ort.InferenceSession(g.model("test").SerializeToString(), providers=["CPUExecutionProvider"])
        thin = MATTE * (np.roll(MATTE, 2, 3) > 0)  # two columns of the person are missed at the left
        (rows[sure],) = session.run(None, {"image": image, "alpha": thin, "backdrop": np.full((1, 3, 64, 64), 0.2, np.float32)})
    left = int(np.flatnonzero(PERSON[100])[0])
    assert rows[False][0, 100, left + 1] > 200 and rows[True][0, 100, left + 1] < 60
    assert rows[True][0, 100, left - 20] == rows[False][0, 100, left - 20] == 51
