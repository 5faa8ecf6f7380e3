"""The encoder graph: a portrait and its 68 landmarks become one avatar's tensors.

Pose is a weak-perspective fit of the mean face (face-vid2vid's canonical keypoints are then the
landmarks, lifted to the mean face's depth and turned back into the head frame). Each cell of a 64x64 map
over the portrait gets its place on the head by walking along its ray until it meets the mean face's
surface, which is first bent to the person by a smooth field of the landmarks' residuals.
"""

from __future__ import annotations

import numpy as np

from facekit import DEPTH_HALF, DEPTH_N, FIELD_BOTTOM, FIELD_TOP, FIELD_X, Tables
from graph import Graph, Value, pixel_grid
from layout import G, HEAD_CENTRE, HEAD_RADII, POSE_LENGTH, SIZES, avatar_tensors

RAY_STEPS = 10


def sqrt2x2(g: Graph, a, b, d):
    """Square root of the symmetric matrix [[a, b], [b, d]], as its three entries."""
    root = g.sqrt(g.max(a * d - b * b, np.float32(1e-6)))
    norm = g.sqrt(a + d + root * 2.0)
    return (a + root) / norm, b / norm, (d + root) / norm


def silhouette(g: Graph, rows: Value):
    """Root of the ellipsoid's outline matrix for the first two rows [.., 2, 3] of a roll-free rotation."""
    scaled = rows * np.array(HEAD_RADII, np.float32)
    gram = scaled @ g.op("Transpose", scaled, perm=[0, 2, 1])
    flat = g.reshape(gram, 0, 4)
    a, b, _, d = g.split(flat, 1, 1, 1, 1, 1)
    return sqrt2x2(g, a, b, d)


def remove_roll(g: Graph, rotation: Value):
    """(cos, sin, roll-free rotation) of [N,3,3]: roll is the turn of the head's vertical in the picture."""
    flat = g.reshape(rotation, 0, 9)
    up_x, up_y = g.slice(flat, 1, 1, 2), g.slice(flat, 1, 4, 5)
    norm = g.sqrt(up_x * up_x + up_y * up_y + 1e-8)
    cos, sin = up_y / norm, -up_x / norm
    zero, one = cos * 0.0, cos * 0.0 + 1.0
    back = g.reshape(g.concat([cos, sin, zero, -sin, cos, zero, zero, zero, one], 1), 0, 3, 3)
    return cos, sin, back @ rotation


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


def plane_grid(g: Graph, xy: Value):
    """[2, n] centimetres on the frontal plane -> sampling grid [1, G, G, 2] of the depth tables."""
    return g.reshape(g.transpose(xy, 1, 0), 1, G, G, 2) * np.float32(1 / DEPTH_HALF)


def encoder_graph(t: Tables) -> Graph:
    g = Graph("encoder")
    portrait = g.input("portrait", "uint8", [512, 512, 3])
    landmarks = g.input("landmarks", "float32", [68, 2])
    outputs: dict[str, Value] = {}

    scale, shift, rotation = fit_pose(g, landmarks, t)
    turn_back = g.transpose(rotation, 1, 0)

    # Residuals of the mean face, in centimetres of the view plane, as a smooth field over the frontal plane.
    mean_view = t.landmarks @ turn_back  # [68,3] = R X
    seen = (landmarks - shift) / scale
    residual = seen - g.slice(mean_view, 1, 0, 2)
    field = g.reshape(g.transpose(residual, 1, 0) @ t.residual_map, 1, 2, DEPTH_N, DEPTH_N)

    # Rays of the coarse map.
    points = pixel_grid(G, G).reshape(-1, 2).T  # [2, n]
    q = (g.const(points) - g.unsqueeze(shift, 1)) / scale
    back_flat = g.reshape(rotation, 9)
    r22 = g.clip(g.slice(back_flat, 0, 8, 9), 0.3, 1)
    depth_table = g.const(t.depth[None, None])
    depth = q * 0.0
    depth = g.slice(depth, 0, 0, 1) - 6.0  # [1, n]
    plane = g.slice(turn_back @ g.concat([q, depth], 0), 0, 0, 2)
    bent = q
    for _ in range(RAY_STEPS):
        grid = plane_grid(g, plane)
        bent = q - g.reshape(g.sample(field, grid, corners=True), 2, G * G)
        head = turn_back @ g.concat([bent, depth], 0)
        plane = g.slice(head, 0, 0, 2)
        surface = g.reshape(g.sample(depth_table, plane_grid(g, plane), corners=True), 1, G * G)
        depth = depth + (surface - g.slice(head, 0, 2, 3)) * r22 * 0.7
    position = turn_back @ g.concat([q, depth], 0)
    plane_x, plane_y = g.split(plane, 0, 1, 1)
    field_x = plane_x * (1 / FIELD_X)
    field_y = (plane_y - FIELD_TOP) * (2 / (FIELD_BOTTOM - FIELD_TOP)) - 1.0

    head_weight = 1.0 - g.smoothstep(plane_y, 8.0, 15.0)
    cos, sin, upright = remove_roll(g, g.unsqueeze(rotation, 0))
    sa, sb, sd = silhouette(g, g.slice(upright, 1, 0, 2))
    det = sa * sd - sb * sb
    # normaliser = inverse root of the outline matrix, times the roll's inverse
    ia, ib, id_ = sd / det, -sb / det, sa / det
    normaliser = g.concat([ia * cos - ib * sin, ia * sin + ib * cos, ib * cos - id_ * sin, ib * sin + id_ * cos], 1)  # [1,4]
    centre_view = rotation @ np.array(HEAD_CENTRE, np.float32).reshape(3, 1)
    centre_cm = g.slice(centre_view, 0, 0, 2)  # [2,1]
    unit = g.reshape(normaliser, 2, 2) @ (q - centre_cm)
    rho = g.sqrt(g.sum(unit * unit, 0) + 1e-6)  # [1,n]
    rim = g.smoothstep(rho, 0.72, 1.02) * (1.0 - g.smoothstep(plane_y, -2.0, 4.0))
    geometry = g.concat([position, field_x, field_y, head_weight, rim], 0)
    outputs["geometry"] = g.reshape(geometry, 7, G, G)

    # Keypoints: landmarks and teeth, lifted.
    lift = g.slice(mean_view, 1, 2, 3)
    outputs["keypoints"] = g.concat(
        [g.concat([seen, lift], 1) @ rotation, g.const(t.teeth) + g.concat([g.mean(g.slice(residual, 0, 48, 68), 0), g.const(np.zeros((1, 1)))], 1) @ rotation], 0,
    )
    outputs["anchors"] = landmarks * 1.0

    image = g.transpose(g.unsqueeze(g.cast(portrait, "float32"), 0), 0, 3, 1, 2) * np.float32(1 / 255)
    light = skin_light(g, image, landmarks)
    alpha, backdrop = matte(g, image, g.reshape(rho, 1, 1, G, G), g.reshape(plane_x, 1, 1, G, G), g.reshape(plane_y, 1, 1, G, G))
    for size in SIZES:
        picture = image if size == 512 else g.pool(image, 512 // size)
        a = g.pool(alpha, 2) if size == 128 else alpha if size == 256 else g.resize(alpha, 512, 512, 1)
        b = g.resize(backdrop, size, size, 3)
        # Where nothing of the head ever was, keep the picture itself, sharp.
        b = g.mix(picture, b, g.clip(g.op("MaxPool", a, kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2]) * 8.0, 0, 1))
        fore = g.clip(picture - b * (1.0 - a), 0, 1)
        to_bytes = lambda v: g.reshape(g.cast(g.clip(v * 255.0 + 0.5, 0, 255), "uint8"), -1, size, size)  # noqa: B023, E731
        outputs[f"texture{size}"] = to_bytes(g.concat([fore, a], 1))
        outputs[f"backdrop{size}"] = to_bytes(b)

    iris = iris_centres(g, image, landmarks)
    pose = g.concat(
        [scale, shift, g.reshape(rotation, 9), g.reshape(normaliser, 4), g.reshape(centre_cm * scale, 2) + shift, light, iris, g.const(np.zeros(POSE_LENGTH - 25))], 0,
    )
    outputs["pose"] = pose
    for tensor in avatar_tensors():
        g.output(outputs[tensor["name"]], tensor["name"], tensor["dtype"], tensor["shape"])
    return g


def skin_light(g: Graph, image: Value, landmarks: Value) -> Value:
    """Mean colour [3] of the cheeks, the measure of how bright and how warm teeth and mouth are lit."""
    cheeks = g.gather(landmarks, [2, 14, 3, 13], 0) * 0.45 + g.gather(landmarks, [31, 35, 31, 35], 0) * 0.55
    return g.mean(g.reshape(g.sample(g.pool(image, 8), g.reshape(cheeks, 1, 1, 4, 2)), 3, 4), 1, keep=False)


def iris_centres(g: Graph, image: Value, landmarks: Value) -> Value:
    """Iris centres [4] = (h, v) per eye in the eye's own coordinates: the dark pixels' centroid."""
    h, v = np.meshgrid(np.linspace(-0.75, 0.75, 31), np.linspace(-0.45, 0.45, 19))
    out = []
    for eye in (36, 42):
        a, b = g.gather(landmarks, [eye], 0), g.gather(landmarks, [eye + 3], 0)
        mid, half = (a + b) * 0.5, (b - a) * 0.5
        hx, hy = g.split(half, 1, 1, 1)
        down = g.concat([-hy, hx], 1)
        lids = g.mean(g.gather(landmarks, [eye + 1, eye + 2, eye + 4, eye + 5], 0), 0)
        offset = lids - mid
        at = mid + g.const(h.reshape(-1, 1)) * half + g.const(v.reshape(-1, 1)) * down
        colour = g.reshape(g.sample(image, g.reshape(at, 1, 1, -1, 2)), 3, h.size)
        luma = g.sum(colour * np.array([[0.3], [0.59], [0.11]], np.float32), 0)
        lid_v = g.sum(offset * down, 1) / g.sum(half * half, 1)
        inside = g.const(np.exp(-((h / 0.55) ** 2)).reshape(1, -1)) * g.exp(-(g.op("Pow", (g.const(v.reshape(1, -1)) - lid_v) * 4.5, np.float32(2))))
        bright = g.op("ReduceMax", luma * inside, axes=[1], keepdims=1)
        dark = g.op("Pow", g.clip(1.0 - luma / (bright + 1e-3), 0.0, 1.0), np.float32(2)) * inside
        total = g.sum(dark, 1) + 1e-4
        ch = g.sum(dark * h.reshape(1, -1).astype(np.float32), 1) / total
        cv = g.sum(dark * v.reshape(1, -1).astype(np.float32), 1) / total
        out += [g.reshape(g.clip(ch, -0.35, 0.35), 1), g.reshape(cv * 0.5 + lid_v * 0.5, 1)]
    return g.concat(out, 0)


def matte(g: Graph, image: Value, rho: Value, x: Value, y: Value):
    """(alpha [1,1,256,256], backdrop [1,3,64,64]): a soft guess of what belongs to the person.

    The geometric prior (head ellipsoid, neck, shoulders) is moved by how far a pixel's colour is from the
    backdrop, which is filled in from the places that are surely free by normalised convolution.
    """
    head = g.clip((1.24 - rho) * 12.0, -9, 6)
    neck = g.clip(g.min((6.6 - g.abs(x)) * 1.5, (y - 2.0) * 2.0), -9, 6)
    torso = g.clip((y - 13.0 - g.abs(x) * 0.28) * 1.2, -9, 4)
    prior = g.max(g.max(head, neck), torso)
    small = g.pool(image, 8)
    free = g.sigmoid((prior + 4.5) * -3.0)
    free = free * free
    weight, colour = free * 1e-6 + 1e-9, small * (free * 1e-6 + 1e-9)
    for sigma, strength in ((1.5, 1.0), (4.0, 0.05), (10.0, 0.003), (20.0, 0.0002)):
        weight = weight + g.blur(free, 1, sigma) * strength
        colour = colour + g.blur(small * free, 3, sigma) * strength
    backdrop = colour / weight
    error = g.sum((small - backdrop) * (small - backdrop), 1)
    spread = g.sqrt((g.blur(error * free, 1, 8.0) + 1e-6) / (g.blur(free, 1, 8.0) + 1e-3))
    fine = g.pool(image, 2)
    difference = fine - g.resize(backdrop, 256, 256, 3)
    distance = g.sqrt(g.sum(difference * difference, 1) + 1e-6) / (g.resize(spread, 256, 256, 1) * 2.5 + 0.06)
    logit = g.resize(prior, 256, 256, 1) + g.clip(distance - 1.0, -1.2, 2.4) * 3.5
    return g.blur(g.sigmoid(logit * 1.5), 1, 0.8), backdrop
