"""The OpenGL side: buffers, the skin's map, one colour and one label pass per frame."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

os.environ.setdefault("LP_NUM_THREADS", "1")
import moderngl  # noqa: E402 - llvmpipe reads its thread count when it is loaded

from . import shaders  # noqa: E402
from .rig import BEARD, BROW, CLOTH, EYE, GLASSES, GUMS, HAIR, LASH, PIVOT, SKIN, SOCKET, TEETH, TONGUE, Rig, brow_distance  # noqa: E402
from studio.regions import eye_distance, hairline_height, lip_distance  # noqa: E402

MAP = (1024, 512)
CENTRE = np.array([0.0, 1.0, 0.0], np.float32)  # of the spherical map; SC in the shaders
DEPTH = 60.0  # cm from the origin to the clip planes
SIZE, LABELS = 512, 64


def sphere(points: np.ndarray) -> np.ndarray:
    """Map coordinates 0…1 (u around, v from the top), [N,2]."""
    d = points - CENTRE
    d = d / (np.linalg.norm(d, axis=1, keepdims=True) + 1e-9)
    return np.stack([np.arctan2(d[:, 0], d[:, 2]) / (2 * np.pi) + 0.5, np.arccos(np.clip(d[:, 1], -1, 1)) / np.pi], 1)


# Which program draws which vertex part.
KINDS = {SKIN: 0, SOCKET: 0, GUMS: 2, TEETH: 2, TONGUE: 2, EYE: 4, LASH: 5, CLOTH: 6, HAIR: 7, BROW: 7, BEARD: 7, GLASSES: 8}


def _defined(source: str, kind: int, label: bool) -> str:
    return source.replace("#version 330", f"#version 330\n#define K {kind}" + ("\n#define FLOW" if label else ""), 1)


@dataclass
class Uploaded:
    """One piece on the device: its draws per pass (colour, label) and its buffers."""

    draws: tuple[list, list]
    dynamic: object
    source: object
    buffers: list


@dataclass
class Piece:
    """Vertices that share a buffer. static [V,14]: canonical 3, part, neck weight, tangent 3, half width, colour 3, uv 2."""

    static: np.ndarray
    triangles: np.ndarray
    moves: bool = False


@dataclass(frozen=True)
class Pose:
    """ICT axes. turn: unit quaternion xyzw; scale of the head; move: cm."""

    turn: np.ndarray
    scale: float
    move: np.ndarray


def pose_of(rotation: np.ndarray, shift: np.ndarray, zoom: float) -> Pose:
    """rotation [3,3] in Facewire's axes, shift cm (x right, y down)."""
    flip = np.diag([1.0, -1.0, -1.0])
    r = flip @ rotation @ flip
    angle = np.arccos(np.clip((np.trace(r) - 1) / 2, -1, 1))
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    turn = np.append(axis / max(2 * np.sin(angle), 1e-9) * np.sin(angle / 2), np.cos(angle / 2))
    return Pose(turn, float(np.exp(zoom)), np.array([shift[0], -shift[1], 0.0]))


def place(points: np.ndarray, rotation: np.ndarray, pose: Pose) -> np.ndarray:
    """Where the vertex shader puts points of the skull (weight 1); ICT axes, cm."""
    flip = np.diag([1.0, -1.0, -1.0])
    r = flip @ rotation @ flip
    return pose.scale * (points - PIVOT) @ r.T + PIVOT + pose.move


class Stage:
    """Draws with one software-rendering thread; one instance per process."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        c = self.ctx = moderngl.create_standalone_context(backend="egl")
        self.programs = {
            (kind, label): c.program(
                vertex_shader=_defined(shaders.MESH_VS, kind, label), fragment_shader=_defined(shaders.MESH_FS, kind, label)
            )
            for kind in sorted(set(KINDS.values()))
            for label in (False, True)
        }
        self.painter = c.program(vertex_shader=shaders.QUAD_VS, fragment_shader=shaders.PAINT_FS)
        quad = c.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], "f4").tobytes())
        self.quad = c.vertex_array(self.painter, [(quad, "2f", "at")])
        self.place_map, self.mask_map = self._maps()
        self.paint_map = c.texture(MAP, 4)
        self.paint_map.repeat_x = True
        self.paint_buffer = c.framebuffer([self.paint_map])
        self.cover_map = c.texture((128, 64), 1, dtype="f4")
        self.image = c.texture((SIZE, SIZE), 4)
        self.depth = c.depth_texture((SIZE, SIZE))
        self.depth.compare_func = ""
        self.frame = c.framebuffer([self.image], self.depth)
        self.where = c.texture((LABELS, LABELS), 4, dtype="f4")
        self.what = c.texture((LABELS, LABELS), 4, dtype="f4")
        self.labels = c.framebuffer([self.where, self.what], c.depth_renderbuffer((LABELS, LABELS)))
        c.enable(moderngl.DEPTH_TEST)
        self.everything = [*self.programs.values(), self.painter]
        self.uniforms({"pivot": PIVOT})
        for name, unit in (("paint", 0), ("cover", 1)):
            for program in self.programs.values():
                if name in program:
                    program[name].value = unit
        self.pieces: list[Uploaded] = []

    def _maps(self):
        """The spherical map: which point of the neutral head lies in each direction, and the masks there."""
        from scipy.ndimage import distance_transform_edt

        rig, (width, height) = self.rig, MAP
        t = rig.skin_triangles
        uv = sphere(rig.neutral)[t]
        xyz = np.broadcast_to(rig.neutral[t], (len(t), 3, 3)).copy()
        far = uv[:, :, 0].max(1) - uv[:, :, 0].min(1) > 0.5
        low = uv[far].copy()
        low[:, :, 0] -= low[:, :, 0] > 0.5
        high = low + [1, 0]
        uv, xyz = np.concatenate([uv[~far], low, high]), np.concatenate([xyz[~far], xyz[far], xyz[far]])
        radius = np.linalg.norm(xyz - CENTRE, axis=2)
        clip = np.concatenate([uv * 2 - 1, -radius[..., None] / 40, xyz], 2).astype("f4")
        c = self.ctx
        program = c.program(
            vertex_shader="#version 330\nin vec3 at; in vec3 can; out vec3 C; void main(){C=can;gl_Position=vec4(at,1);}",
            fragment_shader="#version 330\nin vec3 C; out vec4 o; void main(){o=vec4(C,1);}",
        )
        target = c.texture(MAP, 4, dtype="f4")
        buffer = c.framebuffer([target], c.depth_renderbuffer(MAP))
        buffer.use()
        buffer.clear()
        c.enable(moderngl.DEPTH_TEST)
        c.vertex_array(program, [(c.buffer(clip.tobytes()), "3f 3f", "at", "can")]).render()
        place_ = np.frombuffer(target.read(), "f4").reshape(height, width, 4).copy()
        index = distance_transform_edt(place_[..., 3] < 0.5, return_distances=False, return_indices=True)
        place_ = place_[tuple(index)]
        points = place_[..., :3].reshape(-1, 3).astype(np.float64)
        masks = np.full((len(points), 4), 9.0, np.float32)
        front = np.flatnonzero(points[:, 2] > 4.5)
        masks[front, 0] = lip_distance(rig.kit, points[front])
        masks[front, 1] = brow_distance(rig, points[front])
        masks[front, 2] = eye_distance(rig.kit, points[front])
        hair = points[:, 1] - hairline_height(points)
        ear = (np.abs(points[:, 0]) > 7.5) & (points[:, 1] < 5.2) & (points[:, 1] > -2.5) & (points[:, 2] < 3.4) & (points[:, 2] > -3.2)
        masks[:, 3] = np.where(ear, np.minimum(hair, -2), hair)
        textures = []
        for data in (place_, masks.reshape(height, width, 4)):
            texture = c.texture(MAP, 4, np.ascontiguousarray(data, "f4").tobytes(), dtype="f4")
            texture.repeat_x = True
            textures.append(texture)
        return textures

    def uniforms(self, values: dict) -> None:
        for name, value in values.items():
            v = tuple(float(x) for x in value) if np.ndim(value) else float(value)
            for program in self.everything:
                if name in program:
                    program[name].value = v

    def dress(self, look: dict, pieces: list[Piece], cover: np.ndarray) -> None:
        """A new identity: paints its skin, uploads its pieces. cover [64,128]: hair that shades the skin, 0…1."""
        self.uniforms(look)
        self.paint_buffer.use()
        self.place_map.use(0)
        self.mask_map.use(1)
        self.painter["place"].value, self.painter["masks"].value = 0, 1
        self.ctx.disable(moderngl.DEPTH_TEST)
        self.quad.render(moderngl.TRIANGLE_STRIP)
        self.ctx.enable(moderngl.DEPTH_TEST)
        self.cover_map.write(np.ascontiguousarray(cover, "f4").tobytes())
        for old in self.pieces:
            for item in (*old.draws[0], *old.draws[1], *old.buffers):
                item.release()
        self.pieces = [self._upload(piece) for piece in pieces]

    def _upload(self, piece: Piece) -> Uploaded:
        c = self.ctx
        count = len(piece.static)
        static = c.buffer(np.ascontiguousarray(piece.static, "f4").tobytes())
        dynamic, source = c.buffer(reserve=count * 24, dynamic=True), c.buffer(reserve=count * 24, dynamic=True)
        layout = [
            (static, "3f 1f 1f 3f 1f 3f 2f", "can", "part", "w", "tan_", "hw", "col", "uv"),
            (dynamic, "3f 3f", "p", "n"), (source, "3f 3f", "p0", "p1"),
        ]
        kinds = np.array([KINDS.get(k, 0) for k in range(max(KINDS) + 1)])[piece.static[:, 3].astype(int)][piece.triangles[:, 0]]
        buffers, draws = [static, dynamic, source], ([], [])
        for kind in np.unique(kinds):
            index = c.buffer(np.ascontiguousarray(piece.triangles[kinds == kind], "i4").tobytes())
            buffers.append(index)
            for label in (False, True):
                draws[label].append(c.vertex_array(self.programs[int(kind), label], layout, index, skip_errors=True))
        return Uploaded(draws, dynamic, source, buffers)

    def move(self, piece: int, positions: np.ndarray, normals: np.ndarray) -> None:
        """Positions and normals of one piece in the head's own frame, [V,3] each."""
        self.pieces[piece].dynamic.write(np.concatenate([positions, normals], 1).astype("f4").tobytes())

    def sources(self, piece: int, first: np.ndarray, second: np.ndarray) -> None:
        self.pieces[piece].source.write(np.concatenate([first, second], 1).astype("f4").tobytes())

    def pose(self, name: str, pose: Pose) -> None:
        """name: '' for this frame, '0' and '1' for the sources."""
        self.uniforms({f"turn{name}": pose.turn, f"move{name}": (*pose.move, pose.scale)})

    def draw(self) -> np.ndarray:
        """Colour and region [512,512,4] uint8 (alpha = region), rows from the top."""
        self.frame.use()
        self.frame.clear(0, 0, 0, 0)
        self.paint_map.use(0)
        self.cover_map.use(1)
        # The head first: most hair lies behind it, and what it hides needs no shading.
        for piece in self.pieces:
            for draw in piece.draws[0]:
                draw.render()
        image = np.frombuffer(self.image.read(), np.uint8).reshape(SIZE, SIZE, 4)[::-1]
        return image

    def read_depth(self) -> np.ndarray:
        """z in cm [512,512] of the last drawn frame (−60: nothing)."""
        d = np.frombuffer(self.depth.read(), "f4").reshape(SIZE, SIZE)[::-1]
        return DEPTH * (1 - 2 * d)

    def draw_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Source positions [64,64,4] (x0,y0,x1,y1, −1…1) and [64,64,4] (z0, z1 cm, region, fibre)."""
        self.labels.use()
        self.labels.clear(0, 0, 0, 0)
        self.paint_map.use(0)
        self.cover_map.use(1)
        for piece in self.pieces:
            for draw in piece.draws[1]:
                draw.render()
        shape = (LABELS, LABELS, 4)
        return tuple(np.frombuffer(t.read(), "f4").reshape(shape)[::-1] for t in (self.where, self.what))
