"""What 2-D trackers get wrong: landmarks of the morphable head as they are found in a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landmarks.faces import CONTOUR, STRAND, Faces, rotations
from landmarks.layout import LANDMARKS, REGIONS
from warp.facekit import INDEX

REACH = 2.2  # cm over which errors are alike
SHARP = 12.0  # 1/cm; how surely a contour is drawn where the cheek ends
BLINKS = [INDEX["eyeBlinkRight"], INDEX["eyeBlinkLeft"]]


@dataclass(frozen=True)
class Trouble:
    """Largest errors, cm unless said; each sequence draws its own below them.

    own: as long as a person is seen, also by how far the head is turned; slow: over seconds; jitter: from frame to frame; iris: of a
    seen one; hidden: guesses of what cannot be seen; edge: how far trackers go to where a turned cheek ends, share; slide: of the
    contour along itself, landmarks; numb: share of an expression or of a person's own shape that is not found; perspective: share
    of cameras that have one.
    """

    own: float = 0.22
    slow: float = 0.08
    jitter: float = 0.06
    iris: float = 0.05
    hidden: float = 0.4
    edge: float = 1.0
    slide: float = 0.35
    numb: float = 0.25
    perspective: float = 0.5
    outliers: float = 0.003  # share of frames in which a region is somewhere else
    whole: float = 0.25  # share of trackers that round to pixels, as dlib does


USUAL = Trouble()


class Trackers:
    """Finds the landmarks of moving faces; all randomness is the generator's."""

    def __init__(self, faces: Faces, trouble: Trouble = USUAL):
        self.faces, self.trouble = faces, trouble
        at = faces.mean[:, :2]
        near = torch.exp(-torch.cdist(at, at) ** 2 / (2 * REACH**2))
        region = torch.zeros(LANDMARKS, LANDMARKS)
        for name, members in REGIONS.items():
            if name != "head":
                region[members.start : members.stop, members.start : members.stop] = 1
        self.alike = torch.linalg.cholesky(0.75 * near * region + 0.15 * near + 0.1 * torch.eye(LANDMARKS))

    def field(self, g: torch.Generator, *shape: int) -> Tensor:
        """Errors [...,68,2] of deviation 1 that neighbours of a region share."""
        return self.alike @ torch.randn(*shape, LANDMARKS, 2, generator=g)

    def find(self, rest: Tensor, balls: Tensor, motion: Tensor, dt: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """People at rest [B,P,3], balls [B,2,3], motion [B,T,58] (shift in cm), dt [B,T] ms -> landmarks and irises [B,T,70,2],
        pixels; their pose in the picture [B,T,6] as in layout.POSE (shift in pixels, logarithm of pixels per cm) and the expression they show."""
        f, t = self.faces, self.trouble
        count, frames = motion.shape[:2]
        each = lambda most, least=0.0: least + (most - least) * torch.rand(count, 1, 1, 1, generator=g)  # noqa: E731
        upright = rotations(motion[..., :3] * torch.tensor([1.0, 1.0, 0.0]))
        expression = motion[..., 6:]
        moved = f.moved(expression)
        turn = lambda v: torch.einsum("btij,btpj->btpi", upright, v)  # noqa: E731
        calm = turn(rest[:, None].expand(-1, frames, -1, -1))
        moves = turn(moved)
        irises = turn(balls[:, None] + f.gaze(expression))
        # How far a landmark faces away, 0..1: what cannot be seen is guessed, mostly at rest.
        away = ((turn(f.facing[None, None, :LANDMARKS].expand(count, frames, -1, -1))[..., 2:] + 0.05) / 0.35).clamp(0, 1)
        dull = 1 - each(t.numb, -0.4 * t.numb)
        view = calm[:, :, :LANDMARKS] + moves[:, :, :LANDMARKS] * dull * (1 - 0.5 * away)
        usual = turn(f.mean[None, None].expand(count, frames, -1, -1))
        view = view - each(t.numb) * (calm[:, :, :LANDMARKS] - usual)
        found = view[..., :2].clone()
        found[:, :, :CONTOUR] = self.contour(found, (calm + moves)[..., :2], each, g)
        depth = torch.cat([view[..., 2], irises[..., 2]], -1) - view[..., 2].mean(-1, keepdim=True)
        found = found + self.errors(motion, dt, away, each, g)
        shut = expression[..., BLINKS, None].clamp(0.3, 1) - 0.3
        middles = torch.stack([found[:, :, 36:42].mean(2), found[:, :, 42:48].mean(2)], 2)
        guess = torch.randn(count, frames, 2, 2, generator=g) * each(t.iris, t.iris / 4) * (1 + 5 * shut)
        points = torch.cat([found, irises[..., :2] + shut * (middles - irises[..., :2]) + guess], 2)
        # A camera nearby sees near parts larger.
        nearness = each(1 / 45, 1 / 150) * (torch.rand(count, 1, 1, 1, generator=g) < t.perspective)
        points = points / (1 + depth[..., None] * nearness)
        scale = (each(3.4, 1.4) + motion[..., None, 5:6]).exp()
        shift = (motion[..., 3:5] + torch.randn(count, 1, 2, generator=g) * 8) * scale[..., 0]
        roll = motion[..., 2]
        c, s = roll.cos(), roll.sin()
        spun = torch.einsum("btij,btpj->btpi", torch.stack([c, -s, s, c], -1).unflatten(-1, (2, 2)), points)
        pixels = spun * scale + shift[..., None, :]
        whole = torch.rand(count, 1, 1, 1, generator=g) < t.whole
        pixels = torch.where(whole, pixels.round(), pixels)
        return pixels, torch.cat([motion[..., :3], shift, scale[..., 0].log()], -1), expression

    def contour(self, found: Tensor, points: Tensor, each, g: torch.Generator) -> Tensor:
        """Where the contour's landmarks [B,T,17,2] are drawn: some trackers follow where the cheek ends."""
        own = found[:, :, :CONTOUR]
        strand = points[:, :, LANDMARKS:].unflatten(2, (CONTOUR, STRAND))
        out = torch.nn.functional.normalize(own - found[:, :, 33:34], dim=-1)
        ends = ((strand * out[..., None, :]).sum(-1) * SHARP).softmax(-1)
        edge = (strand * ends[..., None]).sum(-2)
        drawn = own + each(self.trouble.edge**2).sqrt() * (edge - strand[..., 0, :])
        # And nothing on a cheek says how far along it a landmark is.
        along = torch.diff(torch.cat([drawn[:, :, :1], drawn, drawn[:, :, -1:]], 2), dim=2)
        slid = self.field(g, len(own), 1)[:, :, :CONTOUR, :1] * each(self.trouble.slide)
        return drawn + (along[:, :, 1:] + along[:, :, :-1]) / 2 * slid

    def errors(self, motion: Tensor, dt: Tensor, away: Tensor, each, g: torch.Generator) -> Tensor:
        """[B,T,68,2] cm."""
        t, (count, frames) = self.trouble, motion.shape[:2]
        sines = motion[..., :2].sin()
        by_turn = torch.cat([sines, sines[..., 1:].abs()], -1)  # B,T,3
        own = self.field(g, count, 1) * each(t.own, 0.1 * t.own)
        own = own + torch.einsum("btk,bkpc->btpc", by_turn, self.field(g, count, 3) * each(t.own))
        slow = self.wandering(self.field(g, count, frames), dt, 4000.0) * each(t.slow)
        loud = each(0.0, -3.0).exp() * t.jitter
        jitter = (self.field(g, count, frames) + torch.randn(count, frames, LANDMARKS, 2, generator=g)) * 0.7 * loud
        guess = self.wandering(self.field(g, count, frames), dt, 400.0) * away * each(t.hidden)
        odd = (torch.rand(count, frames, 1, 1, generator=g) < t.outliers) * torch.randn(count, frames, 1, 2, generator=g)
        region = torch.zeros(LANDMARKS, 1)
        members = list(REGIONS.values())[int(torch.randint(0, len(REGIONS), (1,), generator=g))]
        region[members.start : members.stop] = 0.6
        return own + slow + jitter + guess + odd * region

    def wandering(self, noise: Tensor, dt: Tensor, over_ms: float) -> Tensor:
        """Noise [B,T,68,2] of deviation 1 that remembers itself for so long."""
        keep = torch.exp(-dt / over_ms)[..., None, None]
        out = [noise[:, 0]]
        for i in range(1, noise.shape[1]):
            out.append(keep[:, i] * out[-1] + (1 - keep[:, i] ** 2).sqrt() * noise[:, i])
        return torch.stack(out, 1)


def clock(rng: np.random.Generator, frames: int, glimpses: int) -> np.ndarray:
    """dt [T] ms: some glimpses of the same face far apart, then a video of 10 to 60 frames/s, some frames of it lost."""
    seen = int(rng.integers(0, glimpses + 1))
    period = 1000 / rng.uniform(10, 60)
    dt = period * rng.uniform(0.85, 1.15, frames)
    lost = rng.random(frames) < 0.03
    dt[lost] += period * rng.integers(1, 8, frames)[lost]
    dt[:seen] = rng.uniform(300, 3000, frames)[:seen]
    return dt.astype(np.float32)
