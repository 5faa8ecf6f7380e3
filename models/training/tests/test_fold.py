"""The folded modules that are exported do what the trained ones do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from portrait.blocks import Block, Codebook, FusedBlock, enlarge  # noqa: E402
from portrait.fold import (  # noqa: E402
    SAMPLED, FoldedBlock, FoldedBook, FoldedFusedBlock, FoldedGenerator, FoldedModulations, FoldedMotion, FoldedMover, FoldedRefiner, over_pixels,
    spread,
)
from portrait.layout import EYE_GEOMETRY, FEATURES, HARMONICS, IDENTITY, MOUTH_GEOMETRY, G  # noqa: E402
from portrait.network import Generator, Motion, Scene, clearer  # noqa: E402
from portrait.refiner import Refiner  # noqa: E402
from shaking import shake  # noqa: E402


@pytest.fixture(autouse=True)
def untracked():
    torch.manual_seed(7)
    with torch.no_grad():
        yield


def close(found, expected, tolerance: float = 1e-5) -> bool:
    assert found.shape == expected.shape and expected.abs().max() > 10 * tolerance
    return bool((found - expected).abs().max() < tolerance)


def test_a_convolution_over_pixels_is_the_one_over_unshuffled_cells():
    conv = torch.nn.Conv2d(20, 8, 3, 1, 1)
    picture = torch.rand(2, 5, 16, 12)
    assert close(over_pixels(conv)(picture), conv(torch.nn.functional.pixel_unshuffle(picture, 2)))
    part = torch.nn.functional.conv2d(torch.nn.functional.pixel_unshuffle(picture[:, :3], 2), conv.weight[:, 8:], padding=1)
    assert close(over_pixels(conv, 8, 12, bias=False)(picture[:, :3]), part)


def test_blocks_with_their_modulations_together():
    blocks = [shake(Block(8, 32)), shake(FusedBlock(12, 32))]
    code, identity = torch.randn(2, 32), torch.randn(2, IDENTITY)
    films = FoldedModulations([b.film for b in blocks])(code)
    adain = FoldedModulations([blocks[1].adain])(identity)[0]
    x = [torch.randn(2, 8, 6, 6), torch.randn(2, 12, 6, 6)]
    assert close(FoldedBlock(blocks[0])(x[0], films[0]), blocks[0](x[0], code, identity))
    assert close(FoldedFusedBlock(blocks[1])(x[1], films[1], adain), blocks[1](x[1], code, identity))


def test_a_codebook():
    coarse = shake(Codebook(8, 4, key=6))
    fine, x = shake(Codebook(12, 10, key=6, coarse=coarse)), torch.randn(2, 12, 6, 4)
    assert close(FoldedBook(fine)(x), fine(x))


def test_motion():
    net = shake(Motion(128, True))
    sampled, flow, motion = torch.rand(2, SAMPLED, G, G), torch.rand(2, 2, G, G) * 0.1, torch.randn(2, 128)
    expected = net(torch.cat([sampled, flow * 4], 1), motion, torch.zeros(2, IDENTITY))
    assert all(close(a, b) for a, b in zip(FoldedMotion(net)(sampled, flow, motion), expected))


@pytest.mark.parametrize("parts", [{}, {"codebooks": False}, {"identity": False}, {"expression": False}, {"single_scale": True}])
def test_what_the_generator_decides(parts):
    net = shake(Generator(**parts))
    net.choice[2].bias[4:] += 2  # so that every picture has a share
    rand = lambda *shape: torch.rand(2, *shape)  # noqa: E731
    texture, backdrop, sides, features, identity, code = rand(4, 128, 128), rand(3, 128, 128), rand(4, 128, 128), rand(FEATURES, G, G), rand(IDENTITY), rand(71)
    smooth = lambda n, reach: enlarge((rand(n, 4, 4) - 0.5) * reach, 16)  # noqa: E731
    scene = Scene(smooth(2, 0.1), smooth(2, 0.1), smooth(3, 0.2), smooth(3, 0.2), smooth(3, 1.0), smooth(3, 1.0))
    harmonics = rand(HARMONICS, 3)
    moved = FoldedMover(net)(texture, features, identity, harmonics, code, scene.flow, scene.light, scene.normal, scene.was)
    motion = net.embed(code, identity)
    trunk = net.trunk(texture, backdrop, sides, features, identity, harmonics, motion, scene)
    frame = net(texture, backdrop, texture, backdrop, sides, features, identity, harmonics, code, *scene)[0]
    assert close(moved.motion, motion) and close(moved.flow, trunk.flow, 1e-4) and close(moved.seen, trunk.occlusion.sigmoid(), 1e-4)
    assert close(moved.bright, torch.exp(trunk.light), 1e-3)
    found = FoldedGenerator(net)(
        trunk.warped, backdrop, sides, identity, moved.motion, moved.flow, moved.features, moved.seen, scene.side, scene.light, scene.side_light, scene.normal, scene.was
    )
    weights = clearer(net.choices(trunk))
    assert close(found.keep, weights[:, :1], 1e-4) and close(found.behind, weights[:, 2:3], 1e-4)
    # Light is enlarged as a factor here.
    assert close(trunk.warped * found.keep + backdrop * found.behind + found.rest / 255, frame, 1e-3)


def test_a_choice_of_far_apart_logits_stays_a_number():
    net = shake(Generator())
    net.choice[2].bias[4:8] = 200.0
    zero = lambda *shape: torch.zeros(1, *shape)  # noqa: E731
    maps = [zero(n, G, G) for n in (2, FEATURES, 1, 2, 3, 3, 3, 3)]
    found = FoldedGenerator(net)(zero(3, 128, 128), zero(3, 128, 128), zero(4, 128, 128), zero(IDENTITY), zero(128), *maps)
    assert found.keep.max() < 1e-6 and torch.isfinite(found.rest).all()


@pytest.mark.parametrize("geometry,paints", [(MOUTH_GEOMETRY, True), (EYE_GEOMETRY, False)])
def test_a_refiner(geometry, paints):
    net = shake(Refiner(len(geometry), 128, paints=paints))
    given = (torch.rand(2, 3, 20, 24), torch.rand(2, 3, 20, 24), torch.randn(2, len(geometry), 20, 24), torch.randn(2, 128), torch.randn(2, IDENTITY))
    found, expected = FoldedRefiner(net)(*given), net(*given)
    assert len(found) == (4 if paints else 3) and all(close(a, b) for a, b in zip(found, expected))
    assert paints or expected[3].abs().max() == 0


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_spreading_is_bilinear_enlargement(factor):
    x = torch.randn(2, 3, 16, 16)
    assert close(spread(x, factor), enlarge(x, factor))


@pytest.mark.parametrize("path", sorted(Path(__file__).resolve().parents[2].glob("*/renderer-*.onnx")), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_no_convolution_is_one_that_webgpu_miscomputes(path: Path):
    """ONNX Runtime 1.30's WebGPU provider reads no more than three of the channels right where a kernel wider than 1x1 takes
    6, 9, 15, ... of them (a multiple of 3, not of 4) to a multiple of 4."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(path, load_external_data=False)
    shapes = {held.name: list(held.dims) for held in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Conv" or any(a.name == "group" and a.i != 1 for a in node.attribute):
            continue
        outputs, inputs, *kernel = shapes.get(node.input[1], [1, 1, 1, 1])
        wrong = inputs > 3 and inputs % 3 == 0 and inputs % 4 != 0 and outputs % 4 == 0 and max(kernel) > 1
        assert not wrong, f"{node.name}: {inputs} channels to {outputs}"
