"""Runs the geometric stage over the studio's shards, once: what the network is trained on.

    python -m portrait.prepare --data /tmp/facewire-heads --out /tmp/facewire-portrait [--wait]

One folder per shard; a shard is complete when its meta.json exists. For every identity both of its source frames are
encoded and driven by all of its frames (itself among them, which teaches the network to leave well alone).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from portrait.encoding import avatar_graph, avatar_tensors, load_looks
from portrait.layout import window_sizes
from portrait.marker import Marker
from portrait.stage import paint, stage
from warp.facekit import Tables, tables
from warp.graph import Graph
from warp.renderer import renderer_inputs

SIZE = 256
ROOT = Path(__file__).resolve().parents[3]
FACEKIT = ROOT.parent / "shared/ict-facekit/ict-facekit.npz"
SOURCES = 2
STAGE_TENSORS = ("pose", "anchors", "keypoints", "surface", "texture256", "backdrop256", "shape", "light", "shading", "rest", "sides", "side_place")


def stage_model(t: Tables) -> bytes:
    """The stage alone, as an ONNX model with everything the training wants as outputs."""
    g = Graph("stage")
    inputs = renderer_inputs(g, [x for x in avatar_tensors() if x["name"] in STAGE_TENSORS])
    texture, backdrop = (g.cast(inputs.avatar[f"{name}{SIZE}"], "float32") for name in ("texture", "backdrop"))
    s = stage(g, t, inputs)
    mouth, eyes = paint(g, t, inputs, s.head, SIZE, texture, backdrop)
    (mw, mh), (ew, eh) = window_sizes(SIZE)
    for name, value, shape in (
        ("flow", s.flow, ["B", 2, 64, 64]), ("side", s.side, ["B", 2, 64, 64]), ("code", s.code, ["B", 71]),
        ("mouth", mouth.picture, ["B", 3, mh, mw]), ("mouth_geometry", mouth.geometry, ["B", 5, mh, mw]),
        ("mouth_corner", mouth.corner, ["B", 1, 2, 1]), ("eyes", eyes.picture, ["E", 3, eh, ew]),
        ("eye_geometry", eyes.geometry, ["E", 6, eh, ew]), ("eye_corners", eyes.corner, ["B", 2, 2, 1]),
        ("light", s.light, ["B", 3, 64, 64]), ("side_light", s.side_light, ["B", 3, 64, 64]), ("normal", s.normal, ["B", 3, 64, 64]), ("was", s.was, ["B", 3, 64, 64]),
        ("keypoints", s.head.keypoints, ["B", 78, 2]),
    ):
        g.output(value, name, "float32", shape)
    return g.model("Facewire portrait stage").SerializeToString()


def session(model: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Preparer:
    def __init__(self, facekit: Path, threads: int, looks: Path):
        t = tables(facekit)
        self.marker = Marker()
        self.encoder = session(avatar_graph(t, load_looks(looks)).model("encoder").SerializeToString(), threads)
        self.stage = session(stage_model(t), threads)
        self.encoder_outputs = [o.name for o in self.encoder.get_outputs()]
        self.stage_outputs = [o.name for o in self.stage.get_outputs()]

    def encode(self, image: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
        portrait = cv2.resize(image, (512, 512), interpolation=cv2.INTER_CUBIC)
        return dict(zip(self.encoder_outputs, self.encoder.run(None, {"portrait": portrait, "landmarks": landmarks.astype(np.float32)})))

    def drive(self, avatar: dict[str, np.ndarray], motion: np.ndarray) -> dict[str, np.ndarray]:
        """motion [B,58], relative to the portrait in tx, ty and log scale."""
        feed = {f"bank.{name}": avatar[name][None] for name in STAGE_TENSORS}
        feed |= {"slots": np.zeros(len(motion), np.int64), "motion": motion.astype(np.float32), "view": np.zeros((len(motion), 2), np.float32)}
        return dict(zip(self.stage_outputs, self.stage.run(None, feed)))

    def shard(self, folder: Path, out: Path) -> None:
        read = lambda name: np.load(folder / f"{name}.npy", mmap_mode="r")  # noqa: E731
        images, motion, landmarks, identity = read("images"), read("motion"), read("landmarks"), read("identity")
        frame = np.load(folder / "frame.npy")
        rng = np.random.default_rng(int(identity[0]) + 7)
        kept: dict[str, list[np.ndarray]] = {}
        keep = lambda name, value, dtype: kept.setdefault(name, []).append(np.asarray(value).astype(dtype))  # noqa: E731
        for person in np.unique(identity):
            rows = np.flatnonzero(identity == person)
            for source in range(SOURCES):
                s = rows[frame[rows] == source][0]
                avatar = self.encode(images[s], self.marker(images[s], landmarks[s], rng))
                relative = motion[rows].copy()
                relative[:, 3:6] -= motion[s, 3:6]
                made = self.drive(avatar, relative)
                keep("texture256", avatar["texture256"], np.uint8)
                keep("backdrop256", avatar["backdrop256"], np.uint8)
                keep("sides", avatar["sides"], np.uint8)
                keep("harmonics", avatar["light"], np.float16)
                n = len(rows)
                pairs = kept.setdefault("pair", [])
                index = len(kept["texture256"]) - 1
                pairs.append(np.stack([np.full(n, index), rows, np.full(n, s), np.full(n, source)], 1))
                for name in ("flow", "side", "mouth_geometry", "eye_geometry", "code", "light", "side_light", "normal", "was"):
                    value = made[name]
                    keep(name, value.reshape(n, 2, *value.shape[1:]) if name == "eye_geometry" else value, np.float16)
                for name in ("mouth", "eyes"):
                    value = np.clip(made[name] * 255 + 0.5, 0, 255)
                    keep(name, value.reshape(n, 2, *value.shape[1:]) if name == "eyes" else value, np.uint8)
                keep("mouth_corner", made["mouth_corner"].reshape(n, 2), np.int16)
                keep("eye_corners", made["eye_corners"].reshape(n, 2, 2), np.int16)
        out.mkdir(parents=True, exist_ok=True)
        for name, values in kept.items():
            array = np.stack(values) if name in ("texture256", "backdrop256", "sides", "harmonics") else np.concatenate(values)
            np.save(out / f"{name}.npy", array)
        (out / "meta.json").write_text(json.dumps({"data": str(folder), "pairs": int(sum(len(p) for p in kept["pair"]))}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/tmp/facewire-heads"))
    parser.add_argument("--out", type=Path, default=Path("/tmp/facewire-portrait"))
    parser.add_argument("--facekit", type=Path, default=FACEKIT)
    parser.add_argument("--looks", type=Path, default=Path(__file__).parent, help="folder of lifter.pt, reader.pt and turner.pt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wait", type=float, default=0, help="seconds to go on looking for new shards")
    a = parser.parse_args()
    preparer = Preparer(a.facekit, a.threads, a.looks)
    until = time.time() + a.wait
    while True:
        todo = [f.parent for f in sorted(a.data.glob("*/meta.json")) if not (a.out / f.parent.name / "meta.json").exists()]
        for folder in todo:
            start = time.time()
            preparer.shard(folder, a.out / folder.name)
            print(f"{folder.name}: {time.time() - start:.0f} s", flush=True)
        if time.time() > until:
            break
        if not todo:
            time.sleep(5)


if __name__ == "__main__":
    main()
