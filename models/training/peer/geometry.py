"""Head rotation, keypoints and volume grids. Axes: x right, y down, z into the picture, all in -1..1."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation(angles: Tensor) -> Tensor:
    """[B,3] pitch, yaw, roll in radians -> R = Rz(roll) Ry(yaw) Rx(pitch), [B,3,3]."""
    (sx, sy, sz), (cx, cy, cz) = angles.sin().unbind(1), angles.cos().unbind(1)
    rows = [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def pose_keypoints(canonical: Tensor, turn: Tensor, shift: Tensor, deformation: Tensor) -> Tensor:
    """x_k = R x_c,k + t + delta_k (face-vid2vid, eq. 1): [B,K,3], [B,3,3], [B,3], [B,K,3] -> [B,K,3]."""
    return torch.einsum("bij,bkj->bki", turn, canonical) + shift[:, None] + deformation


def volume_grid(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """Voxel centres [D,H,W,3] (x, y, z) for grid_sample with align_corners=False."""
    z, y, x = ((torch.arange(n, device=like.device, dtype=like.dtype) * 2 + 1) / n - 1 for n in (depth, height, width))
    return torch.stack(torch.broadcast_tensors(x[None, None], y[None, :, None], z[:, None, None]), -1)


def keypoint_flows(grid: Tensor, source: Tensor, driving: Tensor, turn_source: Tensor, turn_driving: Tensor) -> Tensor:
    """K+1 backward flows (Sec. 3.2): w_k(p) = R_s R_d^-1 (p - x_d,k) + x_s,k, and the identity for the background.

    grid [D,H,W,3], keypoints [B,K,3], rotations [B,3,3] -> source positions [B,K+1,D,H,W,3]. The keypoints' Jacobians are
    R_s and R_d, as with canonical Jacobians fixed to the identity.
    """
    turn = turn_source @ turn_driving.transpose(1, 2)
    # R (p - x_d) + x_s = R p + (x_s - R x_d): one product over the grid for all keypoints
    turned = torch.einsum("bij,dhwj->bdhwi", turn, grid)
    offset = source - torch.einsum("bij,bkj->bki", turn, driving)
    flows = turned[:, None] + offset[:, :, None, None, None]
    still = grid[None, None].expand(len(source), -1, -1, -1, -1, -1)
    return torch.cat([still, flows], 1)


def gaussians(grid: Tensor, keypoints: Tensor, variance: float = 0.01) -> Tensor:
    """Heat maps exp(-|p - x_k|^2 / 2 variance) over the volume: [B,K,D,H,W]."""
    return torch.exp(-0.5 * (grid[None, None] - keypoints[:, :, None, None, None]).square().sum(-1) / variance)
