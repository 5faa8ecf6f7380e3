"""What the encoder writes and the renderers read: the avatar's tensors and the places in `pose`."""

from __future__ import annotations

G = 64  # side of the coarse maps
SIZES = (128, 256, 512)
KEYPOINTS = 78  # 68 landmarks, then 5 + 5 points of the rows of teeth

# `surface` [5, G, G] over the frontal grid (geometry.py): head-frame position in cm, then its place in the portrait

# `pose` [32]: scale (image units per cm), translation, rotation (row major), luma of the eyes' whites, iris centres in eye
# coordinates (h, v per eye); how far the picture is of one tone (0..1), and that tone: colour = dark + luma * tone
POSE = {
    "scale": (0, 1), "shift": (1, 3), "rotation": (3, 12), "white": (12, 13), "iris": (13, 17), "toned": (17, 18), "dark": (18, 21), "tone": (21, 24),
}
POSE_LENGTH = 32

LUMA = (0.3, 0.59, 0.11)

# Ellipsoid around skull and hair, cm in the head frame.
HEAD_CENTRE = (0.0, -3.9, 0.4)
HEAD_RADII = (8.5, 12.0, 11.0)


def avatar_tensors() -> list[dict]:
    """Name, dtype and shape of every tensor of one avatar."""
    tensors = [
        {"name": "pose", "dtype": "float32", "shape": [POSE_LENGTH]},
        {"name": "anchors", "dtype": "float32", "shape": [68, 2]},
        {"name": "keypoints", "dtype": "float32", "shape": [KEYPOINTS, 3]},
        {"name": "surface", "dtype": "float32", "shape": [5, G, G]},
    ]
    for size in SIZES:
        tensors.append({"name": f"texture{size}", "dtype": "uint8", "shape": [4, size, size]})
        tensors.append({"name": f"backdrop{size}", "dtype": "uint8", "shape": [3, size, size]})
    return tensors


def renderer_tensors(size: int) -> list[dict]:
    """The subset that the renderer of one size reads."""
    keep = {"pose", "anchors", "keypoints", "surface", f"texture{size}", f"backdrop{size}"}
    return [t for t in avatar_tensors() if t["name"] in keep]
