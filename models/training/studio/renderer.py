"""Path traces a scene with Mitsuba 3 (BSD licence, from PyPI).

The scene is plain data (meshes with vertex colours, strands, lights), so that a faster rasteriser can draw the same
people for training.
"""

import ctypes
import glob
import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .camera import Camera
from .lights import Lights
from .mesh import Mesh

MAX_DEPTH = 14
BATCHES = 4
BLACK = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}}


@dataclass(frozen=True)
class Surface:
    """A mesh with vertex colours (attribute "color", linear RGB) and a principled material."""

    name: str
    mesh: Mesh
    material: dict = field(default_factory=dict)
    is_skin: bool = False


@dataclass(frozen=True)
class Strands:
    """Hair curves: points S×K×3 cm, radius S×K cm; colour = linear reflectance of the dense hair, 0…1."""

    name: str
    points: np.ndarray
    radius: np.ndarray
    colour: tuple[float, float, float]
    roughness: float = 0.34


@dataclass(frozen=True)
class Picture:
    """Linear light. rgb H×W×3, alpha H×W, skin coverage H×W, skin albedo H×W×3, gloss H×W×3 (skin's specular alone)."""

    rgb: np.ndarray
    alpha: np.ndarray
    skin: np.ndarray
    albedo: np.ndarray
    gloss: np.ndarray


def choose_variant() -> str:
    """STUDIO_VARIANT if set; llvm_ad_rgb when a recent LLVM is installed (2.3 times as fast), scalar_rgb otherwise.

    DRJIT_LIBLLVM_PATH names an LLVM in another place. LLVM 15 and older abort the process on some processors (f16
    constants), so they are not tried.
    """
    wanted = os.environ.get("STUDIO_VARIANT")
    if wanted:
        return wanted
    if os.environ.get("DRJIT_LIBLLVM_PATH"):
        return "llvm_ad_rgb"
    for version in (21, 20, 19, 18, 17):
        patterns = (f"/usr/lib/*/libLLVM*{version}*.so*", f"/usr/lib*/libLLVM*{version}*.so*")
        for file in sorted(name for pattern in patterns for name in glob.glob(pattern)):
            try:
                ctypes.CDLL(file)
            except OSError:
                continue
            os.environ["DRJIT_LIBLLVM_PATH"] = file
            return "llvm_ad_rgb"
    return "scalar_rgb"


def open_mitsuba():
    """Mitsuba with a variant set (see choose_variant) and this process's Dr.Jit held to one thread.

    Several threads add light to the film in whatever order they come, and a sum of floats depends on its order: one
    thread a process is what makes pictures the same bit for bit. Processes share the work instead (portraits --jobs).
    """
    import drjit
    import mitsuba

    if mitsuba.variant() is None:
        mitsuba.set_variant(choose_variant())
    drjit.set_thread_count(1)
    return mitsuba


def absorption(colour: tuple[float, float, float], azimuthal_roughness: float) -> list[float]:
    """Reflectance of dense hair → absorption coefficient (Chiang et al. 2016, eq. 9)."""
    b = azimuthal_roughness
    scale = 5.969 - 0.215 * b + 2.532 * b**2 - 10.73 * b**3 + 5.574 * b**4 + 0.245 * b**5
    return [float((np.log(max(c, 1e-3)) / scale) ** 2) for c in colour]


def render(
    surfaces: list[Surface],
    strands: list[Strands],
    camera: Camera,
    lights: Lights,
    *,
    samples: int,
    seed: int = 0,
) -> Picture:
    """Three passes: everything without the skin's gloss, the gloss alone, and the skin's colour and coverage.

    The same arguments give the same bytes on the same machine with the same variant.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [_write_curves(Path(folder) / f"{k}.txt", s) for k, s in enumerate(strands)]
        matte = _render_pass(surfaces, strands, files, camera, lights, "matte", samples, seed)
        gloss = _render_pass(surfaces, strands, files, camera, lights, "gloss", max(samples // 2, 4), seed + 1)
        few = max(samples // 4, 4)
        label = _render_pass(surfaces, strands, files, camera, lights, "label", few, seed + 2)
        cover = _render_pass([_whitened(s) for s in surfaces], strands, files, camera, lights, "label", few, seed + 2)
    return Picture(matte[..., :3], np.clip(matte[..., 3], 0, 1), cover[..., 0].clip(0, 1), label[..., :3], gloss[..., :3])


def _render_pass(surfaces, strands, files, camera, lights, kind, samples, seed) -> np.ndarray:
    mi = open_mitsuba()
    loaded = load_scene(mi, surfaces, strands, files, camera, lights, kind, samples)
    batches = BATCHES if samples >= 8 * BATCHES else 1
    images = [
        np.array(mi.render(loaded, spp=samples // batches, seed=seed * 1000 + k), dtype=np.float64) for k in range(batches)
    ]
    return without_fireflies(np.stack(images))


def load_scene(mi, surfaces, strands, files, camera, lights, kind, samples):
    """Mitsuba's scene for a pass: kind "matte", "gloss" or "label"; files: the strands' curves, see _write_curves."""
    scene = {
        "type": "scene",
        "integrator": {
            "type": "path",
            "max_depth": {"matte": MAX_DEPTH, "gloss": 3, "label": 1}[kind],
            "rr_depth": 6,
            "hide_emitters": kind != "label",
        },
        "camera": _sensor(mi, camera, samples),
    }
    if kind != "label":
        scene.update(lights.mitsuba(mi))
    for surface in surfaces:
        glow = surface.mesh.attributes["color"] if kind == "label" and surface.is_skin else None
        scene[surface.name] = _mesh(mi, surface, _material(surface, kind), glow)
    for item, file in zip(strands, files, strict=True):
        bsdf = _hair(item) if kind == "matte" else BLACK
        scene[item.name] = {"type": "bsplinecurve", "filename": str(file), "bsdf": bsdf}
    # Mitsuba's optimiser merges meshes by way of a table keyed by addresses and so shuffles the lamps from run to run;
    # a path picks its lamp by number, so that every run would have other noise.
    return mi.load_dict(scene, optimize=False)


def without_fireflies(batches: np.ndarray) -> np.ndarray:
    """Mean of independent renders B×H×W×C, each held below twice their median: rare bright paths do not survive."""
    if len(batches) < 3:
        return batches.mean(0)
    ceiling = 2.0 * np.median(batches, axis=0) + 0.03
    return np.minimum(batches, ceiling).mean(0)


def _sensor(mi, camera: Camera, samples: int) -> dict:
    return {
        "type": "perspective",
        "fov": camera.fov_degrees,
        "near_clip": 10.0,
        "far_clip": 1000.0,
        "to_world": mi.ScalarTransform4f().look_at(
            origin=list(camera.origin), target=list(camera.target), up=[0, 1, 0]
        ),
        "film": {
            "type": "hdrfilm",
            "width": camera.size,
            "height": camera.size,
            "pixel_format": "rgba",
            "rfilter": {"type": "gaussian", "stddev": 0.42},
        },
        "sampler": {"type": "independent", "sample_count": samples},
    }


def _material(surface: Surface, kind: str) -> dict:
    colour = {"type": "mesh_attribute", "name": "vertex_color"}
    if kind == "label" or (kind == "gloss" and not surface.is_skin):
        return BLACK
    if kind == "gloss":
        return _principled(surface, {"type": "rgb", "value": 0.0})
    if surface.is_skin:
        return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": colour}}
    return _principled(surface, colour)


def _principled(surface: Surface, colour: dict) -> dict:
    material = {"type": "principled", "base_color": colour, "roughness": 0.5, "specular": 0.4}
    material.update(surface.material)
    if "roughness" in surface.mesh.attributes:
        material["roughness"] = {"type": "mesh_attribute", "name": "vertex_roughness"}
    return {"type": "twosided", "bsdf": material}


def _hair(item: Strands) -> dict:
    return {
        "type": "hair",
        "sigma_a": {"type": "rgb", "value": absorption(item.colour, 0.3)},
        "longitudinal_roughness": item.roughness,
        "azimuthal_roughness": 0.3,
    }


def _whitened(surface: Surface) -> Surface:
    source = surface.mesh
    white = {"color": np.ones((len(source.vertices), 3))}
    return replace(surface, mesh=Mesh(source.vertices, source.triangles, source.normals, white))


def _mesh(mi, surface: Surface, bsdf: dict, glow: np.ndarray | None = None):
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(bsdf)
    if glow is not None:
        radiance = {"type": "mesh_attribute", "name": "vertex_color"}
        properties["emitter"] = mi.load_dict({"type": "area", "radiance": radiance})
    source = surface.mesh
    mesh = mi.Mesh(surface.name, len(source.vertices), len(source.triangles), has_vertex_normals=True, props=properties)
    for name in ("color", "roughness"):
        if name in source.attributes:
            value = np.ascontiguousarray(source.attributes[name], dtype=np.float32)
            mesh.add_attribute(f"vertex_{name}", value.reshape(len(value), -1).shape[1], value.ravel())
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = np.ascontiguousarray(source.vertices, dtype=np.float32).ravel()
    parameters["vertex_normals"] = np.ascontiguousarray(source.normals, dtype=np.float32).ravel()
    parameters["faces"] = np.ascontiguousarray(source.triangles, dtype=np.uint32).ravel()
    parameters.update()
    return mesh


def _write_curves(file: Path, item: Strands) -> Path:
    """Mitsuba's text format: one control point `x y z radius` a line, an empty line between curves.

    End points are doubled: a uniform B-spline otherwise starts and stops short of them.
    """
    points = np.concatenate([item.points[:, :1], item.points, item.points[:, -1:]], axis=1)
    radius = np.concatenate([item.radius[:, :1], item.radius, item.radius[:, -1:]], axis=1)
    rows = np.concatenate([points, radius[..., None]], axis=2)
    blocks = ("\n".join("%.4f %.4f %.4f %.5f" % tuple(row) for row in strand) for strand in rows.tolist())
    file.write_text("\n\n".join(blocks) + "\n")
    return file
