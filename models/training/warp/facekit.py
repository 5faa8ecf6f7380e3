"""Constant tables taken from the ICT-FaceKit head: mean landmarks, depth, expression fields.

Axes here are the image's: x right, y down, z into the picture, in centimetres, origin of the model
(between the ears). ICT's own are x to the subject's left, y up, z forward, so a face that looks at the
camera turns into ours by diag(1, -1, -1).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from warp.geometry import grid_axis, node_positions, to_centimetres
from warp.layout import G

FLIP = np.array([1, -1, -1], np.float32)
SKIN_END = 11248  # face, then head and neck
FACE_END = 9409
TEETH = slice(17039, 21451)

# The part of the frontal grid that expressions move: rows y0:y1, columns x0:x1.
_AXIS = to_centimetres(grid_axis())
FIELD = (
    int(np.searchsorted(_AXIS, -9.5)), int(np.searchsorted(_AXIS, 15.0)),
    int(np.searchsorted(_AXIS, -9.2)), int(np.searchsorted(_AXIS, 9.2)),
)

# ARKit's 52 names, in the order of proto/src/motion/expressions.ts.
EXPRESSIONS = (
    "eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft "
    "eyeBlinkRight eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight "
    "jawForward jawLeft jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight "
    "mouthSmileLeft mouthSmileRight mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight "
    "mouthStretchLeft mouthStretchRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper "
    "mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight "
    "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft "
    "cheekSquintRight noseSneerLeft noseSneerRight tongueOut"
).split()
INDEX = {name: i for i, name in enumerate(EXPRESSIONS)}


def ict_names(name: str) -> list[str]:
    """ICT-FaceKit's names whose sum is one ARKit coefficient; tongueOut has none."""
    if name == "tongueOut":
        return []
    if name in ("browInnerUp", "cheekPuff"):
        return [f"{name}_L", f"{name}_R"]
    if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return [name]
    for side in ("Left", "Right"):
        if name.endswith(side):
            return [f"{name[: -len(side)]}_{side[0]}"]
    return [name]


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles (quads split) of one OBJ file of FaceXModel."""
    vertices, triangles = [], []
    with path.open() as lines:
        for line in lines:
            if line.startswith("v "):
                vertices.append([float(x) for x in line.split()[1:4]])
            elif line.startswith("f "):
                ids = [int(part.split("/")[0]) - 1 for part in line.split()[1:]]
                triangles += [[ids[0], ids[i], ids[i + 1]] for i in range(1, len(ids) - 1)]
    return np.array(vertices, np.float32), np.array(triangles, np.int64)


def read_facekit(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(vertices [V,3], triangles [T,3], deltas [52,V,3], landmark vertices [68]) from the packed npz or FaceXModel."""
    if path.is_dir():
        import json

        neutral, triangles = read_obj(path / "generic_neutral_mesh.obj")
        landmarks = np.array(json.loads((path / "vertex_indices.json").read_text())["idx_to_landmark_verts"], np.int64)[:68]
        shape = lambda name: read_obj(path / f"{name}.obj")[0] - neutral  # noqa: E731
        deltas = {n: shape(n) for name in EXPRESSIONS for n in ict_names(name)}
    else:
        with np.load(path) as pack:
            neutral, landmarks = pack["neutral"].astype(np.float32), pack["landmarks68"].astype(np.int64)
            quads = pack["faces"]
            second = quads[quads[:, 3] >= 0][:, [0, 2, 3]]
            triangles = np.concatenate([quads[:, :3], second]).astype(np.int64)
            names = [str(n) for n in pack["expression_names"]]
            every = pack["expression_delta"].astype(np.float32)
            deltas = {n: every[i] for i, n in enumerate(names)}
    zero = np.zeros_like(neutral)
    basis = np.stack([sum((deltas[n] for n in ict_names(name)), zero) for name in EXPRESSIONS])
    return neutral * FLIP, triangles, basis * FLIP, landmarks


@dataclass(frozen=True)
class Tables:
    """What the graphs bake in."""

    landmarks: np.ndarray  # [68,3] mean shape, cm
    landmark_basis: np.ndarray  # [52,68,3] cm at coefficient 1
    pose_solver: np.ndarray  # [68,4]: landmarks [2,68] @ this = weak-perspective affine [2, 3|1]
    residual_map: np.ndarray  # [68, G*G]: landmark residuals -> smooth field over the frontal grid
    depth: np.ndarray  # [1, G*G] z of the front surface
    field: np.ndarray  # [52, 2*3*FIELD_H*FIELD_W] expression displacement in the window FIELD, layers upper and lower
    teeth: np.ndarray  # [10,3] edge of the upper row (5 points), edge of the lower row (5 points)
    teeth_basis: np.ndarray  # [52,10,3]


def normals_of(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    n = np.cross(b - a, c - a)
    out = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(out, triangles[:, i], n)
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-9)


def regress(points: np.ndarray, values: np.ndarray, where: np.ndarray, weights: np.ndarray, sigma: float) -> np.ndarray:
    """Normalised Gaussian regression of scattered values; beyond all points it goes on with the nearest."""
    out = np.empty((len(where), values.shape[1]), np.float32)
    for start in range(0, len(where), 256):
        d2 = ((where[start : start + 256, None] - points[None]) ** 2).sum(-1)
        d2 = np.where(weights[None] > 0, d2, np.inf)
        k = np.exp(-(d2 - d2.min(1, keepdims=True)) / (2 * sigma**2)) * weights[None]
        out[start : start + 256] = (k / k.sum(1, keepdims=True)) @ values
    return out


def lip_line(x: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Height of the closed mouth's line over x, from the inner landmarks."""
    upper, lower = landmarks[[60, 61, 62, 63, 64]], landmarks[[60, 67, 66, 65, 64]]
    mid = (upper + lower) / 2
    return np.interp(x, mid[:, 0], mid[:, 1])


def expression_field(vertices: np.ndarray, front: np.ndarray, basis: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Displacement over the frontal plane in two layers that agree except beside the mouth's line.

    The upper layer continues the upper lip's motion below the line, the lower layer the lower lip's above
    it, so that parting lips never share a sample. The eye coefficients do not move the eyelids here: blinking
    is done on the eye's own curves, and the skin around must not squeeze the eye.
    """
    ids = np.flatnonzero(front & (np.arange(len(vertices)) < SKIN_END))
    p = vertices[ids]
    lids = np.zeros(len(ids), np.float32)
    for name in EXPRESSIONS[:14]:
        if "Squint" not in name:
            lids = np.maximum(lids, np.linalg.norm(basis[INDEX[name]][ids], axis=1))
    still = np.clip(lids / 0.15, 0, 1)
    corner = abs(landmarks[60, 0]) + 0.15
    near = np.abs(p[:, 0]) < corner
    below = p[:, 1] > lip_line(p[:, 0], landmarks)
    y0, y1, x0, x1 = FIELD
    height, width = y1 - y0, x1 - x0
    where = node_positions().reshape(G, G, 2)[y0:y1, x0:x1].reshape(-1, 2)
    values = basis[:, ids].transpose(1, 0, 2).copy()
    values[:, :14] *= 1 - still[:, None, None]
    values = values.reshape(len(ids), -1)
    layers = []
    for keep in (~(near & below), ~(near & ~below & (p[:, 1] > landmarks[33, 1] + 0.3))):
        weights = keep.astype(np.float32)
        layers.append(regress(p[:, :2], values, where, weights, 0.32).reshape(-1, len(EXPRESSIONS), 3))
    # Below the chin the neck is skin that gives way: fade the jaw's motion down to the collar, or it folds.
    x, y = where.reshape(height, width, 2)[0, :, 0], where.reshape(height, width, 2)[:, 0, 1]
    chin = landmarks[8, 1] - 0.35
    row = int(np.searchsorted(y, chin))
    out = np.stack(layers).reshape(2, height, width, len(EXPRESSIONS), 3)
    fade = np.clip((y[-1] - y) / (y[-1] - y[row]), 0, 1)
    out[:, row:] = out[:, row : row + 1] * fade[None, row:, None, None, None]
    # Zero at the sides and the top, where the window ends.
    out *= np.clip((abs(x[0]) - np.abs(x)) / 1.2, 0, 1).reshape(1, 1, width, 1, 1)
    out *= np.clip((y - y[0]) / 1.0, 0, 1).reshape(1, height, 1, 1, 1)
    # [52, layer, xyz, y, x]
    return out.transpose(3, 0, 4, 1, 2).reshape(len(EXPRESSIONS), -1)


def depth_map(vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """z of the head's front, smoothed; outside the silhouette it goes on at the rim's depth."""
    ids = np.flatnonzero((normals[:, 2] < -0.12) & (np.arange(len(vertices)) < SKIN_END))
    z = regress(vertices[ids, :2], vertices[ids, 2:], node_positions(), np.ones(len(ids), np.float32), 0.45)
    return np.minimum(z, 1.0).reshape(1, -1)


def tables(path: Path) -> Tables:
    vertices, triangles, basis, lm = read_facekit(path)
    normals = normals_of(vertices, triangles[(triangles < SKIN_END).all(1)])
    landmarks = vertices[lm]
    # Pose from the points that expression moves least; the chin and lips are nearly ignored.
    weight = np.ones(68)
    weight[0:17] = 0.35
    weight[17:27] = 0.4
    weight[48:68] = 0.25
    design = np.concatenate([landmarks, np.ones((68, 1))], 1)
    solver = np.linalg.solve(design.T @ (design * weight[:, None]), (design * weight[:, None]).T).T
    # Residuals: Gaussian radial functions on the mean shape, ridge-regularised.
    at = landmarks[:, :2]
    phi = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * 3.0**2))  # noqa: E731
    rbf = phi(node_positions(), at) @ np.linalg.inv(phi(at, at) + 0.03 * np.eye(68))
    # Teeth: edges of both rows, five points each.
    t_ids = np.arange(TEETH.start, TEETH.stop)
    is_low = basis[INDEX["jawOpen"]][t_ids, 1] > 0.3
    picks = []
    for low in (False, True):
        for x in (-3.0, -1.6, 0.0, 1.6, 3.0):
            ids = t_ids[(is_low == low) & (np.abs(vertices[t_ids, 0] - x) < 0.3) & (vertices[t_ids, 2] < -5)]
            edge = np.argmin(vertices[ids, 1]) if low else np.argmax(vertices[ids, 1])
            picks.append(ids[edge])
    return Tables(
        landmarks=landmarks,
        landmark_basis=basis[:, lm],
        pose_solver=solver.astype(np.float32),
        residual_map=rbf.T.astype(np.float32),
        depth=depth_map(vertices, normals).astype(np.float32),
        field=expression_field(vertices, normals[:, 2] < -0.1, basis, landmarks).astype(np.float32),
        teeth=vertices[picks],
        teeth_basis=basis[:, picks],
    )
