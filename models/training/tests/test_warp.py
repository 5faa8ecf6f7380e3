"""models/warp: the built package against the numpy reference and its own promises.

Runs on the committed package; what needs ICT-FaceKit (parity of keypoints, rebuilding) is skipped without it.
    python -m pytest models/training/tests/test_warp.py
"""

import hashlib
import json
import os
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "models/training"))

from warp import reference  # noqa: E402
from warp.facekit import INDEX, tables  # noqa: E402
from warp.run import Package, motion_row, pose_angles, read_portrait, stack  # noqa: E402

PACKAGE = ROOT / "models/warp"
FACEKIT = Path(os.environ.get("FACEWIRE_FACEKIT", ROOT.parent / "shared/ict-facekit/ict-facekit.npz"))
needs_facekit = pytest.mark.skipif(not FACEKIT.exists(), reason="ICT-FaceKit is not at hand (FACEWIRE_FACEKIT)")
package = Package(PACKAGE)

# The mean face's landmarks, cm, image axes: enough of a face for a test picture without ICT-FaceKit.
JAW = [(-7.36, -3.68, -3.66), (-7.28, -1.49, -3.93), (-6.94, 0.46, -4.53), (-6.56, 2.36, -5.17), (-5.72, 4.49, -6.13), (-4.3, 6.21, -7.35), (-3.05, 6.91, -8.77), (-1.54, 7.26, -10.27)]
BROW = [(-5.82, -5.2, -7.91), (-4.93, -5.98, -8.99), (-3.79, -6.26, -9.83), (-2.41, -6.19, -10.48), (-1.17, -5.91, -10.73)]
NOSE = [(0, -3.74, -10.73), (0, -2.63, -11.52), (0, -1.61, -12.31), (0, -0.41, -13.07), (-1.25, 1.14, -10.87), (-0.6, 1.14, -11.42), (0, 1.2, -11.57), (0.6, 1.14, -11.42), (1.25, 1.14, -10.87)]
EYE = [(-4.46, -3.43, -8.6), (-3.87, -3.87, -9.36), (-2.78, -3.94, -9.53), (-1.84, -3.25, -9.2), (-2.73, -3.08, -9.41), (-3.86, -3.07, -9.23)]
LIPS = [(-2.53, 3.52, -10.19), (-1.7, 2.78, -11.22), (-0.73, 2.42, -11.73), (0, 2.48, -11.84), (0.73, 2.42, -11.73), (1.7, 2.78, -11.22), (2.53, 3.52, -10.19), (1.8, 4.06, -10.9), (1.03, 4.3, -11.39), (0, 4.38, -11.55), (-1.03, 4.3, -11.39), (-1.8, 4.06, -10.9), (-2.21, 3.49, -10.13), (-1, 3.3, -11.09), (0, 3.32, -11.28), (1, 3.3, -11.09), (2.21, 3.49, -10.13), (1.07, 3.38, -11.04), (0, 3.4, -11.25), (-1.07, 3.38, -11.04)]
flip = lambda points: [(-x, y, z) for x, y, z in reversed(points)]  # noqa: E731
LEFT_EYE = [(-EYE[i][0], *EYE[i][1:]) for i in (3, 2, 1, 0, 5, 4)]
FACE = np.array(JAW + [(0, 7.57, -10.43)] + flip(JAW) + BROW + flip(BROW) + NOSE + EYE + LEFT_EYE + LIPS, np.float32)


@cache
def portrait(pitch=0.0, yaw=0.0, roll=0.0, seed=0):
    """(pixels, landmarks): a drawn head with smooth noise, posed by the reference's rotation."""
    rng = np.random.default_rng(seed)
    r = reference.rotation(pitch, yaw, roll)
    landmarks = (FACE @ r.T)[:, :2] * 0.055 + np.array([0.02, 0.05])
    y, x = np.mgrid[0:512, 0:512] / 256 - 1 + 1 / 512
    cm = np.stack([x - 0.02, y - 0.05], -1) / 0.055
    image = np.stack([0.2 + 0.1 * x, 0.45 + 0.1 * y, 0.6 + 0 * x], -1)
    noise = np.kron(rng.uniform(-0.06, 0.06, (64, 64, 3)), np.ones((8, 8, 1)))

    def paint(mask, colour):
        image[mask] = np.array(colour) + noise[mask]

    at = lambda i: (landmarks[i] - np.array([0.02, 0.05])) / 0.055  # noqa: E731
    paint((np.abs(cm[..., 0]) < 5) & (cm[..., 1] > 0), (0.70, 0.50, 0.42))
    paint(cm[..., 1] > 13 + 0.05 * cm[..., 0] ** 2, (0.25, 0.25, 0.5))
    paint((cm[..., 0] / 8.2) ** 2 + ((cm[..., 1] + 3.5) / 11.5) ** 2 < 1, (0.78, 0.56, 0.47))
    for a, b in ((36, 39), (42, 45)):
        c, w = (at(a) + at(b)) / 2, np.linalg.norm(at(b) - at(a)) / 2
        paint(((cm[..., 0] - c[0]) / w) ** 2 + ((cm[..., 1] - c[1]) / 0.45) ** 2 < 1, (0.92, 0.92, 0.92))
        paint((cm[..., 0] - c[0]) ** 2 + (cm[..., 1] - c[1]) ** 2 < 0.3, (0.1, 0.15, 0.1))
    c = at([60, 64]).mean(0)
    paint(((cm[..., 0] - c[0]) / 2.5) ** 2 + ((cm[..., 1] - c[1]) / 0.9) ** 2 < 1, (0.7, 0.3, 0.3))
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels, landmarks.astype(np.float32)


@cache
def avatar(pitch=0.0, yaw=0.0, roll=0.0, seed=0):
    return package.encode(*portrait(pitch, yaw, roll, seed))


def shrink(pixels, size):
    k = 512 // size
    return pixels.reshape(size, k, size, k, 3).astype(np.float64).mean((1, 3))


def own_pose(a, **coefficients):
    pitch, yaw, roll = pose_angles(a)
    return motion_row(pitch=pitch, yaw=yaw, roll=roll, **coefficients)


def render(a, motion, size=256, view=(0.0, 0.0)):
    rgb, i420 = package.render(stack([a]), [0], motion[None], np.array([view], np.float32), size)
    return rgb[0], i420[0]


def box(points, size, pad):
    """Slices of the picture around picture points [n,2]."""
    low, high = points.min(0) - pad, points.max(0) + pad
    x0, y0, x1, y1 = [int(np.clip((v + 1) / 2 * size, 0, size)) for v in (*low, *high)]
    return slice(y0, y1), slice(x0, x1)


def test_manifest_names_every_file_with_its_hash_and_the_avatar_tensors_match_the_encoder():
    manifest = json.loads((PACKAGE / "manifest.json").read_text())
    assert len(manifest["expressionNames"]) == 52
    for entry in manifest["files"]:
        data = (PACKAGE / entry["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], entry["file"]
        session = package.session(entry["file"])
        names = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}
        for declared, actual in ((entry["inputs"], session.get_inputs()), (entry["outputs"], session.get_outputs())):
            assert [(t["name"], t["dtype"], t["shape"]) for t in declared] == [(t.name, names[t.type], t.shape) for t in actual]
    assert manifest["files"][0]["outputs"] == manifest["avatar"]


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.15, 0, 0), (0, 0.3, 0), (0, -0.2, 0.25), (-0.1, 0.2, -0.1)])
def test_the_encoder_finds_the_pose_the_face_was_drawn_with(angles):
    a = avatar(*angles)
    assert np.allclose(pose_angles(a), angles, atol=0.01)
    assert a["pose"][0] == pytest.approx(0.055, rel=0.01)


@pytest.mark.parametrize("size", [128, 256, 512])
@pytest.mark.parametrize("angles", [(0, 0, 0), (0.05, 0.25, 0.1)])
def test_the_portraits_own_pose_gives_the_portrait_back(size, angles):
    a = avatar(*angles)
    rgb, _ = render(a, own_pose(a), size)
    assert reference.psnr(rgb, shrink(portrait(*angles)[0], size)) > 38


@pytest.mark.parametrize("size", [128, 256])
def test_a_batch_of_three_equals_three_batches_of_one_and_slots_choose_the_avatar(size):
    bank = stack([avatar(), avatar(0, 0.2, 0, 1), avatar(0, -0.2, 0.1, 2)])
    motions = np.stack([motion_row(yaw=0.3, jawOpen=0.5), motion_row(eyeBlinkLeft=1), motion_row(pitch=0.2, mouthSmileLeft=1)])
    views = np.array([[0.1, 0], [0, 0.1], [-0.2, 0]], np.float32)
    slots = [2, 0, 1]
    rgb, i420 = package.render(bank, slots, motions, views, size)
    for row, slot in enumerate(slots):
        one = {k: v[slot : slot + 1] for k, v in bank.items()}
        single, planes = package.render(one, [0], motions[row : row + 1], views[row : row + 1], size)
        assert np.abs(single[0].astype(int) - rgb[row]).max() <= 1
        assert np.abs(planes[0].astype(int) - i420[row]).max() <= 1
    assert reference.psnr(rgb[0], rgb[1]) < 30


@pytest.mark.parametrize("size", [128, 256, 512])
def test_i420_is_the_rgb_frame_in_bt601(size):
    rgb, planes = render(avatar(), motion_row(yaw=0.2, jawOpen=0.6), size)
    # The planes are made from the unrounded frame.
    assert np.abs(planes.astype(int) - reference.i420(rgb)).max() <= 1


def test_a_view_turns_the_head_like_the_pose_itself():
    a = avatar()
    by_pose, _ = render(a, motion_row(yaw=0.25))
    by_view, _ = render(a, motion_row(), view=(0.25, 0))
    assert np.abs(by_pose.astype(int) - by_view).max() <= 1


def test_positive_yaw_moves_the_nose_left_and_positive_pitch_moves_it_down():
    a = avatar()
    nose = FACE[30]
    for motion, axis, sign in ((motion_row(yaw=0.3), 0, -1), (motion_row(pitch=0.2), 1, 1)):
        r = reference.rotation(*motion[:3])
        assert sign * ((r @ nose)[axis] - nose[axis]) > 1
        frame, _ = render(a, motion)
        assert reference.psnr(frame, render(a, motion_row())[0]) < 30


def test_the_picture_far_from_the_head_stays_still():
    a = avatar()
    still = render(a, own_pose(a))[0].astype(int)
    for motion in (motion_row(yaw=0.4), motion_row(pitch=-0.2), motion_row(roll=0.2)):
        frame, _ = render(a, motion)
        assert np.abs(frame[235:] - still[235:]).mean() < 1.0  # torso
        assert np.abs(frame[:120, :24] - still[:120, :24]).max() <= 12  # backdrop


@pytest.mark.parametrize("yaw", [-0.43, 0.43])
def test_a_turning_head_drags_no_ring_of_a_bright_window_behind_it_along(yaw):
    pixels, landmarks = portrait()
    y, x = np.mgrid[0:512, 0:512] / 256 - 1 + 1 / 512
    cx, cy = (x - 0.02) / 0.055, (y - 0.05) / 0.055
    person = ((cx / 8.2) ** 2 + ((cy + 3.5) / 11.5) ** 2 < 1) | ((np.abs(cx) < 5) & (cy > 0)) | (cy > 13 + 0.05 * cx**2)
    # Out of focus, as behind a portrait: from the middle of the head to the right, and to above the chin.
    soft = lambda v: 1 / (1 + np.exp(-v / 0.045))  # noqa: E731
    window = (soft(x - 0.2) * soft(0.3 - y))[..., None] * ~person[..., None]
    bright = (pixels * (1 - window) + np.array([235, 240, 245]) * window + 0.5).astype(np.uint8)
    frame, _ = render(package.encode(bright, landmarks), motion_row(yaw=yaw))
    small = lambda v: v.reshape(256, 2, 256, 2).mean((1, 3))  # noqa: E731
    rho = np.sqrt(small((cx / 8.2) ** 2 + ((cy + 3.5) / 11.5) ** 2))
    ring = (rho > 1.2) & (small(y) < 0.2)
    assert np.abs(frame - shrink(bright, 256))[ring].max() < 8


@pytest.mark.parametrize("deviation", [5, 10])
def test_grain_does_not_hide_the_backdrop(deviation):
    """As sharp as an outline to the pixel, grain once stopped the flood at the picture's edge: all behind the head was black."""
    pixels, landmarks = portrait()
    grain = np.random.default_rng(7).normal(0, deviation, (256, 256, 1)).repeat(2, 0).repeat(2, 1)
    clean, grainy = (package.encode(p, landmarks) for p in (pixels, np.clip(pixels + grain, 0, 255).astype(np.uint8)))
    off = np.abs(grainy["backdrop128"].astype(float) - clean["backdrop128"])
    behind = clean["texture128"][3] > 250
    assert off[:, behind].mean() < 16
    assert np.abs(grainy["texture128"][3].astype(float) - clean["texture128"][3]).mean() < 6


def test_a_pursed_mouth_breaks_nothing_in_its_window_and_moves_nothing_beside_the_face():
    # Where the mouth gets narrow its window reaches far in the mouth's own units, where exponentials overflow.
    for size in (128, 256, 512):
        for log_scale in (0.0, -0.8):
            plain = own_pose(avatar())
            plain[5] = log_scale
            pursed = plain.copy()
            pursed[6 + INDEX["mouthPucker"]] = pursed[6 + INDEX["mouthFunnel"]] = 1
            both, _ = package.render(stack([avatar()]), [0, 0], np.stack([plain, pursed]), np.zeros((2, 2), np.float32), size)
            assert (both.max(-1) == 0).sum() == 0, (size, log_scale)  # NaN casts to black, which nothing here is
            landmarks = (portrait()[1] - np.array([0.02, 0.05])) * np.exp(log_scale) + np.array([0.02, 0.05])
            rows, columns = box(landmarks, size, 0.06)
            off = np.abs(both[0].astype(int) - both[1]).max(-1)
            off[rows.start :, columns] = 0  # face, and the neck below
            assert off.max() <= 4, (size, log_scale)


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "models/portraits").glob("*.jpg")))
def test_no_expression_of_a_built_in_portrait_blackens_pixels(name):
    a = package.encode(*read_portrait(ROOT / f"models/portraits/{name}.jpg"))
    rng = np.random.default_rng(11)
    pitch, yaw, roll = pose_angles(a)
    motions = np.tile(motion_row(pitch=pitch, yaw=yaw, roll=roll), (13, 1))
    motions[1:, 6:] = rng.uniform(0, 1, (12, 52)) * (rng.uniform(0, 1, (12, 52)) < 0.15)
    for row in motions[1:7]:
        row[[6 + INDEX[n] for n in ("mouthPucker", "mouthFunnel", "jawOpen")]] = rng.choice([0, 0.5, 1], 3)
    motions[7:, 5] = -0.7
    motions[0, 6 + INDEX["mouthPucker"]] = 1
    frames, _ = package.render(stack([a]), [0] * 13, motions, np.zeros((13, 2), np.float32), 256)
    # A broken value casts to pure black, which rows of a rendered portrait do not hold side by side.
    black = (frames.max(-1) == 0).sum(2)
    assert black.max() < 6


def test_wild_motion_gives_a_frame_and_no_error():
    motion = np.concatenate([[3, -3, 3, 3.9, -3.9, 3.9], np.ones(52)]).astype(np.float32)
    for row in (motion, -motion):
        rgb, _ = render(avatar(), row)
        assert rgb.shape == (256, 256, 3)


@needs_facekit
def test_keypoints_follow_the_equation():
    import onnx
    from warp.renderer import renderer_graph

    t = tables(FACEKIT)
    a = avatar(0.05, 0.2, 0.1)
    scale, shift, rotation = reference.pose(portrait(0.05, 0.2, 0.1)[1], t)
    assert np.allclose(a["pose"][3:12].reshape(3, 3), rotation, atol=1e-3)
    assert np.allclose([a["pose"][0], *a["pose"][1:3]], [scale, *shift], atol=1e-4)
    graph = renderer_graph(t, 128)
    probe = onnx.helper.make_tensor_value_info("probe", onnx.TensorProto.FLOAT, ["B", 78, 2])
    graph.nodes.append(onnx.helper.make_node("Identity", [graph.keypoints.name], ["probe"]))
    graph.outputs.append(probe)
    import onnxruntime as ort

    session = ort.InferenceSession(graph.model("probe").SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(5)
    motion = np.concatenate([rng.uniform(-0.4, 0.4, 6), rng.uniform(-0.2, 1.1, 52)]).astype(np.float32)
    view = rng.uniform(-0.3, 0.3, 2).astype(np.float32)
    feed = {i.name: a[i.name[5:]][None] for i in session.get_inputs() if i.name.startswith("bank.")}
    feed |= {"slots": np.zeros(1, np.int64), "motion": motion[None], "view": view[None]}
    found = session.run(["probe"], feed)[0][0]
    assert np.abs(found - reference.driving_keypoints(a, motion, view, t)).max() < 1e-4


@needs_facekit
def test_building_twice_gives_the_committed_bytes(tmp_path):
    from warp.build import build

    made = [build(FACEKIT, tmp_path / name) for name in ("a", "b")]
    digests = [[f["sha256"] for f in m["files"]] for m in made]
    assert digests[0] == digests[1]
    committed = json.loads((PACKAGE / "manifest.json").read_text())
    assert digests[0] == [f["sha256"] for f in committed["files"]]


def test_a_split_into_more_than_webgpu_can_bind_goes_by_groups_and_gives_the_same():
    ort = pytest.importorskip("onnxruntime")
    from warp.graph import MOST_BUFFERS, Graph

    g = Graph("split")
    sizes = [1, 2, 3, 1, 1, 2, 1, 1, 4, 1, 1, 2, 1]
    x = np.arange(sum(sizes), dtype=np.float32).reshape(1, -1)
    for i, part in enumerate(g.split(g.input("x", "float32", list(x.shape)), 1, *sizes)):
        g.output(part, f"y{i}", "float32", [1, sizes[i]])
    model = g.model("test")
    assert all(len(n.output) < MOST_BUFFERS for n in model.graph.node)
    parts = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert [p.shape[1] for p in parts] == sizes
    assert np.array_equal(np.concatenate(parts, 1), x)


def test_sampling_by_bands_is_sampling():
    ort = pytest.importorskip("onnxruntime")
    from warp.graph import MOST_PLANNED, Graph, pixel_grid

    rng = np.random.default_rng(2)
    image = rng.random((2, 3, 256, 256), np.float32)
    grid = (pixel_grid(256, 256)[None] + rng.normal(0, 0.2, (2, 256, 256, 2))).astype(np.float32)  # beyond the border too
    g = Graph("bands")
    given = g.input("image", "float32", ["B", 3, 256, 256]), g.input("grid", "float32", ["B", 256, 256, 2])
    g.output(g.sample(*given, 256), "whole", "float32", ["B", 3, 256, 256])
    g.output(g.sample_all(*given, 256), "bands", "float32", ["B", 3, 256, 256])
    assert sum(node.op_type == "GridSample" for node in g.nodes) == 1 + 256 * 256 // MOST_PLANNED
    session = ort.InferenceSession(g.model("bands").SerializeToString(), providers=["CPUExecutionProvider"])
    whole, bands = session.run(None, {"image": image, "grid": grid})
    assert np.array_equal(whole, bands)


def test_an_operator_that_webgpu_could_not_run_is_named_when_the_graph_is_built():
    from warp.graph import Graph

    g = Graph("too many")
    parts = g.op("Split", g.input("x", "float32", [1, 12]), g.ints(*[1] * 12), outputs=12, axis=1)
    g.output(parts[0], "y", "float32", [1, 1])
    with pytest.raises(ValueError, match="Split_v0.*12 outputs"):
        g.model("test")
