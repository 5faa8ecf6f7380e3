"""face-vid2vid: equations, shapes, gradients, and that a tiny one learns and resumes.

    python -m pytest models/training/tests/test_peer.py
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "models/training"))

from peer import losses  # noqa: E402
from peer.cost import count  # noqa: E402
from peer.data import Pair, Pairs  # noqa: E402
from peer.discriminator import Discriminator  # noqa: E402
from peer.geometry import gaussians, keypoint_flows, pose_keypoints, rotation, volume_grid  # noqa: E402
from peer.model import FaceVid2Vid  # noqa: E402
from peer.networks import HeadMotion, Shape  # noqa: E402
from peer.objective import discriminator_loss, generator_losses  # noqa: E402
from peer.train import Training, load_model  # noqa: E402
from warp import reference  # noqa: E402

torch.set_num_threads(1)  # tiny tensors: threads cost more than they save
TINY = Shape(size=64, width=0.1, keypoints=5, depth=4, levels=2, blocks=1, estimator=(1, 1, 1, 1))


def pair(batch=2, size=64, seed=0):
    g = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    return Pair(make(batch, 3, size, size), make(batch, 3, size, size), make(batch, 3) - 0.5, make(batch, 3) - 0.5)


def test_rotations_are_the_ones_of_the_motion_packets():
    angles = np.array([[0.2, -0.5, 0.1], [-0.3, 0.4, -0.2]])
    for one, made in zip(angles, rotation(torch.tensor(angles)).numpy()):
        assert np.allclose(made, reference.rotation(*one), atol=1e-6)


def test_a_driver_in_the_sources_motion_asks_for_no_flow():
    turn = rotation(torch.tensor([[0.1, 0.3, -0.2]]))
    points = torch.rand(1, 5, 3) - 0.5
    grid = volume_grid(4, 6, 8, like=points)
    flows = keypoint_flows(grid, points, points, turn, turn)
    assert flows.shape == (1, 6, 4, 6, 8, 3)
    assert torch.allclose(flows, grid.expand_as(flows), atol=1e-5)


def test_a_rigidly_moved_head_is_found_by_every_keypoints_flow():
    canonical = torch.rand(1, 5, 3) - 0.5
    nothing = torch.zeros(1, 5, 3)
    turn_s, turn_d = rotation(torch.tensor([[0.0, 0.2, 0.1]])), rotation(torch.tensor([[0.1, -0.4, 0.0]]))
    shift_s, shift_d = torch.tensor([[0.1, 0.0, 0.0]]), torch.tensor([[-0.2, 0.1, 0.0]])
    source, driving = pose_keypoints(canonical, turn_s, shift_s, nothing), pose_keypoints(canonical, turn_d, shift_d, nothing)
    voxel = pose_keypoints(torch.tensor([[[0.2, -0.1, 0.3]]]), turn_d, shift_d, torch.zeros(1, 1, 3))
    flows = keypoint_flows(voxel[0, None, None], source, driving, turn_s, turn_d)
    true = pose_keypoints(torch.tensor([[[0.2, -0.1, 0.3]]]), turn_s, shift_s, torch.zeros(1, 1, 3))
    assert torch.allclose(flows[0, 1:, 0, 0, 0], true[0].expand(5, 3), atol=1e-5)


def test_grid_sample_reads_the_volume_unchanged_through_its_own_grid():
    volume = torch.rand(1, 3, 4, 5, 6)
    grid = volume_grid(4, 5, 6, like=volume)[None]
    assert torch.allclose(torch.nn.functional.grid_sample(volume, grid, align_corners=False), volume, atol=1e-5)


def test_heat_maps_peak_at_their_keypoints():
    point = torch.tensor([[[0.5, -0.25, 0.0]]])
    grid = volume_grid(8, 16, 16, like=point)
    heat = gaussians(grid, point)[0, 0]
    peak = grid.reshape(-1, 3)[heat.flatten().argmax()]
    assert (peak - point[0, 0]).abs().max() <= 2 / 8


def test_the_networks_have_the_papers_shapes():
    model = FaceVid2Vid(TINY).eval()
    picture = torch.rand(2, 3, 64, 64)
    portrait = model.encode(picture)
    assert portrait.volume.shape == (2, TINY.volume, 4, 16, 16)
    assert portrait.canonical.shape == (2, 5, 3) and portrait.canonical.abs().max() <= 1
    assert portrait.motion.angles.shape == (2, 3) and portrait.motion.deformation.shape == (2, 5, 3)
    made = model.render(portrait, model.estimator(picture))
    assert made.picture.shape == (2, 3, 64, 64) and made.occlusion.shape == (2, 1, 16, 16)
    assert 0 <= made.picture.min() and made.picture.max() <= 1


@pytest.mark.skipif(not hasattr(torch.device("meta"), "__enter__"), reason="counts on torch 2's meta device")
def test_at_full_width_it_is_the_papers_model_in_size_and_cost():
    full, half = count(Shape()), count(Shape(width=0.5))
    assert Shape().volume == 32 and Shape().hourglass() == [64, 128, 256, 512, 1024]
    assert 100e6 < full["parameters"] < 140e6
    assert full["gflopFrame"] > 80  # what 4 GFLOP are a twentieth of
    assert half["gflopFrame"] < full["gflopFrame"] / 2


def test_the_render_follows_the_driving_angles():
    model = FaceVid2Vid(TINY).eval()
    portrait = model.encode(torch.rand(1, 3, 64, 64))
    turned = HeadMotion(portrait.motion.angles + 0.5, portrait.motion.shift, portrait.motion.deformation)
    assert not torch.allclose(model.render(portrait, turned).keypoints, model.render(portrait, portrait.motion).keypoints)


def test_transforms_take_points_back_to_where_the_picture_came_from():
    transform = losses.Affine.random(1, torch.Generator().manual_seed(1), amount=0.1)
    y, x = torch.meshgrid(*(torch.arange(64.0) * 2 / 64 - 63 / 64,) * 2, indexing="ij")
    picture = torch.stack([x, y, 0 * x])[None]  # every pixel tells its own place
    moved = transform.picture(picture)
    points = torch.tensor([[[x[20, 40], y[20, 40]]]])
    assert torch.allclose(transform.back(points)[0, 0], moved[0, :2, 20, 40], atol=1e-3)
    assert losses.equivariance(transform.back(points), points, transform) < 1e-6


def test_keypoints_are_pushed_apart_and_to_their_depth():
    spread = torch.tensor([[[-0.5, 0, 0.33], [0.5, 0, 0.33]]])
    assert losses.keypoint_prior(spread) < 1e-6
    assert losses.keypoint_prior(spread * torch.tensor([0.1, 1, 1])) > 0.1
    assert losses.keypoint_prior(spread + torch.tensor([0, 0, 0.2])).item() == pytest.approx(0.2, abs=1e-5)


def test_every_network_gets_a_gradient():
    torch.manual_seed(0)
    model, judge = FaceVid2Vid(TINY), Discriminator(width=0.1)
    batch = pair()
    parts, made = generator_losses(model, batch, losses.Affine.random(2, torch.Generator().manual_seed(0)), discriminator=judge)
    sum(parts.values()).backward()
    for name in ("appearance", "detector", "estimator", "dense", "generator"):
        grown = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in getattr(model, name).parameters()]
        assert np.mean(grown) > 0.9, name
    judge.zero_grad()
    discriminator_loss(judge, made, batch.driving).backward()
    assert all(p.grad is not None for p in judge.parameters())


def shard(folder, people=2, frames=3):
    """A data set with one shard of noise pictures."""
    at = folder / "train-0000"
    at.mkdir(parents=True)
    rng = np.random.default_rng(0)
    n = people * frames
    np.save(at / "images.npy", rng.integers(0, 255, (n, 64, 64, 3), np.uint8))
    np.save(at / "motion.npy", rng.normal(0, 0.1, (n, 58)).astype(np.float32))
    np.save(at / "identity.npy", np.repeat(np.arange(people), frames))
    np.save(at / "frame.npy", np.tile(np.arange(frames), people))
    (at / "meta.json").write_text("{}")
    return folder


def test_batches_depend_on_seed_and_number_only_and_never_mix_people(tmp_path):
    folder = shard(tmp_path)
    a, b = Pairs(folder, size=64, batch=4, seed=1), Pairs(folder, size=64, batch=4, seed=1)
    assert torch.equal(a.at(7).source, b.at(7).source) and not torch.equal(a.at(7).source, a.at(8).source)
    assert not torch.equal(a.at(7).source, a.at(7).driving)
    with pytest.raises(FileNotFoundError, match="models/training/heads"):
        Pairs(tmp_path / "nowhere", size=64, batch=4, seed=1)


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    pairs = Pairs(shard(tmp_path), size=64, batch=2, seed=0)
    make = lambda: Training(TINY, adversarial=True, device="cpu", rate=1e-3, seed=0)  # noqa: E731
    whole, part = make(), make()
    for number in range(3):
        straight = whole.step(pairs.at(number), number, autocast=False)
    for number in range(2):
        part.step(pairs.at(number), number, autocast=False)
    part.save(tmp_path / "checkpoint.pt")
    resumed = make()
    resumed.load(tmp_path / "checkpoint.pt")
    again = resumed.step(pairs.at(2), 2, autocast=False)
    assert resumed.samples == whole.samples == 6
    assert again == pytest.approx(straight, rel=1e-3)
    model, samples = load_model(tmp_path / "checkpoint.pt")
    assert samples == 4 and model.shape == TINY
    with pytest.raises(SystemExit, match="another shape"):
        Training(replace(TINY, width=0.2), adversarial=False, device="cpu", rate=1e-3, seed=0).load(tmp_path / "checkpoint.pt")


def test_a_tiny_model_learns_one_pair():
    training = Training(replace(TINY, size=32), adversarial=False, device="cpu", rate=3e-3, seed=0)
    y, x = torch.meshgrid(*(torch.arange(32.0) / 32,) * 2, indexing="ij")
    disc = lambda at: ((x - at) ** 2 + (y - 0.5) ** 2 < 0.06).float()  # noqa: E731
    frame = lambda at: torch.stack([disc(at), 0.5 * disc(at) + 0.3 * y, x])[None].repeat(2, 1, 1, 1)  # noqa: E731
    one = Pair(frame(0.35), frame(0.6), torch.zeros(2, 3), torch.tensor([[0.0, 0.4, 0.0]] * 2))
    history = [training.step(one, number, autocast=False)["perceptual"] for number in range(20)]
    assert np.mean(history[-3:]) < 0.7 * history[0]
