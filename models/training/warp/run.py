"""Runs the built package with ONNX Runtime, for the sheet and the tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort

from warp.facekit import INDEX


class Package:
    """The encoder and renderers of one built folder on two CPU threads."""

    def __init__(self, folder: Path, threads: int = 2, profile: bool = False, precision: str = ""):
        """precision: of the renderers, as the manifest names a variant ("int8", "float16"); empty: float32."""
        self.folder, self.threads, self.profile, self.precision = folder, threads, profile, precision
        self.sessions: dict[str, ort.InferenceSession] = {}

    def session(self, file: str) -> ort.InferenceSession:
        if file not in self.sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = self.threads
            options.enable_profiling = self.profile
            self.sessions[file] = ort.InferenceSession(str(self.folder / file), options, providers=["CPUExecutionProvider"])
        return self.sessions[file]

    def renderer(self, size: int) -> ort.InferenceSession:
        return self.session(f"renderer-{size}{self.precision and '.' + self.precision}.onnx")

    def encode(self, portrait: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
        """portrait uint8 [512,512,3], landmarks [68,2] in -1..1."""
        session = self.session("encoder.onnx")
        values = session.run(None, {"portrait": portrait, "landmarks": landmarks.astype(np.float32)})
        return {o.name: v for o, v in zip(session.get_outputs(), values)}

    def render(self, bank: dict[str, np.ndarray], slots, motion: np.ndarray, view: np.ndarray, size: int):
        """bank arrays [S,...]; returns rgb [B,size,size,3] and i420 [B,3/2 size,size]."""
        session = self.renderer(size)
        feed = {i.name: bank[i.name[5:]] for i in session.get_inputs() if i.name.startswith("bank.")}
        feed |= {"slots": np.asarray(slots, np.int64), "motion": motion.astype(np.float32), "view": view.astype(np.float32)}
        rgb, i420 = session.run(["rgb", "i420"], feed)
        return rgb, i420


def stack(avatars: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([a[name] for a in avatars]) for name in avatars[0]}


def motion_row(*, pitch=0.0, yaw=0.0, roll=0.0, tx=0.0, ty=0.0, log_scale=0.0, **coefficients) -> np.ndarray:
    """One motion row [58]; angles in radians, coefficients by ARKit name."""
    row = np.zeros(58, np.float32)
    row[:6] = pitch, yaw, roll, tx, ty, log_scale
    for name, value in coefficients.items():
        row[6 + INDEX[name]] = value
    return row


def pose_angles(avatar: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """(pitch, yaw, roll) of the portrait, from the encoder's rotation R = Rz Ry Rx."""
    r = avatar["pose"][3:12].reshape(3, 3)
    return float(np.arctan2(r[2, 1], r[2, 2])), float(-np.arcsin(np.clip(r[2, 0], -1, 1))), float(np.arctan2(r[1, 0], r[0, 0]))


def read_portrait(image: Path) -> tuple[np.ndarray, np.ndarray]:
    """(pixels [512,512,3], landmarks [68,2] in -1..1) of an image with a .json beside it."""
    from PIL import Image

    pixels = np.asarray(Image.open(image).convert("RGB").resize((512, 512)))
    points = np.array(json.loads(image.with_suffix(".json").read_text())["landmarks"], np.float32)
    return np.ascontiguousarray(pixels), points / 256 - 1
