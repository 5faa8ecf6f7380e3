"""The encoder graph: a portrait and its 68 landmarks become one avatar's tensors.

Pose is a weak-perspective fit of the mean face. The canonical keypoints (face-vid2vid eq. 1) are the
landmarks, lifted to the mean face's depth and turned back into the head frame; the head's surface is the
mean face's, bent to the person by a smooth field of the landmarks' residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from warp.facekit import Tables
from warp.geometry import node_positions, outline_root, project_head, remove_roll
from warp.graph import Graph, Value, pixel_grid
from warp.layout import G, HEAD_CENTRE, LUMA, POSE, POSE_LENGTH, SIZES, avatar_tensors

FLOOD_STEPS = 48  # a cell each: from the picture's edge to the head and under the chin
FLOOD_TOLERANCE = 0.04  # colour distance per step
FLOOD_SLACK = 0.10
FLOOD_SHARP = 0.028  # colour distance of a pixel from its surroundings
CALM = 4  # the calmest of so many cells shows a picture's grain
WHITE, BETWEEN = 36, 0.14  # so many of the brightest places at most so far (in half eye widths) from the middle between the lids are an eye's white
GRAIN = 1.5  # how much sharper grain is elsewhere


def fit_pose(g: Graph, landmarks: Value, t: Tables):
    """landmarks [68,2] -> scale [1], shift [2], rotation [3,3], by least squares and orthonormalising."""
    affine = g.transpose(landmarks, 1, 0) @ t.pose_solver  # [2,4]
    linear, shift = g.split(affine, 1, 3, 1)
    first, second = g.split(linear, 0, 1, 1)  # [1,3] each
    length = lambda v: g.sqrt(g.sum(v * v, 1))  # noqa: E731
    la, lb = length(first), length(second)
    scale = (la + lb) * 0.5
    a, b = first / la, second / lb
    for _ in range(4):  # symmetric orthonormalisation (Newton)
        dot = g.sum(a * b, 1) * 0.5
        a, b = a - b * dot, b - a * dot
        a, b = a / length(a), b / length(b)
    ax, ay, az = g.split(a, 1, 1, 1, 1)
    bx, by, bz = g.split(b, 1, 1, 1, 1)
    c = g.concat([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)
    return g.reshape(scale, 1), g.reshape(shift, 2), g.concat([a, b, c], 0)


def corrected(g: Graph, scale: Value, shift: Value, rotation: Value, pose: Value) -> tuple[Value, Value, Value]:
    """scale [1], shift [2] and rotation [3,3] of a head, with the correction pose [6]: turn about the view's axes (rad, small),
    shift (cm), logarithm of the scale."""
    turn, move, grow = g.split(pose, 0, 3, 2, 1)
    x, y, z = g.split(g.unsqueeze(turn, 1), 0, 1, 1, 1)
    nothing = x * 0.0
    cross = g.concat([g.concat([nothing, -z, y], 1), g.concat([z, nothing, -x], 1), g.concat([-y, x, nothing], 1)], 0)
    # exp of the cross product's matrix; angles are small.
    small = g.const(np.eye(3)) + cross + cross @ cross * 0.5
    return scale * g.exp(grow), shift + move * scale, small @ rotation


@dataclass(frozen=True)
class Fitted:
    """The mean face as it was fitted to the portrait: scale [1], shift [2], rotation [3,3]; residual [68,3], what the
    landmarks miss it by (cm of the view; depth is 0 unless it was lifted); position [3,G*G] of the surface's nodes in the head frame (cm), place
    [1,1,2,G*G] of them in the portrait; landmarks [68,2]; keypoints [78,3] in the head frame; doubt [1], how
    likely the landmarks are not exact."""

    scale: Value
    shift: Value
    rotation: Value
    residual: Value
    position: Value
    place: Value
    landmarks: Value
    keypoints: Value
    doubt: Value


# (graph, image [1,3,512,512], fitted, alpha [1,1,256,256], backdrop [1,3,64,64]) -> the last three, better
Reading = Callable[[Graph, Value, Fitted, Value, Value], tuple[Fitted, Value, Value]]
# (graph, rotation [3,3] as fitted, residual [68,3] in the head's frame) -> pose [6] as `corrected` takes it, depth [68,1] of
# the landmarks behind the mean face's (cm of the view), doubt [1] of their being exact
Lifting = Callable[[Graph, Value, Value], tuple[Value, Value, Value]]


def encoder_graph(t: Tables, read: Reading | None = None, lift: Lifting | None = None) -> Graph:
    """lift: what knows of faces other than the mean one which pose and depth their landmarks tell of. read: what looks at the
    portrait once more, and may add outputs of its own."""
    g = Graph("encoder")
    portrait = g.input("portrait", "uint8", [512, 512, 3])
    landmarks = g.input("landmarks", "float32", [68, 2])
    outputs: dict[str, Value] = {}

    scale, shift, rotation = fit_pose(g, landmarks, t)
    depth, doubt = g.const(np.zeros((68, 1))), None
    if lift:
        pose, depth, doubt = lift(g, rotation, g.concat([missed(g, t, landmarks, scale, shift, rotation), depth], 1) @ rotation)
        scale, shift, rotation = corrected(g, scale, shift, rotation, pose)
    turn_back = g.transpose(rotation, 1, 0)

    # Residuals of the mean face, in centimetres of the view, as a smooth field over the frontal grid.
    residual = g.concat([missed(g, t, landmarks, scale, shift, rotation), depth], 1)
    resting = np.concatenate([node_positions().T, t.depth])
    position = g.const(resting) + turn_back @ (g.transpose(residual, 1, 0) @ t.residual_map)
    batch = lambda v: g.unsqueeze(v, 0)  # noqa: E731
    place = project_head(
        g, g.reshape(position, 1, 1, 3, G * G), 1, batch(rotation), batch(scale), batch(shift), slack=0.0,
    )
    outputs["surface"] = g.reshape(g.concat([position, g.reshape(place, 2, G * G)], 0), 5, G, G)

    # Keypoints: landmarks and teeth, which move with the mouth.
    outputs["keypoints"] = g.concat([t.landmarks + residual @ rotation, g.const(t.teeth) + g.mean(g.slice(residual, 0, 48, 68), 0) @ rotation], 0)
    outputs["anchors"] = landmarks * 1.0

    image = g.transpose(g.unsqueeze(g.cast(portrait, "float32"), 0), 0, 3, 1, 2) * np.float32(1 / 255)
    alpha, backdrop = matte(g, image, *prior_coordinates(g, scale, shift, rotation))
    if read:
        fitted = Fitted(scale, shift, rotation, residual, position, place, landmarks, outputs["keypoints"], doubt or g.const(np.ones(1)))
        fitted, alpha, backdrop = read(g, image, fitted, alpha, backdrop)
        scale, shift, rotation, outputs["keypoints"] = fitted.scale, fitted.shift, fitted.rotation, fitted.keypoints
        outputs["surface"] = g.reshape(g.concat([fitted.position, g.reshape(fitted.place, 2, G * G)], 0), 5, G, G)
    outputs |= layers(g, image, alpha, backdrop, sure=read is not None)

    iris, white = look_at_eyes(g, image, landmarks)
    pose = g.concat(
        [scale, shift, g.reshape(rotation, 9), white, iris, *one_tone(g, image), g.const(np.zeros(POSE_LENGTH - POSE["tone"][1]))], 0,
    )
    outputs["pose"] = pose
    for tensor in avatar_tensors():
        g.output(outputs[tensor["name"]], tensor["name"], tensor["dtype"], tensor["shape"])
    return g


def missed(g: Graph, t: Tables, landmarks: Value, scale: Value, shift: Value, rotation: Value) -> Value:
    """[68,2] by which landmarks [68,2] miss the mean face's in this pose, cm."""
    return (landmarks - shift) / scale - g.slice(t.landmarks @ g.transpose(rotation, 1, 0), 1, 0, 2)


def layers(g: Graph, image: Value, alpha: Value, backdrop: Value, *, sure: bool) -> dict[str, Value]:
    """texture and backdrop of every size, from image [1,3,512,512], alpha [1,1,256,256] and backdrop [1,3,b,b] of any size.

    The picture itself is the backdrop wherever a guessed alpha is not sure of the person; where alpha is sure, the outline's
    pixels, which hold the person's colours, are not believed either.
    """
    outputs: dict[str, Value] = {}
    cover = g.op("MaxPool", alpha, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4) if sure else alpha
    hidden = (0.2, 0.6) if sure else (0.5, 0.95)
    for size in SIZES:
        picture = image if size == 512 else g.pool(image, 512 // size)
        of_size = lambda v: g.pool(v, 2) if size == 128 else v if size == 256 else g.resize(v, 512, 512, 1)  # noqa: B023, E731
        a = of_size(alpha)
        b = g.resize(backdrop, size, size, 3)
        # Matting equation I = F + (1 - a) B with 0 <= F <= a; what does not fit stays behind, in the backdrop,
        # so that the portrait's own pose gives the portrait back.
        fore = g.max(g.min(picture - b * (1.0 - a), a), np.float32(0))
        exact = g.clip((picture - fore) / g.max(1.0 - a, np.float32(0.04)), 0, 1)
        b = g.mix(exact, b, g.smoothstep(of_size(cover), *hidden))
        to_bytes = lambda v: g.reshape(g.cast(g.clip(v * 255.0 + 0.5, 0, 255), "uint8"), -1, size, size)  # noqa: B023, E731
        outputs[f"texture{size}"] = to_bytes(g.concat([fore, a], 1))
        outputs[f"backdrop{size}"] = to_bytes(b)
    return outputs


def prior_coordinates(g: Graph, scale: Value, shift: Value, rotation: Value):
    """For the cells of a GxG map of the portrait: distance in head ellipsoids, x and y (cm), [1,1,G,G] each."""
    q = (g.const(pixel_grid(G, G).reshape(-1, 2).T.copy()) - g.unsqueeze(shift, 1)) / scale
    roll, upright = remove_roll(g, g.unsqueeze(rotation, 0))
    a, b, c, d = g.split(g.reshape(outline_root(g, upright), 1, 4), 1, 1, 1, 1, 1)
    inverse = g.reshape(g.concat([d, -b, -c, a], 1) / (a * d - b * c), 1, 2, 2) @ g.transpose(roll, 0, 2, 1)
    centre = rotation @ np.array(HEAD_CENTRE, np.float32).reshape(3, 1)
    unit = inverse @ (q - g.slice(centre, 0, 0, 2))
    rho = g.sqrt(g.sum(unit * unit, 1) + 1e-6)
    x, y = g.split(q, 0, 1, 1)
    return tuple(g.reshape(v, 1, 1, G, G) for v in (rho, x, y))


def one_tone(g: Graph, image: Value) -> tuple[Value, Value, Value]:
    """toned [1], dark [3] and tone [3] as in layout.POSE: 1 for grey, sepia and the like, whose colours are a straight
    function of their luma, 0 for everything that has colours."""
    pixels = g.reshape(g.pool(image, 8), 3, G * G)
    mean, weights = g.mean(pixels, 1), np.array([LUMA], np.float32)
    rest = pixels - mean
    luma = weights @ rest
    tone = g.sum(rest * luma, 1) / (g.sum(luma * luma, 1) + 1e-3)
    off = rest - tone * luma
    deviation = g.sqrt(g.mean(g.sum(off * off, 0), 1) + 1e-8)
    toned = 1.0 - g.smoothstep(deviation, 0.006, 0.02)
    return g.reshape(toned, 1), g.reshape(mean - tone * (weights @ mean), 3), g.reshape(tone, 3)


def look_at_eyes(g: Graph, image: Value, landmarks: Value) -> tuple[Value, Value]:
    """Iris centres [4] = (h, v) per eye in the eye's own coordinates, the dark pixels' centroid; and luma [1] of the whites, 0..1."""
    h, v = np.meshgrid(np.linspace(-0.75, 0.75, 31), np.linspace(-0.45, 0.45, 19))
    out, whites = [], []
    for eye in (36, 42):
        a, b = g.gather(landmarks, [eye], 0), g.gather(landmarks, [eye + 3], 0)
        mid, half = (a + b) * 0.5, (b - a) * 0.5
        hx, hy = g.split(half, 1, 1, 1)
        down = g.concat([-hy, hx], 1)
        lids = g.mean(g.gather(landmarks, [eye + 1, eye + 2, eye + 4, eye + 5], 0), 0)
        offset = lids - mid
        at = mid + g.const(h.reshape(-1, 1)) * half + g.const(v.reshape(-1, 1)) * down
        colour = g.reshape(g.sample(image, g.reshape(at, 1, 1, -1, 2), 512), 3, h.size)
        luma = g.sum(colour * np.array(LUMA, np.float32)[:, None], 0)
        lid_v = g.sum(offset * down, 1) / g.sum(half * half, 1)
        inside = g.const(np.exp(-((h / 0.55) ** 2)).reshape(1, -1)) * g.exp(-(g.op("Pow", (g.const(v.reshape(1, -1)) - lid_v) * 4.5, np.float32(2))))
        bright = g.op("ReduceMax", luma * inside, axes=[1], keepdims=1)
        dark = g.op("Pow", g.clip(1.0 - luma / (bright + 1e-3), 0.0, 1.0), np.float32(2)) * inside
        total = g.sum(dark, 1) + 1e-4
        ch = g.sum(dark * h.reshape(1, -1).astype(np.float32), 1) / total
        cv = g.sum(dark * v.reshape(1, -1).astype(np.float32), 1) / total
        brightest, _ = g.op("TopK", g.reshape(luma * g.cast(g.abs(g.const(v.reshape(1, -1)) - lid_v) < BETWEEN, "float32"), h.size), g.ints(WHITE), outputs=2)
        whites.append(g.mean(brightest, 0))
        out += [g.reshape(g.clip(ch, -0.35, 0.35), 1), g.reshape(cv * 0.5 + lid_v * 0.5, 1)]
    return g.concat(out, 0), (whites[0] + whites[1]) * 0.5


def flood(g: Graph, fine: Value, small: Value, seed: Value) -> Value:
    """Weight [1,1,G,G] of cells reached from `seed` through colours that go on smoothly.

    fine [1,3,4G,4G], small [1,3,G,G]. Backdrops are mostly out of focus and people are not: cells with sharp
    detail stop the flood too. Grain is as sharp everywhere and does not.
    """
    detail = fine - g.blur(fine, 3, 1.5)
    detail = g.sqrt(g.sum(detail * detail, 1) + 1e-8)
    sharp = g.op("MaxPool", detail, kernel_shape=[6, 6], strides=[4, 4], pads=[1, 1, 1, 1])
    calmest, _ = g.op("TopK", g.reshape(sharp, G * G), g.ints(G * G // CALM), outputs=2, largest=0)
    # Pictures without grain have calmest cells below the bound that is taken off, and keep what they had.
    grain = g.max(g.mean(calmest, 0) * GRAIN - FLOOD_SHARP * 0.35, np.float32(0))
    soft = 1.0 - g.smoothstep(sharp - grain, FLOOD_SHARP * 0.7, FLOOD_SHARP * 1.3)
    # Where nothing at all is sharp, colours may change faster: the edges of a blurred window.
    slack = (1.0 - g.smoothstep(sharp, 0.01, 0.022)) * FLOOD_SLACK + FLOOD_TOLERANCE
    slack = 1.0 / (slack * slack)
    free = seed * soft
    stacked = g.concat([small, g.const(np.ones((1, 1, G, G)))], 1)
    for _ in range(FLOOD_STEPS):
        around = g.op("AveragePool", stacked * free, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
        colour, weight = g.split(around, 1, 3, 1)
        off = small - colour / (weight + 1e-4)
        like = g.clip(2.5 - g.sum(off * off, 1) * slack * 2.0, 0, 1)
        reached = g.clip(weight * 8.0 - 1.2, 0, 1)  # a third of the cells around; a single one does not carry it on
        free = g.max(free, like * reached * soft)
    return free


def plane(g: Graph, colour: Value, weight: Value, side: int) -> Value:
    """The plane [1,3,side,side] through colours [1,3,side,side] of weight [1,1,side,side], by least squares."""
    x, y = (g.const(axis[None, None]) for axis in pixel_grid(side, side).transpose(2, 0, 1))
    average = lambda v: g.sum(v * weight, 2, 3) / (g.sum(weight, 2, 3) + 1e-3)  # noqa: E731
    dx, dy, rest = x - average(x), y - average(y), colour - average(colour)
    xx, xy, yy = average(dx * dx) + 0.02, average(dx * dy), average(dy * dy) + 0.02
    cx, cy = average(rest * dx), average(rest * dy)
    det = xx * yy - xy * xy
    return average(colour) + dx * ((yy * cx - xy * cy) / det) + dy * ((xx * cy - xy * cx) / det)


def matte(g: Graph, image: Value, rho: Value, x: Value, y: Value):
    """(alpha [1,1,256,256], backdrop [1,3,64,64]): a soft guess of what belongs to the person.

    The backdrop is flooded from the picture's upper edges as far as colours go on smoothly, and filled in behind
    the person by normalised convolution. What the flood did not reach, is near enough to head, neck and shoulders,
    and has another colour than the backdrop, is the person.
    """
    head = (1.24 - rho) * 12.0
    neck = g.min((6.6 - g.abs(x)) * 1.5, (y - 2.0) * 2.0)
    torso = (y - 13.0 - g.abs(x) * 0.28) * 1.2
    prior = g.max(g.max(head, neck), torso)
    # Never backdrop: the skull without hair, the neck, the breast.
    core = g.max(g.max((0.80 - rho) * 12.0, g.min((3.6 - g.abs(x)) * 2.0, (y - 2.0) * 2.0)), g.min((8.0 - g.abs(x)) * 1.5, (y - 17.0) * 1.2))
    core = g.sigmoid(core * 1.5)
    fine, small = g.pool(image, 2), g.pool(image, 8)
    rim = np.zeros((1, 1, G, G), np.float32)
    rim[:, :, :2], rim[..., :2], rim[..., -2:] = 1, 1, 1
    free = flood(g, fine, small, g.sigmoid((prior + 4.5) * -3.0) * g.const(rim)) * (1.0 - core)
    # A plane through the free colours first, so that a gradient goes on behind the head; then what it misses.
    gradient = plane(g, small, free, G)
    rest = (small - gradient) * free
    weight, colour = free * 1e-6 + 1e-5, rest * 1e-6
    for sigma, strength in ((0.8, 1.0), (1.5, 0.1), (4.0, 0.005), (10.0, 0.0003)):
        weight = weight + g.blur(free, 1, sigma) * strength
        colour = colour + g.blur(rest, 3, sigma) * strength
    backdrop = g.clip(gradient + colour / weight, 0, 1)

    up = lambda v, channels: g.resize(v, 256, 256, channels)  # noqa: E731
    behind = up(backdrop, 3)
    difference = fine - behind
    distance = g.sqrt(g.sum(difference * difference, 1) + 1e-6) * (1 / 0.07)
    closed = g.max(1.0 - free, core)
    depth = g.blur(closed, 1, 1.5)  # about 1/2 at the outline, 1 deep inside
    # Things in the backdrop that the flood went round are too far away to be the person's.
    near = g.smoothstep(g.max(prior, (1.8 - rho) * 12.0), -5.0, 0.0)
    logit = up((depth - 0.6) * 9.0 + core * 5.0 + g.clip(prior + 4.5, -6.0, 0.0) * 1.5, 1) + g.clip(distance - 1.0, -1.0, 3.0) * 3.0
    alpha = g.clip(g.sigmoid(logit * 1.5) * 1.04 - 0.02, 0, 1)
    # No pixel can be less the person's than it takes to get from the backdrop's colour to its own (0 <= F <= a).
    least = g.max(1.0 - fine / g.max(behind, np.float32(0.05)), difference / g.max(1.0 - behind, np.float32(0.05)))
    least = g.op("ReduceMax", least, axes=[1], keepdims=1) * g.smoothstep(distance, 0.8, 1.6)
    alpha = g.max(alpha, g.clip(least, 0, 1)) * up(g.smoothstep(closed, 0.1, 0.5) * near, 1)
    return g.blur(alpha, 1, 0.5), backdrop
