"""What a person hides of the backdrop: the encoder's graph, no learned weights.

Seen is what lies well outside the matte; nothing of the person can leak. A plane of colours goes through it, so that gradients go
on behind the head, and what it misses is spread inwards from all sides (push-pull: Gortler et al., The Lumigraph, 1996, 3.4).
A network that weighed such fills and corrected them was tried: it learned nothing that they do not have.
"""

from __future__ import annotations

import numpy as np

from warp.encoder import plane
from warp.graph import Graph, Value

SIDE = 128  # of what is filled
MARGIN = 3  # pixels of 256 around the person that are not looked at: mattes miss strands
FAINT, PLAIN = 0.03, 0.1  # a matte below the first hides nothing, one above the second all
NONE = np.float32(1e-4)
ENOUGH = 0.25  # a cell of the pyramid counts in full if so large a part of it is seen: what is near outweighs what is far


def fill_behind(g: Graph, image: Value, matte: Value) -> Value:
    """image [1,3,256,256], 0..1, and matte [1,1,256,256] -> backdrop [1,3,SIDE,SIDE], the image's own where nobody is near."""
    side = 2 * MARGIN + 1
    near = g.op("MaxPool", matte, kernel_shape=[side, side], strides=[1, 1], pads=[MARGIN] * 4)
    visible = 1.0 - g.smoothstep(near, FAINT, PLAIN)
    seen = g.pool(visible, 256 // SIDE)
    colour = g.pool(image * visible, 256 // SIDE) / g.max(seen, NONE)
    even = plane(g, colour, seen, SIDE)
    return g.clip(even + spread(g, colour - even, seen), 0, 1)


def spread(g: Graph, colour: Value, seen: Value) -> Value:
    """colour [1,3,SIDE,SIDE] where seen [1,1,SIDE,SIDE] is 1, and where it is 0 what its surroundings have."""
    levels = [(colour, seen)]
    for _ in range(SIDE.bit_length() - 1):
        finer, shown = levels[-1]
        share = g.pool(shown, 2)
        levels.append((g.pool(finer * shown, 2) / g.max(share, NONE), g.min(share * (1 / ENOUGH), np.float32(1))))
    filled, _ = levels.pop()
    side = 1
    for finer, shown in reversed(levels):
        side *= 2
        filled = g.mix(g.resize(filled, side, side, 3), finer, shown)
    return filled
