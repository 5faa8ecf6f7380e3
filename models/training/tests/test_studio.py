"""The portrait studio: deterministic, and its landmarks lie where the picture shows them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")
pytest.importorskip("skimage")

TRAINING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TRAINING))

from studio.backdrop import Room, paint_room  # noqa: E402
from studio.camera import Camera  # noqa: E402
from studio.facekit import FacekitMissing, load_facekit  # noqa: E402
from studio.grade import filmic, to_srgb  # noqa: E402
from studio.identity import Shape, head_vertices, sculpt, turn_head  # noqa: E402
from studio.mesh import Mesh, subdivide  # noqa: E402
from studio.people import CALM, PEOPLE  # noqa: E402
from studio.person import EYE_SPAN, frame  # noqa: E402
from studio.portraits import ATTEMPTS  # noqa: E402
from studio.renderer import choose_variant  # noqa: E402

FACEKIT = Path(os.environ.get("FACEKIT", TRAINING.parents[2] / "shared/ict-facekit"))
# Multi-PIE: which landmark is the mirror image of which.
MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
]


@pytest.fixture(scope="module")
def kit():
    try:
        return load_facekit(FACEKIT)
    except FacekitMissing as missing:
        pytest.skip(str(missing))


def need_renderer(variant: str) -> None:
    """Skips without Mitsuba, or without an LLVM for the variant that wants one; where CI is set they must be there."""
    if os.environ.get("CI"):
        import mitsuba  # noqa: F401
    else:
        pytest.importorskip("mitsuba")
    if variant.startswith("llvm") and choose_variant() != variant:
        assert not os.environ.get("CI"), "no LLVM 17 or newer: install libllvm19"
        pytest.skip("no LLVM 17 or newer: install libllvm19")


def photograph_ball(threads: int) -> dict:
    """What studio_ball.py prints; tried again when Mitsuba's LLVM back end crashes, as portraits.py does."""
    command = [sys.executable, str(Path(__file__).with_name("studio_ball.py")), str(threads)]
    for _ in range(ATTEMPTS):
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode >= 0:
            break
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.mark.parametrize("variant", ["scalar_rgb", "llvm_ad_rgb"])
def test_a_picture_repeats_byte_for_byte_in_any_process_and_differs_between_seeds(variant, monkeypatch):
    monkeypatch.delenv("STUDIO_VARIANT", raising=False)
    need_renderer(variant)
    monkeypatch.setenv("STUDIO_VARIANT", variant)
    # Eight threads take turns even on two cores: what hangs on their order shows.
    one, many = photograph_ball(threads=1), photograph_ball(threads=8)
    assert one["first"] == one["again"] == many["first"] == many["again"]
    assert one["other"] == many["other"]
    assert all(one["other"][plane] != digest for plane, digest in one["first"].items())
    assert one["lamps"] == many["lamps"] == ["box0", "box1", "box2", "box3"]


def test_a_missing_face_model_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FacekitMissing, match="--facekit"):
        load_facekit(tmp_path)


def test_the_camera_projects_its_axis_to_the_middle_and_its_width_to_the_edges():
    camera = Camera(size=512, height=-1.0, eye_depth=8.0, width_cm=40.0)
    pixels = camera.project(np.array([[0, -1.0, 8.0], [20.0, -1.0, 8.0], [-20.0, 19.0, 8.0], [0, -1.0, -30.0]]))
    assert np.allclose(pixels, [[256, 256], [512, 256], [0, 0], [256, 256]])


def test_subdividing_a_sphere_brings_it_closer_to_the_sphere():
    points = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
    faces = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    octahedron = Mesh(points, faces, None, {"canonical": points})
    flat, curved = subdivide(octahedron, curvature=0.0), subdivide(subdivide(octahedron, curvature=1.0))
    assert len(flat.triangles) == 32
    assert np.linalg.norm(flat.vertices, axis=1).min() < 0.71
    assert len(curved.vertices) == len(curved.attributes["canonical"])


def test_tone_mapping_keeps_dark_tones_and_never_exceeds_white():
    ramp = np.linspace(0, 8, 200)[:, None].repeat(3, 1)
    mapped = filmic(ramp)
    assert np.allclose(mapped[ramp < 0.5], ramp[ramp < 0.5])
    assert (np.diff(mapped[:, 0]) >= 0).all() and mapped.max() <= 1.0
    assert to_srgb(np.array([0.0, 0.2159, 1.0])).tolist() == [0, 128, 255]


def test_rooms_repeat_with_their_seed_and_differ_between_seeds():
    assert np.array_equal(paint_room(Room(seed=3), 48), paint_room(Room(seed=3), 48))
    assert not np.allclose(paint_room(Room(seed=3), 48), paint_room(Room(seed=4), 48))


def test_every_person_has_an_id_of_their_own_and_looks_nearly_straight_ahead():
    assert len(PEOPLE) >= 8
    assert len({person.id for person in PEOPLE}) == len(PEOPLE)
    assert all(abs(person.turn[0]) <= 6 for person in PEOPLE)


def test_landmarks_of_the_mean_face_are_in_order_inside_the_image_and_symmetrical(kit):
    points = head_vertices(kit, Shape(seed=0, amount=0.0))[kit.landmarks]
    camera = frame(points, 512)
    pixels = camera.project(points)
    assert (pixels > 40).all() and (pixels < 472).all()
    assert (np.diff(pixels[:17, 0]) > 0).all(), "the jaw runs from the image's left to its right"
    assert pixels[36, 0] < pixels[39, 0] < pixels[42, 0] < pixels[45, 0]
    assert pixels[27, 1] < pixels[33, 1] < pixels[51, 1] < pixels[57, 1] < pixels[8, 1], "y points down"
    assert abs((pixels[45, 0] - pixels[36, 0]) / 512 - EYE_SPAN) < 0.003
    mirrored = pixels[MIRROR] * [-1, 1] + [512, 0]
    assert np.abs(mirrored - pixels).max() < 0.6


def test_the_lips_of_every_built_in_person_are_closed(kit):
    for person in PEOPLE:
        points = head_vertices(kit, person.shape)[kit.landmarks]
        gap = max(points[a, 1] - points[b, 1] for a, b in ((61, 67), (62, 66), (63, 65)))
        assert gap < 0.12, person.id


def test_turning_the_head_moves_the_nose_to_the_images_right_and_leaves_the_chest(kit):
    turned, rotation = turn_head(kit.neutral, kit.neutral, 10, 0, 0)
    nose, chest = kit.landmarks[30], int(np.argmin(kit.neutral[:, 1]))
    assert turned[nose, 0] > kit.neutral[nose, 0] + 1
    assert np.allclose(turned[chest], kit.neutral[chest])
    assert np.allclose(rotation @ rotation.T, np.eye(3))


def test_an_unknown_sculpting_handle_is_an_error(kit):
    with pytest.raises(KeyError):
        sculpt(kit.neutral, kit.neutral, {"nose_wdith": 1.0})
    assert set(CALM) <= set(kit.expressions)
