"""Triangle meshes as plain arrays: normals, curved subdivision, smoothing."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sparse


@dataclass
class Mesh:
    """A triangle mesh; `attributes` are per-vertex values that follow every subdivision.

    vertices N×3 cm, normals N×3 unit, triangles T×3, attributes name → N×k float.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray | None = None
    attributes: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.normals is None:
            self.normals = vertex_normals(self.vertices, self.triangles)


def triangulate(faces: np.ndarray) -> np.ndarray:
    """F×4 quads (−1 in the last column marks a triangle) → T×3 triangles."""
    quads = faces[:, 3] >= 0
    return np.concatenate([faces[:, :3], faces[quads][:, [0, 2, 3]]]).astype(np.int64)


def normalise(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals, N×3."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.zeros_like(vertices, dtype=np.float64)
    for k in range(3):
        np.add.at(out, triangles[:, k], face)
    return normalise(out)


def compact(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drops unused vertices. Returns (kept vertex indices, renumbered triangles)."""
    kept = np.unique(triangles)
    renumber = np.full(len(vertices), -1, dtype=np.int64)
    renumber[kept] = np.arange(len(kept))
    return kept, renumber[triangles]


def subdivide(mesh: Mesh, curvature: float = 0.75) -> Mesh:
    """Splits every triangle in four; new points are pulled on to the curved surface that the normals describe.

    The pull is Phong tessellation (Boubekeur and Alexa 2008) at the edge midpoint, scaled by `curvature` (0 flat, 1 full).
    """
    t = mesh.triangles
    edges = np.sort(np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]]), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    inverse = inverse.reshape(3, -1) + len(mesh.vertices)
    a, b = unique[:, 0], unique[:, 1]
    middle = 0.5 * (mesh.vertices[a] + mesh.vertices[b])
    na, nb = mesh.normals[a], mesh.normals[b]
    pull = ((middle - mesh.vertices[a]) * na).sum(1, keepdims=True) * na
    pull += ((middle - mesh.vertices[b]) * nb).sum(1, keepdims=True) * nb
    # Across a crease the two tangent planes disagree: leave those midpoints flat.
    smooth = np.clip(((na * nb).sum(1, keepdims=True) - 0.3) / 0.5, 0, 1)
    middle = middle - 0.5 * curvature * smooth * pull
    ab, bc, ca = inverse
    triangles = np.concatenate(
        [
            np.stack([t[:, 0], ab, ca], 1),
            np.stack([t[:, 1], bc, ab], 1),
            np.stack([t[:, 2], ca, bc], 1),
            np.stack([ab, bc, ca], 1),
        ]
    )
    attributes = {k: np.concatenate([v, 0.5 * (v[a] + v[b])]) for k, v in mesh.attributes.items()}
    return Mesh(
        np.concatenate([mesh.vertices, middle]),
        triangles,
        normalise(np.concatenate([mesh.normals, na + nb])),
        attributes,
    )


def adjacency(count: int, triangles: np.ndarray) -> sparse.csr_matrix:
    """Row-normalised vertex adjacency (count × count): multiplying averages the neighbours."""
    rows = triangles[:, [0, 1, 2, 1, 2, 0]].T.reshape(-1)
    columns = triangles[:, [1, 2, 0, 0, 1, 2]].T.reshape(-1)
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    matrix.data[:] = 1
    degree = np.maximum(np.asarray(matrix.sum(1)).ravel(), 1)
    return sparse.diags(1 / degree) @ matrix


def smooth_values(values: np.ndarray, neighbours: sparse.csr_matrix, rounds: int) -> np.ndarray:
    for _ in range(rounds):
        values = 0.5 * values + 0.5 * (neighbours @ values)
    return values


def sample_surface(
    mesh: Mesh, weights: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random points with density ∝ area × weight. Returns (triangle index P, barycentric P×3)."""
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    mass = area * weights[mesh.triangles].mean(1)
    total = mass.sum()
    if total <= 0:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 3))
    # Stratified: one draw per equal slice of the mass spreads roots more evenly than independent draws.
    u = (np.arange(count) + rng.random(count)) / count
    index = np.searchsorted(np.cumsum(mass) / total, u).clip(0, len(mass) - 1)
    r1, r2 = np.sqrt(rng.random(count)), rng.random(count)
    return index, np.stack([1 - r1, r1 * (1 - r2), r1 * r2], 1)


def interpolate(values: np.ndarray, mesh: Mesh, index: np.ndarray, bary: np.ndarray) -> np.ndarray:
    """Per-vertex values (N or N×k) at surface points."""
    corner = values[mesh.triangles[index]]
    weight = bary if values.ndim == 1 else bary[:, :, None]
    return (corner * weight).sum(1)
