"""The side pictures: what the turner makes of a portrait, and where the renderer finds it in them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from portrait.adversary import Critic  # noqa: E402
from portrait.blocks import enlarge  # noqa: E402
from portrait.dataset import SIDEWAYS  # noqa: E402
from portrait.layout import SIDE, SIDE_DETAIL, SIDE_YAW  # noqa: E402
from portrait.lifter import Lifter  # noqa: E402
from portrait.observer import Observer  # noqa: E402
from portrait.reader import Reader  # noqa: E402
from portrait.stage import aside_motion, mirror_first, side_rotation  # noqa: E402
from portrait.timed import save  # noqa: E402
from portrait.turner import INPUTS, DetailedTurner, Turner  # noqa: E402
from portrait.turner_train import losses, shown  # noqa: E402
from warp.graph import Graph  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
FACEKIT = ROOT.parent / "shared/ict-facekit/ict-facekit.npz"
needs_facekit = pytest.mark.skipif(not FACEKIT.exists(), reason="needs ../shared/ict-facekit")


def given(batch: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    inputs = {n: torch.rand(batch, *shape) * (1.0 if n.endswith("128") else 0.1) for n, shape in INPUTS.items()}
    inputs["texture128"][:, :3] *= inputs["texture128"][:, 3:]
    return inputs


def shaken(turner: Turner) -> Turner:
    torch.manual_seed(6)
    with torch.no_grad():
        for p in turner.parameters():
            p.add_(torch.randn_like(p) * 0.01)
    return turner.eval()


def test_an_untrained_turner_shows_mostly_what_geometry_turned_and_stays_premultiplied():
    turner, inputs = Turner().eval(), given()
    with torch.no_grad():
        turned, found = turner.decide(**inputs), turner(**inputs)
    assert found.shape == (2, 4, SIDE, SIDE) and found.min() >= 0 and found.max() <= 1
    assert (found[:, :3] <= found[:, 3:] + 1e-6).all()
    assert turned.weights[:, 0].min() > 0.7 and torch.allclose(turned.weights.sum(1), torch.ones(2, SIDE, SIDE), atol=1e-5)


def test_detail_is_what_the_portrait_has_beyond_the_smaller_picture():
    inputs = given() | {n: torch.zeros(2, *INPUTS[n]) for n in ("flow", "mirror", "light")}
    texture256 = torch.cat([torch.rand(2, 3, 256, 256), torch.ones(2, 1, 256, 256)], 1)  # the whole picture is the person
    inputs["texture128"] = torch.nn.functional.avg_pool2d(texture256, 2)
    turner = Turner().eval()
    with torch.no_grad():
        turned, detail = DetailedTurner(turner)(texture256, **inputs)
        plain, decided = turner(**inputs), turner.decide(**inputs)
    assert torch.equal(turned, plain) and detail.shape == (2, 3, SIDE_DETAIL, SIDE_DETAIL)
    large = enlarge(plain[:, :3], 2) + detail
    painted = enlarge(decided.weights[:, 3:], 2)  # the rest shows the portrait where it is
    assert torch.allclose(large, ((1 - painted) * texture256[:, :3] + painted * enlarge(decided.paint, 2)) * enlarge(decided.alpha, 2), atol=1e-4)
    assert detail.abs().mean() > 0.05


def test_every_loss_reaches_the_turner():
    turner, inputs = shaken(Turner()), given()
    true = {
        "target": torch.rand(2, 3, SIDE, SIDE), "backdrop": torch.rand(2, 3, SIDE, SIDE), "cover": torch.rand(2, 1, SIDE, SIDE),
        "region": torch.randint(0, 13, (2, SIDE, SIDE)),
    }
    turned = turner.decide(**inputs)
    parts = losses(turned, true, Observer(), Critic(given=3), torch.rand(2, 3, SIDE, SIDE))
    assert set(parts) == {"picture", "paint", "matte", "seen", "critic", "matching"} and all(torch.isfinite(v) for v in parts.values())
    sum(parts.values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in turner.parameters())
    nobody = turned._replace(alpha=torch.zeros_like(turned.alpha))
    assert torch.equal(shown(nobody, true["backdrop"]), true["backdrop"])


def test_only_the_first_picture_is_put_in_the_mirror():
    g = Graph("mirror")
    v = g.input("v", "float32", [2, 2, 4, 4])
    g.output(mirror_first(g, v, 4, np.array([-1, 1], np.float32).reshape(2, 1, 1)), "out", "float32", [2, 2, 4, 4])
    values = np.random.default_rng(1).normal(size=(2, 2, 4, 4)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(g.model("mirror").SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"v": values})
    assert np.array_equal(found[1], values[1])
    assert np.array_equal(found[0, 0], -values[0, 0, :, ::-1]) and np.array_equal(found[0, 1], values[0, 1, :, ::-1])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save(Lifter().state_dict(), folder / "lifter.pt")
    save(Reader().state_dict(), folder / "reader.pt")
    save(shaken(Turner()).state_dict(), folder / "turner.pt")
    return folder


@pytest.fixture(scope="module")
def preparer(weights):
    from portrait.prepare import Preparer

    return Preparer(FACEKIT, 1, weights)


@needs_facekit
def test_the_graph_makes_the_side_pictures_that_pytorch_makes(preparer, weights):
    from portrait.turner import load
    from portrait.turner_train import input_model
    from warp.run import read_portrait

    pixels, landmarks = read_portrait(ROOT / "models/portraits/ada.jpg")
    found = preparer.encode(pixels[::2, ::2], landmarks)["sides"].astype(float)
    portrait = cv2.resize(pixels[::2, ::2], (512, 512), interpolation=cv2.INTER_CUBIC)
    names = list(INPUTS)
    session = input_model(FACEKIT, weights)
    feed = {"portrait": portrait, "landmarks": landmarks.astype(np.float32), "motion": aside_motion()}
    inputs = {n: torch.from_numpy(v) for n, v in zip(names, session.run([f"turner.{n}" for n in names], feed))}
    with torch.no_grad():
        expected = load(weights / "turner.pt")(**inputs).numpy() * 255
    expected[0] = expected[0, :, :, ::-1].copy()
    assert expected[:, 3].max() > 250 and expected[:, 3].min() < 5
    assert np.abs(found - expected).max() < 2 < np.abs(found - expected[::-1]).mean()


@needs_facekit
def test_both_sides_of_a_symmetric_face_are_mirror_images(preparer):
    from tracker.layout import LANDMARK_MIRROR
    from warp.run import read_portrait

    pixels, landmarks = read_portrait(ROOT / "models/portraits/ada.jpg")
    landmarks = (landmarks + landmarks[LANDMARK_MIRROR] * [-1, 1]) / 2
    pixels = ((pixels.astype(np.uint16) + pixels[:, ::-1]) // 2).astype(np.uint8)
    avatar = preparer.encode(pixels[::2, ::2], landmarks)
    left, right = avatar["sides"].astype(int)
    assert np.abs(left - right[..., ::-1]).mean() < 1.0 and np.abs(left - right).mean() > 4.0
    assert np.abs(avatar["side_place"][0, 0] + avatar["side_place"][1, 0, :, ::-1]).mean() < 0.005


@needs_facekit
def test_a_head_turned_as_in_its_side_picture_is_found_there_where_it_is(preparer):
    from warp.run import motion_row, read_portrait

    avatar = preparer.encode(*(v[::2, ::2] if v.ndim == 3 else v for v in read_portrait(ROOT / "models/portraits/ada.jpg")))
    avatar["light"][:, :] = np.eye(9, 3)[:, :1] + 0.6 * np.eye(9)[:, 1:2]  # from one side
    yaws = (-SIDE_YAW, SIDE_YAW, -SIDE_YAW / 2, SIDE_YAW / 2)
    made = preparer.drive(avatar, np.stack([motion_row(yaw=yaw) for yaw in yaws]))
    off = np.abs(made["side"]).mean((1, 2, 3))
    assert off[:2].max() < 0.012 < off[2:].min()
    assert np.abs(made["side_light"][:2]).mean() < 0.01 < np.abs(made["side_light"][2:]).mean()
    # The code tells which of the two pictures it was.
    assert [row[SIDEWAYS] > 0 for row in made["code"]] == [False, True, False, True]
    assert np.allclose(made["code"][1, 52:61].reshape(3, 3), side_rotation(SIDE_YAW), atol=1e-5)
