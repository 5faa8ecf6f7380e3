"""Identity of a face as a unit vector, by the small network that identity_training.py made (identity.onnx beside this file).

The crop follows the asked-for motion, not a detector, so that a badly drawn face cannot hide by being missed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluation.metrics import rotation, sample_bilinear

NETWORK = Path(__file__).with_name("identity.onnx")
SIDE = 64  # pixels of a crop
HALF = 9.5  # cm from the crop's middle to its edge
MIDDLE = np.array([0.0, 0.5, -9.0])  # cm in head axes, between the eyes and the mouth


def crop(picture: np.ndarray, motion: np.ndarray, side: int = SIDE, half: float = HALF) -> np.ndarray:
    """The face of a picture [H,W,C], upright: float32 [side,side,C] in 0..255. motion is an absolute row [58]."""
    scale = np.exp(motion[5])
    middle = motion[3:5] + scale * (rotation(*motion[:3]) @ MIDDLE)[:2]
    c, s = np.cos(motion[2]), np.sin(motion[2])
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    u, v = np.meshgrid(axis, axis)
    grid = middle + scale * half * np.stack([c * u - s * v, s * u + c * v], -1)
    return sample_bilinear(picture, grid)


class IdentityNetwork:
    """Embeds faces with ONNX Runtime."""

    def __init__(self, file: Path = NETWORK, threads: int = 2):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def embed(self, pictures: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """uint8 [B,256,256,3] and absolute motion rows [B,58] -> unit vectors [B,D]."""
        faces = np.stack([crop(p, m) for p, m in zip(pictures, motion)]).transpose(0, 3, 1, 2) / np.float32(255)
        return self.session.run(["embedding"], {"face": np.ascontiguousarray(faces, np.float32)})[0]


def load_embedder(threads: int = 1) -> tuple[IdentityNetwork | None, str]:
    """The network, or None and a note saying how to make it."""
    if not NETWORK.exists():
        return None, "identity was not measured: `python -m evaluation.identity_training` makes the network"
    return IdentityNetwork(threads=threads), ""
