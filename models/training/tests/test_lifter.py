"""The Lifter: pose and depth from landmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from heads.motion import rotation  # noqa: E402
from portrait.graft import inlined_lifter  # noqa: E402
from portrait.lifter import INPUTS, LANDMARK_MIRROR, LANDMARKS, POSE_UNITS, Lifter, load, mirrored  # noqa: E402
from warp.encoder import corrected, encoder_graph  # noqa: E402
from warp.facekit import tables  # noqa: E402
from warp.graph import Graph  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
FACEKIT = ROOT.parent / "shared/ict-facekit/ict-facekit.npz"
needs_facekit = pytest.mark.skipif(not FACEKIT.exists(), reason="the morphable head is in ../shared, which is not here")


def shaken(seed: int = 0) -> Lifter:
    torch.manual_seed(seed)
    lifter = Lifter()
    torch.nn.init.normal_(lifter.last.weight, 0, 0.15)
    return lifter.eval()


def given(batch: int = 3) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(batch, *shape) for shape in INPUTS.values()]


def test_an_untrained_lifter_leaves_the_fit_alone():
    found = Lifter()(*given())
    assert found.pose.abs().max() == 0 and found.depth.abs().max() == 0
    assert found.pose.shape == (3, len(POSE_UNITS)) and found.depth.shape == (3, LANDMARKS, 1) and torch.equal(found.doubt, torch.full((3, 1), 0.5))


def test_mirror_images_are_lifted_to_mirror_images():
    lifter, (residual, turned) = shaken(), given()
    flip = np.diag([-1.0, 1, 1])
    true = torch.from_numpy(np.einsum("ij,bjk,kl->bil", flip, turned.reshape(-1, 3, 3).numpy(), flip).reshape(-1, 9)).float()
    there = mirrored(torch.cat([residual, turned], 1)).split([3 * LANDMARKS, 9], 1)
    assert torch.allclose(there[1], true)
    here, there = lifter(residual, turned), lifter(*there)
    assert torch.allclose(here.pose * torch.tensor([1.0, -1, -1, -1, 1, 1]), there.pose, atol=1e-6) and here.pose.abs().min() > 1e-7
    assert torch.allclose(here.depth[:, LANDMARK_MIRROR], there.depth, atol=1e-6) and torch.allclose(here.doubt, there.doubt)


def run(g: Graph, **feed: np.ndarray) -> list[np.ndarray]:
    return ort.InferenceSession(g.model("test").SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)


def test_a_correction_turns_about_the_views_axes_and_moves_in_centimetres():
    g = Graph("test")
    turn = [0.03, -0.02, 0.01]
    scale, shift, turned = corrected(g, g.const([0.05]), g.const([0.1, -0.2]), g.const(rotation(0.1, 0.2, 0.3)), g.const([*turn, 0.5, -1.0, 0.1]))
    for name, value, shape in (("scale", scale, [1]), ("shift", shift, [2]), ("rotation", turned, [3, 3])):
        g.output(value, name, "float32", shape)
    scale, shift, turned = run(g)
    assert scale == pytest.approx(0.05 * np.exp(0.1)) and shift == pytest.approx([0.125, -0.25])
    back = turned @ rotation(0.1, 0.2, 0.3).T
    assert np.allclose([back[2, 1] - back[1, 2], back[0, 2] - back[2, 0], back[1, 0] - back[0, 1]], 2 * np.array(turn), atol=1e-4)
    assert np.allclose(turned @ turned.T, np.eye(3), atol=1e-4)


@needs_facekit
def test_the_graph_lifts_as_pytorch_does_and_keypoints_stay_on_their_landmarks():
    from portrait.lifter_train import fit_model
    from warp.layout import POSE

    t, lifter = tables(FACEKIT), shaken()
    rng = np.random.default_rng(3)
    marks = ((t.landmarks @ rotation(0.1, -0.2, 0.05).T)[:, :2] * 0.045 + [0.02, 0.1] + rng.normal(0, 0.004, (LANDMARKS, 2))).astype(np.float32)
    fit = dict(zip(("scale", "shift", "rotation", "residual"), fit_model(t).run(None, {"landmarks": marks})))
    with torch.no_grad():
        pose, depth, doubt = (v[0].numpy() for v in lifter(torch.from_numpy(fit["residual"].reshape(1, -1)), torch.from_numpy(fit["rotation"].reshape(1, -1))))
    g = encoder_graph(t, lift=inlined_lifter(lifter))
    names = [o.name for o in g.outputs]
    found = dict(zip(names, run(g, portrait=np.full((512, 512, 3), 99, np.uint8), landmarks=marks)))
    part = lambda name: found["pose"][slice(*POSE[name])]  # noqa: E731
    assert part("scale") == pytest.approx(fit["scale"] * np.exp(pose[5]), rel=1e-4)
    turned, scale, shift = part("rotation").reshape(3, 3), part("scale"), part("shift")
    assert shift == pytest.approx(fit["shift"] + pose[3:5] * fit["scale"], abs=1e-5)
    seen = found["keypoints"][:LANDMARKS] @ turned.T
    assert np.allclose(seen[:, :2] * scale + shift, marks, atol=1e-4)
    assert np.allclose(seen[:, 2:] - (t.landmarks @ turned.T)[:, 2:], depth, atol=1e-3) and np.abs(depth).max() > 0.01


def test_the_trackers_errors_are_drawn_as_they_vary_together():
    from portrait.lifter_train import Errors

    rng = np.random.default_rng(5)
    one, two, always = (rng.normal(size=(LANDMARKS, 2)) for _ in range(3))
    others = np.stack([one, -one, two, -two])
    own = rng.normal(size=(LANDMARKS, 2))
    drawn = np.stack([Errors(0.2, always, others).draw(rng, own) for _ in range(4000)])
    assert np.allclose(drawn.mean(0), always - 0.2 * own, atol=0.15)
    off = (drawn - drawn.mean(0)).reshape(len(drawn), -1)
    assert np.linalg.matrix_rank(off, tol=1e-6 * np.abs(off).max() * len(off)) == 2  # nothing but mixtures of both


@needs_facekit
def test_the_committed_lifter_knows_faces_better_than_the_mean_face_does():
    from heads.rig import load_rig
    from portrait.lifter_train import Faces, split

    faces = Faces.open(load_rig(FACEKIT), tables(FACEKIT), np.zeros((0, 52), np.float32))
    for kind, turn, depth, doubt in (("exact", 0.45, 0.55, (0, 0.3)), ("by hand", 0.7, 0.7, (0.6, 1))):
        inputs, true = faces.draw(np.random.default_rng(11), 400, kind)
        with torch.no_grad():
            found = load()(*split(inputs))
        true = true.split([len(POSE_UNITS), LANDMARKS, 1], 1)
        off = (found.pose / torch.tensor(POSE_UNITS) - true[0])[:, :3].abs().mean()
        assert doubt[0] <= found.doubt.mean() <= doubt[1]
        assert off < turn * true[0][:, :3].abs().mean()
        assert (found.depth[..., 0] / 0.3 - true[1]).abs().mean() < depth * (true[1] - true[1].mean(0)).abs().mean()
