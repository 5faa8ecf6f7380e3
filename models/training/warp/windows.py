"""Mouth and eyes, painted exactly in small windows of the frame.

A window is a fixed number of pixels whose corner follows the feature; its pixels are read from the frame,
painted, and scattered back, so the cost does not depend on the whole frame.
"""

from __future__ import annotations

import numpy as np

from curves import curve, local_frame, to_local
from facekit import EXPRESSIONS, INDEX, Tables
from graph import Graph, Value
from layout import G

# Width and height as parts of the frame's side.
MOUTH_WINDOW = (0.27, 0.29)
EYE_WINDOW = (0.165, 0.14)
GAZE_YAW, GAZE_PITCH = 0.46, 0.34  # iris shift at coefficient 1, in half eye widths


def window_pixels(g: Graph, centre: Value, width: int, height: int, size: int):
    """(index [B,F,P] int64 into the frame's pixels, points [B,F,P,2] in -1..1) of windows around centre [B,F,1,2]."""
    extent = np.array([width, height], np.float32)
    corner = g.op("Floor", (centre + 1.0) * (size / 2) - extent / 2)
    x, y = g.split(corner, 3, 1, 1)
    corner = g.concat([g.clip(x, 0, size - width), g.clip(y, 0, size - height)], 3)
    step = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(1, 1, -1, 2).astype(np.float32)
    pixel = corner + step
    index = g.cast(g.op("ReduceSum", pixel * np.array([1, size], np.float32), g.ints(3), keepdims=0), "int64")
    return index, (pixel + 0.5) * (2 / size) - 1.0


def paint_windows(g: Graph, t: Tables, frame: Value, texture, coarse, avatar, part, expression, keypoints, size: int) -> Value:
    """frame [B,3,size,size] with eyes and mouth painted."""
    flat = g.reshape(frame, -1)
    even = lambda x: int(round(x * size / 2)) * 2  # noqa: E731
    mean = lambda ids: g.op("ReduceMean", g.gather(keypoints, np.array(ids), 1), axes=[2], keepdims=1)  # noqa: E731
    mouth_at, mouth_points = window_pixels(g, mean([list(range(60, 68))]), even(MOUTH_WINDOW[0]), even(MOUTH_WINDOW[1]), size)
    eye_at, eye_points = window_pixels(
        g, mean([list(range(36, 42)), list(range(42, 48))]), even(EYE_WINDOW[0]), even(EYE_WINDOW[1]), size,
    )
    pixels_mouth = even(MOUTH_WINDOW[0]) * even(MOUTH_WINDOW[1])
    pixels_eye = even(EYE_WINDOW[0]) * even(EYE_WINDOW[1])
    rows = g.op("Range", g.const(0, np.int64), g.op("Squeeze", g.op("Shape", keypoints, start=0, end=1)), g.const(1, np.int64))
    area = size * size
    plane = g.reshape(g.op("Mul", rows, g.const(3 * area, np.int64)), -1, 1, 1) + g.const(np.arange(3).reshape(1, 3, 1) * area, np.int64)

    index = g.concat([g.reshape(mouth_at, -1, 1, pixels_mouth), g.reshape(eye_at, -1, 1, 2 * pixels_eye)], 2) + plane
    under_mouth, under_eyes = g.split(g.gather(flat, index, 0), 2, pixels_mouth, 2 * pixels_eye)
    mouth = paint_mouth(g, mouth_points, under_mouth, keypoints, part, size)
    eyes = paint_eyes(g, t, eye_points, g.reshape(under_eyes, -1, 3, 2, pixels_eye), texture, coarse, avatar, part, expression, size)
    values = g.concat([mouth, g.reshape(eyes, -1, 3, 2 * pixels_eye)], 2)
    # Windows may overlap only where neither paints much; the later one wins.
    painted = g.op("ScatterND", flat, g.unsqueeze(index, 3), values)
    return g.reshape(painted, -1, 3, size, size)


def over(g: Graph, below: Value, colour, cover: Value) -> Value:
    return below + (g.lift(colour) - below) * cover


def bump(g: Graph, x: Value, width: float) -> Value:
    """exp(-(x / width)^2)"""
    return g.exp(x * x * np.float32(-1 / width**2))


def paint_mouth(g: Graph, points: Value, under: Value, keypoints: Value, part, size: int) -> Value:
    """under [B,3,P] with the mouth's interior where the lips part: cavity, tongue, lower and upper teeth."""
    lips = local_frame(g, keypoints, [60], [64], {"upper": (61, 62, 63), "lower": (67, 66, 65)}, (-0.46, 0, 0.46))
    h, v = to_local(g, lips, points)
    top, bottom = curve(g, lips["upper"], 3, h), curve(g, lips["lower"], 3, h)
    pixel = (2.0 / size) / lips["length"]
    from_top, from_bottom = v - top, bottom - v
    cover = g.clip(g.min(from_top, from_bottom) / pixel, 0, 1)
    middle = g.const(np.zeros((1, 1, 1, 1)))
    gap = curve(g, lips["lower"], 3, middle) - curve(g, lips["upper"], 3, middle)

    upper = local_frame(g, keypoints, [68], [72], {"edge": (69, 70, 71)}, (-1.6 / 3, 0, 1.6 / 3))
    lower = local_frame(g, keypoints, [73], [77], {"edge": (74, 75, 76)}, (-1.6 / 3, 0, 1.6 / 3))
    uh, uv = to_local(g, upper, points)
    lh, lv = to_local(g, lower, points)
    fine_u, fine_l = (2.0 / size) / upper["length"], (2.0 / size) / lower["length"]
    above = uv - curve(g, upper["edge"], 3, uh)  # negative on the upper teeth
    below = lv - curve(g, lower["edge"], 3, lh)  # positive on the lower teeth

    rgb = lambda *c: np.array(c, np.float32).reshape(1, 1, 1, 3)  # noqa: E731
    deep = g.clip(from_top * 1.2, 0, 1)
    colour = rgb(0.11, 0.03, 0.03) + deep * rgb(0.13, 0.045, 0.045)
    # Tongue: a rounded body that rises behind the lower teeth.
    tongue = 1.0 - (lh * lh) * (1 / 0.60**2) - g.op("Pow", below + (-0.05), np.float32(2)) * (1 / 0.42**2)
    body = g.clip(tongue * 3.0, 0, 1)
    flesh = rgb(0.60, 0.25, 0.25) * (0.45 + 0.55 * g.clip(tongue, 0, 1)) * (1.0 - 0.25 * bump(g, lh, 0.07))
    colour = over(g, colour, flesh, body * 0.95)
    # Rows of teeth.
    for row, x, d, fine, joints, bright in (
        ("lower", lh, below, fine_l, (0.0, 0.2, 0.4, 0.62, 0.85), 0.80),
        ("upper", uh, -above, fine_u, (0.0, 0.29, 0.53, 0.77), 1.0),
    ):
        a = g.abs(x)
        gaps = None
        for j in joints:
            line = bump(g, a - np.float32(j), 0.022)
            gaps = line if gaps is None else gaps + line
        d = d - gaps * 0.025  # rounded corners
        tooth = g.clip(d / fine + 0.5, 0, 1) * g.clip((0.98 - a) * 6.0, 0, 1)
        shade = (1.0 - 0.62 * g.min(x * x, np.float32(1))) * (1.0 - 0.28 * gaps) * bright
        gum = g.clip((d - (0.40 if row == "lower" else 0.34)) * 14.0, 0, 1)
        enamel = over(g, rgb(0.90, 0.87, 0.80), rgb(0.62, 0.31, 0.30), gum) * shade
        colour = over(g, colour, enamel, tooth)
    # The lips' shadow, and less light the less the mouth is open.
    shadow = (1.0 - 0.62 * g.exp(from_top * -7.0)) * (1.0 - 0.35 * g.exp(from_bottom * -12.0))
    opening = 0.55 + 0.45 * g.clip(gap * 2.2, 0, 1)
    light = part("light")  # [B,3]
    luma = g.sum(light * np.array([[0.3, 0.59, 0.11]], np.float32), 1)
    strength = g.clip(0.42 + luma * 0.85, 0.4, 1.05)
    colour = colour * shadow * opening * g.reshape(strength, -1, 1, 1, 1) * 255.0
    colour = g.transpose(g.op("Squeeze", colour, g.ints(1)), 0, 2, 1)  # [B,3,P]
    return over(g, under, colour, g.reshape(cover, 0, 1, -1))


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
                out[i, eye] *= 0.5
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


def paint_eyes(g: Graph, t: Tables, points, under, texture, coarse, avatar, part, expression, size: int) -> Value:
    """under [B,3,2,P] with lids and gaze moved; points [B,2,P,2].

    Works in the portrait: each pixel's place there (from the upper flow) is taken into the eye's own frame,
    where lids slide along the aperture and the eyeball is shifted behind them.
    """
    flow = g.sample(g.slice(coarse, 1, 0, 2), points, G, G)  # [B,2,2,P]
    place = points + g.transpose(flow, 0, 2, 3, 1)
    frame = local_frame(
        g, avatar["anchors"], [36, 42], [39, 45], {"upper": ((37, 38), (43, 44)), "lower": ((41, 40), (47, 46))}, (-0.34, 0.34),
    )
    h, v = to_local(g, frame, place)
    upper, lower = curve(g, frame["upper"], 2, h), curve(g, frame["lower"], 2, h)
    aperture = lower - upper
    per_eye = lambda m: g.split(g.reshape(expression @ g.const(m), -1, 2, 1, 2), 3, 1, 1)  # noqa: E731
    close_u, close_l = per_eye(lid_functionals(t))
    close_l = g.clip(close_l, -0.3, 0.5)
    close_u = g.min(g.clip(close_u, -0.45, 1.0), 1.0 - close_l)
    gaze_h, gaze_v = per_eye(gaze_functionals())
    gaze_h, gaze_v = g.clip(gaze_h, -GAZE_YAW, GAZE_YAW), g.clip(gaze_v, -GAZE_PITCH, GAZE_PITCH)
    top, bottom = upper + close_u * aperture, lower - close_l * aperture

    # Lids: skin between the crease and the lid's edge is stretched, least at the edge, where the lashes are.
    crease, bag = upper - 0.55, lower + 0.5
    reach = top - crease
    ratio = reach / 0.55
    along = g.clip((v - crease) / g.max(reach, np.float32(0.05)), 0, 1)
    eased = along * 0.35 + g.op("Pow", along + 1e-4, ratio) * 0.65
    lid_u = g.where(v < crease, v, crease + 0.55 * eased)
    reach_l = bag - bottom
    along_l = g.clip((bag - v) / g.max(reach_l, np.float32(0.05)), 0, 1)
    eased_l = along_l * 0.35 + g.op("Pow", along_l + 1e-4, reach_l / 0.5) * 0.65
    lid_l = g.where(v > bag, v, bag - 0.5 * eased_l)
    lid_v = g.where(v < (top + bottom) * 0.5, lid_u, lid_l)

    # Eyeball: shifted by the gaze; what the lids hid is the mirror image about the iris.
    iris = g.reshape(part("iris"), -1, 2, 1, 2)
    _, iris_v = g.split(iris, 3, 1, 1)
    ball_h = g.clip(h - gaze_h, -0.86, 0.86)
    ball_h = g.where(g.abs(h - ball_h) < 1e-5, h, ball_h)
    ball_v = v - gaze_v
    margin = g.clip((g.abs(gaze_h) + g.abs(gaze_v) + g.abs(close_u)) * 0.5, 0, 0.07)
    roof, floor = curve(g, frame["upper"], 2, ball_h) + margin, curve(g, frame["lower"], 2, ball_h) - margin
    mirrored = iris_v * 2.0 - ball_v
    outside = g.op("Or", ball_v < roof, ball_v > floor)
    ball_v = g.where(outside, g.max(g.min(mirrored, floor), roof), ball_v)

    back = lambda a, b: frame["mid"] + a * frame["half"] + b * frame["down"]  # noqa: E731
    both = g.sample(texture, g.concat([back(h, lid_v), back(ball_h, ball_v)], 2), size, size)  # [B,4,2,2P]
    count = int(round(EYE_WINDOW[0] * size / 2)) * 2 * int(round(EYE_WINDOW[1] * size / 2)) * 2
    lid, ball = g.split(g.slice(both, 1, 0, 3), 3, count, count)  # [B,3,2,P]

    as_plane = lambda x: g.transpose(x, 0, 3, 1, 2)  # noqa: E731  [B,2,P,1] -> [B,1,2,P]
    pixel = (2.0 / size) / frame["length"]
    cover = g.clip(g.min(v - top, bottom - v) / pixel + 0.35, 0, 1) * g.clip((bottom - top) / pixel, 0, 1)
    closing = g.clip(close_u * 1.3, 0, 1)
    inside = g.clip((1.0 - g.abs(h)) * 8.0, 0, 1)
    lash = bump(g, v - top - 0.02, 0.055) * 0.55 * closing * inside
    fold = bump(g, v - (upper - 0.30), 0.12) * 0.10 * closing * inside
    dim = 1.0 - g.exp(g.max(v - top, np.float32(0)) * -9.0) * 0.30 * closing
    painted = lid * as_plane((1.0 - lash) * (1.0 - fold))
    painted = over(g, painted, ball * as_plane(dim), as_plane(cover))
    active = g.clip((g.abs(close_u) + g.abs(close_l) + g.abs(gaze_h) + g.abs(gaze_v)) * 40.0, 0, 1)
    region = g.clip((1.4 - g.abs(h)) * 5.0, 0, 1) * g.clip((1.25 - g.abs(v)) * 5.0, 0, 1) * active
    solid = g.slice(both, 1, 3, 4)
    opaque = g.slice(solid, 3, 0, count) * np.float32(1 / 255)
    return over(g, under, painted, as_plane(region) * opaque * opaque)
