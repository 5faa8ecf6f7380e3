"""One identity: its shape, look, pieces and backdrop, and the frames drawn of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from studio.mesh import adjacency, smooth_values
from warp.facekit import INDEX

from .backdrop import backdrop
from .coiffure import HAIR, SHARE, Barber, Fuzz, cover, grow_fuzz, ribbons
from .look import irradiance, sample_look
from .motion import driven_motion, rotation, source_motion, turned_motion
from .rig import Rig
from .stage import DEPTH, LABELS, SIZE, Piece, Stage, place, pose_of, sphere
from .wardrobe import glasses, static, torso

FRAMES = 10
PIXELS = 256
NOTHING = -100.0  # depth where nothing was drawn
KINDS = {
    "images": np.uint8, "motion": np.float32, "landmarks": np.float32, "region": np.uint8, "cover": np.uint8, "depth": np.float16,
    "flow": np.float16, "visible": np.uint8, "backdrop": np.uint8, "light": np.float32,
}
INKED = np.array([0, 1, 2, 3, 1, 1, 6, 7, 7, 7, 1, 11, 2], np.uint8)  # by region


@dataclass(frozen=True)
class Studio:
    """What all identities of one process share."""

    rig: Rig
    stage: Stage
    barber: Barber
    tracks: np.ndarray
    neighbours: object

    @staticmethod
    def open(rig: Rig, tracks: np.ndarray) -> Studio:
        return Studio(rig, Stage(rig), Barber(rig), tracks, adjacency(len(rig.neutral), rig.skin_triangles).astype(np.float32))


def sample_coefficients(rng: np.random.Generator, count: int) -> np.ndarray:
    """Identity coefficients [count] (standard deviations), the later modes amplified because they fade quickly."""
    use = min(60, count)
    coefficients = np.zeros(count)
    coefficients[:use] = rng.normal(size=use) * rng.uniform(0.6, 1.05)
    coefficients[1:use] *= np.linspace(1.15, 1.6, use - 1)
    return np.clip(coefficients, -3, 3)


def stretch(rng: np.random.Generator) -> np.ndarray:
    """[3]: by what a head's width, height and depth are multiplied."""
    wider = rng.uniform(0.95, 1.05)
    return np.array([wider, 1 / wider**0.5, 1], np.float32)


def sample_shape(rig: Rig, rng: np.random.Generator) -> np.ndarray:
    shape = rig.shape(sample_coefficients(rng, len(rig.identity)))
    return shape * stretch(rng)


def identity(studio: Studio, seed: int, turns: tuple[float, ...] = ()) -> dict[str, np.ndarray]:
    """All arrays of one identity's frames, by file name of the data set (without identity.npy and frame.npy).

    With turns (degrees of yaw) the two source frames are followed by the head at rest, turned so, instead of by a performer's motions.
    """
    rng = np.random.default_rng([seed, 0xFACE])
    rig, stage, barber = studio.rig, studio.stage, studio.barber
    shape = sample_shape(rig, rng)
    look = sample_look(rng)
    rest = rig.normals(shape)
    smooth = smooth_values(shape, studio.neighbours, 14)
    curvature = np.clip(((smooth - shape) * rest).sum(1), -1, 1) * (rig.part == 0)

    low = shape[9409:11248]
    ring = np.abs(low[:, 1] + 9) < 1.2
    neck = float(np.clip(np.ptp(low[ring, 0]) / 11.4, 0.85, 1.25)) if ring.sum() > 8 else 1.0
    drop = float(np.clip(low[:, 1].min() - rig.neutral[9409:11248, 1].min(), -3, 2))
    clothes, cloth_points, cloth_normals, fit = torso(rng, neck, drop, shape[:11248])
    styles = list(SHARE)
    style = styles[rng.choice(len(styles), p=np.array([SHARE[s] for s in styles]) / sum(SHARE.values()))]
    locks = barber.hair(style, shape, rest, cloth_points, look["hair_colour"], rng)

    head = Piece(
        static(
            rig.neutral, rig.part, weight=rig.weight, colour=np.concatenate([curvature[:, None], sphere(rig.neutral)], 1),
            uv=np.stack([rig.lips, rig.cavity], 1), canonical=rig.neutral,
        ),
        rig.triangles,
    )
    pieces, still = [head, clothes], [(1, cloth_points, cloth_normals)]
    if locks is not None:
        piece, points, normals = ribbons(locks, HAIR)
        still.append((len(pieces), points, normals))
        pieces.append(piece)
    if rng.random() < 0.10:
        piece, points, normals = glasses(rig, shape, rng)
        still.append((len(pieces), points, normals))
        pieces.append(piece)
    fuzz: list[tuple[int, Fuzz]] = []
    for kind, amount in (
        ("brow", rng.uniform(0.4, 1.0)),
        ("beard", (rng.random() < 0.18 and style not in ("bun", "long", "bob")) * rng.uniform(0.35, 1.0)),
    ):
        if amount > 0:
            grown = grow_fuzz(barber, kind, shape, rest, look["brow_colour"] if kind == "brow" else look["hair_colour"], rng, amount)
            fuzz.append((len(pieces), grown))
            pieces.append(grown.piece)

    cap = 0.0 if locks is None and rng.random() < 0.5 else rng.uniform(0.25, 0.5) if locks is None else rng.uniform(0.85, 1.0)
    uniforms = {k: v for k, v in look.items() if k not in ("pattern", "outline", "mk_paint", "hair_colour", "brow_colour")}
    uniforms["mk"] = (*look["mk_paint"], cap)
    uniforms["tp"] = (*look["pattern"], fit["line"], fit["dip"])
    scale = 0.0427 * rng.uniform(0.88, 1.15)
    base = np.array([rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.04) - 1.0 * scale])
    # base: image position (y down) of ICT's origin while the head has not moved.
    uniforms["cam"] = (scale, base[0], -base[1], 0)
    stage.dress(uniforms, pieces, cover(locks))
    ground = backdrop(rng, PIXELS)

    motions = [source_motion(rng, first=True), source_motion(rng, first=False)]
    motions += [turned_motion(motions[0], yaw) for yaw in turns] or [driven_motion(rng, studio.tracks) for _ in range(FRAMES - len(motions))]
    poses = [pose_of(rotation(*m.angles), m.shift, m.zoom) for m in motions]
    bodies = [rig.express(shape, m.expression) for m in motions]
    stage.sources(0, bodies[0], bodies[1])
    for index, points, normals in still:
        stage.move(index, points, normals)
        stage.sources(index, points, points)
    for index, grown in fuzz:
        stage.sources(index, grown.positions(shape, bodies[0]), grown.positions(shape, bodies[1]))
    for k in (0, 1):
        stage.pose(str(k), poses[k])

    out: dict[str, list] = {k: [] for k in ("images", "motion", "landmarks", "region", "cover", "depth", "flow", "visible")}
    depths: list[np.ndarray] = []

    def show(k: int) -> None:
        stage.move(0, bodies[k], rig.normals(bodies[k]))
        for index, grown in fuzz:
            stage.move(index, grown.positions(shape, bodies[k]), grown.normal)
        stage.pose("", poses[k])

    for k, (motion, pose, body) in enumerate(zip(motions, poses, bodies, strict=True)):
        show(k)
        marks = body[rig.landmarks]
        stage.uniforms({"lids": (marks[43:45, 1].mean(), marks[37:39, 1].mean()), "open": motion.expression[INDEX["jawOpen"]]})
        picture, depth = stage.draw(), stage.read_depth()
        if k < 2:
            depths.append(depth)
        r = rotation(*motion.angles)
        image, share = compose(picture, ground, depth if look["outline"] else None)
        out["images"].append(image)
        out["cover"].append(share * 255 + 0.5)
        out["region"].append(picture[2::4, 2::4, 3])
        out["landmarks"].append(place(marks, r, pose)[:, :2] * scale * [1, -1] + base)
        middle = place(np.zeros((1, 3)), r, pose)[0]
        origin = middle[:2] * scale * [1, -1] + base
        # Towards the viewer from the head's origin, in the head's own cm.
        near = depth[2::4, 2::4]
        out["depth"].append(np.where(near > 1 - DEPTH, (near - middle[2]) / pose.scale, NOTHING))
        out["motion"].append(np.concatenate([motion.angles, origin, [np.log(scale) + motion.zoom], motion.expression]))
        # Labels need the depth of both sources: frame 0 gets its own after frame 1 is drawn.
        for late in {0: (), 1: (1, 0)}.get(k, (k,)):
            if late != k:
                show(late)
            flow, visible = source_flow(*stage.draw_labels(), depths)
            out["flow"].insert(late, flow)
            out["visible"].insert(late, visible)
    out["backdrop"], out["light"] = [ground * 255 + 0.5], [irradiance(look)]
    return {name: np.stack(values).astype(KINDS[name]) for name, values in out.items()}


def compose(picture: np.ndarray, ground: np.ndarray, ink: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(image [256,256,3] uint8, cover [256,256] 0…1) of 2×2 samples over the background [256,256,3] 0…1; ink: the depth,
    if its jumps get an outline."""
    colour, solid = picture[..., :3], picture[..., 3] > 0
    if ink is not None:
        # No ink between brow, lash and skin, iris and eye, or hair and beard: at this size it would only be a blot.
        code = INKED[picture[..., 3]]
        jump = (maximum_filter(ink, 3) - minimum_filter(ink, 3) > 1.0) & (code != 2)
        jump |= (maximum_filter(code, 3) != minimum_filter(code, 3)) & (code != 2)
        colour = np.where((jump & solid)[..., None], np.uint8(15), colour)
    # Nothing was drawn: black, so the sum is already weighted by coverage.
    quarter = lambda v: v[0::2, 0::2] + v[0::2, 1::2] + v[1::2, 0::2] + v[1::2, 1::2]  # noqa: E731
    front = quarter(colour.astype(np.uint16)).astype(np.float32) * 0.25
    share = quarter(solid.astype(np.uint8)).astype(np.float32) * 0.25
    return np.clip(front + ground * (255 * (1 - share[..., None])) + 0.5, 0, 255).astype(np.uint8), share


def source_flow(where: np.ndarray, what: np.ndarray, depths: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(flow [2,64,64,2] −1…1, visible [2,64,64]) from a label pass and the sources' depth [512,512] cm."""
    axis = (np.arange(LABELS) + 0.5) / LABELS * 2 - 1
    own = np.stack(np.meshgrid(axis, axis), -1)
    solid = what[..., 2] > 0.5
    flow = np.stack([np.where(solid[..., None], where[..., 2 * s : 2 * s + 2], own) for s in (0, 1)])
    visible = np.zeros((2, LABELS, LABELS), np.uint8)
    for s, depth in enumerate(depths):
        at = (flow[s] + 1) / 2 * SIZE
        inside = ((at >= 0) & (at < SIZE)).all(-1)
        # The farthest of the four samples around the point: silhouettes are not sharper than that.
        x, y = (np.floor(at[..., k] - 0.5).astype(int).clip(0, SIZE - 2) for k in (0, 1))
        there = np.minimum.reduce([depth[y + j, x + i] for j in (0, 1) for i in (0, 1)])
        # Ribbons hide one another within a lock: that still counts as seen.
        slack = np.where(what[..., 3] > 0.5, 2.5, 0.35)
        front = what[..., s] > there - slack
        empty = there < -DEPTH + 1
        visible[s] = inside & np.where(solid, front & ~empty, empty)
    return np.clip(flow, -4, 4), visible
