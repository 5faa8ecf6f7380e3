"""Writes models/portrait: the geometric stage joined with the trained network, as ONNX, and manifest.json.

    python -m portrait.build --checkpoint portrait/weights.pt [--out ../portrait]
    python -m portrait.build --checkpoint /tmp/facewire-portrait-run/last.pt --weights portrait/weights.pt
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from portrait.encoding import Looks, avatar_graph, avatar_tensors as encoded_tensors, load_looks
from portrait.graft import export, inline
from portrait.layout import EYE_GEOMETRY, FEATURES, HARMONICS, IDENTITY, MOUTH_GEOMETRY, SIDE, G, window_sizes
from portrait.blocks import Codebook
from portrait.drawing import LEVELS, Drawing, blended, mouth_of_one_tone, read_windows, refine
from portrait.network import Encoder, Generator
from portrait.stage import paint, stage
from warp.facekit import EXPRESSIONS, Tables, tables
from warp.graph import Graph, Value
from warp.renderer import HALF, renderer_inputs, write_outputs
from warp.windows import write_places

SIZES = (128, 256, 512)
ROOT = Path(__file__).resolve().parents[3]
VERSION = "1.8.0"
WARP_GFLOP = {128: 0.006, 256: 0.015, 512: 0.050}


def avatar_tensors() -> list[dict]:
    return [
        *encoded_tensors(),
        {"name": "features", "dtype": "float32", "shape": [FEATURES, G, G]},
        {"name": "identity", "dtype": "float32", "shape": [IDENTITY]},
    ]


def renderer_tensors(size: int) -> list[dict]:
    """The subset that the renderer of one size reads."""
    sizes = {128: (128,), 256: (128, 256), 512: (128, 256, 512)}[size]
    keep = {"pose", "anchors", "keypoints", "surface", "shape", "light", "shading", "rest", "sides", "side_place", "features", "identity"} | {f"{n}{s}" for s in sizes for n in ("texture", "backdrop")}
    keep |= {"side_detail"} if size > 128 else set()
    return [t for t in avatar_tensors() if t["name"] in keep]


def renderer_graph(t: Tables, net: Generator, size: int) -> Graph:
    g = Graph(f"renderer-{size}")
    inputs = renderer_inputs(g, renderer_tensors(size))
    inner = min(size, 256)
    levels = {n: g.cast(v, "float32") for n, v in inputs.avatar.items() if n.startswith(("texture", "backdrop"))}  # 0..255
    s = stage(g, t, inputs)
    drawing = Drawing(g, net, s, inputs, levels, inner)
    frame = drawing.frame(size)
    # The refiners of 512 work at 256.
    inner_frame = drawing.frame(inner) if inner != size else frame

    painted = lambda of: paint(g, t, inputs, s.head, of, levels[f"texture{of}"], levels[f"backdrop{of}"])  # noqa: E731
    windows = painted(inner)
    bases = read_windows(g, inner_frame, windows, window_sizes(inner))
    changes = refine(g, net, windows, bases, drawing.moved["motion"], inputs.avatar["identity"], window_sizes(inner))
    if size == 512:
        windows = painted(size)
        bases = read_windows(g, frame, windows, window_sizes(size))
        changes = [
            tuple(g.resize(v, wh[1], wh[0], channels) for v, channels in zip(change, (2, 3, 1, 3)))
            for change, wh in zip(changes, window_sizes(size))
        ]
    mouth, eyes = (blended(g, *given) for given in zip(bases, windows, changes, window_sizes(size)))
    mouth = mouth_of_one_tone(g, inputs, mouth, window_sizes(size)[0])
    values = [g.reshape(v * LEVELS + HALF, -1) for v in (mouth, eyes)]
    write_outputs(g, write_places(g, frame, [window.places for window in windows], values, size), size)
    return g


def encoder_model(t: Tables, encoder: Encoder, looks: Looks) -> Graph:
    g = avatar_graph(t, looks)
    image = g.pool(g.transpose(g.unsqueeze(g.cast(Value(g, "portrait"), "float32"), 0), 0, 3, 1, 2) * np.float32(1 / 255), 2)
    features, identity = inline(g, "encoder", export(encoder, {"portrait": torch.rand(2, 3, 256, 256)}, ["features", "identity"]), {"portrait": image}, halves=True)
    g.output(g.reshape(features, FEATURES, G, G), "features", "float32", [FEATURES, G, G])
    g.output(g.reshape(identity, IDENTITY), "identity", "float32", [IDENTITY])
    return g


def count_gflop(net: Generator, size: int) -> float:
    """GFLOP of one frame (a multiply-add is two): convolutions, matrix products and codebooks, plus the stage's own."""
    inner = min(size, 256)
    zero = lambda *shape: torch.zeros(1, *shape)  # noqa: E731
    (mw, mh), (ew, eh) = window_sizes(inner)
    total = 0

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += 2 * output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += 2 * module.weight.numel()
        else:  # keys and values of a codebook, at every cell
            total += 4 * sum(k.numel() for k in module.codes()[:1]) * output[0, 0].numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear, Codebook))]
    with torch.no_grad():
        flow, map_, identity = zero(2, G, G), zero(3, G, G), zero(IDENTITY)
        _, _, motion, _, _ = net(
            zero(4, inner, inner), zero(3, inner, inner), zero(4, 128, 128), zero(3, 128, 128), zero(4, SIDE, SIDE), zero(FEATURES, G, G), identity, zero(HARMONICS, 3), zero(71),
            flow, flow, map_, map_, map_, map_,
        )
        net.mouth(zero(3, mh, mw), zero(3, mh, mw), zero(len(MOUTH_GEOMETRY), mh, mw), motion, identity)
        for _ in range(2):
            net.eyes(zero(3, eh, ew), zero(3, eh, ew), zero(len(EYE_GEOMETRY), eh, ew), motion, identity)
    for hook in hooks:
        hook.remove()
    return round(total / 1e9 + WARP_GFLOP[size], 3)


def load(checkpoint: Path) -> tuple[Encoder, Generator, dict]:
    """Encoder and generator with the averaged weights, and {"seen", "before", "config"}, of a training's checkpoint or of weights.pt."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    models = nn.ModuleDict({"encoder": Encoder(), "net": Generator(**state["config"]["parts"])})
    models.load_state_dict({k: v.float() for k, v in state["average"].items()})
    return models["encoder"].eval(), models["net"].eval(), {"seen": state["seen"], "before": state["before"], "config": state["config"]}


def build(facekit: Path, encoder: Encoder, looks: Looks, net: Generator, out: Path, seen: int) -> dict:
    out.mkdir(parents=True, exist_ok=True)
    t = tables(facekit)

    def write(file: str, g: Graph, doc: str) -> str:
        data = g.model(doc).SerializeToString(deterministic=True)
        (out / file).write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    files = [{
        "role": "encoder", "file": "encoder.onnx", "sha256": write("encoder.onnx", encoder_model(t, encoder, looks), "Facewire portrait encoder"),
        "inputs": [{"name": "portrait", "dtype": "uint8", "shape": [512, 512, 3]}, {"name": "landmarks", "dtype": "float32", "shape": [68, 2]}],
        "outputs": avatar_tensors(),
    }]
    for size in SIZES:
        file = f"renderer-{size}.onnx"
        inputs = [{"name": f"bank.{x['name']}", "dtype": x["dtype"], "shape": ["S", *x["shape"]]} for x in renderer_tensors(size)]
        inputs += [
            {"name": "slots", "dtype": "int64", "shape": ["B"]}, {"name": "motion", "dtype": "float32", "shape": ["B", 58]},
            {"name": "view", "dtype": "float32", "shape": ["B", 2]},
        ]
        files.append({
            "role": "renderer", "size": size, "file": file, "gflop": count_gflop(net, size),
            "sha256": write(file, renderer_graph(t, net, size), f"Facewire portrait renderer, {size}x{size}"), "inputs": inputs,
            "outputs": [
                {"name": "rgb", "dtype": "uint8", "shape": ["B", size, size, 3]}, {"name": "i420", "dtype": "uint8", "shape": ["B", size * 3 // 2, size]},
            ],
        })
    manifest = {
        "format": 1, "name": "portrait", "family": "keypoint-warp", "version": VERSION, "licence": "MIT",
        "trainingData": f"synthetic heads of models/training/heads (ICT-FaceKit, MIT), {seen} samples; no photographs",
        "expressionNames": EXPRESSIONS, "keypoints": 0, "avatar": avatar_tensors(), "files": files,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("/tmp/facewire-portrait-run/last.pt"))
    parser.add_argument("--facekit", type=Path, default=ROOT.parent / "shared/ict-facekit/ict-facekit.npz")
    parser.add_argument("--out", type=Path, default=ROOT / "models/portrait")
    parser.add_argument("--weights", type=Path, help="keep the averaged weights here, in half precision: python -m portrait.train --start takes them")
    parser.add_argument("--looks", type=Path, default=Path(__file__).parent, help="folder of lifter.pt, reader.pt and turner.pt")
    a = parser.parse_args()
    encoder, net, state = load(a.checkpoint)
    if a.weights:
        average = {f"{n}.{k}": v.half() for n, m in (("encoder", encoder), ("net", net)) for k, v in m.state_dict().items()}
        torch.save({"average": average, **state}, a.weights)
        encoder, net, state = load(a.weights)  # what is kept is what is built
    for entry in build(a.facekit, encoder, load_looks(a.looks), net, a.out, state["seen"] + state["before"])["files"]:
        print(entry["file"], entry.get("gflop", ""), (a.out / entry["file"]).stat().st_size)


if __name__ == "__main__":
    main()
