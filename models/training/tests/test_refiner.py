"""The refiners of mouth and eyes: what they may change of a painted window, and what they may not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from portrait.layout import EYE_GEOMETRY, IDENTITY, MOUTH_GEOMETRY  # noqa: E402
from portrait.refiner import REACH, SHARPER, Refiner, painters_own, painters_reach, sharper, shifted, window_feather  # noqa: E402
from shaking import shake  # noqa: E402


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def test_a_refiner_that_has_learned_nothing_leaves_the_painted_window_where_it_is():
    refiner = Refiner(len(MOUTH_GEOMETRY), 128)
    base, painted, geometry = torch.rand(2, 3, 36, 36), torch.rand(2, 3, 36, 36), torch.rand(2, len(MOUTH_GEOMETRY), 36, 36)
    shift, light, mask, paint = refiner(base, painted, geometry, torch.rand(2, 128), torch.rand(2, IDENTITY))
    assert shift.abs().max() == light.abs().max() == paint.abs().max() == 0 and mask.min() > 0.5
    assert torch.allclose(shifted(painted, shift), painted, atol=1e-5)
    one = torch.zeros(2, 2, 36, 36)
    one[:, 0] = 2 / 36
    assert torch.allclose(shifted(painted, one)[..., :-1], painted[..., 1:], atol=1e-5)


def test_what_was_moved_is_made_sharper_but_not_brighter():
    flat, edge = torch.full((1, 3, 6, 6), 0.4), torch.zeros(1, 3, 6, 6)
    edge[..., 3:] = 0.6
    assert torch.allclose(sharper(flat), flat, atol=1e-6)
    assert sharper(edge)[0, 0, 2].tolist() == pytest.approx([0, 0, -0.2 * SHARPER, 0.6 + 0.2 * SHARPER, 0.6, 0.6])


def test_the_painters_lids_and_lips_show_whatever_was_learned():
    eye = torch.zeros(1, len(EYE_GEOMETRY), 4, 4)
    eye[..., 2:] = 2.0  # two half eyes away from the middle
    mouth = torch.zeros(1, len(MOUTH_GEOMETRY), 4, 4)
    mouth[:, 4, 1] = 1
    assert painters_own(eye)[..., :2].min() == 1 and painters_own(eye)[..., 2:].max() == 0
    assert painters_own(mouth)[0, 0, 1].min() == 1 and painters_own(mouth)[0, 0, 2:].max() == 0
    refiner = shake(Refiner(len(MOUTH_GEOMETRY), 128))
    torch.nn.init.constant_(refiner.mask.bias, -50.0)
    mask = refiner(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), mouth, torch.rand(1, 128), torch.rand(1, IDENTITY))[2]
    assert mask[0, 0, 1].min() == 1 and mask[0, 0, 0].max() < 0.01


def test_far_from_its_mouth_a_window_shows_the_frame_whatever_was_learned():
    geometry = torch.zeros(1, len(MOUTH_GEOMETRY), 4, 4)
    geometry[:, 0, :, 3] = -REACH - 0.1
    geometry[:, 1, 3] = REACH + 0.1
    reach = painters_reach(geometry)
    assert reach[..., :3, :3].min() == 1 and reach[..., 3].max() == reach[..., 3, :].max() == 0
    refiner = shake(Refiner(len(MOUTH_GEOMETRY), 128))
    _, _, mask, paint = refiner(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), geometry, torch.rand(1, 128), torch.rand(1, IDENTITY))
    assert mask[..., :3, :3].min() > 0 and mask[..., 3].max() == paint[..., 3].abs().max() == 0


def test_windows_fade_out_at_their_border():
    feather = window_feather(40, 48)
    assert feather.shape == (1, 1, 40, 48) and feather[0, 0, 20, 24] == 1 and feather[0, 0, 0].max() < 0.1 and feather[0, 0, :, 0].max() < 0.1
