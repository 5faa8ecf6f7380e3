"""The reader: regions of a face as tokens, attention among them and back in time, a memory of the person, codes (PyTorch).

VPNQ's parts ("a personal quantised codebook and a spatio-temporal code transformer driven by 2-D landmarks"): the transformer
gives logits over learned codebooks of expressions, and what they decode to is made this person's by what was seen of the person so far.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landmarks.codes import Codes
from landmarks.features import Frames
from landmarks.layout import (
    DECAYS_MS, DECODER, FORGET_MS, FRAME_MS, GAP_MS, GROUPS, HEADS, HIDDEN, INPUTS, LONGEST_MS, POSE, TOKENS, WIDTH, WINDOW,
)

POSE_UNITS = (0.1, 0.1, 0.05, 0.5, 0.5, 0.1)  # rad, cm, logarithm of the scale
LOUDEST = 5.0  # of a frame's weight in the memory, logarithm


class Read(NamedTuple):
    """correction [B,T,6] of the fitted pose; expression [B,T,52], not yet kept to 0…1; logits: of each group [B,T,slots,CODES]."""

    correction: Tensor
    expression: Tensor
    logits: dict[str, Tensor]


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


def attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """[...,Q,WIDTH], [...,K,WIDTH] twice, [...,HEADS,Q,K] -> [...,Q,WIDTH]."""
    query, key, value = (v.unflatten(-1, (HEADS, -1)).transpose(-2, -3) for v in (query, key, value))
    weights = (query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + bias).softmax(-1)
    return (weights @ value).transpose(-2, -3).flatten(-2)


class Block(nn.Module):
    """Attention, then an MLP, each added to the tokens [B,T,N,WIDTH]: within a frame, or of each token back in time."""

    def __init__(self, *, back: bool):
        super().__init__()
        self.first, self.second = Norm(), Norm()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        if back:
            self.ages = nn.Parameter(torch.zeros(HEADS, len(DECAYS_MS)))

    def forward(self, x: Tensor, ages: Tensor | None = None) -> Tensor:
        """ages [B,T,T] ms: of frame k as frame q sees it; infinite where it does not."""
        query, key, value = self.qkv(self.first(x)).chunk(3, -1)
        if ages is None:
            x = x + self.out(attended(query, key, value))
        else:
            seen = torch.stack([torch.exp(-ages / d) for d in DECAYS_MS], -1) @ self.ages.t()  # B,T,T,HEADS
            bias = (seen.permute(0, 3, 1, 2).masked_fill(torch.isinf(ages)[:, None], -1e9))[:, None]
            x = x + self.out(attended(*(v.transpose(1, 2) for v in (query, key, value)), bias)).transpose(1, 2)
        return x + self.down(F.silu(self.up(self.second(x))))


class Memory(nn.Module):
    """What a person's face is like, by all that was seen of it: a running mean, in which each frame has a weight of its own choice."""

    def __init__(self):
        super().__init__()
        self.norm = Norm()
        self.value, self.loud = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, HEADS)
        self.read, self.answer = nn.Linear(2 * WIDTH + HEADS, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, dt: Tensor) -> Tensor:
        """Tokens [B,T,N,WIDTH], dt [B,T] ms."""
        given = self.norm(x)
        stands = dt.clamp(max=LONGEST_MS)
        since = (stands.cumsum(1) / FORGET_MS)[..., None, None]
        weight = (LOUDEST * torch.tanh(self.loud(given) / LOUDEST) + since).exp() * stands[..., None, None] / FRAME_MS  # B,T,N,HEADS
        value = self.value(given).unflatten(-1, (HEADS, -1))
        total = weight.cumsum(1)
        mean = (weight[..., None] * value).cumsum(1) / total[..., None]
        known = (total.log() - since).clamp(-4, 6) / 3
        return x + self.answer(F.silu(self.read(torch.cat([given, mean.flatten(-2), known], -1))))


class Reader(nn.Module):
    """Frames -> Read. codes, time and memory may be left out, to see what they are worth."""

    def __init__(self, *, codes: bool = True, time: bool = True, memory: bool = True):
        super().__init__()
        self.time = time
        self.widen = nn.ModuleList(nn.Linear(n, WIDTH) for n in INPUTS)
        self.embed = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in INPUTS)
        self.near = nn.ModuleList(Block(back=False) for _ in range(2))
        self.back = nn.ModuleList(Block(back=True) for _ in range(2))
        self.memory = Memory() if memory else None
        self.last = Norm()
        self.pose = nn.Linear(WIDTH, POSE)
        nn.init.zeros_(self.pose.weight)
        nn.init.zeros_(self.pose.bias)
        self.codes = nn.ModuleDict({name: Codes(len(c), slots) for name, (c, _, slots) in GROUPS.items()}) if codes else None
        wide = {name: len(tokens) * WIDTH for name, (_, tokens, _) in GROUPS.items()}
        out = lambda name: nn.Linear(wide[name], self.codes[name].book.shape[0] * GROUPS[name][2])  # noqa: E731
        direct = lambda name: nn.Sequential(nn.Linear(wide[name], DECODER), nn.SiLU(), nn.Linear(DECODER, len(GROUPS[name][0])))  # noqa: E731
        self.heads = nn.ModuleDict({name: out(name) if codes else direct(name) for name in GROUPS})

    def forward(self, frames: Frames) -> Read:
        x = torch.stack([e(F.silu(w(t))) for w, e, t in zip(self.widen, self.embed, frames.tokens, strict=True)], 2)
        ages = seen(frames.dt, WINDOW if self.time else 1)
        x = self.near[0](x)
        if self.memory is not None:
            x = self.memory(x, frames.dt)
        x = self.back[0](x, ages)
        x = self.near[1](x)
        x = self.last(self.back[1](x, ages))
        expression, logits = torch.zeros(*x.shape[:2], 52), {}
        for name, (indices, tokens, slots) in GROUPS.items():
            told = self.heads[name](x[:, :, list(tokens)].flatten(-2))
            if self.codes is not None:
                logits[name] = told.unflatten(-1, (slots, -1))
                told = self.codes[name].decoded(logits[name].softmax(-1))
            expression[..., indices] = told.float()
        return Read(self.pose(x[:, :, TOKENS - 1]) * torch.tensor(POSE_UNITS), expression, logits)


def seen(dt: Tensor, window: int) -> Tensor:
    """dt [B,T] ms -> ages [B,T,T] of the frames k that a frame q attends to: the last `window`, itself included, none from before a gap."""
    at = dt.double().cumsum(1)
    ages = at[:, :, None] - at[:, None]
    gaps = (dt > GAP_MS).cumsum(1)
    number = torch.arange(dt.shape[1])
    back = number[:, None] - number[None]
    hidden = (back < 0) | (back >= window) | (gaps[:, :, None] != gaps[:, None])
    return ages.float().masked_fill(hidden, torch.inf)
