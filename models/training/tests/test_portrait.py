"""The learned renderer: its network, what it is trained for, and the parity of its graphs with PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from portrait.adversary import Critic, critics, fooled, told_apart  # noqa: E402
from portrait.blocks import Codebook, FusedBlock, pixel_grid, sample, softmax  # noqa: E402
from portrait.build import build, count_gflop, load  # noqa: E402
from portrait.dataset import colour_map, grey_light, shortened, to_batch  # noqa: E402
from portrait.drawing import FADE, Drawing  # noqa: E402
from portrait.encoding import Looks  # noqa: E402
from portrait.layout import DETAIL_PART, EYE_GEOMETRY, FEATURES, HARMONICS, IDENTITY, MOUTH_GEOMETRY, G, window_sizes  # noqa: E402
from portrait.losses import edges, flow_loss  # noqa: E402
from portrait.network import Encoder, Generator, Relighter, clearer, combine, composite, lit  # noqa: E402
from portrait.lifter import Lifter  # noqa: E402
from portrait.reader import Reader  # noqa: E402
from portrait.objective import choice_loss, draw, light_loss, losses, window_points  # noqa: E402
from portrait.observer import Observer  # noqa: E402
from portrait.train import widen  # noqa: E402
from portrait.turner import Turner  # noqa: E402
from shaking import shake  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
FACEKIT = ROOT.parent / "shared/ict-facekit/ict-facekit.npz"
needs_facekit = pytest.mark.skipif(not FACEKIT.exists(), reason="needs ../shared/ict-facekit")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def avatar(batch: int = 2, size: int = 256) -> tuple:
    rand = lambda *shape: torch.rand(batch, *shape)  # noqa: E731
    return (
        rand(4, size, size), rand(3, size, size), rand(4, 128, 128), rand(3, 128, 128), rand(4, 128, 128), rand(FEATURES, G, G), rand(IDENTITY), rand(HARMONICS, 3), rand(71),
        *((rand(2, G, G) - 0.5) * 0.1 for _ in range(2)), *((rand(3, G, G) - 0.5) * 0.2 for _ in range(4)),
    )


def smooth(value: torch.Tensor) -> torch.Tensor:
    """A picture or map [B,C,n,n] without its finest detail; anything else as it is."""
    if value.dim() < 4:
        return value
    small = torch.nn.functional.avg_pool2d(value, value.shape[-1] // 16)
    return torch.nn.functional.interpolate(small, size=value.shape[-2:], mode="bilinear", align_corners=False)


def training_batch(sources: int = 1, drivers: int = 2) -> dict:
    """What dataset.to_batch gives, of noise."""
    n, (mw, mh), (ew, eh) = sources * drivers, *window_sizes(256)
    rand = lambda *shape: torch.rand(*shape)  # noqa: E731
    return {
        "texture": rand(sources, 4, 256, 256), "backdrop": rand(sources, 3, 256, 256), "portrait": rand(sources, 3, 256, 256), "sides": rand(n, 4, 128, 128),
        "target": rand(n, 3, 256, 256), "mouth": rand(n, 3, mh, mw), "eye": rand(n, 2, 3, eh, ew), "code": rand(n, 71),
        "mouth_geometry": rand(n, len(MOUTH_GEOMETRY), mh, mw), "eye_geometry": rand(n, 2, len(EYE_GEOMETRY), eh, ew),
        "mouth_corner": torch.randint(0, 180, (n, 2)), "eye_corner": torch.randint(0, 200, (n, 2, 2)),
        "true_flow": rand(n, 2, G, G), "visible": (rand(n, 1, G, G) > 0.5).float(), "region": torch.randint(0, 13, (n, 128, 128)),
        **{name: (rand(n, c, G, G) - 0.5) * 0.1 for name, c in (("flow", 2), ("side", 2), ("light", 3), ("side_light", 3), ("normal", 3), ("was", 3))},
        "harmonics": rand(sources, HARMONICS, 3),
    }


def test_an_untrained_generator_gives_the_warped_portrait_but_for_a_twentieth():
    for size in (128, 256):
        frame, warped, motion, flow, light = Generator().eval()(*avatar(size=size))
        assert frame.shape == (2, 3, size, size) and motion.shape == (2, 128) and flow.shape == (2, 2, G, G) and light.shape == (2, 3, G, G)
        assert 0 < (frame - warped).abs().mean() < 0.03


def test_choices_are_drawn_clearer_than_they_were_learned():
    weights = torch.tensor([0.6, 0.4, 0.0, 0.0]).reshape(1, 4, 1, 1)
    assert torch.allclose(clearer(weights).flatten(), torch.tensor([81.0, 16.0, 0.0, 0.0]) / 97)


def test_light_brightens_the_person_and_leaves_the_backdrop():
    found = torch.rand(1, 4, 8, 8)
    brighter = lit(found, torch.full((1, 3, 8, 8), 0.3))
    assert torch.allclose(brighter[:, :3], found[:, :3] * np.exp(0.3)) and torch.equal(brighter[:, 3:], found[:, 3:])


def test_the_relighter_knows_nothing_at_first_and_tells_persons_apart_later():
    relighter, seen, light = Relighter(), torch.rand(2, 13, G, G), torch.rand(1, HARMONICS, 3).repeat(2, 1, 1)
    assert relighter(seen, light, torch.rand(2, IDENTITY)).abs().max() == 0
    same = seen[:1].repeat(2, 1, 1, 1)
    one, other = shake(relighter)(same, light, torch.stack([torch.zeros(IDENTITY), torch.ones(IDENTITY)]))
    assert one.shape == (3, G, G) and (one - other).abs().max() > 1e-3


def test_a_choice_is_learned_even_from_never_having_been_made():
    target = torch.rand(1, 3, 128, 128)
    wrong = torch.zeros(1, 3, 128, 128)
    logits = torch.zeros(1, 4, 128, 128)
    logits[:, 0] = 12
    logits.requires_grad_(True)
    trunk = SimpleNamespace(warped=wrong, aside=target, colour=torch.zeros(1, 3, 64, 64))
    loss = choice_loss(SimpleNamespace(weights=softmax(logits), trunk=trunk), wrong, target, torch.ones(1, 1, 128, 128), torch.zeros(1, 1, 128, 128))
    loss.backward()
    assert (logits.grad[:, 1] < 0).all() and logits.grad[:, 1].abs().mean() * 128 * 128 > 0.5


def test_window_points_are_the_frames_pixels():
    frame = torch.rand(1, 3, 256, 256)
    found = sample(frame, window_points(torch.tensor([[40, 90]]), 48, 40))
    assert torch.allclose(found, frame[..., 90:130, 40:88], atol=1e-4)


def test_every_loss_reaches_the_networks():
    models = torch.nn.ModuleDict({"encoder": Encoder(), "net": Generator()})
    shake(models)
    config = {"choice": 0.03, "paint": 0.3, "flow": 3.0, "lit": 1.0, "light": 1.0, "mean": 1.0, "windows": 0.7, "mask": 0.5, "seen": 0.1, "critic": 0.01, "matching": 0.1}
    for small in (False, True):
        batch = training_batch()
        terms = losses(draw(models, batch, 2, small), batch, config, Observer(), critics(("frame", "mouth", "eye")))
        assert {"128", "flow", "occlusion", "mouth", "eye", "seen frame", "critic mouth", "matching eye"} <= set(terms)
        assert all(torch.isfinite(v) for v in terms.values())
        models.zero_grad()
        sum(terms.values()).backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in models.parameters())


def test_a_critic_learns_to_tell_and_the_told_one_to_match():
    critic, given = Critic(given=1), torch.zeros(4, 1, 32, 32)
    true, drawn = torch.rand(4, 3, 32, 32), torch.full((4, 3, 32, 32), 0.5)
    before = told_apart(critic, drawn, true, given).item()
    optimiser = torch.optim.Adam(critic.parameters(), 1e-3)
    for _ in range(30):
        loss = told_apart(critic, drawn, true, given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < before
    critic.eval()  # spectral normalisation changes with every look in training
    adversarial, matching = fooled(critic, true, true, given)
    assert matching == 0 and adversarial < fooled(critic, drawn, true, given)[0]


def test_the_observer_finds_equal_pictures_equal():
    picture = torch.rand(1, 3, 64, 64)
    observer = Observer()
    assert observer(picture).shape == (1, 13, 32, 32)
    assert observer.distance(picture, picture) == 0 < observer.distance(picture, torch.rand(1, 3, 64, 64))


def test_a_wider_layer_begins_as_the_narrow_one():
    narrow, wide = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(5, 6, 3)
    assert widen(wide.state_dict(), narrow.state_dict()) == 2
    picture = torch.rand(1, 5, 8, 8)
    assert torch.allclose(wide(picture)[:, :4], narrow(picture[:, :3]), atol=1e-5)
    assert wide.weight[4:].abs().max() > 0


def test_a_frame_is_mixed_of_what_the_portrait_gives_so_equal_pictures_stay_as_they_are():
    picture = torch.rand(1, 3, 16, 16)
    weights = softmax(torch.randn(1, 4, 16, 16) * 3)
    frame = combine(weights, picture, picture, picture, picture, torch.zeros_like(picture))
    assert torch.allclose(weights.sum(1), torch.ones(1, 16, 16), atol=1e-5)
    assert torch.allclose(frame, picture, atol=1e-5)


def test_sampling_at_pixel_centres_gives_the_image_and_repeats_its_border():
    image = torch.rand(1, 3, 16, 16)
    assert torch.allclose(sample(image, pixel_grid(16, 16)), image, atol=1e-5)
    assert torch.allclose(sample(image, pixel_grid(16, 16) + 5.0), image[..., -1:, -1:].expand_as(image), atol=1e-5)


def test_expression_and_identity_change_the_frame_only_where_their_parts_are_on():
    given = avatar(1)
    other = list(given)
    other[8] = torch.cat([1 - given[8][:, :52], given[8][:, 52:]], 1)
    for on in (True, False):
        net = shake(Generator(expression=on))
        moved = (net(*given)[0] - net(*other)[0]).abs().max()
        assert (moved > 1e-4) == on


def test_a_finer_codebook_holds_the_coarser_ones_codes():
    coarse = Codebook(8, 4, key=6)
    fine = Codebook(8, 10, key=6, coarse=coarse)
    keys, values = fine.codes()
    assert keys.shape == values.shape == (10, 6)
    assert torch.equal(keys[:4], coarse.keys)
    assert sum(p.numel() for p in fine.parameters() if p.shape[-1] == 6) == 2 * 6 * 6 + 6


def test_a_fused_block_follows_the_identity_where_its_mask_is_one_and_the_motion_where_it_is_zero():
    block = shake(FusedBlock(8, 128))
    h, motion, identity = torch.randn(1, 8, 4, 4), torch.randn(1, 128), torch.randn(1, IDENTITY)
    for logit, follows in ((50.0, "identity"), (-50.0, "motion")):
        torch.nn.init.zeros_(block.mask.weight)
        torch.nn.init.constant_(block.mask.bias, logit)
        by_motion = (block.modulate(h, motion, identity) - block.modulate(h, -motion, identity)).abs().max() > 1e-3
        by_identity = (block.modulate(h, motion, identity) - block.modulate(h, motion, -identity)).abs().max() > 1e-3
        assert (by_motion, by_identity) == (follows == "motion", follows == "identity")


def test_edges_sees_blur_that_the_mean_colour_hides():
    sharp = (torch.arange(32) % 2).float().expand(1, 3, 32, 32)
    assert edges(torch.full_like(sharp, 0.5), sharp, torch.ones(1, 1, 32, 32)) > 0.5
    assert edges(sharp, sharp, torch.ones(1, 1, 32, 32)) == 0


def test_the_flow_loss_counts_visible_cells_only():
    truth = pixel_grid(4, 4)
    visible = torch.zeros(1, 1, 4, 4)
    visible[..., 0, 0] = 1
    wrong = truth.clone()
    wrong[..., 1:, 1:] += 0.3
    assert flow_loss(wrong, truth, visible) == 0
    assert flow_loss(truth + 0.1, truth, visible) == pytest.approx(0.2, abs=1e-5)


def test_colour_augmentation_is_the_same_in_portrait_warp_and_target():
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (256, 256, 3), np.uint8)
    alpha = np.full((1, 1, 256, 256), 255, np.uint8)
    (mw, mh), (ew, eh) = window_sizes(256)
    zeros = lambda *shape: torch.zeros(shape, dtype=torch.uint8)  # noqa: E731
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    raw = {
        "texture": torch.cat([planes, torch.from_numpy(alpha)], 1), "sides": torch.cat([planes, torch.from_numpy(alpha)], 1)[:, :, ::2, ::2], "backdrop": planes, "portrait": torch.from_numpy(image)[None],
        "target": torch.from_numpy(image)[None], "mouth": planes[:, :, :mh, :mw], "eyes": planes[:, None, :, :eh, :ew].expand(1, 2, 3, eh, ew),
        "true_flow": zeros(1, 64, 64, 2), "visible": zeros(1, 64, 64), "region": zeros(1, 128, 128), "flow": zeros(1, 2, 64, 64),
        "side": zeros(1, 2, 64, 64), "code": zeros(1, 71), "mouth_geometry": zeros(1, 5, mh, mw), "eye_geometry": zeros(1, 2, 6, eh, ew),
        "mouth_corner": zeros(1, 2), "eye_corners": zeros(1, 2, 2),
        **{name: zeros(1, 3, 64, 64) for name in ("light", "side_light", "normal", "was")}, "harmonics": torch.zeros(1, HARMONICS, 3),
    }
    for _ in range(8):
        batch = to_batch(raw, rng, 1)
        assert torch.allclose(batch["portrait"], batch["target"])
        assert torch.allclose(composite(batch["texture"], batch["backdrop"]), batch["target"], atol=1e-5)
        assert torch.allclose(batch["sides"][:, :3], batch["target"][..., ::2, ::2], atol=1e-5)
        assert torch.allclose(batch["mouth"], batch["target"][:, :, :mh, :mw], atol=1e-5)
        assert torch.allclose(batch["eye"][:, 1], batch["target"][:, :, :eh, :ew], atol=1e-5)
    maps = [colour_map(rng) for _ in range(200)]
    assert min(np.linalg.det(m) for m, _ in maps) < 0 < max(np.linalg.det(m) for m, _ in maps)
    assert grey_light(np.diag([0.5, 0.9, 1.2])) == 1 and grey_light(np.full((3, 3), 1 / 3)) == pytest.approx(1 / 3)


def test_some_expression_codes_are_shortened_and_poses_are_not():
    code = torch.ones(400, 71)
    found = shortened(code, np.random.default_rng(0))
    assert (found[:, 52:] == 1).all() and 20 < int((found[:, :52] == 0).any(1).sum()) < 120


def test_a_frame_stays_under_four_gflop():
    net = Generator()
    assert 1 < count_gflop(net, 128) < count_gflop(net, 256) < count_gflop(net, 512) < 4


def test_the_committed_graphs_belong_to_the_committed_weights():
    pytest.importorskip("onnxruntime")
    import json

    from warp.run import Package, read_portrait

    encoder, net, _ = load(ROOT / "models/training/portrait/weights.pt")
    pixels, landmarks = read_portrait(ROOT / "models/portraits/ada.jpg")
    tensors = Package(ROOT / "models/portrait").encode(pixels, landmarks)
    with torch.no_grad():
        features, identity = encoder(torch.nn.functional.avg_pool2d(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255, 2))
    assert np.abs(features[0].numpy() - tensors["features"]).max() < 2e-3
    assert np.abs(identity[0].numpy() - tensors["identity"]).max() < 2e-3
    files = json.loads((ROOT / "models/portrait/manifest.json").read_text())["files"]
    assert {f["size"]: f["gflop"] for f in files if "size" in f} == {size: count_gflop(net, size) for size in (128, 256, 512)}


def test_light_is_what_pictures_show_at_true_places():
    torch.manual_seed(8)
    portrait = smooth(torch.rand(1, 3, 256, 256)) * 0.3 + 0.3
    light = torch.linspace(-0.3, 0.3, 64).reshape(1, 1, 1, 64).expand(2, 3, 64, 64)
    target = portrait * torch.exp(torch.nn.functional.interpolate(light, scale_factor=4, mode="bilinear"))
    places, known = pixel_grid(64, 64).expand(2, -1, -1, -1), torch.ones(2, 1, 64, 64)
    known[:, :, 40:] = 0  # where anything may stand
    target[:, :, 160:] = 0.9
    right, none = (float(light_loss(v, portrait, target, places, known)) for v in (light, torch.zeros_like(light)))
    assert right < 0.05 * none and none > 0.03


@needs_facekit
def test_the_built_graphs_draw_what_pytorch_draws(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from warp.graph import Graph
    from warp.renderer import HALF
    from warp.run import Package, motion_row, read_portrait, stack

    encoder, net = shake(Encoder()), shake(Generator())
    manifest = build(FACEKIT, encoder, Looks(Lifter(), Reader(), shake(Turner())), net, tmp_path, 0)
    assert [f["role"] for f in manifest["files"]] == ["encoder", "renderer", "renderer", "renderer"]
    package = Package(tmp_path)
    pixels, landmarks = read_portrait(ROOT / "models/portraits/ada.jpg")
    tensors = package.encode(pixels, landmarks)
    portrait = torch.nn.functional.avg_pool2d(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255, 2)
    with torch.no_grad():
        features, identity = encoder(portrait)
    assert np.abs(features[0].numpy() - tensors["features"]).max() < 1e-3
    assert np.abs(identity[0].numpy() - tensors["identity"]).max() < 1e-3

    # The frame before its windows, built in a bare graph, against PyTorch.
    names = ["texture", "backdrop", "texture128", "backdrop128", "sides", "features", "identity", "harmonics", "code", "flow", "side", "light", "side_light", "normal", "was"]
    net.choice[2].bias.data[4:] += 2  # so that every picture has a share
    for size in (128, 256):
        given = [torch.cat([v, v[:1]]) for v in map(smooth, avatar(2, size))]
        given[2:4] = [torch.nn.functional.avg_pool2d(v, size // 128) for v in given[:2]]
        g = Graph("frame")
        values = {n: g.input(n, "float32", ["B", *v.shape[1:]]) for n, v in zip(names, given)}
        levels = {f"{n}{s}": values[k] * np.float32(255) for n in ("texture", "backdrop") for s, k in ((128, f"{n}128"), (size, n))}
        drawn = SimpleNamespace(**{n: values[n] for n in ("code", "flow", "side", "light", "side_light", "normal", "was")}, sides=values["sides"] * np.float32(255), detail=None)
        detail = smooth(torch.rand(3, 3, 256, 256) - 0.5) * 8
        if size == 256:
            drawn.detail = g.input("detail", "float32", ["B", 3, 256, 256]) * np.float32(255) + np.float32(128)
        frame = Drawing(g, net, drawn, SimpleNamespace(avatar=values | {"light": values["harmonics"]}), levels, size).frame(size)
        g.output(frame, "frame", "float32", ["B", 3, size, size])
        session = onnxruntime.InferenceSession(g.model("frame").SerializeToString(), providers=["CPUExecutionProvider"])
        with torch.no_grad():
            expected = net(*given)[0].numpy()
            finer = net(*given, detail)[0].numpy()
        found = session.run(None, {n: v.numpy() for n, v in zip(names, given)} | ({"detail": detail.numpy()} if drawn.detail else {}))[0]
        found = (found - HALF) / 255
        if drawn.detail:  # in the middle of the frame, and faded out towards its edges
            top, bottom, left, right = DETAIL_PART
            inner = (..., slice(top + FADE, bottom - FADE), slice(left + FADE, right - FADE))
            assert np.abs(finer[inner] - expected[inner]).mean() > 0.01
            expected[inner] = finer[inner]
            border = (..., slice(top, bottom), slice(left, right))
            kept, expected[border], found[border] = (expected[inner], found[inner]), 0, 0
            expected[inner], found[inner] = kept
        difference = np.abs(found - expected)
        # Light and what is neither portrait nor backdrop are enlarged in another order.
        assert difference.mean() < 1e-3 and difference.max() < 0.03, (size, difference.mean(), difference.max())

    # Rows of a batch do not touch each other.
    motion = np.stack([motion_row(yaw=0.2, jawOpen=0.6), motion_row(pitch=0.1, eyeBlinkLeft=1.0), motion_row(yaw=0.2, jawOpen=0.6)])
    for size in (128, 256, 512):
        rgb, i420 = package.render(stack([tensors]), [0, 0, 0], motion, np.zeros((3, 2), np.float32), size)
        alone, _ = package.render(stack([tensors]), [0], motion[1:2], np.zeros((1, 2), np.float32), size)
        assert rgb.shape == (3, size, size, 3) and i420.shape == (3, size * 3 // 2, size)
        assert np.abs(rgb[0].astype(int) - rgb[2]).max() == 0
        assert np.abs(rgb[1].astype(int) - alone[0]).max() <= 1
