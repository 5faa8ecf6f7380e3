"""What the encoder writes and the renderers read: the avatar's tensors and the places in `pose`."""

from __future__ import annotations

G = 64  # side of the coarse maps
SIZES = (128, 256, 512)
KEYPOINTS = 78  # 68 landmarks, then 5 + 5 points of the rows of teeth

# `geometry` channels: head-frame position (cm), where to sample the expression field, head weight, rim weight
GEOMETRY = {"position": (0, 3), "field": (3, 5), "head": (5, 6), "rim": (6, 7)}
GEOMETRY_CHANNELS = 7

# `pose` [32]: scale (image units per cm), translation, rotation (row major), silhouette normaliser
# (2x2, row major), silhouette centre, light, iris centres in eye coordinates (h, v per eye)
POSE = {"scale": (0, 1), "shift": (1, 3), "rotation": (3, 12), "rim": (12, 16), "centre": (16, 18), "light": (18, 21), "iris": (21, 25)}
POSE_LENGTH = 32

# Ellipsoid around head and hair, cm in the head frame.
HEAD_CENTRE = (0.0, -3.9, 0.4)
HEAD_RADII = (8.5, 12.0, 11.0)


def avatar_tensors() -> list[dict]:
    """Name, dtype and shape of every tensor of one avatar."""
    tensors = [
        {"name": "pose", "dtype": "float32", "shape": [POSE_LENGTH]},
        {"name": "anchors", "dtype": "float32", "shape": [68, 2]},
        {"name": "keypoints", "dtype": "float32", "shape": [KEYPOINTS, 3]},
        {"name": "geometry", "dtype": "float32", "shape": [GEOMETRY_CHANNELS, G, G]},
    ]
    for size in SIZES:
        tensors.append({"name": f"texture{size}", "dtype": "uint8", "shape": [4, size, size]})
        tensors.append({"name": f"backdrop{size}", "dtype": "uint8", "shape": [3, size, size]})
    return tensors


def renderer_tensors(size: int) -> list[dict]:
    """The subset that the renderer of one size reads."""
    keep = {"pose", "anchors", "keypoints", "geometry", f"texture{size}", f"backdrop{size}"}
    return [t for t in avatar_tensors() if t["name"] in keep]
