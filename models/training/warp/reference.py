"""The key steps in plain numpy, written from the equations and not from the graph's code, for the tests."""

from __future__ import annotations

import numpy as np

from warp.facekit import INDEX, Tables


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """R = Rz(roll) Ry(yaw) Rx(pitch)."""
    cx, sx, cy, sy, cz, sz = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rz @ ry @ rx


def pose(landmarks: np.ndarray, t: Tables) -> tuple[float, np.ndarray, np.ndarray]:
    """(scale, shift [2], rotation [3,3]) of landmarks [68,2]: least squares, then the nearest orthonormal rows."""
    affine = landmarks.T @ t.pose_solver
    rows, shift = affine[:, :3], affine[:, 3]
    lengths = np.linalg.norm(rows, axis=1)
    u, _, vt = np.linalg.svd(rows / lengths[:, None], full_matrices=False)
    near = u @ vt
    return float(lengths.mean()), shift, np.concatenate([near, np.cross(near[0], near[1])[None]])


def expression(coefficients: np.ndarray) -> np.ndarray:
    """Coefficients [52] as the renderer uses them."""
    e = np.clip(coefficients, 0, 1)
    e[INDEX["mouthClose"]] = min(e[INDEX["mouthClose"]], 0.92 * e[INDEX["jawOpen"]])
    return e


def driving_keypoints(avatar: dict[str, np.ndarray], motion: np.ndarray, view: np.ndarray, t: Tables) -> np.ndarray:
    """x_d = s (R (x_c + delta)) + t, picture coordinates [78,2] (face-vid2vid eq. 2)."""
    r = rotation(view[1], view[0], 0) @ rotation(*motion[:3])
    basis = np.concatenate([t.landmark_basis, t.teeth_basis], 1)
    moved = avatar["keypoints"] + np.tensordot(expression(motion[6:].copy()), basis, 1)
    scale = avatar["pose"][0] * np.exp(motion[5])
    return (moved @ r.T)[:, :2] * scale + avatar["pose"][1:3] + motion[3:5]


def i420(rgb: np.ndarray) -> np.ndarray:
    """BT.601 limited range of rgb uint8 [size,size,3] -> [3/2 size, size], chroma averaged over 2x2."""
    x = rgb.astype(np.float64) / 255
    size = len(rgb)
    y = 16 + x @ [65.481, 128.553, 24.966]
    half = x.reshape(size // 2, 2, size // 2, 2, 3).mean((1, 3))
    u, v = 128 + half @ [-37.797, -74.203, 112.0], 128 + half @ [112.0, -93.786, -18.214]
    planes = np.concatenate([y.ravel(), u.ravel(), v.ravel()])
    return np.clip(np.round(planes), 0, 255).astype(np.uint8).reshape(size * 3 // 2, size)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(((a.astype(np.float64) - b) ** 2).mean() / 255**2 + 1e-12))
