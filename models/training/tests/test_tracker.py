"""models/tracker: geometry, samples and losses of the training, the exported networks against PyTorch, and what the committed
package finds in the built-in portraits (none of which it was trained on).

    python -m pytest models/training/tests/test_tracker.py
"""

import hashlib
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
PACKAGE = ROOT / "models/tracker"
CHECKPOINTS = ROOT / "models/training/tracker/checkpoints"  # averaged weights, float16
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


@pytest.mark.parametrize(("network", "loss"), [("landmarker", "landmarks"), ("expression", "expression")])
def test_training_stops_resumes_and_gets_better(heads, tmp_path, network, loss):
    torch = pytest.importorskip("torch")
    from tracker.train import train

    config = {"network": network, "width": 4, "batch": 8, "rate": 0.003, "decay": 0.01, "seconds": 600, "steps": 15, "seed": 1, "report": 5}
    train(config, heads, tmp_path, threads=1, workers=0)
    first = torch.load(tmp_path / f"{network}.pt", weights_only=False)
    train(config | {"steps": 60}, heads, tmp_path, threads=1, workers=0)
    second = torch.load(tmp_path / f"{network}.pt", weights_only=False)
    assert (first["step"], second["step"]) == (15, 60) and second["spent"] > first["spent"]
    assert [row["step"] for row in second["history"]] == list(range(5, 61, 5))
    assert second["history"][-1][loss] < second["history"][0][loss]


def test_unsure_landmarks_are_off_by_what_the_network_is_off_by():
    torch = pytest.importorskip("torch")
    from tracker.expression import unsure

    torch.manual_seed(0)
    true = torch.from_numpy(face_crop(SHAPE, 0.0).from_picture(SHAPE)).float().expand(200, -1, -1)
    off = (unsure(true) - true).norm(dim=-1)
    across = float((true[0, 36] - true[0, 45]).norm())
    assert 0.015 < float(off.mean()) / across < 0.06


def reader():
    """The committed package, and a way to read pictures."""
    pytest.importorskip("onnxruntime")
    image = pytest.importorskip("PIL.Image")
    from tracker.run import Tracker

    return Tracker(PACKAGE), lambda path: np.asarray(image.open(path).convert("RGB"))


def test_the_manifest_fits_its_files():
    manifest = json.loads((PACKAGE / "manifest.json").read_text())
    assert [file["stage"] for file in manifest["files"]] == ["detector", "landmarks"]
    for file in manifest["files"]:
        assert hashlib.sha256((PACKAGE / file["file"]).read_bytes()).hexdigest() == file["sha256"]
        assert file["gflop"] <= 0.45 and (PACKAGE / file["file"]).stat().st_size < 12e6


def test_operators_are_standard_and_need_no_control_flow():
    onnx = pytest.importorskip("onnx")
    for name in ("detector.onnx", "landmarks.onnx"):
        model = onnx.load(PACKAGE / name)
        assert model.opset_import[0].version == 17
        used = {node.op_type for node in model.graph.node}
        assert not used & {"If", "Loop", "Scan", "NonZero"}, used
        assert all(node.domain == "" for node in model.graph.node)


@pytest.mark.parametrize("name", sorted(path.stem for path in PORTRAITS.glob("*.json")))
def test_built_in_portraits_are_found_though_never_trained_on(name):
    tracker, read = reader()
    truth = np.array(json.loads((PORTRAITS / f"{name}.json").read_text())["landmarks"])
    faces = tracker.find(read(PORTRAITS / f"{name}.jpg"))
    assert len(faces) == 1
    error = np.linalg.norm(faces[0].landmarks - truth, axis=1) / np.linalg.norm(truth[36] - truth[45])
    assert error.mean() < 0.05 and error[36:].mean() < 0.045
    assert np.abs(np.degrees(faces[0].motion[:3])).max() < 25


def test_a_turned_portrait_is_found_with_its_roll():
    tracker, read = reader()
    upright, turned = read(PORTRAITS / "ada.jpg"), np.rot90(read(PORTRAITS / "ada.jpg"), -1)  # clockwise
    a, b = tracker.find(upright)[0], tracker.find(np.ascontiguousarray(turned))[0]
    assert np.degrees(b.motion[2] - a.motion[2]) == pytest.approx(90, abs=6)
    expected = np.stack([512 - a.landmarks[:, 1], a.landmarks[:, 0]], 1)
    assert np.linalg.norm(b.landmarks - expected, axis=1).mean() < 6


def test_nothing_is_found_in_plain_pictures():
    tracker, _ = reader()
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 256)[None, :, None] * np.ones((256, 1, 3))
    for picture in (np.zeros((300, 200, 3)), ramp, rng.uniform(0, 255, (256, 256, 3))):
        assert tracker.find(picture.astype(np.uint8)) == []


@pytest.mark.parametrize("stage", ["detector", "landmarks"])
def test_exported_graph_equals_the_network(stage, tmp_path):
    """The committed weights where they are, else fresh ones: export and PyTorch agree for batches and sizes."""
    torch = pytest.importorskip("torch")
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from tracker.detector import Detector
    from tracker.export import DetectorGraph, LandmarkGraph, export_graph, load
    from tracker.expression import Expression
    from tracker.landmarker import Landmarker

    torch.manual_seed(0)
    kinds, graph_kind = ((Detector,), DetectorGraph) if stage == "detector" else ((Landmarker, Expression), LandmarkGraph)
    checkpoints = [CHECKPOINTS / f"{kind.__name__.lower()}.pt" for kind in kinds]
    committed = all(path.exists() for path in checkpoints)
    graph = graph_kind(*(load(kind, path) if committed else kind(width=8).eval() for kind, path in zip(kinds, checkpoints))).eval()
    names = ["cells"] if stage == "detector" else ["landmarks", "spread", "motion", "face"]
    path = PACKAGE / f"{stage}.onnx"
    if not committed or not path.exists():
        path = tmp_path / "graph.onnx"
        dynamic = {"image": {0: "B", 1: "H", 2: "W"}, "cells": {0: "B", 1: "h", 2: "w"}} if stage == "detector" else {n: {0: "B"} for n in ["image", *names]}
        export_graph(graph, 192 if stage == "detector" else 128, path, names, dynamic)
    image = np.random.default_rng(1).integers(0, 256, (3, 128, 160 if stage == "detector" else 128, 3)).astype(np.uint8)
    with torch.no_grad():
        expected = graph(torch.from_numpy(image))
    found = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(names, {"image": image})
    # Committed weights are float16 copies of what was exported.
    tolerance = 2e-2 if committed else 1e-3
    for a, b in zip(found, expected if isinstance(expected, tuple) else (expected,)):
        np.testing.assert_allclose(a, b.numpy(), atol=tolerance, rtol=tolerance)
