"""Mouth and eyes, painted exactly in small windows of the frame.

A window is a fixed number of pixels whose corner follows the feature; its pixels are read from the frame,
painted, and scattered back, so the cost does not depend on the whole frame.
"""

from __future__ import annotations

import numpy as np

from warp.curves import curve, local_frame, to_local, to_picture
from warp.facekit import EXPRESSIONS, INDEX, Tables
from warp.graph import Graph, Value
from warp.layout import G, LUMA

# Width and height as parts of the frame's side.
MOUTH_WINDOW = (0.27, 0.29)
EYE_WINDOW = (0.165, 0.14)
ROW_SCALE = 1.6 / 3  # premolars are 1.6 cm from the middle, the row's ends 3 cm
LID_REACH, LID_EDGE = 0.55, 0.13  # in half eye widths
GAZE_YAW, GAZE_PITCH = 0.56, 0.34  # iris shift at coefficient 1, in half eye widths
OWN_GAZE = 0.42  # share of an iris's place across its eye that is the portrait's own gaze, and not the eye's shape

# Columns of red, green and blue where an eye's white is as bright as on average: cavity, tongue, enamel of either row, what their gums are redder.
ENAMEL, GUM = (0.90, 0.87, 0.80), (-0.28, -0.56, -0.50)
MOUTH_COLOURS = np.array([(0.23, 0.15, 0.145), (0.78, 0.45, 0.44), ENAMEL, ENAMEL, GUM, GUM], np.float32).T
TONGUE = (0.52, 0.68)  # half width and height, in half widths of the lower row


def corners(g: Graph, mouth: Value, eyes: Value, size: int, sizes: tuple[tuple[int, int], tuple[int, int]]) -> tuple[Value, Value]:
    """First pixels [B,1,2,1] and [B,2,2,1] of the windows around centres mouth and eyes, in pixels of the same shapes.

    Each keeps to its side of the half-way lines between eyes and between eyes and mouth: in small faces the
    windows would overlap otherwise, and one would wipe out what the other painted.
    """
    (mouth_w, mouth_h), (eye_w, eye_h) = sizes
    mx, my = g.split(mouth, 2, 1, 1)
    ex, ey = g.split(eyes, 2, 1, 1)
    between_x = g.op("Floor", g.mean(ex, 1))
    between_y = g.op("Floor", (g.op("ReduceMax", ey, axes=[1], keepdims=1) + my) * 0.5)
    right_eye, left_eye = g.split(ex - eye_w / 2, 1, 1, 1)
    ex = g.concat([g.min(right_eye, between_x - np.float32(eye_w)), g.max(left_eye, between_x)], 1)
    ey = g.min(ey - eye_h / 2, between_y - np.float32(eye_h))
    my = g.max(my - mouth_h / 2, between_y)

    def inside(x, y, width, height):
        return g.op("Floor", g.concat([g.clip(x, 0, size - width), g.clip(y, 0, size - height)], 2))

    return inside(mx - mouth_w / 2, my, mouth_w, mouth_h), inside(ex, ey, eye_w, eye_h)


def window_pixels(g: Graph, corner: Value, width: int, height: int, size: int):
    """(index [B,F,1,P] int64 into the frame's pixels, points [B,F,2,P] in -1..1) of windows from corner [B,F,2,1]."""
    step = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 0).reshape(1, 1, 2, -1).astype(np.float32)
    pixel = corner + step
    x, y = g.split(pixel, 2, 1, 1)
    return g.cast(x + y * np.float32(size), "int64"), (pixel + 0.5) * (2 / size) - 1.0


def over(g: Graph, below, colour, cover: Value) -> Value:
    return g.lift(below) + (g.lift(colour) - below) * cover


def bump(g: Graph, x: Value, width: float) -> Value:
    """exp(-(x / width)^2), at least 1e-35: numbers that small and smaller cost a processor ten times as long."""
    return g.exp(g.max(x * x * np.float32(-1 / width**2), np.float32(-80)))


class Windows:
    """What the two painters share: one frame size, the avatar's texture and the coarse flows."""

    def __init__(self, g: Graph, *, size: int, texture: Value, coarse: Value, avatar: dict[str, Value], part, expression: Value, keypoints: Value, mouth: dict, mouth_window=MOUTH_WINDOW, eye_window=EYE_WINDOW):
        self.mouth_window, self.eye_window = mouth_window, eye_window
        # Coordinates that the painters used, by name, [B,F,1,P]: what a network that refines the windows wants to see.
        self.seen: dict[str, Value] = {}
        self.g, self.size, self.texture, self.coarse = g, size, texture, coarse
        self.avatar, self.part, self.expression, self.keypoints, self.mouth = avatar, part, expression, keypoints, mouth

    def sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(width, height) in pixels, even, of the mouth's window and of an eye's."""
        even = lambda part: int(round(part * self.size / 2)) * 2  # noqa: E731
        return (even(self.mouth_window[0]), even(self.mouth_window[1])), (even(self.eye_window[0]), even(self.eye_window[1]))

    def corners(self) -> tuple[Value, Value]:
        """First pixels [B,1,2,1] of the mouth's window and [B,2,2,1] of the eyes' ones."""
        g = self.g
        keypoints = g.transpose(self.keypoints, 0, 2, 1)

        def centre(ids):  # [B,F,2,1], pixels
            mean = g.op("ReduceMean", g.transpose(g.gather(keypoints, np.array(ids), 2), 0, 2, 1, 3), axes=[3], keepdims=1)
            return (mean + 1.0) * (self.size / 2)

        return corners(g, centre([range(60, 68)]), centre([range(36, 42), range(42, 48)]), self.size, self.sizes())

    def texels(self, places: Value) -> tuple[Value, Value]:
        """(unmultiplied colour [B,F,3,P], alpha [B,F,1,P] in 0..1) of the portrait at places [B,F,2,P]."""
        g = self.g
        found = g.sample(self.texture, g.transpose(places, 0, 1, 3, 2), self.size)
        colour, alpha = g.split(g.transpose(found, 0, 2, 1, 3), 2, 3, 1)
        return colour, alpha * np.float32(1 / 255)

    def flow(self, points: Value) -> Value:
        """[B,F,5,P]: upper flow, lower flow, side, at points [B,F,2,P]."""
        g = self.g
        return g.transpose(g.sample(self.coarse, g.transpose(points, 0, 1, 3, 2), G), 0, 2, 1, 3)


def frame_index(g: Graph, at: Value, area: int) -> Value:
    """Places [B,F,3,P] in a flattened [B,3,area] frame of pixels at [B,F,1,P]: (b * 3 + channel) * area + pixel."""
    rows = g.op("Range", g.const(0, np.int64), g.op("Squeeze", g.op("Shape", at, start=0, end=1)), g.const(1, np.int64))
    planes = g.reshape(rows * g.const(3 * area, np.int64), -1, 1, 1, 1) + g.const(np.arange(3).reshape(1, 1, 3, 1) * area, np.int64)
    return at + planes


def read_places(g: Graph, frame: Value, places: Value) -> Value:
    """Values [n] of frame [B,3,size,size] at flat places int64 [n]."""
    return g.op("GatherElements", g.reshape(frame, -1), places, axis=0)


def write_places(g: Graph, frame: Value, places: list[Value], values: list[Value], size: int) -> Value:
    """frame [B,3,size,size] with values [n] at flat places int64 [n]."""
    flat = g.op("ScatterElements", g.reshape(frame, -1), g.concat(places, 0), g.concat(values, 0), axis=0)
    return g.reshape(flat, -1, 3, size, size)


def paint_windows(g: Graph, t: Tables, frame: Value, windows: Windows) -> Value:
    """frame [B,3,size,size] with eyes and mouth painted."""
    size = windows.size
    mouth_size, eye_size = windows.sizes()
    mouth_corner, eye_corners = windows.corners()
    mouth_at, mouth_points = window_pixels(g, mouth_corner, *mouth_size, size)
    eyes_at, eyes_points = window_pixels(g, eye_corners, *eye_size, size)
    places = [g.reshape(frame_index(g, at, size * size), -1) for at in (mouth_at, eyes_at)]
    under = lambda which, count, wh: g.reshape(read_places(g, frame, places[which]), -1, count, 3, wh[0] * wh[1])  # noqa: E731
    mouth = paint_mouth(windows, mouth_points, under(0, 1, mouth_size))
    eyes = paint_eyes(windows, t, eyes_points, under(1, 2, eye_size))
    return write_places(g, frame, places, [g.reshape(v, -1) for v in (mouth, eyes)], size)


def paint_mouth(w: Windows, points: Value, under: Value) -> Value:
    """under [B,1,3,P] with the lips from their own flows, and where they part the interior: cavity, tongue, teeth."""
    g = w.g
    flow = w.flow(points)
    upper_flow, lower_flow, side = g.split(flow, 2, 2, 2, 1)
    skin, solid = w.texels(points + g.where(side < 0.0, upper_flow, lower_flow))
    edge_x, edge_y = g.split(g.abs(points - g.mean(points, 3)) * np.array([[1 / w.mouth_window[0]], [1 / w.mouth_window[1]]], np.float32), 2, 1, 1)
    within = g.clip((0.97 - g.max(edge_x, edge_y)) * 8.0, 0, 1)
    lip = over(g, under, skin, within * solid * solid * solid)

    frame = w.mouth
    h, v = to_local(g, frame, points)
    from_top, from_bottom = v - curve(g, frame["upper"], h), curve(g, frame["lower"], h) - v
    pixel = (2.0 / w.size) / frame["length"]
    cover = g.clip(g.min(from_top, from_bottom) / pixel, 0, 1)
    w.seen |= {"mouth_h": h, "mouth_v": v, "mouth_top": from_top, "mouth_bottom": from_bottom, "mouth_cover": cover}
    # In a pursed mouth's own units the window reaches far: unbounded, exp() of these overflows, and inf * 0 is NaN.
    from_top, from_bottom = g.clip(from_top, 0, 4), g.clip(from_bottom, 0, 4)

    # Both rows at once, the lower first. Their frames rest on the premolars: points further back would shear them when the head turns.
    first = np.array([73, 68])
    rows = local_frame(g, w.keypoints, first + 1, first + 3, {"edge": [(a + 2,) for a in first]}, (0,))
    both = lambda low, high: np.array([low, high], np.float32).reshape(1, 2, -1, 1)  # noqa: E731
    x, below = along_row(g, rows, points)  # [B,2,1,P]
    lh, low = (g.split(v, 1, 1, 1)[0] for v in (x, below))
    out = g.reshape(g.slice(w.expression, 1, INDEX["tongueOut"], INDEX["tongueOut"] + 1), -1, 1, 1, 1)
    # Tongue: a rounded body that rises behind the lower teeth.
    body = 1.0 - lh * lh * (1 / TONGUE[0] ** 2) - low * low * (1 / TONGUE[1] ** 2)
    deep = 1.0 - 0.45 * g.exp(from_top * -2.2) * (1.0 - out)  # what lies further back is darker, and shows nearer to the upper lip
    flesh = (0.76 + 0.24 * g.clip(body, 0, 1)) * (1.0 - 0.22 * bump(g, lh, 0.09)) * deep
    tongue = g.clip(body * 2.0, 0, 0.95)
    a = g.abs(x)
    joints = both((0.0, 0.2, 0.4, 0.62, 0.85), (0.0, 0.29, 0.53, 0.77, 9.0))
    gaps = np.ones((1, 5), np.float32) @ bump(g, a - joints, 0.022)
    d = below * both(1, -1) - (gaps + 1.0) * 0.025  # rounded corners
    tooth = g.clip(d * (rows["length"] * (w.size / 2 / ROW_SCALE)) + 0.5, 0, 1) * g.clip((0.98 - a) * 6.0, 0, 1)
    bright = both(0.88, 1.0)
    shade = (bright - 0.4 * bright * g.min(x * x, np.float32(1))) * (1.0 - 0.28 * gaps)
    gum = g.clip((d - both(0.40, 0.34)) * 14.0, 0, 1)
    # Cavity, tongue, lower and upper teeth, each over those before it: how much of each shows, and then their colours at once.
    before = g.clip(body * 3.0, 0, 1) * g.clip(out * 4.0, 0, 1)  # a tongue that is put out lies before the lower teeth
    tooth = tooth * g.concat([1.0 - before, before * 0.0 + 1.0], 1)
    lower_gap, upper_gap = g.split(1.0 - tooth, 1, 1, 1)
    lower, upper = g.split(tooth * shade, 1, 1, 1)
    clear = lower_gap * upper_gap
    behind, enamel = (1.0 - tongue) * clear, g.concat([lower * upper_gap, upper], 1)
    gums = g.split(enamel * gum, 1, 1, 1)
    parts = [behind * deep, tongue * clear * flesh, *g.split(enamel, 1, 1, 1), *gums]
    colour = MOUTH_COLOURS @ g.concat(parts, 2)
    # The lips' shadow. How bright it is in a mouth the eyes' whites tell: skin may be of any colour.
    shadow = (1.0 - 0.2 * g.exp(from_top * -7.0)) * (1.0 - 0.1 * g.exp(from_bottom * -12.0))
    white = w.part("white")
    strength = g.reshape(g.min(0.66 + 0.42 * white, white * 2.2) * 255.0, -1, 1, 1, 1)
    return over(g, lip, of_one_tone(g, w.part, colour * (shadow * strength), 255), cover)


def of_one_tone(g: Graph, part, colour: Value, white: float) -> Value:
    """colour [B,1,3,P] in 0..white as the portrait would have it: an old photograph's mouth is not red. part(name) gives
    the avatar's pose (layout.POSE)."""
    toned, dark, tone = (g.reshape(part(name), -1, 1, n, 1) for name, n in (("toned", 1), ("dark", 3), ("tone", 3)))
    return g.mix(colour, dark * np.float32(white) + tone * (np.array([LUMA], np.float32) @ colour), toned)


def along_row(g: Graph, row: dict, points: Value):
    """(x, d) of points in half widths of the whole row: along it, and below its edge."""
    h, v = to_local(g, row, points)
    return h * ROW_SCALE, (v - curve(g, row["edge"], h)) * ROW_SCALE


def lid_functionals(t: Tables) -> np.ndarray:
    """[52, 4]: how far the lids close per coefficient, in parts of the aperture: (upper, lower) of both eyes."""
    out = np.zeros((len(EXPRESSIONS), 2, 2), np.float32)
    for eye, (side, first) in enumerate((("Right", 36), ("Left", 42))):
        y, dy = t.landmarks[:, 1], t.landmark_basis[:, :, 1]
        up, low, corners = [first + 1, first + 2], [first + 4, first + 5], [first, first + 3]
        aperture = y[low].mean() - y[up].mean()
        rest = dy[:, corners].mean(1) * 0.5
        out[:, eye, 0] = (dy[:, up].mean(1) - rest) / aperture
        out[:, eye, 1] = -(dy[:, low].mean(1) - rest) / aperture
        blink = INDEX[f"eyeBlink{side}"]
        out[:, eye, 0] *= 0.93 / out[blink, eye, 0]
        out[blink, eye, 1] = 0.09
        for i, name in enumerate(EXPRESSIONS):
            if not name.startswith("eye"):
                out[i, eye] = 0  # brows and cheeks move lids and eye together, in the expression field
    return out.reshape(len(EXPRESSIONS), 4)


def gaze_functionals() -> np.ndarray:
    """[52, 4]: iris shift (right, down in the picture) of both eyes, in half eye widths."""
    out = np.zeros((len(EXPRESSIONS), 2, 2), np.float32)
    for eye, (side, outward) in enumerate((("Right", -1), ("Left", 1))):
        out[INDEX[f"eyeLookOut{side}"], eye, 0] = GAZE_YAW * outward
        out[INDEX[f"eyeLookIn{side}"], eye, 0] = -GAZE_YAW * outward
        out[INDEX[f"eyeLookUp{side}"], eye, 1] = -GAZE_PITCH
        out[INDEX[f"eyeLookDown{side}"], eye, 1] = GAZE_PITCH
    return out.reshape(len(EXPRESSIONS), 4)


def paint_eyes(w: Windows, t: Tables, points: Value, under: Value) -> Value:
    """under [B,2,3,P] with lids and gaze moved; points [B,2,2,P].

    Works in the portrait: each pixel's place there (from the upper flow) is taken into the eye's own frame,
    where lids slide along the aperture and the eyeball is shifted behind them.
    """
    g = w.g
    place = points + g.slice(w.flow(points), 2, 0, 2)
    frame = local_frame(
        g, w.avatar["anchors"], [36, 42], [39, 45], {"upper": ((37, 38), (43, 44)), "lower": ((41, 40), (47, 46))}, (-0.34, 0.34),
    )
    h, v = to_local(g, frame, place)
    upper, lower = curve(g, frame["upper"], h), curve(g, frame["lower"], h)
    aperture = lower - upper
    per_eye = lambda m: g.split(g.reshape(w.expression @ g.const(m), -1, 2, 2, 1), 2, 1, 1)  # noqa: E731  [B,2,1,1]
    close_u, close_l = per_eye(lid_functionals(t))
    close_l = g.clip(close_l, -0.3, 0.5)
    close_u = g.min(g.clip(close_u, -0.3, 1.0), 1.0 - close_l)
    gaze_h, gaze_v = per_eye(gaze_functionals())
    iris_h, iris_v = g.split(g.reshape(w.part("iris"), -1, 2, 2, 1), 2, 1, 1)
    gaze_h, gaze_v = g.clip(gaze_h, -GAZE_YAW, GAZE_YAW) - iris_h * OWN_GAZE, g.clip(gaze_v, -GAZE_PITCH, GAZE_PITCH)
    closing = g.clip(close_u * 1.3, 0, 1)
    top, bottom = upper + close_u * aperture, lower - close_l * aperture

    # Lids: skin between the crease and the lid's edge is stretched, least at the edge, where the lashes are.
    # The edge is taken a little outside the portrait's, so that a shut eye has no white left along its seam.
    seam = closing * LID_EDGE
    lid_u = stretch(g, v - (upper - LID_REACH), top - (upper - LID_REACH), LID_REACH - seam) + (upper - LID_REACH)
    lid_l = (lower + LID_REACH) - stretch(g, (lower + LID_REACH) - v, (lower + LID_REACH) - bottom, LID_REACH - seam)
    lid_v = g.where(g.op("Less", v, (top + bottom) * 0.5), lid_u, lid_l)

    # Eyeball: shifted by the gaze. What the lids hid is taken from beside the iris, at the same distance from it.
    ball_h = g.where(g.abs(h) > 1.0, h, g.clip(h - gaze_h, -0.9, 0.9) + (h - g.clip(h, -0.9, 0.9)))
    ball_v = v - gaze_v
    margin = g.clip((g.abs(gaze_h) + g.abs(gaze_v) + g.abs(close_u)) * 0.6, 0, 0.09)
    outside = g.op(
        "Or", ball_v < curve(g, frame["upper"], ball_h) + margin, ball_v > curve(g, frame["lower"], ball_h) - margin,
    )
    off_h, off_v = ball_h - iris_h, ball_v - iris_v
    far = g.sqrt(off_h * off_h + off_v * off_v + 1e-8)
    beside = g.clip(iris_h + g.where(off_h < 0.0, -far, far), -0.8, 0.8)
    ball_h = g.where(outside, beside, ball_h)
    ball_v = g.where(outside, iris_v * (1.0 - beside * beside), ball_v)

    lid, solid = w.texels(to_picture(g, frame, h, lid_v))
    ball, _ = w.texels(to_picture(g, frame, ball_h, ball_v))
    pixel = (2.0 / w.size) / frame["length"]
    cover = g.clip(g.min(v - top, bottom - v) / pixel + 0.35, 0, 1) * g.clip((bottom - top) / pixel - 0.3, 0, 1)
    w.seen |= {"eye_h": h, "eye_v": v, "eye_top": v - top, "eye_bottom": bottom - v, "eye_cover": cover, "eye_iris": far}
    inside = g.clip((1.0 - g.abs(h)) * 8.0, 0, 1) * closing
    lash = 1.0 - bump(g, v - top - 0.02, 0.06) * 0.6 * inside
    fold = 1.0 - bump(g, v - upper + 0.30, 0.12) * 0.10 * inside
    dim = 1.0 - g.exp(g.max(v - top, np.float32(0)) * -9.0) * 0.30 * closing
    painted = over(g, lid * (lash * fold), ball * dim, cover)
    active = g.clip((g.abs(close_u) + g.abs(close_l) + g.abs(gaze_h) + g.abs(gaze_v)) * 40.0, 0, 1)
    region = g.clip((1.4 - g.abs(h)) * 5.0, 0, 1) * g.clip((1.25 - g.abs(v)) * 5.0, 0, 1) * active
    return over(g, under, painted, region * solid * solid)


def stretch(g: Graph, distance: Value, reach: Value, rest: Value) -> Value:
    """Distance from the crease in the portrait for one in the frame: 0..reach onto 0..rest, slope about 1 at the edge."""
    along = g.clip(distance / g.max(reach, np.float32(0.05)), 0, 1)
    eased = (along * 0.35 + g.op("Pow", along + 1e-4, reach / rest) * 0.65) * rest
    return g.where(distance < 0.0, distance, eased)
