"""Reads the ICT morphable head, packed (ict-facekit.npz) or as its authors publish it (FaceXModel, a folder of OBJ files)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .mesh import triangulate

# First and one past the last vertex of each part.
PARTS = {
    "face": (0, 9409),
    "head": (9409, 11248),
    "mouth_socket": (11248, 13294),
    "eye_sockets": (13294, 14062),
    "gums": (14062, 17039),
    "teeth": (17039, 21451),
    "eyeball_left": (21451, 23021),
    "eyeball_right": (23021, 24591),
    "lashes": (25351, 26719),
}
SKIN_MATERIALS = ("M_Face", "M_BackHead")
MOUTH_MATERIALS = ("M_Teeth", "M_GumsTongue")
EYE_MATERIALS = {
    "left": ("M_ScleraLeft", "M_IrisLeft"),
    "right": ("M_ScleraRight", "M_IrisRight"),
}
# Centres of the eyeballs in the neutral mean head, cm.
EYE_CENTRES = {"left": np.array([3.12, 3.61, 8.02]), "right": np.array([-3.12, 3.61, 8.02])}


class FacekitMissing(RuntimeError):
    """Neither ict-facekit.npz nor a FaceXModel folder lies at the given path."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no morphable head at {path}: expected ict-facekit.npz or ICT-FaceKit's FaceXModel folder; "
            "clone ICT-VGL/ICT-FaceKit and pass --facekit .../FaceXModel"
        )


@dataclass(frozen=True)
class Facekit:
    """neutral V×3 cm; faces F×4 (−1: triangle); identity I×V×3; expressions name → V×3; landmarks 68 (Multi-PIE)."""

    neutral: np.ndarray
    faces: np.ndarray
    face_material: np.ndarray
    materials: tuple[str, ...]
    identity: np.ndarray
    expressions: dict[str, np.ndarray]
    landmarks: np.ndarray

    def triangles(self, materials: tuple[str, ...]) -> np.ndarray:
        """T×3 triangles of the named materials, in the numbering of `neutral`."""
        wanted = [self.materials.index(name) for name in materials]
        return triangulate(self.faces[np.isin(self.face_material, wanted)])


def load_facekit(path: str | Path) -> Facekit:
    """Loads from a folder with ict-facekit.npz, from the npz itself, or from a FaceXModel folder.

    Raises FacekitMissing when there is neither.
    """
    path = Path(path)
    packed = path if path.suffix == ".npz" else path / "ict-facekit.npz"
    if packed.is_file():
        return _load_packed(packed)
    for folder in (path, path / "FaceXModel"):
        if (folder / "generic_neutral_mesh.obj").is_file():
            return _load_folder(folder)
    raise FacekitMissing(path)


def _load_packed(file: Path) -> Facekit:
    with np.load(file) as data:
        names = [str(name) for name in data["expression_names"]]
        return Facekit(
            neutral=data["neutral"].astype(np.float64),
            faces=data["faces"].astype(np.int64),
            face_material=data["face_material"],
            materials=tuple(str(name) for name in data["materials"]),
            identity=data["identity_delta"],
            expressions=dict(zip(names, data["expression_delta"], strict=True)),
            landmarks=data["landmarks68"].astype(np.int64),
        )


def _load_folder(folder: Path) -> Facekit:
    neutral, faces, material, names = _read_obj(folder / "generic_neutral_mesh.obj")
    special = {"generic_neutral_mesh"}
    identity, expressions = [], {}
    for file in sorted(folder.glob("*.obj")):
        if file.stem in special:
            continue
        delta = (_read_vertices(file) - neutral).astype(np.float32)
        if file.stem.startswith("identity"):
            identity.append(delta)
        else:
            expressions[file.stem] = delta
    indices = json.loads((folder / "vertex_indices.json").read_text())
    return Facekit(
        neutral=neutral,
        faces=faces,
        face_material=material,
        materials=names,
        identity=np.stack(identity),
        expressions=expressions,
        landmarks=np.asarray(indices["idx_to_landmark_verts"], dtype=np.int64),
    )


def _read_vertices(file: Path) -> np.ndarray:
    lines = file.read_text().splitlines()
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], dtype=np.float64)


def _read_obj(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    faces, material, names, current = [], [], [], -1
    for line in file.read_text().splitlines():
        if line.startswith("usemtl "):
            name = line.split()[1]
            if name not in names:
                names.append(name)
            current = names.index(name)
        elif line.startswith("f "):
            corner = [int(part.split("/")[0]) - 1 for part in line.split()[1:]]
            faces.append(corner + [-1] * (4 - len(corner)))
            material.append(current)
    return (
        _read_vertices(file),
        np.array(faces, dtype=np.int64),
        np.array(material, dtype=np.uint8),
        tuple(names),
    )
