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

from evaluation import peer_row  # noqa: E402
from evaluation.rows import Drive  # noqa: E402
from peer import losses, sampling  # noqa: E402
from peer.cost import count  # noqa: E402
from peer.data import Pair, Pairs  # noqa: E402
from peer.discriminator import Discriminator  # noqa: E402
from peer.geometry import (  # noqa: E402
    KeypointMotion, heat_change, picture_to_volume, pose_keypoints, rotation, volume_grid, volume_to_picture,
)
from peer.model import FaceVid2Vid  # noqa: E402
from peer.networks import BINS, HeadMotion, Shape, bin_degrees  # noqa: E402
from peer.objective import discriminator_loss, generator_losses  # noqa: E402
from peer.train import Training, load_model  # noqa: E402
from warp import reference  # noqa: E402

torch.set_num_threads(1)  # tiny tensors: threads cost more than they save
counts = pytest.mark.skipif(not hasattr(torch.device("meta"), "__enter__"), reason="counts on torch 2's meta device")
TINY = Shape(size=64, width=0.1, keypoints=5, depth=4, levels=2, blocks=1, estimator=(1, 1, 1, 1))


def pair(batch=2, size=64, seed=0):
    g = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    return Pair(make(batch, 3, size, size), make(batch, 3, size, size), make(batch, 3) - 0.5, make(batch, 3) - 0.5)


def test_rotations_are_the_ones_of_the_motion_packets():
    angles = np.array([[0.2, -0.5, 0.1], [-0.3, 0.4, -0.2]])
    for one, made in zip(angles, rotation(torch.tensor(angles)).numpy()):
        assert np.allclose(made, reference.rotation(*one), atol=1e-6)


def places(motion):
    """Every keypoint's positions [B,K,P,3], written out."""
    return motion.turned[:, None] + motion.offsets[:, :, None]


def test_a_driver_in_the_sources_motion_asks_for_no_flow():
    turn = rotation(torch.tensor([[0.1, 0.3, -0.2]]))
    points = torch.rand(1, 5, 3) - 0.5
    motion = KeypointMotion((6, 8, 4), points, points, turn, turn)
    still = volume_grid(6, 8, 4, like=points).reshape(-1, 3)
    assert torch.allclose(places(motion), still.expand(1, 5, -1, -1), atol=1e-5)


def test_a_rigidly_moved_head_is_found_by_every_keypoints_flow():
    canonical = torch.rand(1, 5, 3) - 0.5
    nothing = torch.zeros(1, 5, 3)
    turn_s, turn_d = rotation(torch.tensor([[0.0, 0.2, 0.1]])), rotation(torch.tensor([[0.1, -0.4, 0.0]]))
    shift_s, shift_d = torch.tensor([[0.1, 0.0, 0.0]]), torch.tensor([[-0.2, 0.1, 0.0]])
    source, driving = pose_keypoints(canonical, turn_s, shift_s, nothing), pose_keypoints(canonical, turn_d, shift_d, nothing)
    motion = KeypointMotion((6, 8, 4), source, driving, turn_s, turn_d)
    on_the_head = (motion.still - shift_d) @ turn_d[0]  # R_d^-1 (p - t_d)
    assert torch.allclose(places(motion), (on_the_head @ turn_s[0].T + shift_s).expand(1, 5, -1, -1), atol=1e-5)


def test_the_composed_motion_is_the_masks_mean_of_all_of_them():
    g = torch.Generator().manual_seed(0)
    points = torch.rand(2, 2, 5, 3, generator=g) - 0.5
    turns = rotation(torch.rand(4, 3, generator=g) - 0.5).unflatten(0, (2, 2))
    motion = KeypointMotion((3, 4, 2), *points, *turns)
    mask = torch.rand(2, 3, 4, 2, 6, generator=g).softmax(-1)
    every = torch.cat([motion.still.expand(2, 1, -1, -1), places(motion)], 1)
    assert torch.allclose(motion.compose(mask), (mask.reshape(2, -1, 6).transpose(1, 2)[..., None] * every).sum(1), atol=1e-5)


def test_a_volume_is_read_unchanged_at_its_own_voxels_and_empty_outside():
    volume = torch.rand(1, 3, 4, 5, 6)
    grid = volume_grid(4, 5, 6, like=volume).reshape(1, -1, 3)
    offsets = torch.tensor([[[0.0, 0.0, 0.0], [2 / 5, 0.0, 0.0], [0.0, 0.0, 3.0]]])
    still, one_to_the_right, away = sampling.sample_plainly(volume, grid, offsets)[0].unflatten(2, (4, 5, 6))
    assert torch.allclose(still, volume[0], atol=1e-5)
    assert torch.allclose(one_to_the_right[:, :, :-1], volume[0, :, :, 1:], atol=1e-5)
    assert one_to_the_right[:, :, -1].abs().max() < 1e-5 and away.abs().max() == 0


@pytest.fixture
def compiled():
    try:
        sampling.compile()
    except (RuntimeError, OSError) as reason:
        pytest.skip(f"sampling.cpp cannot be compiled here: {reason}")
    yield
    sampling.compile.cache_clear()  # the other tests read plainly


def test_the_compiled_sampler_reads_and_learns_what_the_plain_one_does(compiled):
    g = torch.Generator().manual_seed(0)
    inputs = torch.rand(2, 3, 4, 6, 5, generator=g), torch.rand(2, 48, 3, generator=g) * 2.4 - 1.2, torch.randn(2, 3, 3, generator=g) * 0.1
    weight = torch.rand(2, 3, 3, 48, generator=g)
    results = []
    for read in (sampling.sample_plainly, sampling.sample):
        leaves = [v.clone().requires_grad_() for v in inputs]
        made = read(*leaves)
        (made * weight).sum().backward()
        results.append([made.detach(), *(leaf.grad for leaf in leaves)])
    assert made.grad_fn.name().startswith("Compiled")
    for plain, quick in zip(*results):
        assert torch.allclose(plain, quick, atol=1e-4)


def test_pictures_become_volumes_and_back_without_a_copy():
    picture = torch.rand(2, 12, 5, 7).contiguous(memory_format=torch.channels_last)
    volume = picture_to_volume(picture, 4)
    assert volume.shape == (2, 3, 5, 7, 4) and volume.is_contiguous(memory_format=torch.channels_last_3d)
    again = volume_to_picture(volume)
    assert torch.equal(again, picture) and again.data_ptr() == volume.data_ptr() == picture.data_ptr()


def test_heat_peaks_at_the_drivers_keypoints_and_is_lowest_at_the_sources():
    source, driving = torch.tensor([[[-0.5, 0.25, 0.5]]]), torch.tensor([[[0.5, -0.25, 0.0]]])
    heat = heat_change((16, 16, 8), source, driving)[0, 0]
    grid = volume_grid(16, 16, 8, like=heat).reshape(-1, 3)
    true = torch.exp(-(grid - driving[0]).square().sum(-1) / 0.02) - torch.exp(-(grid - source[0]).square().sum(-1) / 0.02)
    assert torch.allclose(heat, true, atol=1e-6)


def test_the_networks_have_the_papers_shapes():
    model = FaceVid2Vid(TINY).eval()
    picture = torch.rand(2, 3, 64, 64)
    portrait = model.encode(picture)
    assert portrait.volume.shape == (2, TINY.volume, 16, 16, 4)
    assert portrait.canonical.shape == (2, 5, 3) and portrait.canonical.abs().max() <= 1
    assert portrait.motion.angles.shape == (2, 3) and portrait.motion.deformation.shape == (2, 5, 3)
    made = model.render(portrait, model.estimator(picture))
    assert made.picture.shape == (2, 3, 64, 64) and made.occlusion.shape == (2, 1, 16, 16)
    assert 0 <= made.picture.min() and made.picture.max() <= 1


@counts
def test_at_full_width_it_is_the_papers_model_in_size_and_cost():
    full, half = count(Shape()), count(Shape(width=0.5))
    assert Shape().volume == 32 and Shape().hourglass() == [64, 128, 256, 512, 1024]
    assert 100e6 < full["parameters"] < 140e6
    assert full["gflopFrame"] > 80  # what 4 GFLOP are a twentieth of
    assert half["gflopFrame"] < full["gflopFrame"] / 2


def test_the_render_follows_the_driving_angles():
    model = FaceVid2Vid(TINY).eval()
    portrait = model.encode(torch.rand(1, 3, 64, 64))
    turned = replace(portrait.motion, angles=portrait.motion.angles + 0.5)
    assert not torch.allclose(model.render(portrait, turned).keypoints, model.render(portrait, portrait.motion).keypoints)


def test_transforms_take_points_back_to_where_the_picture_came_from():
    transform = losses.Affine.random(1, torch.Generator().manual_seed(1), amount=0.1)
    y, x = torch.meshgrid(*(torch.arange(64.0) * 2 / 64 - 63 / 64,) * 2, indexing="ij")
    picture = torch.stack([x, y, 0 * x])[None]  # every pixel tells its own place
    moved = transform.picture(picture)
    points = torch.tensor([[[x[20, 40], y[20, 40]]]])
    assert torch.allclose(transform.back(points)[0, 0], moved[0, :2, 20, 40], atol=1e-3)
    assert losses.equivariance(transform.back(points), points, transform) < 1e-6


def test_head_pose_is_best_where_angles_and_bins_both_say_the_truth():
    true = torch.tensor([[0.1, -0.5, 0.02]])

    def loss(said):
        away = (torch.rad2deg(said)[..., None] - bin_degrees(said)).abs() / 3
        return losses.head_pose(HeadMotion(said, said, said[:, None], (1 - away).clamp(min=1e-9).log()), true)

    unsure = losses.head_pose(HeadMotion(true, true, true[:, None], torch.zeros(1, 3, BINS)), true)
    assert loss(true) < 0.5 * loss(true + 0.02) < loss(true + 0.1)
    assert unsure.item() == pytest.approx(0.1 * 3 * np.log(BINS), rel=1e-4)


def test_keypoints_are_pushed_apart_and_to_their_depth():
    spread = torch.tensor([[[-0.5, 0, 0.33], [0.5, 0, 0.33]]])
    assert losses.keypoint_prior(spread) < 1e-6
    assert losses.keypoint_prior(spread * torch.tensor([0.1, 1, 1])) > 0.1
    assert losses.keypoint_prior(spread + torch.tensor([0, 0, 0.2])).item() == pytest.approx(0.2, abs=1e-5)


def test_several_drivers_of_a_source_give_the_pictures_that_each_gives_alone():
    model = FaceVid2Vid(TINY).eval()
    source, driving = torch.rand(2, 3, 64, 64), torch.rand(4, 3, 64, 64)
    portrait, motion = model.encode(source).repeat(2), model.estimator(driving)
    together = model.render(portrait, motion).picture
    alone = torch.cat([model(source[i // 2, None], driving[i, None]) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-4)


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


def test_true_angles_are_rendered_with_for_the_pairs_that_are_told_them():
    torch.manual_seed(0)
    model, batch = FaceVid2Vid(TINY), pair()
    transform = losses.Affine.random(2, torch.Generator().manual_seed(0))
    none, half, turned = (
        generator_losses(model, one, transform, told=told)[1]
        for one, told in ((batch, 0.0), (batch, 0.5), (replace(batch, driving_angles=batch.driving_angles + 1), 0.5))
    )
    assert not torch.allclose(half[0], none[0], atol=1e-4) and not torch.allclose(half[0], turned[0], atol=1e-4)
    assert (half[1] - turned[1]).abs().max() < (half[0] - turned[0]).abs().max()  # the second sees the first through BatchNorm only


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
    both = Pairs(folder, size=64, batch=4, seed=1, drivers=2).at(7)
    assert both.source.shape == (2, 3, 64, 64) and both.driving.shape == (4, 3, 64, 64) and both.driving_angles.shape == (4, 3)
    assert not torch.equal(both.driving[0], both.driving[1])
    with pytest.raises(ValueError, match="multiple"):
        Pairs(folder, size=64, batch=4, seed=1, drivers=3)
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


def test_the_rate_falls_over_the_training_and_true_angles_are_told_in_its_first_half_only():
    training = Training(TINY, adversarial=True, device="cpu", rate=1e-3, seed=0)
    rates, told = [], []
    for share in (0, 0.5, 1, 2):
        training.schedule(share)
        assert training.judge.param_groups[0]["lr"] == training.optimiser.param_groups[0]["lr"]
        rates.append(training.optimiser.param_groups[0]["lr"])
        told.append(training.told)
    assert rates == pytest.approx([1e-3, 0.525e-3, 0.05e-3, 0.05e-3])
    assert told == [1, 0, 0, 0]


@counts
def test_the_row_runs_what_lies_in_the_repository_and_says_how_narrow_it_is(tmp_path, monkeypatch):
    training = Training(TINY, adversarial=False, device="cpu", rate=1e-3, seed=0)
    training.samples = 1234
    training.save_model(tmp_path / "narrow.pt")
    monkeypatch.setattr(peer_row, "NARROW", tmp_path / "narrow.pt")
    (row,), (published,) = peer_row.face_vid2vid_row(None, 1)
    assert row.name == "face-vid2vid, narrow" and published["name"] == "face-vid2vid"
    assert "0.1 of the published width at 64²" in row.note and "1,234 pairs" in row.note
    source, driving = np.random.default_rng(0).integers(0, 255, (2, 256, 256, 3), np.uint8)
    drive = Drive(np.zeros((1, 58), np.float32), driving[None])
    made = row.render(row.encode(source, np.zeros((68, 2)), np.zeros(58)), drive)
    training.model.eval()
    with torch.no_grad():
        true = training.model(row._tensor(source[None]), row._tensor(driving[None]))[0]
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(made[0]).permute(2, 0, 1).float() / 255, 4)
    assert made.shape == (1, 256, 256, 3) and (small - true).abs().mean() < 0.02
    monkeypatch.setattr(peer_row, "NARROW", tmp_path / "nowhere.pt")
    rows, told = peer_row.face_vid2vid_row(None, 1)
    assert not rows and "untrained" in told[0]["note"]


def test_a_tiny_model_learns_one_pair():
    training = Training(replace(TINY, size=32), adversarial=False, device="cpu", rate=3e-3, seed=0)
    y, x = torch.meshgrid(*(torch.arange(32.0) / 32,) * 2, indexing="ij")
    disc = lambda at: ((x - at) ** 2 + (y - 0.5) ** 2 < 0.06).float()  # noqa: E731
    frame = lambda at: torch.stack([disc(at), 0.5 * disc(at) + 0.3 * y, x])[None].repeat(2, 1, 1, 1)  # noqa: E731
    one = Pair(frame(0.35), frame(0.6), torch.zeros(2, 3), torch.tensor([[0.0, 0.4, 0.0]] * 2))
    history = [training.step(one, number, autocast=False)["perceptual"] for number in range(20)]
    assert np.mean(history[-3:]) < 0.7 * history[0]
