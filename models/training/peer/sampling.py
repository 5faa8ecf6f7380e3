"""Trilinear reading of volumes. PyTorch's own grid_sample reads one voxel at a time on a CPU and wants every keypoint's grid
written out; sampling.cpp does the same with vectors and offsets. Without a compiler, or elsewhere, grid_sample it is.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SOURCE = Path(__file__).with_name("sampling.cpp")
LANES = 16  # points that sampling.cpp reads at once


@functools.cache
def compile() -> None:
    """Builds sampling.cpp (a quarter of a minute the first time; PyTorch keeps it); `sample` uses it from then on.

    Raises RuntimeError or OSError without a compiler, ninja or PyTorch's headers.
    """
    from torch.utils.cpp_extension import load

    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd"]
    load("facewire_peer", [str(SOURCE)], extra_cflags=flags, is_python_module=False)


def compiled() -> bool:
    return compile.cache_info().currsize > 0


def sample(volume: Tensor, base: Tensor, offsets: Tensor) -> Tensor:
    """What a volume [B,C,H,W,D] holds at base [B,P,3] + offsets [B,K,3] (x, y, z in -1..1), zero outside: [B,K,C,P], float32."""
    if compiled() and volume.device.type == "cpu" and base.shape[1] % LANES == 0:
        return Compiled.apply(F.pad(volume.float().permute(0, 2, 3, 4, 1), (0, 0, 1, 1, 1, 1, 1, 1)), base.transpose(1, 2), offsets)
    return sample_plainly(volume, base, offsets)


def sample_plainly(volume: Tensor, base: Tensor, offsets: Tensor) -> Tensor:
    """`sample` with PyTorch alone."""
    keypoints, points = offsets.shape[1], base.shape[1]
    places = base[:, None] + offsets[:, :, None]  # B,K,P,3
    order = places[..., [2, 0, 1]].flatten(1, 2)[:, :, None, None]  # grid_sample's: the last axis of the volume comes first
    read = F.grid_sample(volume.float(), order, align_corners=False)  # B,C,K*P,1,1
    return read.reshape(*read.shape[:2], keypoints, points).transpose(1, 2)


class Compiled(torch.autograd.Function):
    """padded [B,H+2,W+2,D+2,C], base [B,3,P], offsets [B,K,3] -> [B,K,C,P]."""

    @staticmethod
    def forward(ctx, *inputs: Tensor) -> Tensor:
        inputs = tuple(t.contiguous() for t in inputs)
        ctx.save_for_backward(*inputs)
        return torch.ops.facewire_peer.sample(*inputs)

    @staticmethod
    def backward(ctx, grown: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.ops.facewire_peer.sample_backward(grown.contiguous(), *ctx.saved_tensors))
