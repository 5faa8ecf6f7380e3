"""How a person's skin shades, measured in the portrait itself: the encoder's graph, no learned weights.

The Reader guesses the light from everybody's portraits. The portrait at hand tells more: its skin shows how bright and what
colour this person, in this light and by this camera, is at every normal that it has. A function of the normal (spherical
harmonics) is fitted to the logarithm of its skin's colours, beyond what the light that was read explains.
"""

from __future__ import annotations

import numpy as np

from portrait.layout import HARMONICS, G
from warp.graph import Graph, Value
from warp.layout import LUMA

ROUNDS = 5  # of reweighting: what shading does not explain (lips, brows, freckles) counts less
ODD = 0.15  # a difference of logarithms that halves a cell's weight
LIKE_LUMA, LIKE_HUE = 0.4, 0.1  # differences of logarithms to the cheeks within which a cell is skin
RIDGE = 0.01  # towards no shading
BLACK = 0.02
STRENGTH = 1.2  # the ridge takes so much off; fitted to pictures


def skin_light(g: Graph, image: Value, landmarks: Value) -> Value:
    """Mean colour [3] of the cheeks."""
    cheeks = g.gather(landmarks, [2, 14, 3, 13], 0) * 0.45 + g.gather(landmarks, [31, 35, 31, 35], 0) * 0.55
    return g.mean(g.reshape(g.sample(g.pool(image, 8), g.reshape(cheeks, 1, 1, 4, 2), 64), 3, 4), 1, keep=False)


def fit_shading(g: Graph, colour: Value, cheeks: Value, normal: Value, harmonics: Value, glow: Value, cover: Value) -> tuple[Value, Value]:
    """(shading [HARMONICS,3], skin [1,1,G,G]): the logarithm of skin's colour as a function of the normal, beyond glow, and how much of
    a cell is skin.

    colour, normal, glow [1,3,G,G]: the portrait (0..1), its normals and the logarithm of the light on them; harmonics
    [HARMONICS,G*G] of the normals; cheeks [3]: their mean colour; cover [1,1,G,G]: 1 where the person is.
    """
    off = g.op("Log", colour + BLACK) - g.reshape(g.op("Log", cheeks + BLACK), 1, 3, 1, 1)
    luma = g.sum(off * np.array(LUMA, np.float32).reshape(1, 3, 1, 1), 1)
    hue = off - luma
    skin = g.exp(luma * luma * (-1 / LIKE_LUMA**2) - g.sum(hue * hue, 1) * (1 / LIKE_HUE**2)) * cover
    wanted = g.transpose(g.reshape(off - glow, 3, G * G), 1, 0)
    by_cell = g.transpose(harmonics, 1, 0)
    likely = g.reshape(skin, 1, G * G)
    ridge = g.const(np.diag([RIDGE / 10] + [RIDGE] * (HARMONICS - 1))) * (g.sum(likely, 1) + 1.0)
    weight, shading = likely, None
    for _ in range(ROUNDS):
        weighted = harmonics * weight
        shading = solve(g, weighted @ by_cell + ridge, weighted @ wanted, HARMONICS)
        missed = (wanted - by_cell @ shading) @ np.array(LUMA, np.float32)[:, None]
        missed = g.reshape(missed, 1, G * G) * (1 / ODD)
        weight = likely / (missed * missed + 1.0)
    return shading * STRENGTH, skin


def solve(g: Graph, a: Value, b: Value, n: int) -> Value:
    """x of a x = b; a [n,n] symmetric and positive definite, b [n,m]. Gauss and Jordan, without pivots."""
    both = g.concat([a, b], 1)
    for k in range(n):
        column = g.slice(both, 1, k, k + 1)
        row = g.slice(both, 0, k, k + 1) / g.slice(column, 0, k, k + 1)
        both = both - (column - np.eye(n, dtype=np.float32)[:, k : k + 1]) @ row
    return g.slice(both, 1, n, 1 << 30)
