"""The reader of landmarks: its data, its network, what is packed for the SDK."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from heads.motion import rotation  # noqa: E402
from heads.rig import eye_rotation  # noqa: E402
from landmarks.classical import fit  # noqa: E402
from landmarks.codes import Codes, learn_codes, nearest  # noqa: E402
from landmarks.export import PACKAGE, SDK, load, packed, unpacked  # noqa: E402
from landmarks.faces import CONTOUR, STRAND, Faces, rotations  # noqa: E402
from landmarks.features import Frames, corrected, features, fitted, lacking, solver  # noqa: E402
from landmarks.layout import GROUPS, INPUTS, LANDMARKS, POINTS, TOKENS, WINDOW  # noqa: E402
from landmarks.network import Reader  # noqa: E402
from landmarks.tracks import LOOKS, Motions, Track, read_track  # noqa: E402
from landmarks.train import Videos  # noqa: E402
from landmarks.trackers import Trackers, Trouble  # noqa: E402
from tracker.layout import LANDMARK_MIRROR, MOTION_MIRROR  # noqa: E402
from warp.facekit import FLIP, INDEX  # noqa: E402

PERFECT = Trouble(own=0, slow=0, jitter=0, iris=0, hidden=0, edge=0, slide=0, numb=0, perspective=0, outliers=0, whole=0)


@pytest.fixture(scope="module")
def package() -> dict[str, np.ndarray]:
    return unpacked((PACKAGE / "landmarks.bin").read_bytes())[1]


@pytest.fixture(scope="module")
def faces(package) -> Faces:
    """The package's mean face with bases made up: the morphable head itself is not needed here."""
    g = torch.Generator().manual_seed(0)
    mean = torch.from_numpy(package["mean"])
    points = torch.cat([mean, mean[:CONTOUR].repeat_interleave(STRAND, 0)])
    facing = torch.nn.functional.normalize(points - torch.tensor([0.0, 0.0, 4.0]), dim=-1)
    random = lambda *shape: torch.randn(*shape, generator=g) * 0.1  # noqa: E731
    balls = torch.stack([mean[36:42].mean(0), mean[42:48].mean(0)]) + torch.tensor([0.0, 0.0, 1.2])
    return Faces(points, random(100, len(points), 3), random(52, len(points), 3), facing, balls, random(100, 2, 3), 1.6)


def videos(faces: Faces, seed: int = 3, tracks: list[Track] | None = None) -> Videos:
    return Videos(faces, Motions(tracks or [], np.random.default_rng(seed)), seed)


def given(frames: int = 12, batch: int = 2, seed: int = 0) -> Frames:
    g = torch.Generator().manual_seed(seed)
    tokens = [torch.randn(batch, frames, n, generator=g) for n in INPUTS]
    return Frames(tokens, torch.randn(batch, frames, 6, generator=g), torch.full((batch, frames), 33.0))


def changed(frames: Frames, at: slice) -> Frames:
    tokens = [t.clone() for t in frames.tokens]
    for t in tokens:
        t[:, at] += 1
    return frames._replace(tokens=tokens)


def shaken(**parts: bool) -> Reader:
    torch.manual_seed(0)
    reader = Reader(**parts)
    torch.nn.init.normal_(reader.pose.weight, 0, 0.1)
    return reader.eval()


@pytest.mark.parametrize("without", [None, "codes", "time", "memory"])
def test_a_reader_gives_pose_and_52_coefficients_for_every_frame(without):
    read = shaken(**{without: False} if without else {})(given())
    assert read.correction.shape == (2, 12, 6) and read.expression.shape == (2, 12, 52)
    assert set(read.logits) == (set() if without == "codes" else set(GROUPS))
    assert sorted(i for indices, _, _ in GROUPS.values() for i in indices) == list(range(52))


@pytest.mark.parametrize("without", [None, "time", "memory"])
def test_later_frames_do_not_change_earlier_ones(without):
    reader, frames = shaken(**{without: False} if without else {}), given()
    before, after = (reader(f) for f in (frames, changed(frames, slice(7, None))))
    assert torch.equal(before.expression[:, :7], after.expression[:, :7]) and torch.equal(before.correction[:, :7], after.correction[:, :7])
    assert not torch.allclose(before.expression[:, 7:], after.expression[:, 7:])


def test_without_a_memory_two_windows_are_all_that_a_frame_knows():
    reader, frames = shaken(memory=False), given(frames=2 * WINDOW + 4)
    after = reader(changed(frames, slice(0, 1))).expression
    assert not torch.allclose(reader(frames).expression[:, WINDOW], after[:, WINDOW])
    assert torch.allclose(reader(frames).expression[:, 2 * WINDOW - 1 :], after[:, 2 * WINDOW - 1 :], atol=1e-6)


def test_what_was_seen_before_a_gap_is_not_attended_to():
    reader, frames = shaken(memory=False), given()
    frames.dt[:, 6] = 2000
    alone = Frames([t[:, 6:] for t in frames.tokens], frames.pose[:, 6:], frames.dt[:, 6:])
    assert torch.allclose(reader(frames).expression[:, 6:], reader(alone).expression, atol=1e-6)


def test_a_memory_remembers_what_is_out_of_the_windows():
    reader, frames = shaken(time=False), given()
    before, after = (reader(f).expression for f in (frames, changed(frames, slice(0, 1))))
    assert not torch.allclose(before[:, -1], after[:, -1], atol=1e-6)


def test_a_seed_gives_the_same_videos_again(faces):
    first, again, other = (videos(faces, seed).draw(3) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first[0].tokens, again[0].tokens, strict=True))
    assert torch.equal(first[1].expression, again[1].expression) and not torch.equal(first[1].expression, other[1].expression)
    assert all(torch.isfinite(t).all() and t.shape[-1] == n for t, n in zip(first[0].tokens, INPUTS, strict=True))
    assert len(first[0].tokens) == TOKENS and 0 <= first[1].expression.min() and first[1].expression.max() <= 1


def test_axes_are_those_of_the_heads(faces):
    angles = np.array([0.3, -0.7, 0.2])
    assert np.allclose(rotations(torch.tensor(angles)), rotation(*angles))
    coefficients = np.zeros(52, np.float32)
    for name, value in {"eyeLookOutLeft": 0.6, "eyeLookUpLeft": 0.4, "eyeLookInRight": 0.6, "eyeLookDownRight": 0.3}.items():
        coefficients[INDEX[name]] = value
    for side, row in ((0, 1), (1, 0)):
        ahead = eye_rotation(coefficients, side) @ [0, 0, faces.reach] * FLIP
        assert np.allclose(faces.gaze(torch.from_numpy(coefficients))[row], ahead, atol=1e-5)


def test_a_perfect_tracker_finds_the_projected_landmarks_and_the_fit_the_pose(faces):
    motion = torch.zeros(1, 5, 58)
    motion[0, :, 1] = torch.linspace(-1, 1, 5)
    motion[..., 0], motion[..., 2], motion[..., 3], motion[..., 5] = 0.2, -0.3, 1.0, 0.1
    found, pose, _ = Trackers(faces, PERFECT).find(faces.neutral[None], faces.balls[None], motion, torch.full((1, 5), 33.0), torch.Generator().manual_seed(0))
    assert found.shape == (1, 5, POINTS, 2)
    for t in range(5):
        turned = rotation(*motion[0, t, :3].numpy()) @ faces.mean.numpy().T
        expected = turned.T[:, :2] * np.exp(float(pose[0, t, 5])) + pose[0, t, 3:5].numpy()
        assert np.allclose(found[0, t, :LANDMARKS], expected, atol=0.01)
    fit_pose = fitted(found[..., :LANDMARKS, :], torch.from_numpy(solver(faces.mean.numpy())))
    assert torch.allclose(fit_pose, pose, atol=2e-3)
    classical, coefficients = fit(faces, found[0], torch.zeros(5), rest=faces.mean.expand(5, -1, -1))
    assert torch.allclose(classical[:, :3], pose[0, :, :3], atol=0.01) and coefficients.max() < 0.05


def test_the_mean_face_at_rest_is_missed_by_nothing_and_corrections_come_back(faces):
    seen = videos(faces).tracked(2, 9)
    given = features(seen.points, seen.irises, seen.dt, faces.mean, torch.from_numpy(solver(faces.mean.numpy())))
    assert torch.allclose(corrected(given.pose, lacking(given.pose, seen.pose)), seen.pose, atol=1e-3)
    rest = torch.cat([faces.mean[:, :2], torch.zeros(2, 2)])[None, None] * 7
    tokens = features(rest, torch.zeros(1, 1), torch.full((1, 1), 33.0), faces.mean, torch.from_numpy(solver(faces.mean.numpy()))).tokens
    assert tokens[-1][..., : 2 * LANDMARKS].abs().max() < 1e-3


def test_motion_in_a_mirror_shows_landmarks_in_a_mirror(faces):
    """Only of a head that is its own mirror image: the package's mean face nearly is."""
    index, sign = MOTION_MIRROR
    motion = torch.zeros(1, 1, 58)
    motion[0, 0, :3] = torch.tensor([0.1, 0.4, -0.2])
    mirrored = motion[..., index] * torch.from_numpy(sign)
    find = lambda m: Trackers(faces, PERFECT).find(faces.neutral[None], faces.balls[None], m, torch.full((1, 1), 33.0), torch.Generator().manual_seed(0))  # noqa: E731
    (here, pose, _), (there, other, _) = find(motion), find(mirrored)
    own = lambda found, pose: (found[0, 0, :LANDMARKS] - pose[0, 0, 3:5]) * torch.exp(-pose[0, 0, 5])  # noqa: E731
    assert torch.allclose(own(here, pose), own(there, other)[LANDMARK_MIRROR] * torch.tensor([-1.0, 1.0]), atol=0.05)


def test_tracks_are_read_as_the_server_reads_them(tmp_path):
    row = [0.1, 0.3, 0.0, 0.0, 0.0, 0.2, 0.8, 0.4, 0.2]
    track = {"source": "x", "fps": 25, "names": ["jawOpen", "browInnerUp_L", "browInnerUp_R"], "frames": [row, row]}
    (tmp_path / "x.json").write_text(json.dumps(track))
    motion = read_track(tmp_path / "x.json").motion[0]
    assert motion[0] > 0.05, "nose down stays nose down"
    assert motion[1] == pytest.approx(-0.3, abs=0.01), "to the image's right is negative here"
    assert motion[5] == pytest.approx(0.2) and motion[6 + INDEX["jawOpen"]] == pytest.approx(0.8)
    assert motion[6 + INDEX["browInnerUp"]] == pytest.approx(0.3)


def test_drawn_gaze_has_both_eyes_look_the_same_way():
    motions = Motions([], np.random.default_rng(5))
    looks = [motions.draw(np.arange(20) / 30)[:, LOOKS] for _ in range(40)]
    column = {k - 6: i for i, k in enumerate(LOOKS)}
    out, into = (np.concatenate(looks)[:, column[INDEX[n]]] for n in ("eyeLookOutLeft", "eyeLookInRight"))
    assert out.max() > 0.3 and np.corrcoef(out, into)[0, 1] > 0.5


def test_codes_learn_to_say_expressions():
    g = torch.Generator().manual_seed(0)
    faces = torch.rand(4000, 6, generator=g) * (torch.rand(4000, 6, generator=g) < 0.4)
    torch.manual_seed(0)
    codes = torch.nn.ModuleDict({"part": Codes(6, 3)})
    before = learn_codes(codes, {"part": list(range(6))}, faces, steps=1)["part"]
    mixed, alone = learn_codes(codes, {"part": list(range(6))}, faces, steps=150)["part"]
    assert mixed < 0.5 * before[0] and alone < 0.7 * before[1]
    shares = codes["part"].shares(faces[:5])
    assert torch.allclose(shares.sum(-1), torch.ones(5, 3)) and torch.equal(nearest(shares).argmax(-1), shares.argmax(-1))


def test_weights_come_out_of_the_file_as_they_went_in():
    rng = np.random.default_rng(0)
    tensors = {"a": rng.normal(size=(64, 40)), "b": rng.normal(size=7), "c": rng.normal(size=(3, 5))}
    header, out = unpacked(packed(tensors))
    assert header["licence"] == "MIT" and list(out) == list(tensors)
    assert np.allclose(out["b"], tensors["b"]) and np.allclose(out["c"], tensors["c"])
    assert (np.abs(out["a"] - tensors["a"]) <= np.abs(tensors["a"]).max(1, keepdims=True) / 254 * 1.001).all()


def test_the_sdk_holds_the_package_and_its_golden_frames_are_the_networks(package):
    import base64

    text = (SDK / "weights.ts").read_text()
    assert base64.b64decode(text.rsplit("'", 2)[1]) == (PACKAGE / "landmarks.bin").read_bytes()
    golden = json.loads((SDK / "golden.json").read_text())
    points = torch.tensor(golden["points"])[None].unflatten(-1, (POINTS, 2))
    mean, solve = (torch.from_numpy(package[n]) for n in ("mean", "solve"))
    given = features(points, torch.ones(1, points.shape[1]), torch.tensor(golden["dtMs"])[None], mean, solve)
    with torch.no_grad():
        read = load(PACKAGE / "landmarks.bin")(given)
    assert torch.allclose(read.expression.clamp(0, 1)[0], torch.tensor(golden["expression"]), atol=1e-4)
    assert torch.allclose(corrected(given.pose, read.correction)[0, :, :3], torch.tensor(golden["pose"])[:, :3], atol=1e-4)
