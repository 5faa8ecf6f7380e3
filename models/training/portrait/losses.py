"""What the renderer is trained for: colours, edges and ground-truth flow, with more weight where people look."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# By region of the data set: background, skin, hair, clothes, eye, iris, lips, mouth, teeth, tongue, brows, glasses, beard
WEIGHTS = torch.tensor([0.7, 2.0, 1.6, 0.8, 4.0, 4.0, 3.0, 4.0, 4.0, 4.0, 3.0, 2.5, 2.0])

HAIR = 2


def edges(a: Tensor, b: Tensor, weight: Tensor, scales: int = 3) -> Tensor:
    """L1 of the differences between neighbours at several scales: what plain L1 would blur away."""
    total = a.new_zeros(())
    for k in range(scales):
        if k:
            a, b, weight = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2), F.avg_pool2d(weight, 2)
        d = a - b
        total = total + ((d[..., 1:] - d[..., :-1]).abs() * weight[..., 1:]).mean() + ((d[..., 1:, :] - d[..., :-1, :]).abs() * weight[..., 1:, :]).mean()
    return total


def picture(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return ((out - target).abs() * weight).mean() + edges(out, target, weight)


def flow_loss(places: Tensor, truth: Tensor, visible: Tensor) -> Tensor:
    """Distance [image units] of the refined sampling places from the true ones where the source shows them."""
    off = (places - truth).abs().sum(1, keepdim=True).clamp(max=0.4)
    return (off * visible).sum() / visible.sum().clamp(min=1)
