"""python studio_ball.py THREADS: photographs a ball with a tuft of hair, prints digests of what came out (JSON).

Run by test_studio.py in processes of its own. THREADS are what Dr.Jit has before the studio asks anything of it.
"""

import hashlib
import json
import sys
from dataclasses import fields
from pathlib import Path

import drjit
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from studio.backdrop import Room, paint_room  # noqa: E402
from studio.camera import Camera  # noqa: E402
from studio.grade import develop  # noqa: E402
from studio.lights import three_point  # noqa: E402
from studio.mesh import Mesh, subdivide  # noqa: E402
from studio.renderer import Picture, Strands, Surface, load_scene, open_mitsuba, render  # noqa: E402

# 32 samples: the fewest for which a pass is rendered in batches. 96 pixels: nine of Mitsuba's blocks.
SIZE, SAMPLES = 96, 32
CAMERA = Camera(size=SIZE, height=0.0, eye_depth=0.0, width_cm=24.0)
LIGHTS = three_point()


def ball(centre: tuple[float, float, float], radius: float, colour: tuple[float, float, float]) -> Mesh:
    """An octahedron of one colour (linear RGB), subdivided into a ball; cm."""
    points = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
    faces = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    mesh = Mesh(points, faces)
    for _ in range(3):
        mesh = subdivide(mesh, curvature=1.0)
    return Mesh(radius * mesh.normals + np.array(centre), mesh.triangles, mesh.normals, {"color": np.tile(colour, (len(mesh.normals), 1))})


def tuft(count: int = 60) -> Strands:
    """Hair that stands up from a ball of 7 cm about the origin."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(count, 3)) * [0.5, 0.1, 0.3] + [0, 1, 0.3]
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    points = root[:, None] * np.linspace(6.9, 10.5, 6)[None, :, None]
    return Strands("tuft", points, np.full(points.shape[:2], 0.05), (0.2, 0.1, 0.05))


def photograph(seed: int) -> tuple[Picture, np.ndarray]:
    """The ball's picture, and the same developed (sRGB uint8)."""
    skin = Surface("skin", ball((0, 0, 0), 7.0, (0.6, 0.4, 0.3)), {"specular": 0.45}, is_skin=True)
    eye = Surface("eye", ball((2.5, 2.0, 6.0), 1.5, (0.1, 0.2, 0.4)), {"roughness": 0.08, "clearcoat": 1.0})
    picture = render([skin, eye], [tuft()], CAMERA, LIGHTS, samples=SAMPLES, seed=seed)
    return picture, develop(picture, paint_room(Room(seed=1), SIZE), SIZE / CAMERA.width_cm)


def digests(seed: int) -> dict[str, str]:
    """SHA-256 of every plane of the picture (float64) and of the developed image."""
    picture, image = photograph(seed)
    planes = {field.name: getattr(picture, field.name) for field in fields(picture)} | {"image": image}
    return {name: hashlib.sha256(np.ascontiguousarray(plane)).hexdigest() for name, plane in planes.items()}


def lamps() -> list[str]:
    """The order in which Mitsuba numbers the lamps of the picture."""
    scene = load_scene(open_mitsuba(), [], [], [], CAMERA, LIGHTS, "matte", SAMPLES)
    return [shape.id() for shape in scene.shapes()]


def main() -> None:
    drjit.set_thread_count(int(sys.argv[1]))
    # The same picture twice in a process, too: nothing may be left over from the first.
    print(json.dumps({"first": digests(1), "again": digests(1), "other": digests(2), "lamps": lamps()}))


if __name__ == "__main__":
    main()
