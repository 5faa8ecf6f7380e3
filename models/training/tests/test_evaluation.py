"""The evaluation: metrics against what they are defined as, and the whole command on a made-up data set.

    python -m pytest models/training/tests/test_evaluation.py
"""

import inspect
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "models/training"))

from evaluation import metrics, run, scenes, sheets, table  # noqa: E402
from evaluation.cost import count_gflop, count_parameters  # noqa: E402
from evaluation.data import DataMissing, drive_rows, load_people  # noqa: E402
from evaluation.identity import MIDDLE, crop  # noqa: E402
from evaluation.rows import Drive, PackageRow, SourceRow, TrackedRow  # noqa: E402
from evaluation.placement import Placement, load_warp  # noqa: E402
from evaluation.strangers import STRANGERS  # noqa: E402
from evaluation.suite import EYEBALLS, INSIDE, Clip, Judges, Link, flicker, judge_the_judges, means, reconstruct, reenact, region_psnr  # noqa: E402
from evaluation.trackers import Remembering  # noqa: E402
from warp import reference  # noqa: E402
from warp.run import motion_row, pose_angles, read_portrait  # noqa: E402

PORTRAITS = sorted((ROOT / "models/portraits").glob("*.jpg"))[:2]


def noise(seed=0, size=256):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def blotches(seed=0, size=256):
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def test_psnr_is_its_definition_and_finite_for_equal_pictures():
    a = np.full((64, 64, 3), 100, np.uint8)
    assert metrics.psnr(a, a + 5) == pytest.approx(10 * np.log10(255**2 / 25), abs=1e-4)
    assert metrics.psnr(a, a) == metrics.CEILING
    assert np.isnan(metrics.psnr(a, a, np.zeros((64, 64), bool)))
    half = np.zeros((64, 64), bool)
    half[:32] = True
    b = a.copy()
    b[32:] += 50
    assert metrics.psnr(a, b, half) == metrics.CEILING and metrics.psnr(a, b, ~half) < 15


def test_ssim_is_wangs_formula():
    a, b = blotches(1, 192), blotches(2, 192)
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    values = []
    for y in range(182):
        x = (7 * y) % 182
        p, q = (v[y : y + 11, x : x + 11, 1].astype(float) for v in (a, b))
        mp, mq = (window * p).sum(), (window * q).sum()
        vp, vq, c = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2, (window * p * q).sum() - mp * mq
        values.append((2 * mp * mq + 6.5025) * (2 * c + 58.5225) / ((mp**2 + mq**2 + 6.5025) * (vp + vq + 58.5225)))
    one = [v[..., 1:2].repeat(3, 2) for v in (a, b)]
    assert metrics.structural(*one)[0] == pytest.approx(np.mean(values), abs=0.03)  # the mean over all windows, from a diagonal of them
    assert metrics.structural(a, a) == pytest.approx((1, 1))


def test_blur_costs_less_at_coarse_scales():
    a = noise(3)
    b = np.asarray(Image.fromarray(a).resize((128, 128), Image.Resampling.BOX).resize((256, 256), Image.Resampling.BILINEAR))
    single, multi = metrics.structural(a, b)
    assert single < multi < 1


def test_boxes_hold_their_landmarks_and_stay_inside_the_picture():
    _, points = read_portrait(PORTRAITS[0])
    boxes = [*metrics.mouth_boxes(points, 256), *metrics.eye_boxes(points, 256)]
    for (x0, y0, x1, y1), part in zip(boxes, (metrics.MOUTH, metrics.LEFT_EYE, metrics.RIGHT_EYE)):
        pixels = (points[part] + 1) * 128
        assert (pixels >= [x0, y0]).all() and (pixels <= [x1, y1]).all()
    x0, y0, x1, y1 = metrics.mouth_boxes(points + 0.9, 256)[0]
    assert x1 <= 256 and y1 <= 256 and x0 <= x1


def test_a_frame_that_moves_along_the_true_flow_does_not_flicker():
    before = blotches(4)
    now = np.roll(before, 8, 1)  # 8 pixels to the right: the point at x was at x - 8
    flow = metrics.centres(64, 64) - np.array([16 / 256, 0], np.float32)
    visible = np.ones((64, 64), bool)
    visible[:, :3] = False
    assert metrics.warping_error(now, before, flow, visible) < 1
    assert metrics.warping_error(before, before, flow, visible) > 10
    assert np.isnan(metrics.warping_error(now, before, flow, visible * 0))


def test_pose_errors_are_angles_between_rotations():
    a, b = np.zeros(58), np.zeros(58)
    b[1] = np.radians(20)
    assert metrics.pose_error(a, b) == pytest.approx(20, abs=1e-6)
    assert np.allclose(metrics.rotation(0.2, -0.4, 0.1), reference.rotation(0.2, -0.4, 0.1), atol=1e-6)
    b[6:] = 0.25
    assert metrics.expression_error(a, b) == pytest.approx(0.25)


def test_akd_is_in_pixels_at_256():
    points = np.zeros((68, 2))
    moved = points + [3 / 128, 4 / 128]
    assert metrics.keypoint_distance(moved, points) == pytest.approx(5)
    moved[:48] = 0
    assert metrics.keypoint_distance(moved, points, metrics.MOUTH) == pytest.approx(5)


def test_the_identity_crop_turns_the_face_upright_around_its_middle():
    motion = np.zeros(58)
    motion[2:6] = 0.5, 0.2, -0.1, np.log(0.05)
    middle = motion[3:5] + 0.05 * (metrics.rotation(*motion[:3]) @ MIDDLE)[:2]
    place = metrics.centres(256, 256)  # a picture of its own coordinates
    face = crop(place, motion)
    assert np.allclose(face[31:33, 31:33].mean((0, 1)), middle, atol=0.01)
    across = face[32, -1] - face[32, 0]
    assert np.arctan2(across[1], across[0]) == pytest.approx(0.5, abs=0.02)


def test_drivers_keep_angles_and_lose_place_and_size():
    motion = np.arange(58, dtype=np.float32)[None].repeat(2, 0)
    rows = drive_rows(motion, motion[0])
    assert np.array_equal(rows[:, :3], motion[:, :3]) and np.array_equal(rows[:, 6:], motion[:, 6:]) and not rows[:, 3:6].any()


def write_shard(folder, name, identities, frames=3):
    """A shard whose people are the built-in portraits; frame k is moved k pixels to the right."""
    at = folder / name
    at.mkdir(parents=True)
    images, landmarks, motion = [], [], []
    for i in range(identities):
        pixels, points = read_portrait(PORTRAITS[i % len(PORTRAITS)])
        small = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BOX))
        for k in range(frames):
            images.append(np.roll(small, k, 1))
            landmarks.append(points + [2 * k / 256, 0])
            row = np.zeros(58, np.float32)
            row[3:6] = 2 * k / 256, 0, np.log(0.05)
            motion.append(row)
    n = len(images)
    np.save(at / "images.npy", np.stack(images))
    np.save(at / "landmarks.npy", np.array(landmarks, np.float32))
    np.save(at / "motion.npy", np.stack(motion))
    region = np.zeros((n, 128, 128), np.uint8)
    region[:, 40:] = 1
    np.save(at / "region.npy", region)
    first = int(name[-1]) * 100
    np.save(at / "identity.npy", np.repeat(np.arange(first, first + identities), frames))
    np.save(at / "frame.npy", np.tile(np.arange(frames), identities))
    (at / "meta.json").write_text("{}")


def test_the_seed_draws_from_all_complete_shards(tmp_path):
    for name in ("test-0000", "test-0001", "test-0002"):
        write_shard(tmp_path, name, 4, frames=2)
    (tmp_path / "test-0002/meta.json").unlink()
    draw = lambda seed: [p.identity for p in load_people(tmp_path, count=3, seed=seed)]  # noqa: E731
    assert draw(0) == draw(0) and len(draw(0)) == 3
    assert len({tuple(draw(s)) for s in range(8)}) > 2
    assert {p.identity for p in load_people(tmp_path, count=99, seed=0)} == {0, 1, 2, 3, 100, 101, 102, 103}
    with pytest.raises(DataMissing, match="models/training/heads"):
        load_people(tmp_path / "nowhere", count=1, seed=0)


def test_a_renderer_that_follows_the_motion_beats_the_copied_source(tmp_path):
    write_shard(tmp_path, "test-0000", 2, frames=7)
    people = load_people(tmp_path, count=2, seed=0)
    row = PackageRow("warp", ROOT / "models/warp")
    for person in people:
        angles = pose_angles({n: v[0] for n, v in row.encode(person.images[0], person.landmarks[0], person.motion[0]).items()})
        person.motion[:, :3] = angles  # the built-in portraits do not look quite straight
    source, warp = (reconstruct(r, people, Judges()) for r in (SourceRow(), row))
    assert set(source) == set(warp) and "akd" not in source
    assert warp["psnrMouth"] > source["psnrMouth"] + 2 and warp["psnrEyes"] > source["psnrEyes"] + 2


def test_regions_are_judged_where_the_truth_shows_enough_of_them():
    labels = np.zeros((128, 128), np.uint8)
    labels[10:14, 10:14] = 8  # 64 pixels of teeth
    truth = np.zeros((256, 256, 3), np.uint8)
    made = truth.copy()
    made[20:28, 20:28] = 51
    made[100:] = 255  # elsewhere
    assert region_psnr(made, truth, labels, INSIDE) == pytest.approx(20 * np.log10(5))
    assert np.isnan(region_psnr(made, truth, labels, EYEBALLS))
    labels[10:14, 11:14] = 0  # too few
    assert np.isnan(region_psnr(made, truth, labels, INSIDE))


class Echo:
    """A tracker that reads what it is told off the motion, and an embedder that sees the mean colour."""

    def track(self, pictures, motion):
        return np.zeros((len(pictures), 68, 2)), motion

    def embed(self, pictures, motion):
        v = pictures.mean((1, 2)).astype(np.float64)
        return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_the_portrait_itself_keeps_its_identity_under_anyones_motion(tmp_path):
    write_shard(tmp_path, "test-0000", 2)
    people = load_people(tmp_path, count=2, seed=0)
    figures = reenact(SourceRow(), people, Judges(Echo(), Echo()))
    assert figures["identitySimilarity"] == pytest.approx(1)
    assert figures["poseError"] == pytest.approx(0, abs=1e-4)
    assert reenact(SourceRow(), people, Judges()) == {}


def test_the_judges_are_judged_on_the_truth(tmp_path):
    write_shard(tmp_path, "test-0000", 2)
    people = load_people(tmp_path, count=2, seed=0)
    own = judge_the_judges(people, Judges(Echo(), Echo()))
    assert own["pose"] == pytest.approx(0, abs=1e-4) and own["similarity"] > 0.99 and own["landmarks"] > 10  # all in the middle
    blind = {**own, "expression": 0.09, "expressionOfConstant": 0.08}
    assert any("tells little" in n for n in run.notes_on_judges(blind))
    assert not any("tells little" in n for n in run.notes_on_judges({**blind, "expression": 0.02})) and run.notes_on_judges(judge_the_judges(people, Judges())) == []


def test_a_copied_portrait_flickers_against_the_true_flow_and_the_truth_does_not(tmp_path):
    write_shard(tmp_path, "test-0000", 1, frames=8)
    person = load_people(tmp_path, count=1, seed=0)[0]
    flow = metrics.centres(64, 64) - np.array([2 * 6 / 256, 0], np.float32)
    clip = Clip(person, (Link(7, 1, flow, np.ones((64, 64))),))
    truth, copied = flicker(None, [clip])["warpingError"], flicker(SourceRow(), [clip])["warpingError"]
    assert truth < copied / 2


def test_what_was_not_measured_is_none_and_a_dash():
    assert means({"a": [float("nan"), 2.0], "b": [float("nan")]}) == {"a": 2.0, "b": None}
    assert table.cell(None, 2) == "–" and table.cell(1_500_000, -1) == "1.50 M"


def test_the_best_figure_is_bold_but_never_the_copied_source():
    rows = [("source copied", {"psnr": 30.0}), ("a", {"psnr": 20.0}), ("b", {"psnr": 25.0}), ("c", {})]
    text = table.markdown_table(rows, (("psnr", "PSNR", 1, "up"),), frozenset({"source copied"}))
    assert "**25.0**" in text and "**30.0**" not in text and "| c | – |" in text


def test_the_section_replaces_itself_and_nothing_else(tmp_path):
    card = tmp_path / "card.md"
    card.write_text("# portrait\n\nwords\n")
    table.write_section(card, "first")
    card.write_text(card.read_text() + "\nmore words\n")
    table.write_section(card, "second")
    text = card.read_text()
    assert text.startswith("# portrait\n\nwords\n") and text.endswith("\nmore words\n")
    assert "second" in text and "first" not in text and text.count("<!-- evaluation -->") == text.count("<!-- /evaluation -->") == 1
    table.write_section(card, "other", "equal-terms")
    assert card.read_text() == f"{text}\n<!-- equal-terms -->\nother\n<!-- /equal-terms -->\n"


def test_flop_are_two_per_multiply_add_of_the_real_shapes(tmp_path):
    weights = numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w")
    matrix = numpy_helper.from_array(np.zeros((16, 5), np.float32), "m")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("MatMul", ["y", "m"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 3, 32, 32])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["B", 8, 16, 5])], [weights, matrix],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(tmp_path / "g.onnx"))
    flop = count_gflop(tmp_path / "g.onnx", {"x": np.zeros((1, 3, 32, 32), np.float32)}) * 1e9
    assert flop == pytest.approx(2 * (8 * 16 * 16 * 27 + 8 * 16 * 5 * 16))
    assert count_parameters(tmp_path / "g.onnx") == 8 * 27 + 80


def test_the_command_writes_card_and_json_and_keeps_rows_it_cannot_run(tmp_path):
    write_shard(tmp_path / "data", "test-0000", 2)
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--identities", "3", "--no-studio"]
    run.main([*arguments, "--rows", "source,nothing-here,warp"])
    result = json.loads((tmp_path / "out/evaluation.json").read_text())
    rows = {r["name"]: r for r in result["rows"]}
    assert list(rows) == ["source copied", "nothing-here", "warp"]
    assert rows["warp"]["cost"]["gflop"] > 0 and rows["warp"]["cost"]["ms"] > 0
    assert "no manifest.json" in rows["nothing-here"]["note"] and not rows["nothing-here"]["reconstruction"]
    assert any("3 identities were asked for" in n for n in result["notes"])
    card = (tmp_path / "out/card.md").read_text()
    assert "| warp |" in card and "| nothing-here | – |" in card
    run.main([*arguments, "--rows", "", "--packages", f"ours={ROOT / 'models/warp'}", f"learned={ROOT / 'models/portrait'}", "--section", "equal-terms"])
    notes = {r["name"]: r["note"] for r in json.loads((tmp_path / "out/equal-terms.json").read_text())["rows"]}
    assert notes["ours"] == "" and re.fullmatch(r"trained on [\d,]+ samples", notes["learned"])
    assert (tmp_path / "out/card.md").read_text().startswith(card.rstrip("\n")) and "## Equal terms" in (tmp_path / "out/card.md").read_text()


def test_a_batch_of_drives_gives_as_many_frames():
    pixels, points = read_portrait(PORTRAITS[0])
    small = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BOX))
    drive = Drive(np.zeros((3, 58), np.float32))
    for row in (SourceRow(), PackageRow("warp", ROOT / "models/warp"), TrackedRow("warp+tracker", ROOT / "models/warp")):
        made = row.render(row.encode(small, points, np.zeros(58, np.float32)), drive)
        assert made.shape == (3, 256, 256, 3) and made.dtype == np.uint8


def test_a_precision_is_a_row_of_its_own():
    rows, absent = run.make_rows(["portrait", "portrait+int8", "portrait+float16", "no-such+int8"], [], None, 1)
    assert [r.name for r in rows] == ["portrait", "portrait+int8", "portrait+float16"] and [e["name"] for e in absent] == ["no-such+int8"]
    pixels, points = read_portrait(PORTRAITS[0])
    small = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BOX))
    drive = Drive(motion_row(yaw=0.3, jawOpen=0.4)[None])
    exact, int8, half = (row.render(row.encode(small, points, drive.motion[0]), drive)[0].astype(int) for row in rows)
    assert 0.02 < np.abs(int8 - exact).mean() < 0.5
    assert 0 < np.abs(half - exact).mean() < 0.02


def test_strangers_are_of_the_same_size_and_unlike_the_portrait():
    pixels, _ = read_portrait(PORTRAITS[0])
    for name, style in STRANGERS.items():
        made = style(pixels)
        assert made.shape == pixels.shape and made.dtype == np.uint8, name
        assert metrics.psnr(made, pixels) < 27, name
    grey = STRANGERS["sepia"](pixels).reshape(-1, 3).mean(0)
    assert grey[0] > grey[1] > grey[2]


def test_close_ups_follow_the_head():
    pixels, points = read_portrait(PORTRAITS[0])
    placement = Placement.of(load_warp(ROOT / "models"), pixels, points)
    own = np.zeros(58)
    own[:3] = placement.angles
    assert np.abs(placement.landmarks(own) - points).max() < 0.08
    moved = own.copy()
    moved[3:5] = 0.1, -0.05
    assert np.allclose(placement.landmarks(moved) - placement.landmarks(own), [0.1, -0.05], atol=1e-6)
    mouth = sheets.enlarged(pixels, points, [metrics.MOUTH], band=0.5)
    assert mouth.shape == (128, 256, 3)


def test_a_sheet_keeps_to_its_size_or_says_why_not(tmp_path):
    sheet = sheets.grid([[noise(1), noise(2)], [noise(3)]], ["a", "b"], 128)
    assert sheet.size == (256, 18 + 256)
    sheets.save(sheet, tmp_path / "a.jpg", limit=60_000)
    assert (tmp_path / "a.jpg").stat().st_size <= 60_000
    with pytest.raises(ValueError, match="smaller tiles"):
        sheets.save(sheet, tmp_path / "b.jpg", limit=1000)


def test_a_judge_looks_at_the_same_pictures_once():
    asked = []

    class Slow(Echo):
        def embed(self, pictures, motion):
            asked.append(len(pictures))
            return super().embed(pictures, motion)

    judge = Remembering(Slow())
    one, other = noise(1)[None], noise(2)[None]
    first = judge.embed(one, np.zeros((1, 58)))
    assert np.array_equal(judge.embed(one.copy(), np.zeros((1, 58))), first)
    judge.embed(other, np.zeros((1, 58)))
    judge.embed(one, np.ones((1, 58)))
    assert len(asked) == 3


def test_a_scene_is_taken_apart_into_views_and_a_clip_in_order():
    rows = 6 + len(scenes.VIEWS)
    number = np.arange(rows)
    arrays = {name: number.reshape(-1, 1) for name in ("images", "motion", "landmarks")}
    arrays |= {"flow": number[:, None] * 10 + np.arange(2), "visible": np.ones((rows, 2, 64, 64))}
    arrays["region"] = np.ones((rows, 128, 128), np.uint8)
    arrays["region"][:, :64] = 2  # hair
    person, clip = scenes.take_apart(arrays, 7)
    assert person.images[:, 0].tolist() == [5, *range(6, rows)]
    order = clip.person.images[1:, 0].tolist()  # rows of clip frames 0...4
    assert order == [2, 0, 3, 1, 4]
    for link in clip.links:
        row, source = clip.person.images[link.now, 0], clip.person.images[link.before, 0]
        assert source in (0, 1)  # only the first two rows are sources of flow
        assert link.flow == row * 10 + source
        assert not link.visible[:33].any() and link.visible[33:].all()


def test_the_studio_still_draws_its_motions_where_scenes_hand_them_in():
    sitter = pytest.importorskip("heads.sitter", exc_type=ImportError)
    source = inspect.getsource(sitter.identity)
    assert all(name in source and hasattr(sitter, name) for name in ("source_motion", "driven_motion", "FRAMES"))
