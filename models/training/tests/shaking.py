"""Networks as after some training."""

from __future__ import annotations

import torch


def shake(net: torch.nn.Module) -> torch.nn.Module:
    """In place, with weights none of which is zero any more; ready to be used, not to be trained."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn_like(p) * 0.02)
    return net.eval()
