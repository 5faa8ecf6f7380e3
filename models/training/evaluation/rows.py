"""Rows of the table: one renderer each, behind one interface.

`encode` gets a portrait uint8 [256,256,3], its landmarks [68,2] in -1..1 and its absolute motion row [58] (for renderers
that know the portrait's pose; a package finds it by itself). `render` gets that state and a Drive.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from evaluation.cost import best_ms, count_gflop, count_parameters
from portrait.marker import Marker
from warp.run import Package, stack

SIZE = 256


@dataclass(frozen=True)
class Drive:
    """What moves the portrait: motion rows as packages take them (data.drive_rows), and the driver's pictures where there are any."""

    motion: np.ndarray  # float32 [B,58]
    images: np.ndarray | None = None  # uint8 [B,256,256,3]; a row that reads no coefficients needs them


@dataclass(frozen=True)
class Cost:
    """Of one 256x256 frame; None where it was not measured."""

    gflop: float | None = None
    parameters: int | None = None
    ms: float | None = None


class Row(Protocol):
    name: str
    note: str

    def encode(self, source: np.ndarray, landmarks: np.ndarray, motion: np.ndarray) -> Any: ...

    def render(self, state: Any, drive: Drive) -> np.ndarray | None: ...

    def cost(self) -> Cost: ...


class SourceRow:
    """The portrait itself, whatever the motion: the floor of every metric."""

    name, note = "source copied", ""

    def encode(self, source: np.ndarray, landmarks: np.ndarray, motion: np.ndarray) -> np.ndarray:
        return source

    def render(self, state: np.ndarray, drive: Drive) -> np.ndarray:
        return np.repeat(state[None], len(drive.motion), 0)

    def cost(self) -> Cost:
        return Cost(0.0, 0, 0.0)


class PackageRow:
    """A model package through ONNX Runtime on the CPU."""

    def __init__(self, name: str, folder: Path, *, threads: int = 2, precision: str = ""):
        self.name, self.note = name, f"renderers of precision {precision}" if precision else ""
        self.package = Package(folder, threads, precision=precision)
        self.folder = folder
        self._last: dict[str, np.ndarray] | None = None

    def encode(self, source: np.ndarray, landmarks: np.ndarray, motion: np.ndarray) -> dict[str, np.ndarray]:
        portrait = np.asarray(Image.fromarray(source).resize((512, 512), Image.Resampling.BICUBIC))
        self._last = stack([self.package.encode(np.ascontiguousarray(portrait), landmarks)])
        return self._last

    def render(self, state: dict[str, np.ndarray], drive: Drive) -> np.ndarray:
        view = np.zeros((len(drive.motion), 2), np.float32)
        return self.package.render(state, np.zeros(len(view), np.int64), drive.motion, view, SIZE)[0]

    def cost(self) -> Cost:
        """Of the renderer at batch 1; parameters of encoder and renderer together. Needs one encoded portrait.

        Operations and parameters are counted in the float32 graph, of which other precisions are made.
        """
        if self._last is None:
            return Cost()
        file, session = f"renderer-{SIZE}.onnx", self.package.renderer(SIZE)
        feed = {i.name: self._last[i.name[5:]] for i in session.get_inputs() if i.name.startswith("bank.")}
        feed |= {"slots": np.zeros(1, np.int64), "motion": np.zeros((1, 58), np.float32), "view": np.zeros((1, 2), np.float32)}
        return Cost(
            count_gflop(self.folder / file, feed),
            count_parameters(self.folder / file) + count_parameters(self.folder / "encoder.onnx"),
            best_ms(lambda: session.run(["rgb"], feed)),
        )


class TrackedRow(PackageRow):
    """The same, but for landmarks that models/tracker finds in the portrait, as an upload without landmarks has them."""

    def __init__(self, name: str, folder: Path, *, threads: int = 2):
        super().__init__(name, folder, threads=threads)
        self.note = "landmarks of the portraits from models/tracker, as of an upload without landmarks; the others get the true ones"
        self.marker = Marker()

    def encode(self, source: np.ndarray, landmarks: np.ndarray, motion: np.ndarray) -> dict[str, np.ndarray]:
        return super().encode(source, self.marker.tracked(source, landmarks), motion)


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text()) if (folder / "manifest.json").exists() else {}


def samples_behind(folder: Path) -> int | None:
    """How many samples a package's renderer was trained on; None where nothing was learned, or nothing is said of it."""
    said = re.search(r"(\d+) samples", manifest_of(folder).get("trainingData", ""))
    return int(said[1]) if said else None


def package_version(folder: Path) -> str:
    manifest = manifest_of(folder)
    return f"{manifest.get('name', folder.name)} {manifest.get('version', '?')}"
