"""The face-vid2vid row: a checkpoint of peer.train, narrow.pt without one, and what the published size would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evaluation.cost import best_ms
from evaluation.rows import SIZE, Cost, Drive, package_version, samples_behind

NAME = "face-vid2vid"
COMMAND = "python -m peer.train --data /tmp/facewire-heads --samples 1000000 --out /tmp/facewire-peer"
PEER = Path(__file__).resolve().parents[1] / "peer"
PORTRAIT = Path(__file__).resolve().parents[2] / "portrait"
COUNTED, NARROW = PEER / "cost.json", PEER / "narrow.pt"


class FaceVid2VidRow:
    """Runs in PyTorch; the driver's motion comes from its pictures, as the paper has it."""

    def __init__(self, checkpoint: Path, threads: int = 2):
        import torch
        import torch._dynamo  # noqa: F401 - now: it loads Triton, whose LLVM crashes when the studio's OpenGL has loaded its own before

        from peer.cost import count
        from peer.train import load_model

        torch.set_num_threads(threads)
        self.torch = torch
        self.model, samples = load_model(checkpoint)
        shape = self.model.shape
        published = shape.width == 1 and shape.size == SIZE
        self.name = NAME if published else f"{NAME}, narrow"
        self.note = f"trained on {samples:,} pairs of the same data ({ours()}); ms in PyTorch, with the driver's estimator"
        if not published:
            self.note = (
                f"{shape.width} of the published width at {shape.size}², enlarged to {SIZE}² for the figures; {count(shape)['gflopFrame']:.1f} "
                f"GFLOP a frame, as published {published_cost()['gflopFrame']:.0f}; heat maps, mask and occlusion from kernels of "
                f"{shape.kernel} instead of 7; {self.note}"
            )

    def encode(self, source: np.ndarray, landmarks: np.ndarray, motion: np.ndarray) -> Any:
        with self.torch.no_grad():
            return self.model.encode(self._tensor(source[None]))

    def render(self, state: Any, drive: Drive) -> np.ndarray | None:
        if drive.images is None:
            return None
        frames = []
        with self.torch.no_grad():
            for image in drive.images:
                made = self.model.render(state, self.model.estimator(self._tensor(image[None]))).picture[0]
                picture = Image.fromarray((made.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8))
                frames.append(np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
        return np.stack(frames)

    def cost(self) -> Cost:
        from peer.cost import count

        counted = count(self.model.shape)
        picture = self._tensor(np.zeros((1, SIZE, SIZE, 3), np.uint8))
        with self.torch.no_grad():
            state = self.model.encode(picture)
            ms = best_ms(lambda: self.model.render(state, self.model.estimator(picture)), repeats=5)
        return Cost(counted["gflopFrame"], counted["parameters"], ms)

    def _tensor(self, images: np.ndarray):
        size = self.model.shape.size
        small = [np.asarray(Image.fromarray(i).resize((size, size), Image.Resampling.BOX)) for i in images] if size != SIZE else images
        return self.torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255


def ours() -> str:
    """What to hold the number of pairs against."""
    return f"the renderer of {package_version(PORTRAIT)}: {samples_behind(PORTRAIT):,}"


def published_cost() -> dict[str, float]:
    """What peer.cost counted and timed at the published size."""
    return json.loads(COUNTED.read_text())["full"]


def face_vid2vid_row(checkpoint: Path | None, threads: int) -> tuple[list[FaceVid2VidRow], list[dict]]:
    """Rows that run, and table entries that only tell: the full width stays in the table when it is not trained.

    Without a checkpoint it is the narrow one that lies in models/training/peer.
    """
    checkpoint = checkpoint or (NARROW if NARROW.exists() else None)
    rows = [FaceVid2VidRow(checkpoint, threads)] if checkpoint else []
    if any(row.name == NAME for row in rows):
        return rows, []
    counted = published_cost()
    cost = {"gflop": counted["gflopFrame"], "parameters": counted["parameters"], "ms": counted["msPyTorchCpu"]}
    note = (
        f"as published, untrained here (needs a GPU), command: `{COMMAND}`; then `--checkpoint /tmp/facewire-peer/model.pt`. "
        "Its cost is counted; its ms are the CPU time of one frame in PyTorch over two threads"
    )
    return rows, [{"name": NAME, "note": note, "reconstruction": {}, "reenactment": {}, "freeView": {}, "cost": cost}]
