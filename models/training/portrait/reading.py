"""The encoder's second look: the fitted face is drawn into the portrait, and the Reader sees both.

    portrait -> warp's encoder -> alpha, backdrop, fitted face -> Reader -> better alpha, shape, light, rest
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from portrait.behind import fill_behind
from portrait.layout import HARMONICS, PLACED, SHAPE
from portrait.shading import fit_shading, skin_light
from warp.encoder import Fitted, Reading, corrected, prior_coordinates
from warp.facekit import EXPRESSIONS
from warp.geometry import constant_weights, project_head, to_grid
from warp.graph import Graph, Value, pixel_grid
from warp.layout import G
from warp.renderer import EDGE, facing_plane, invert

DARKEST = 0.12  # irradiance is not trusted below this part of its mean
# Pictures show about the root of the light; what is glossy, shaded or badly placed turns less than that. Fitted to pictures.
EXPONENT = 0.3
# Coefficients whose rest is taken off: lids and gaze are seen in the portrait itself.
RESTING = np.array([not name.startswith("eye") and name != "tongueOut" for name in EXPRESSIONS], np.float32)
READER_INPUTS = {
    "portrait": (3, 256, 256), "alpha": (1, 256, 256), "backdrop": (3, G, G), "placed": (PLACED, G, G), "residual": (204,),
}
READER_OUTPUTS = ("matte", "relief", "normal", "light", "rest", "pose")


def harmonics(g: Graph, normal: Value) -> Value:
    """[B,9,n] of unit normals [B,3,n], in the order of heads/look.py."""
    x, y, z = g.split(normal, 1, 1, 1, 1)
    return g.concat([z * 0.0 + 1.0, x, y, z, x * y, y * z, x * z, x * x - y * y, z * z * 3.0 - 1.0], 1)


def shade(g: Graph, coefficients: Value, basis: Value) -> Value:
    """[B,3,n]: the function of the normal that coefficients [B,9,3] are, at harmonics [B,9,n]."""
    return g.transpose(coefficients, 0, 2, 1) @ basis


def log_light(g: Graph, light: Value, basis: Value) -> Value:
    """Logarithm [B,3,n] of how bright a picture shows normals of harmonics [B,9,n] in light [B,9,3]."""
    return g.op("Log", g.max(shade(g, light, basis), np.float32(DARKEST))) * EXPONENT


def reader_inputs(g: Graph, image: Value, fitted: Fitted, alpha: Value, backdrop: Value) -> tuple[dict[str, Value], Value]:
    """What the Reader is given, by name, [1,...] each, and the weights [1,2,G,G] (turns with the head, rim) of the
    surface that lies in each cell of the portrait."""
    head, rim, _ = constant_weights()
    batch = lambda v: g.unsqueeze(v, 0)  # noqa: E731
    place = g.reshape(fitted.place, 1, 2, G, G)
    picture = g.const(pixel_grid(G // 2, G // 2).reshape(-1, 2).T[None].copy())
    start = (picture - g.reshape(fitted.shift, 1, 2, 1)) / fitted.scale
    start = g.clip(to_grid(g, facing_plane(g, batch(fitted.rotation), start)), -EDGE, EDGE)
    _, node = invert(g, place, g.reshape(start, 1, 2, G // 2, G // 2), place, 3)
    maps = g.concat([g.reshape(fitted.position, 1, 3, G, G), g.const(np.stack([head, rim]).reshape(1, 2, G, G))], 1)
    position, weights = g.split(g.sample(maps, g.transpose(node, 0, 2, 3, 1), G, inside=True), 1, 3, 2)
    depth = g.reshape(g.slice(fitted.rotation, 0, 2, 3) @ g.reshape(position, 3, G * G), 1, 1, G, G)
    rho, x, y = prior_coordinates(g, fitted.scale, fitted.shift, fitted.rotation)
    placed = g.concat([position * 0.1, depth * 0.1, weights, g.clip(rho * 0.5, 0, 2), g.clip(x * 0.05, -2, 2), g.clip(y * 0.05, -2, 2), fitted_scale(g, fitted)], 1)
    residual = fitted.residual @ fitted.rotation
    given = {
        "portrait": g.pool(image, 2), "alpha": alpha, "backdrop": backdrop, "placed": placed,
        "residual": g.reshape(g.clip(residual, -3, 3), 1, 204),
    }
    return given, weights


def fitted_scale(g: Graph, fitted: Fitted) -> Value:
    """[1,1,G,G]: how large the head is in the portrait."""
    return g.const(np.zeros((1, 1, G, G))) + fitted.scale * 20.0


def read_with(reader: Callable[[Graph, dict[str, Value]], dict[str, Value]]) -> Reading:
    """A hook for warp.encoder.encoder_graph. reader: inlines the network, {input: value} -> {output: value}.

    Outputs added to the graph: shape [SHAPE,G,G] over the portrait (relief in cm, less where little turns with the head,
    the view's normal 3, how far it turns with the head, how much is skin, log of the light on it 3), light [9,3], shading
    [9,3] (shading.py), rest [52].
    """

    def read(g: Graph, image: Value, fitted: Fitted, alpha: Value, backdrop: Value) -> tuple[Fitted, Value, Value]:
        given, weights = reader_inputs(g, image, fitted, alpha, backdrop)
        found = reader(g, given)
        turns, _ = g.split(weights, 1, 1, 1)
        inside = g.clip(g.pool(found["matte"], 4) * 2.0, 0, 1)
        # What stands out of the mean face. What lies behind it is the outline's business (geometry.project_head): there relief
        # is steep, and fixed-point steps would not settle. Squared: collars do not turn at all.
        relief = g.blur(g.max(found["relief"], np.float32(0)) * (inside * turns * turns), 1, 1.2)
        maps = lambda v: g.reshape(v, 1, 3, G, G)  # noqa: E731
        basis = harmonics(g, g.reshape(found["normal"], 1, 3, G * G))
        glow = maps(log_light(g, found["light"], basis))
        cover = g.smoothstep(g.pool(found["matte"], 4), 0.8, 1.0)
        shading, skin = fit_shading(
            g, g.pool(image, 8), skin_light(g, image, fitted.landmarks), found["normal"], g.reshape(basis, HARMONICS, G * G), glow, cover,
        )
        glow = glow + maps(shade(g, g.unsqueeze(shading, 0), basis)) * skin
        pose = g.reshape(found["pose"], 6) * fitted.doubt
        shape = g.concat([relief * g.exp(-g.slice(pose, 0, 5, 6)), found["normal"], turns, skin, glow], 1)
        g.output(g.reshape(shape, SHAPE, G, G), "shape", "float32", [SHAPE, G, G])
        g.output(g.reshape(found["light"], HARMONICS, 3), "light", "float32", [HARMONICS, 3])
        g.output(shading, "shading", "float32", [HARMONICS, 3])
        g.output(g.reshape(g.clip(found["rest"], 0, 1) * RESTING, len(EXPRESSIONS)), "rest", "float32", [len(EXPRESSIONS)])
        fitted = replace(fitted, keypoints=raised(g, fitted, relief))
        return posed(g, fitted, pose), found["matte"], fill_behind(g, g.pool(image, 2), found["matte"])

    return read


def posed(g: Graph, fitted: Fitted, pose: Value) -> Fitted:
    """The same surface in the portrait (but for its outline), its head frame turned, shifted and scaled by pose [6] (reader.py)."""
    scale, moved, rotation = corrected(g, fitted.scale, fitted.shift, fitted.rotation, pose)
    _, shift, grow = g.split(pose, 0, 3, 2, 1)
    back, off = g.exp(-grow), g.concat([g.unsqueeze(shift, 1), g.const(np.zeros((1, 1)))], 0)  # view: V' = (V - off) / e^grow
    frame = lambda points: g.transpose(rotation, 1, 0) @ ((fitted.rotation @ points - off) * back)  # noqa: E731
    keypoints = g.transpose(frame(g.transpose(fitted.keypoints, 1, 0)), 1, 0)
    position = frame(fitted.position)
    # The outline is the head ellipsoid's in the frame that holds now: with the old one, a head at rest would seem to have moved.
    batch = lambda v: g.unsqueeze(v, 0)  # noqa: E731
    place = project_head(g, g.reshape(position, 1, 1, 3, G * G), 1, batch(rotation), batch(scale), batch(moved), slack=0.0)
    return replace(fitted, scale=scale, shift=moved, rotation=rotation, position=position, place=place, keypoints=keypoints)


def raised(g: Graph, fitted: Fitted, relief: Value) -> Value:
    """The keypoints [78,3], eyes, nose and mouth at the depth that was read (cm as fitted); teeth move with the mouth."""
    found = g.reshape(g.sample(relief, g.reshape(fitted.landmarks, 1, 1, 68, 2), G), 68, 1)
    nothing, inner = g.const(np.zeros((27, 1))), g.slice(found, 0, 27, 68)
    teeth = g.const(np.zeros((10, 1))) + g.mean(g.slice(found, 0, 48, 68), 0)
    return fitted.keypoints - g.concat([nothing, inner, teeth], 0) @ g.slice(fitted.rotation, 0, 2, 3)


def avatar_tensors() -> list[dict]:
    """What reading adds to warp's tensors of an avatar."""
    return [
        {"name": "shape", "dtype": "float32", "shape": [SHAPE, G, G]},
        {"name": "light", "dtype": "float32", "shape": [HARMONICS, 3]},
        {"name": "shading", "dtype": "float32", "shape": [HARMONICS, 3]},
        {"name": "rest", "dtype": "float32", "shape": [len(EXPRESSIONS)]},
    ]
