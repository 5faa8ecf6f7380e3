"""Head rotation, keypoints and the motion of a volume. Axes: x right, y down, z into the picture, all in -1..1.

Volumes are [B,C,H,W,D], depth last, in PyTorch's channels_last_3d: a picture [B,D*C,H,W] in channels_last is the same
memory, so that pictures become volumes, and volumes pictures, without a copy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from peer.sampling import sample


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
    return canonical @ turn.transpose(1, 2) + shift[:, None] + deformation


def picture_to_volume(picture: Tensor, depth: int) -> Tensor:
    """[B,D*C,H,W] -> [B,C,H,W,D]; a view where the picture is channels_last."""
    x = picture.permute(0, 2, 3, 1)
    return x.reshape(*x.shape[:3], depth, -1).permute(0, 4, 1, 2, 3)


def volume_to_picture(volume: Tensor) -> Tensor:
    """[B,C,H,W,D] -> [B,D*C,H,W]; a view where the volume is channels_last_3d."""
    return volume.permute(0, 2, 3, 4, 1).flatten(3).permute(0, 3, 1, 2)


def centres(count: int, like: Tensor) -> Tensor:
    """Places of the voxels along one axis, [count]: the outer faces are at -1 and 1."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) * 2 + 1) / count - 1


def volume_grid(height: int, width: int, depth: int, like: Tensor) -> Tensor:
    """Voxel centres (x, y, z), [H,W,D,3]."""
    y, x, z = (centres(n, like) for n in (height, width, depth))
    return torch.stack(torch.broadcast_tensors(x[None, :, None], y[:, None, None], z[None, None]), -1)


def heat_change(shape: tuple[int, int, int], source: Tensor, driving: Tensor, variance: float = 0.01) -> Tensor:
    """Heat maps exp(-|p - x_k|^2 / 2 variance) of the driver's keypoints [B,K,3] minus the source's: [B,K,H*W*D].

    A Gaussian is a product of one factor per axis, and the difference of two a matrix of rank 2 for every keypoint.
    """
    height, width, depth = shape

    def factor(axis: int, count: int) -> Tensor:
        """[B,K,2,count], the source's negative along the depth."""
        both = torch.stack([driving[..., axis], source[..., axis]], 2)[..., None]
        return torch.exp((centres(count, both) - both).square() * (-0.5 / variance))

    y, x, z = factor(1, height), factor(0, width), factor(2, depth)
    plane = (y[..., None] * x[..., None, :]).flatten(3)  # B,K,2,H*W
    return (plane.transpose(2, 3) @ (z * z.new_tensor([[1.0], [-1.0]]))).flatten(2)


class KeypointMotion:
    """The K+1 backward motions of Sec. 3.2: w_k(p) = R_s R_d^-1 (p - x_d,k) + x_s,k, and the identity for the background.

    All keypoints share the rotation (their Jacobians are R_s and R_d, as with canonical Jacobians fixed to the identity), so
    that w_k(p) = R p + o_k: they are held as one turned grid and K offsets, never as K grids.
    Keypoints [B,K,3], rotations [B,3,3], `shape` (H, W, D) of the volume.
    """

    def __init__(self, shape: tuple[int, int, int], source: Tensor, driving: Tensor, turn_source: Tensor, turn_driving: Tensor):
        turn = turn_source @ turn_driving.transpose(1, 2)
        self.shape = shape
        self.still = volume_grid(*shape, like=source).reshape(-1, 3)  # H*W*D,3
        self.turned = self.still @ turn.transpose(1, 2)  # B,H*W*D,3
        self.offsets = source - driving @ turn.transpose(1, 2)  # B,K,3

    def warp(self, volume: Tensor) -> Tensor:
        """What every motion reads from a volume [B,C,H,W,D], the background's first: [B,(K+1)*C,H*W*D], float32."""
        moved = sample(volume, self.turned, self.offsets)  # B,K,C,H*W*D
        return torch.cat([volume.float().flatten(2), moved.flatten(1, 2)], 1)

    def compose(self, mask: Tensor) -> Tensor:
        """Sum over k of mask_k w_k: a mask [B,H,W,D,K+1] with sum 1, background first -> places [B,H*W*D,3] to read at."""
        still, moved = mask.flatten(1, 3).split([1, self.offsets.shape[1]], -1)
        return torch.baddbmm(self.turned, moved, self.offsets) + still * (self.still - self.turned)
