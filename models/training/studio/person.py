"""A person is plain data; building one yields a scene that any renderer can draw."""

from dataclasses import dataclass, field, replace

import numpy as np

from .backdrop import Room
from .camera import Camera
from .clothes import Outfit, dress
from .eyes import Eyes, eyeball
from .facekit import MOUTH_MATERIALS, SKIN_MATERIALS, Facekit
from .facial_hair import FacialHair, grow_beard, grow_brows, grow_lashes
from .field import body_field, union
from .hairstyles import HairStyle, grow_style
from .identity import Shape, head_vertices, turn_head
from .lights import Lights, three_point
from .mesh import Mesh, compact, subdivide
from .renderer import Strands, Surface
from .skin import Skin, paint_skin

Colour = tuple[float, float, float]
# The outer eye corners' distance as a fraction of the image's width.
EYE_SPAN = 0.19


@dataclass(frozen=True)
class Person:
    """Everything about one portrait. hair_colour and brow_colour: sRGB; turn: yaw, pitch, roll in degrees."""

    id: str
    name: str
    shape: Shape = Shape()
    skin: Skin = Skin()
    eyes: Eyes = Eyes()
    hair: HairStyle = HairStyle("crop")
    hair_colour: Colour = (0.16, 0.11, 0.08)
    highlights: float = 0.25
    brow_colour: Colour | None = None
    facial: FacialHair = FacialHair()
    outfit: Outfit = Outfit()
    room: Room = Room()
    lights: Lights = field(default_factory=three_point)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """surfaces and strands to draw, the camera, and the 68 landmarks in cm (Multi-PIE order, point 0 at the image's left)."""

    surfaces: list[Surface]
    strands: list[Strands]
    camera: Camera
    landmarks: np.ndarray


def build(kit: Facekit, person: Person, *, size: int = 512, detail: int = 2) -> Scene:
    """detail: how often the skin's triangles are split (2 for 512², 1 for thumbnails)."""
    vertices = head_vertices(kit, person.shape)
    vertices, _ = turn_head(vertices, kit.neutral, *person.turn)
    camera = frame(vertices[kit.landmarks], size)

    triangles = kit.triangles(SKIN_MATERIALS)
    kept, triangles = compact(vertices, triangles)
    bare = Mesh(vertices[kept], triangles, None, {"canonical": kit.neutral[kept]})
    head = subdivide(bare)
    # Sockets and the mouth's inside face inwards and would confuse the distance field.
    outer = np.ones(len(head.vertices), dtype=bool)
    outer[: len(kept)] = kept < 11248
    body = body_field(head.vertices[outer], head.normals[outer])

    surfaces = []
    for name, mesh in dress(person.outfit, body):
        surfaces.append(Surface(name, mesh, {"roughness": 0.85, "specular": 0.25, "sheen": 0.8, "sheen_tint": 0.5}))
    dressed = body
    for item in surfaces:
        dressed = union(dressed, item.mesh.vertices, item.mesh.normals)
    strands = _grow_all(kit, person, vertices, head, body, dressed)

    skin = head if detail < 2 else subdivide(head)
    look = person.skin
    if look.scalp is None:
        # Between the strands one sees shaded hair rather than bright skin.
        look = replace(look, scalp=tuple(0.6 * a + 0.15 * b for a, b in zip(person.hair_colour, look.tone, strict=True)))
    paint_skin(kit, skin, look, person.brow_colour or person.hair_colour, person.hair.hairline)
    surfaces.append(Surface("skin", skin, {"specular": 0.45}, is_skin=True))
    wet = {"roughness": 0.08, "specular": 0.6, "clearcoat": 1.0, "clearcoat_gloss": 0.97}
    target = np.array([0.0, camera.height + 0.6, camera.origin[2]])
    for side in ("left", "right"):
        surfaces.append(Surface(f"eye_{side}", eyeball(kit, vertices, side, person.eyes, target), wet))
    surfaces.append(_mouth(kit, vertices))
    return Scene(surfaces, strands, camera, vertices[kit.landmarks])


def frame(landmarks: np.ndarray, size: int) -> Camera:
    """Scales by the eye corners and puts the face's centre slightly above the image's middle."""
    span = abs(landmarks[45, 0] - landmarks[36, 0])
    eyes = 0.5 * (landmarks[36] + landmarks[45])
    return Camera(size=size, height=float(eyes[1] - 4.6), eye_depth=float(eyes[2]), width_cm=float(span / EYE_SPAN))


def _grow_all(kit: Facekit, person: Person, vertices, head: Mesh, body, dressed) -> list[Strands]:
    brow_colour = person.brow_colour or person.hair_colour
    strands = []
    points, radius = grow_style(person.hair, head, dressed)
    # Neighbouring strands differ in tone: four groups, from darker to lighter.
    rng = np.random.default_rng(person.hair.seed + 77)
    group = rng.integers(0, 4, len(points))
    for k, tone in enumerate((-1.0, -0.3, 0.3, 1.0)):
        colour = tuple(float(np.clip(c * (1 + person.highlights * tone), 0.005, 0.95)) for c in person.hair_colour)
        strands.append(Strands(f"hair_{k}", points[group == k], radius[group == k], _linear(colour)))
    if person.facial.brow > 0:
        strands.append(Strands("brows", *grow_brows(kit, head, person.facial, body), _linear(brow_colour)))
    strands.append(Strands("lashes", *grow_lashes(kit, vertices, person.facial), (0.012, 0.010, 0.009)))
    if person.facial.beard > 0:
        strands.append(Strands("beard", *grow_beard(kit, head, person.facial, body), _linear(brow_colour)))
    return strands


def _linear(colour: Colour) -> tuple[float, float, float]:
    from .skin import to_linear

    return tuple(float(c) for c in to_linear(colour))


def _mouth(kit: Facekit, vertices: np.ndarray) -> Surface:
    """Teeth and gums, dark: the lips are closed, only a slit could show them."""
    kept, triangles = compact(vertices, kit.triangles(MOUTH_MATERIALS))
    mesh = Mesh(vertices[kept], triangles, None, {"color": np.full((len(kept), 3), 0.12)})
    return Surface("mouth", mesh, {"roughness": 0.5})
