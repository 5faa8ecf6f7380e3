"""Codebooks of expressions: a part of the face as a few codes, and back (PyTorch).

Learned in two stages, as VPNQ and its kin do: first what codes there are, from expressions alone; then the transformer learns to name them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landmarks.layout import CODE, CODES, DECODER


class Codes(nn.Module):
    """`count` coefficients as `slots` places, each one of CODES codes of CODE numbers or a mixture of them."""

    def __init__(self, count: int, slots: int):
        super().__init__()
        self.slots = slots
        self.book = nn.Parameter(torch.randn(CODES, CODE) * 0.5)
        self.decoder = nn.Sequential(nn.Linear(slots * CODE, DECODER), nn.SiLU(), nn.Linear(DECODER, count))
        # Only the first stage encodes.
        self.encoder = nn.Sequential(nn.Linear(count, DECODER), nn.SiLU(), nn.Linear(DECODER, slots * CODE))

    def shares(self, coefficients: Tensor, sharp: float = 4.0) -> Tensor:
        """Coefficients [...,count] -> how much of each code is in each place [...,slots,CODES]."""
        place = self.encoder(coefficients).unflatten(-1, (self.slots, CODE))
        # By their distance; the place's own square is the same for all codes.
        return (sharp * (2 * place @ self.book.t() - self.book.square().sum(-1))).softmax(-1)

    def decoded(self, shares: Tensor) -> Tensor:
        """Shares [...,slots,CODES] -> coefficients [...,count], not yet kept to 0…1."""
        return self.decoder((shares @ self.book).flatten(-2))


def nearest(shares: Tensor) -> Tensor:
    """One code in each place: the likeliest."""
    return F.one_hot(shares.argmax(-1), shares.shape[-1]).to(shares.dtype)


def learn_codes(codes: nn.ModuleDict, groups: dict[str, list[int]], faces: Tensor, *, steps: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """The first stage: on expressions faces [N,52]. For each group the mean absolute error, of mixtures and of the nearest codes alone."""
    g = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(codes.parameters(), lr=3e-3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps) + 3e-5
        batch = faces[torch.randint(0, len(faces), (512,), generator=g)]
        loss = 0.0
        for name, indices in groups.items():
            given = batch[:, indices]
            shares = codes[name].shares(given)
            hard = nearest(shares) + shares - shares.detach()
            for one in (shares, hard):
                loss = loss + (codes[name].decoded(one) - given).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        errors = {}
        for name, indices in groups.items():
            given = faces[:20_000, indices]
            shares = codes[name].shares(given)
            errors[name] = tuple(float((codes[name].decoded(s).clamp(0, 1) - given).abs().mean()) for s in (shares, nearest(shares)))
    return errors
