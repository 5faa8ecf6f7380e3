"""What the encoder reads from the portrait, and what the stage makes of it: matte, relief, light, rest."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from heads.look import harmonics as studio_harmonics  # noqa: E402
from heads.motion import rotation  # noqa: E402
from portrait.layout import SHAPE, G  # noqa: E402
from portrait.lifter import Lifter  # noqa: E402
from portrait.reader import Reader  # noqa: E402
from portrait.reader_train import log_irradiance, losses  # noqa: E402
from portrait.reading import DARKEST, EXPONENT, READER_INPUTS, RESTING, harmonics, log_light, posed  # noqa: E402
from portrait.turner import Turner  # noqa: E402
from portrait.stage import REST, light_on, relief_shift, relight, surface  # noqa: E402
from warp.encoder import Fitted  # noqa: E402
from warp.facekit import INDEX  # noqa: E402
from warp.graph import Graph, pixel_grid  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
FACEKIT = ROOT.parent / "shared/ict-facekit/ict-facekit.npz"
needs_facekit = pytest.mark.skipif(not FACEKIT.exists(), reason="needs ../shared/ict-facekit")
GRID = pixel_grid(G, G).transpose(2, 0, 1)[None]


def compute(ranks: list[int], build, **arrays: np.ndarray) -> list[np.ndarray]:
    """What build(g, **values) returns, values of these ranks, run by ONNX Runtime."""
    g = Graph("test")
    made = build(g, **{n: g.input(n, "float32", list(v.shape)) for n, v in arrays.items()})
    for i, (value, rank) in enumerate(zip(made, ranks, strict=True)):
        g.output(value, f"out{i}", "float32", [f"{i}.{k}" for k in range(rank)])
    session = onnxruntime.InferenceSession(g.model("test").SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {n: v.astype(np.float32) for n, v in arrays.items()})


def given(batch: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {n: torch.rand(batch, *shape) for n, shape in READER_INPUTS.items()}


def test_an_untrained_reader_keeps_the_geometric_matte_and_finds_nothing_else():
    inputs = given()
    found = Reader().eval()(**inputs)
    assert (found.matte - inputs["alpha"]).abs().max() < 0.011
    assert found.relief.shape == (2, 1, G, G) and found.relief.abs().max() == 0
    assert torch.allclose(found.normal[:, 2], torch.full((2, G, G), -1.0), atol=1e-3)
    assert found.light.shape == (2, 9, 3) and found.rest.shape == (2, 52) and found.pose.shape == (2, 6)


def test_the_reader_learns_from_every_one_of_its_losses():
    reader, inputs = Reader(), given()
    true = {
        "matte": torch.rand(2, 1, 256, 256), "backdrop": torch.rand(2, 3, G, G), "relief": torch.randn(2, 1, G, G), "solid": torch.ones(2, 1, G, G),
        "normal": torch.nn.functional.normalize(torch.randn(2, 3, G, G), dim=1), "region": torch.ones(2, 1, G, G, dtype=torch.long),
        "light": torch.randn(2, 9, 3) * 0.2 + torch.eye(9)[:, :1], "rest": torch.rand(2, 52), "pose": torch.randn(2, 6), "lit": torch.ones(2),
    }
    for name, layers in (
        ("matte", [reader.matte]), ("relief", [reader.maps]), ("light", [reader.to_light]), ("rest", [reader.to_rest]), ("pose", [reader.to_pose]),
    ):
        reader.zero_grad()
        losses(reader(**inputs), inputs, true)[name].backward()
        assert all(layer.weight.grad.abs().max() > 0 for layer in layers)


def test_light_is_compared_whatever_its_strength_and_colour():
    light = torch.randn(1, 9, 3) * 0.2 + torch.eye(9)[:, :1]
    assert torch.allclose(log_irradiance(light), log_irradiance(light * torch.tensor([2.0, 0.5, 1.3])), atol=1e-5)


def test_the_graphs_harmonics_are_the_studios():
    normals = np.random.default_rng(0).normal(size=(1, 3, 50))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    (found,) = compute([3], lambda g, n: [harmonics(g, n)], n=normals)
    assert np.allclose(found[0], studio_harmonics(normals[0].T).T, atol=1e-5)
    light = np.eye(9)[None, :, :1] + 0.3 * np.random.default_rng(1).normal(size=(1, 9, 3))
    (found,) = compute([3], lambda g, n, light: [log_light(g, light, harmonics(g, n))], n=normals, light=light)
    assert np.allclose(found[0], EXPONENT * np.log(np.maximum(studio_harmonics(normals[0].T) @ light[0], DARKEST)).T, atol=1e-4)


def test_a_corrected_pose_leaves_every_point_where_the_portrait_shows_it():
    rng = np.random.default_rng(2)
    points, turn = rng.normal(size=(3, G * G)) * 5, rotation(0.1, -0.2, 0.05)
    nothing = np.zeros((68, 3))

    def correct(g, points, turn, pose):
        fitted = Fitted(g.const([0.05]), g.const([0.1, -0.1]), turn, g.const(nothing), points, None, g.const(nothing), g.transpose(points, 1, 0), g.const([1.0]))
        made = posed(g, fitted, pose)
        return [made.scale, made.shift, made.rotation, made.position, made.keypoints]

    pose = np.array([0.03, -0.02, 0.01, 0.2, -0.1, 0.04])
    scale, shift, found, position, keypoints = compute([1, 1, 2, 2, 2], correct, points=points, turn=turn, pose=pose)
    assert np.allclose(scale, 0.05 * np.exp(0.04), atol=1e-6) and np.allclose(keypoints.T, position, atol=1e-4)
    assert np.allclose(found @ found.T, np.eye(3), atol=1e-4)
    assert np.allclose(scale * (found @ position)[:2] + shift[:, None], 0.05 * (turn @ points)[:2] + np.array([[0.1], [-0.1]]), atol=2e-4)
    # Angles in the view: a positive one about x lowers the nose, as pitch does.
    assert (found @ turn.T)[2, 1] > 0.02


def test_relief_moves_points_along_the_turned_view_and_finds_their_place_in_the_portrait():
    turn, scale, height = rotation(0, 0.4, 0), 0.05, 2.0
    shape = np.zeros((1, SHAPE, G, G))
    shape[0, 0] = height
    flow = np.full((1, 2, G, G), 0.05)

    def place(turn):
        (off,) = compute([4], lambda *a, **k: [relief_shift(*a, **k)], flow=flow, turn=turn[None], scale=np.array([[scale]]), shape=shape)
        return off[0]

    # The point seen at u is the mean face's F(p) less the parallax of its height.
    assert np.allclose(place(turn)[:, 32, 32], height * scale * turn[:2, 2], atol=1e-4)
    assert np.abs(place(np.eye(3))).max() < 1e-5


def test_relief_is_that_of_the_place_from_where_it_is_seen():
    """A step of height is found where its own height puts it, and the flow there is the one that counts."""
    turn, scale = rotation(0, 0.4, 0), 0.05
    shape = np.zeros((1, SHAPE, G, G))
    shape[0, 0, :, 32:] = 2.0
    parallax = 2.0 * scale * turn[0, 2]  # to the right: more than three cells
    flow = np.zeros((1, 2, G, G))
    flow[0, 0, :, 33:40] = -0.5  # the mean face shows the low left half here, the relief's right half beside it does not
    (off,) = compute([4], lambda *a, **k: [relief_shift(*a, **k)], flow=flow, turn=turn[None], scale=np.array([[scale]]), shape=shape)
    (plain,) = compute([4], lambda *a, **k: [relief_shift(*a, **k)], flow=flow * 0, turn=turn[None], scale=np.array([[scale]]), shape=shape)
    assert plain[0, 0, 32, 50] == pytest.approx(parallax, abs=1e-4) and plain[0, 0, 32, 10] == pytest.approx(0, abs=1e-5)
    assert off[0, 0, 32, 36] == pytest.approx(0, abs=1e-4)


def test_a_cheek_that_turns_away_from_the_lamp_gets_darker_and_one_that_stays_does_not():
    light = np.zeros((1, 9, 3))
    light[:, 0], light[:, 1] = 1.0, 0.6  # from the right
    normal = np.zeros((1, 3, G, G))
    normal[:, 2] = -1
    glow = np.zeros((1, 3, G, G))
    shading = np.zeros((1, 9, 3))
    shading[:, 1] = 0.5, 0.2, 0.1

    def lit(turns: float, angle: float, skin: float = 0.0):
        shape = np.concatenate([np.zeros((1, 1, G, G)), normal, np.full((1, 1, G, G), turns), np.full((1, 1, G, G), skin), glow], 1)

        def build(g, flow, turn, shape, light, shading):
            found = surface(g, flow, turn, shape)
            now, still = light_on(g, {"light": light, "shading": shading}, found, 2)
            return relight(g, now - found.glow), relight(g, still - found.glow), found.normals, found.was

        turns = np.stack([rotation(0, angle, 0), np.eye(3)])[None]
        found = compute([4, 4, 4, 4], build, flow=np.zeros((1, 2, G, G)), turn=turns, shape=shape, light=light, shading=shading)
        return [v.reshape(1, 3, -1, G, G) for v in found]

    change, still, turned, was = lit(1.0, 0.5)  # positive yaw: to the left of the picture
    assert change[0, 0, 0, 32, 32] == pytest.approx(EXPONENT * np.log(1 - 0.6 * np.sin(0.5)), abs=1e-3)
    assert turned[0, 0, 0, 32, 32] == pytest.approx(-np.sin(0.5), abs=1e-3) and np.allclose(was[0, :, 0], normal[0], atol=1e-5)
    assert np.abs(still).max() < 1e-3 and turned[0, 2, 1, 32, 32] == pytest.approx(-1, abs=1e-3)
    of_skin = lit(1.0, 0.5, skin=0.5)[0] - change
    assert np.allclose(of_skin[0, :, 0, 32, 32], -0.5 * np.sin(0.5) * shading[0, 1], atol=1e-3)
    assert np.abs(lit(1.0, 0.0)[0]).max() < 1e-3 and np.abs(lit(0.0, 0.5)[0]).max() < 1e-3


def test_lids_and_gaze_have_no_rest():
    assert RESTING[INDEX["mouthSmileLeft"]] == 1 and RESTING[INDEX["eyeBlinkLeft"]] == 0 and RESTING[INDEX["eyeLookUpRight"]] == 0


@needs_facekit
def test_a_portrait_that_smiles_and_is_told_to_smile_as_much_stays_as_it_is(tmp_path):
    from portrait.prepare import Preparer
    from portrait.timed import save
    from warp.run import motion_row, pose_angles, read_portrait

    save(Lifter().state_dict(), tmp_path / "lifter.pt")
    save(Reader().state_dict(), tmp_path / "reader.pt")
    save(Turner().state_dict(), tmp_path / "turner.pt")
    preparer = Preparer(FACEKIT, 1, tmp_path)
    pixels, landmarks = read_portrait(ROOT / "models/portraits/ada.jpg")
    avatar = preparer.encode(pixels[::2, ::2], landmarks)
    smile = {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}
    pitch, yaw, roll = pose_angles(avatar)
    row = lambda **e: motion_row(pitch=pitch, yaw=yaw, roll=roll, **e)[None]  # noqa: E731
    plain = preparer.drive(avatar, row())
    smiled = preparer.drive(avatar | {"rest": row(**smile)[0, 6:] / REST}, row(**smile))
    twice = preparer.drive(avatar, row(**smile))
    assert np.abs(smiled["flow"] - plain["flow"]).max() < 1e-3 < np.abs(twice["flow"] - plain["flow"]).max()
    assert np.abs(smiled["keypoints"] - plain["keypoints"]).max() < 1e-3
    assert np.allclose(smiled["code"][0, :52], row(**smile)[0, 6:], atol=1e-5)  # the network is told all the same
    assert np.abs(plain["light"]).max() < 0.02 and plain["normal"].shape == (1, 3, G, G)
