"""One training step's pictures and losses: frames at 128, and mouth and eyes in their windows at 256."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portrait.adversary import fooled
from portrait.blocks import enlarge, pixel_grid, sample
from portrait.layout import G, window_sizes
from portrait.losses import HAIR, WEIGHTS, flow_loss, picture
from portrait.network import Scene, clearer, combine, composite, lit
from portrait.refiner import blend, sharper, shifted, window_feather

Batch = dict[str, Tensor]
AROUND = 5  # pixels at 128
SMOOTH, DARK = 7, 0.02  # cells of 64; brightness that is added before logarithms
CLEAR = 0.015  # difference of two pictures' errors that makes a choice clear
DEARER = (0.0, 0.003, 0.003, 0.012)  # mean difference that a pixel of portrait, side picture, backdrop or learned colour may be worse by,
DEARER_SHOWN = (0.0, 0.003, 0.009, 0.036)  # and this in addition where the portrait shows the place


class Window(NamedTuple):
    """Mouths [N,...] or eyes [2N,...] of a batch: drawn and true [.,3,h,w], weight [.,1,h,w], geometry [.,g,h,w], the
    mask's shortfall (a scalar) where only the painter knows, and the paint [.,3,h,w]."""

    drawn: Tensor
    true: Tensor
    weight: Tensor
    geometry: Tensor
    missed: Tensor
    paint: Tensor


class Drawn(NamedTuple):
    """frame [N,3,128,128]; weights as Generator.choices gives them; trunk; windows by name."""

    frame: Tensor
    weights: Tensor
    trunk: NamedTuple
    windows: dict[str, Window]


def window_points(corner: Tensor, width: int, height: int) -> Tensor:
    """Pixel centres [N,2,height,width] in -1..1 of windows of a 256 frame from first pixels corner [N,2]."""
    x = corner[:, 0].float()[:, None] + torch.arange(width) + 0.5
    y = corner[:, 1].float()[:, None] + torch.arange(height) + 0.5
    points = torch.stack([x[:, None].expand(-1, height, -1), y[..., None].expand(-1, -1, width)], 1)
    return points * (2 / 256) - 1


def draw(models: nn.ModuleDict, batch: Batch, drivers: int, small_windows: bool) -> Drawn:
    """small_windows: mouth and eyes as the 128 frame has them."""
    encoder, net = models["encoder"], models["net"]
    spread = lambda v: v.repeat_interleave(drivers, 0)  # noqa: E731
    with torch.autocast("cpu", torch.bfloat16):
        features, identity = encoder(batch["portrait"].contiguous(memory_format=torch.channels_last))
        features, identity = spread(features.float()), spread(identity.float())
        harmonics = spread(batch["harmonics"])
        texture, backdrop = spread(batch["texture"]), spread(batch["backdrop"])
        texture128, backdrop128 = spread(F.avg_pool2d(batch["texture"], 2)), spread(F.avg_pool2d(batch["backdrop"], 2))
        motion = net.embed(batch["code"], identity)
        scene = Scene(*(batch[name] for name in Scene._fields))
        trunk = net.trunk(texture128, backdrop128, batch["sides"], features, identity, harmonics, motion, scene)
        learned = net.choices(trunk)
        # Choices are learned by choice_loss alone: the mixture that is nearest to the truth is a blurred one.
        weights = clearer(learned.detach())
        frame = combine(weights, trunk.warped, trunk.aside, backdrop128, enlarge(trunk.colour, 2), enlarge(trunk.shade, 4))

        # What the frame at 256 is made of, sampled in the windows only.
        coarse = torch.cat([trunk.flow, trunk.light, trunk.colour, enlarge(trunk.shade, 2)], 1)
        fine = torch.cat([weights, trunk.aside, WEIGHTS[batch["region"]][:, None]], 1)
        windows = {}
        for name, refiner, count, (w, h) in zip(("mouth", "eye"), (net.mouth, net.eyes), (1, 2), window_sizes(256)):
            many = lambda v: v if count == 1 else v.repeat_interleave(count, 0)  # noqa: B023, E731
            points = window_points(batch[f"{name}_corner"].reshape(-1, 2), w, h)
            flow, light, colour, shade = sample(many(coarse), points).split([2, 3, 3, 3], 1)
            shares, aside, weight = sample(many(fine), points).split([4, 3, 1], 1)
            behind = sample(many(backdrop), points)
            warped = composite(lit(sample(many(texture), points + flow), light), behind)
            base = combine(shares, warped, aside, behind, colour, shade)
            true = sample(many(batch["target"]), points)
            painted, geometry = batch[name].flatten(0, -4), batch[f"{name}_geometry"].flatten(0, -4)
            if small_windows:
                base, true, weight, painted, geometry = (F.avg_pool2d(v, 2) for v in (base, true, weight, painted, geometry))
            shift, light, mask, own = refiner(base, painted, geometry, many(motion), many(identity))
            feather = window_feather(*base.shape[2:])
            painted = sharper(shifted(painted, shift))
            # Inside the aperture (its cover is the fifth coordinate) only the painter knows teeth, tongue and eyeball; and
            # where painter and frame differ, as under a closing lid, a mixture of both is a ghost.
            differ = (painted - base).abs().mean(1, keepdim=True).detach()
            missed = ((1 - mask) * (geometry[:, 4:5] + 6 * differ) * feather).mean()
            windows[name] = Window(blend(base, painted, light, mask * feather, own * feather), true, weight, geometry, missed, own)
    return Drawn(frame, learned, trunk, windows)


def choice_loss(drawn: Drawn, backdrop: Tensor, target: Tensor, weight: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy of each pixel's choice with the pictures that come nearest to the truth there.

    Nearness is that of the mean colour around a pixel, so that detail a little out of place is better than none, and the
    pictures that are not the portrait pay for being blurred, most where it shows the place (shown [N,1,128,128]). Losses of the
    mixture would blur, and penalties on the choice once made the first picture the only one for good.
    """
    trunk = drawn.trunk
    pictures = (trunk.warped, trunk.aside, backdrop, enlarge(trunk.colour, 2))
    with torch.no_grad():
        errors = torch.cat([F.avg_pool2d(p - target, AROUND, 1, AROUND // 2, count_include_pad=False).abs().mean(1, keepdim=True) for p in pictures], 1)
        errors += torch.tensor(DEARER).reshape(1, 4, 1, 1) + torch.tensor(DEARER_SHOWN).reshape(1, 4, 1, 1) * shown
        best = torch.softmax(-errors / CLEAR, 1)
    return -(best * torch.log(drawn.weights.clamp(min=1e-6)) * weight * (1 + 3 * (1 - shown))).sum(1).mean()


def light_loss(light: Tensor, portrait: Tensor, target: Tensor, true_flow: Tensor, known: Tensor) -> Tensor:
    """How far light [N,3,64,64] (logarithm) is from the one that the pictures show: portrait [S,3,256,256] at its true places [N,2,64,64]
    beside target [N,3,256,256], means of SMOOTH cells around what is known [N,1,64,64]. As a factor in what is fetched light
    learns to be less than it is: where flow is a little off, that is the safer guess."""
    own = F.avg_pool2d(portrait, 4).repeat_interleave(len(target) // len(portrait), 0)
    logarithm = lambda v: torch.log(v.clamp_min(0) + DARK)  # noqa: E731
    wanted = (logarithm(F.avg_pool2d(target, 4)) - logarithm(sample(own, true_flow))).clamp(-1, 1)
    mean = lambda v: F.avg_pool2d(v * known, SMOOTH, 1, SMOOTH // 2)  # noqa: E731
    off = (mean(light) - mean(wanted)) / (mean(torch.ones_like(known)) + 1e-3)
    return (F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.05, reduction="none") * known).mean()


def losses(drawn: Drawn, batch: Batch, config: dict, observer: nn.Module | None, critics: nn.ModuleDict | None) -> dict[str, Tensor]:
    """The terms of the loss, weighted. Without an observer no perceptual ones, without critics no adversarial ones."""
    trunk, region = drawn.trunk, batch["region"]
    target = F.avg_pool2d(batch["target"], 2)
    weight = WEIGHTS[region][:, None]
    person = (region[:, None, ::2, ::2] != 0).float()
    visible = batch["visible"] * person
    # Where the source shows a point, or where it is hair (strands hide each other all the time), its own pixel is the one.
    shown = F.avg_pool2d(torch.maximum(batch["visible"], (region[:, None, ::2, ::2] == HAIR).float()), 3, 1, 1)
    coarse = lambda v: F.avg_pool2d(v, 4)  # noqa: E731
    terms = {
        "128": picture(drawn.frame, target, weight),
        # Beside noise and misplaced strands, L1 of pixels hardly feels a little too much light; of their means it does.
        "mean": config["mean"] * (coarse((drawn.frame - target) * weight).abs()).mean(),
        "colour": 3 * ((trunk.colour - F.avg_pool2d(target, 2)).abs() * (1 - shown)).mean(),
        # Light and flow are for what the portrait shows; elsewhere they would learn to hide what is to be chosen away.
        "lit": config["lit"] * ((F.avg_pool2d(trunk.warped - target, 2)).abs() * visible).mean(),
        "light": config["light"] * light_loss(trunk.light, batch["portrait"], batch["target"], batch["true_flow"], visible),
        "choice": config["choice"] * choice_loss(drawn, F.avg_pool2d(batch["backdrop"], 2).repeat_interleave(len(target) // len(batch["backdrop"]), 0), target, weight, enlarge(shown, 2)),
        "flow": config["flow"] * flow_loss(pixel_grid(G, G) + trunk.flow, batch["true_flow"], visible),
        "occlusion": 0.03 * (F.binary_cross_entropy_with_logits(trunk.occlusion.float(), 1 - batch["visible"], reduction="none") * person).mean(),
    }
    for name, window in drawn.windows.items():
        terms[name] = config["windows"] * picture(window.drawn, window.true, window.weight) + config["mask"] * window.missed
        # Light that darkens and paint that brightens again would take the window's contrast: a blur that L1 likes.
        terms[f"paint {name}"] = config["paint"] * window.paint.abs().mean()
    whole = {"frame": (drawn.frame, target, enlarge(batch["normal"], 2)), **{k: (w.drawn, w.true, w.geometry) for k, w in drawn.windows.items()}}
    with torch.autocast("cpu", torch.bfloat16):
        for name, (made, true, given) in whole.items():
            if observer is not None:
                terms[f"seen {name}"] = config["seen"] * observer.distance(made, true)
            if critics is not None and name in critics:
                adversarial, matching = fooled(critics[name], made, true, given)
                terms[f"critic {name}"] = config["critic"] * adversarial
                terms[f"matching {name}"] = config["matching"] * matching
    return terms
