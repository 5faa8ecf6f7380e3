"""models/tracker: geometry, samples and losses of the training, the exported networks against PyTorch, and what the committed
package finds in the built-in portraits (none of which it was trained on).

    python -m pytest models/training/tests/test_tracker.py
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "models/training"))

from tracker.crops import Crop, face_box, face_crop, motion_in_crop, motion_in_picture  # noqa: E402
from tracker.layout import LANDMARK_MIRROR, MOTION, MOTION_MIRROR  # noqa: E402

PORTRAITS = ROOT / "models/portraits"
SHAPE = np.array(json.loads((PORTRAITS / "ada.json").read_text())["landmarks"], np.float32)


def drawn_heads(folder: Path, count: int, seed: int = 0) -> None:
    """A shard in the format of models/training/heads with drawn heads: ellipses for skin, eyes and mouth."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(seed)
    images, landmarks = np.zeros((count, 256, 256, 3), np.uint8), np.zeros((count, 68, 2), np.float32)
    motion, region = np.zeros((count, MOTION), np.float32), np.zeros((count, 128, 128), np.uint8)
    for i in range(count):
        roll, scale = rng.normal(0, 0.15), rng.uniform(0.38, 0.55)
        head = Crop(*rng.uniform(110, 146, 2), 256 * scale, float(roll))
        points = head.to_picture((SHAPE - SHAPE.mean(0)) / 75)
        image = np.full((256, 256, 3), rng.uniform(0, 255, 3), np.uint8)
        skin = tuple(float(c) for c in np.array([230, 180, 150]) * rng.uniform(0.3, 1))
        box = face_box(points, roll)
        cv2.ellipse(image, ((box.x, box.y), (box.side * 1.05, box.side * 1.35), float(np.degrees(roll))), skin, -1)
        for part, colour in ((slice(36, 42), (250, 250, 250)), (slice(42, 48), (250, 250, 250)), (slice(48, 60), (150, 40, 50))):
            cv2.fillPoly(image, [points[part].astype(np.int32)], colour)
        mask = np.zeros((128, 128), np.uint8)
        cv2.ellipse(mask, ((box.x / 2, box.y / 2), (box.side * 0.525, box.side * 0.675), float(np.degrees(roll))), 1, -1)
        images[i], landmarks[i], region[i] = image, points / 128 - 1, mask
        motion[i, 2:6] = roll, head.x / 128 - 1, head.y / 128 - 1, np.log(scale / 8)
        motion[i, 6:] = rng.uniform(0, 1, 52)
    folder.mkdir(parents=True)
    for name, array in (("images", images), ("landmarks", landmarks), ("motion", motion), ("region", region)):
        np.save(folder / f"{name}.npy", array)
    (folder / "meta.json").write_text("{}")


@pytest.fixture(scope="session")
def heads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    drawn_heads(folder / "train-0000", 24)
    return folder


def test_a_crop_and_its_inverse_cancel():
    rng = np.random.default_rng(0)
    points, crop = rng.uniform(0, 200, (9, 2)), Crop(80, 110, 60, 0.7)
    np.testing.assert_allclose(crop.to_picture(crop.from_picture(points)), points, atol=1e-9)
    motion = rng.normal(0, 0.4, MOTION).astype(np.float32)
    np.testing.assert_allclose(motion_in_picture(motion_in_crop(motion, crop, 256, 256), crop, 256, 256), motion, atol=1e-5)


def test_the_crop_of_a_turned_face_shows_it_upright():
    crop = face_crop(SHAPE, 0.0)
    turned = Crop(256, 256, 2, 0.9).to_picture(SHAPE - 256)  # the same face, turned about (256, 256)
    other = face_crop(turned, 0.9)
    np.testing.assert_allclose(other.from_picture(turned), crop.from_picture(SHAPE), atol=1e-6)
    inside = crop.from_picture(SHAPE)
    assert np.abs(inside).max() == pytest.approx(1 / 1.5, abs=1e-6)


def test_the_crops_affine_lands_on_pixel_centres():
    crop = Crop(40, 30, 20, 0.0)
    x, y = crop.affine(10) @ np.array([0, 0, 1])  # the first pixel of ten covers 30..32: its middle is 31, counted from 0 30.5
    assert (x, y) == pytest.approx((30.5, 20.5))


def test_mirroring_twice_is_nothing_and_keeps_the_order_of_the_jaw():
    assert (LANDMARK_MIRROR[LANDMARK_MIRROR] == np.arange(68)).all()
    index, sign = MOTION_MIRROR
    assert (index[index] == np.arange(MOTION)).all() and (sign * sign[index] == 1).all()
    mirrored = SHAPE[LANDMARK_MIRROR] * [-1, 1] + [512, 0]
    assert mirrored[0, 0] < mirrored[16, 0] and mirrored[36, 0] < mirrored[45, 0] and mirrored[48, 0] < mirrored[54, 0]


def test_samples_repeat_by_seed_and_keep_their_landmarks_on_the_face(heads):
    pytest.importorskip("cv2")
    from tracker.samples import Sampler
    from tracker.shards import Shards

    draw = lambda: [Sampler(Shards(heads, "train"), 4).draw() for _ in range(1)][0]  # noqa: E731
    a, b = draw(), draw()
    assert (a.image == b.image).all() and (a.landmarks == b.landmarks).all()
    sampler = Sampler(Shards(heads, "train"), 5, negatives=0.5)
    samples = [sampler.draw() for _ in range(40)]
    faces = [s for s in samples if s.face]
    assert 8 < len(faces) < 32
    assert all(np.abs(s.landmarks).max() < 1.3 and np.abs(s.landmarks.mean(0)).max() < 0.5 for s in faces)
    assert all(s.image.shape == (128, 128, 3) and s.image.dtype == np.uint8 for s in samples)


def test_scenes_mark_the_middle_size_and_turn_of_their_faces(heads):
    pytest.importorskip("cv2")
    from tracker.scenes import SceneSampler
    from tracker.shards import Shards

    sampler = SceneSampler(Shards(heads, "train"), 6)
    scenes = [sampler.draw() for _ in range(60)]
    counts = [(s.target[..., 0] > 0.999).sum() for s in scenes]
    assert counts.count(0) > 5 and sum(c == 1 for c in counts) > 15 and max(counts) >= 2
    for scene in scenes:
        at = scene.target[..., 0] > 0.999
        assert np.allclose(np.hypot(scene.target[at][:, 4], scene.target[at][:, 5]), 1, atol=1e-5)
        assert (np.abs(scene.target[at][:, 1:3]) <= 0.51).all()
        assert (scene.weight >= 0).all() and scene.image.shape == (192, 192, 3)


def test_training_stops_resumes_and_gets_better(heads, tmp_path):
    torch = pytest.importorskip("torch")
    from tracker.train import train

    config = {"network": "landmarker", "width": 4, "batch": 8, "rate": 0.003, "decay": 0.01, "seconds": 3.0, "seed": 1, "report": 5}
    train(config, heads, tmp_path, threads=1, workers=0)
    first = torch.load(tmp_path / "landmarker.pt", weights_only=False)
    train(config | {"seconds": 6.0}, heads, tmp_path, threads=1, workers=0)
    second = torch.load(tmp_path / "landmarker.pt", weights_only=False)
    assert second["step"] > first["step"] and second["spent"] >= 6
    assert second["history"][-1]["landmarks"] < second["history"][0]["landmarks"]
