"""The morphable head as the studio draws it: parts, masks, ARKit basis, eyeballs, neck weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from studio.facekit import Facekit, load_facekit
from studio.regions import lip_distance, polyline_distance
from warp.facekit import EXPRESSIONS, INDEX, ict_names

# Vertex parts, as the shaders number them.
SKIN, SOCKET, GUMS, TEETH, EYE, LASH, CLOTH, HAIR, GLASSES, BROW, BEARD, TONGUE = range(12)
SKIN_END = 11248
EYE_CENTRES = np.array([[3.12, 3.61, 8.02], [-3.12, 3.61, 8.02]], np.float32)
EYEBALLS = (slice(21451, 23021), slice(23021, 24591))
# Rotation of an eyeball at coefficient 1, rad (measured on the lids that ICT's eyeLook shapes move).
GAZE_YAW, GAZE_PITCH = 0.55, 0.42
# The head turns about this point of the neck, cm.
PIVOT = np.array([0.0, -7.0, -1.5], np.float32)
DRAWN = ("M_Face", "M_BackHead", "M_Teeth", "M_GumsTongue", "M_ScleraLeft", "M_ScleraRight", "M_EyeLashes")


def neck_weight(y: np.ndarray, x: np.ndarray | float = 0.0) -> np.ndarray:
    """1 on the skull, 0 on the torso; x, y: place in the neutral head, cm. Shoulders do not follow the head at all."""
    t = np.clip((y + 13.0) / 5.0, 0, 1)
    side = np.clip((8.5 - np.abs(x)) / 2.5, 0, 1)
    rigid = np.where(y > -8.2, 1.0, side)
    return (t * t * (3 - 2 * t) * rigid).astype(np.float32)


@dataclass(frozen=True)
class Rig:
    """All arrays in ICT's axes and cm; V vertices.

    basis [52,V*3]; part [V]; lips [V]: signed distance to their outline, on lashes the distance from the lid; cavity [V]:
    1 inside the mouth, on teeth 1 at their sides; weight [V]: how far the head's turn takes the vertex along; gather
    [V,T]: sums triangle normals; tongue: its vertices.
    """

    kit: Facekit
    neutral: np.ndarray
    triangles: np.ndarray
    skin_triangles: np.ndarray
    identity: np.ndarray
    basis: np.ndarray
    part: np.ndarray
    lips: np.ndarray
    cavity: np.ndarray
    weight: np.ndarray
    gather: sparse.csr_matrix
    tongue: np.ndarray

    @property
    def landmarks(self) -> np.ndarray:
        return self.kit.landmarks

    def shape(self, coefficients: np.ndarray) -> np.ndarray:
        """Identity coefficients [100] (standard deviations) -> vertices [V,3]."""
        return self.neutral + (coefficients.astype(np.float32) @ self.identity).reshape(-1, 3)

    def express(self, shape: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """shape [V,3] with ARKit coefficients [52]; eyeballs turn, the tongue comes out."""
        out = shape + (coefficients.astype(np.float32) @ self.basis).reshape(-1, 3)
        for side, (ball, centre) in enumerate(zip(EYEBALLS, EYE_CENTRES, strict=True)):
            own = shape[ball].mean(0) + (centre - self.neutral[ball].mean(0))
            out[ball] = (shape[ball] - own) @ eye_rotation(coefficients, side).T + own
        out_tongue = float(coefficients[INDEX["tongueOut"]])
        if out_tongue > 0 and len(self.tongue):
            # Forwards, over the lower lip, and down again before it.
            along = np.clip((self.neutral[self.tongue, 2] - 4.5) / 5.0, 0, 1)
            lip = out[self.landmarks[66]]
            bottom = out[self.tongue][along > 0.8, 1].min()
            lift = max(0.0, float(lip[1]) + 0.1 - float(bottom))
            out[self.tongue, 2] += out_tongue * along**1.5 * 3.0
            out[self.tongue, 1] += out_tongue * (along * lift - 1.2 * np.clip(out[self.tongue, 2] - lip[2] - 0.3, 0, 3) * 0.5)
        return out

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        a = vertices[self.triangles[:, 0]]
        u, v = vertices[self.triangles[:, 1]] - a, vertices[self.triangles[:, 2]] - a
        face = np.stack(
            [u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1], u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2], u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]], 1
        )
        n = self.gather @ face
        return n / (np.sqrt((n * n).sum(1, keepdims=True)) + 1e-9)


def eye_rotation(coefficients: np.ndarray, side: int) -> np.ndarray:
    """Rotation [3,3] of the left (0) or right (1) eyeball, ICT axes."""
    name = ("Left", "Right")[side]
    get = lambda key: float(coefficients[INDEX[f"eyeLook{key}{name}"]])  # noqa: E731
    # The subject's left eye looks out towards +x.
    yaw = GAZE_YAW * (get("Out") - get("In")) * (1 if side == 0 else -1)
    pitch = GAZE_PITCH * (get("Down") - get("Up"))
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return (np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])).astype(np.float32)


def load_rig(path: str | Path) -> Rig:
    """From ict-facekit.npz, its folder, or ICT-FaceKit's FaceXModel."""
    return rig_from(load_facekit(path))


def rig_from(kit: Facekit) -> Rig:
    """Everything derived from the head model that no identity changes."""
    neutral = kit.neutral.astype(np.float32)
    count = len(neutral)
    zero = np.zeros_like(neutral)
    basis = np.stack([sum((kit.expressions[n].astype(np.float32) for n in ict_names(name)), zero) for name in EXPRESSIONS])
    part = np.zeros(count, np.int32)
    part[SKIN_END:13294] = SOCKET
    part[14062:17039] = GUMS
    part[17039:21451] = TEETH
    part[21451:24591] = EYE
    part[25351:26719] = LASH
    jaw = basis[INDEX["jawOpen"]]
    ids = np.arange(count)
    moves = np.linalg.norm(jaw, axis=1)
    x, y, z = np.abs(neutral[:, 0]), neutral[:, 1], neutral[:, 2]
    # Gums and tongue are one piece of mesh: the tongue is what lies inside the lower arch.
    within = (x < 2.3 - 0.1 * np.clip(z - 6, 0, 5)) & (z < 9.75 - 0.35 * x**2 * (z > 8)) & (z > 1)
    tongue = np.flatnonzero((part == GUMS) & (moves > 1.0) & (y > -4.3) & within)
    part[tongue] = TONGUE
    lips = lip_distance(kit, kit.neutral)
    lips[9409:] = 9
    lash_ids = np.flatnonzero(part == LASH)
    lips[lash_ids] = cKDTree(kit.neutral[:9409]).query(kit.neutral[lash_ids])[0]
    # The inside of the mouth is part of the face's mesh: how deep behind the lips, and the socket behind it.
    mouth = kit.neutral[kit.landmarks[48:60]]
    behind = (lips < 0.3) & (z < mouth[:, 2].mean() - 1.0) & (ids < SKIN_END)
    triangles = kit.triangles(DRAWN).astype(np.int32)
    cavity = behind.astype(np.float32) + tooth_edges(neutral, triangles, part)
    rows = triangles.T.reshape(-1)
    gather = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, np.tile(np.arange(len(triangles)), 3))), shape=(count, len(triangles))
    )
    return Rig(
        kit=kit, neutral=neutral, triangles=triangles, skin_triangles=triangles[(triangles < SKIN_END).all(1)],
        identity=kit.identity.astype(np.float32).reshape(len(kit.identity), -1), basis=basis.reshape(len(EXPRESSIONS), -1),
        part=part, lips=lips.astype(np.float32), cavity=cavity, weight=neck_weight(y, x), gather=gather, tongue=tongue,
    )


def tooth_edges(rig_neutral: np.ndarray, triangles: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[V] 0 at the middle of each tooth, 1 at its sides; 0 elsewhere."""
    out = np.zeros(len(part), np.float32)
    ids = np.flatnonzero(part == TEETH)
    own = triangles[(part[triangles] == TEETH).all(1)]
    edges = np.concatenate([own[:, [0, 1]], own[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(part),) * 2)
    _, label = connected_components(graph, directed=False)
    # Along the dental arch, seen from its centre.
    angle = np.arctan2(rig_neutral[:, 0], rig_neutral[:, 2] - 5.5)
    for tooth in np.unique(label[ids]):
        members = ids[label[ids] == tooth]
        low, high = angle[members].min(), angle[members].max()
        out[members] = np.abs(angle[members] - 0.5 * (low + high)) / max(0.5 * (high - low), 1e-3)
    return out


def brow_distance(rig: Rig, points: np.ndarray) -> np.ndarray:
    """Distance in the frontal plane to the nearer brow's line, cm."""
    line = rig.kit.neutral[rig.landmarks][:, :2] + [0, 0.1]
    best = np.minimum(polyline_distance(points[:, :2], line[17:22]), polyline_distance(points[:, :2], line[22:27]))
    return np.where(points[:, 2] > 5, best, 9.0)
