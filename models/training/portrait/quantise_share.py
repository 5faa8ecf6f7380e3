"""One file for the numbers that a package's graphs have in common.

The renderers of all sizes and precisions hold the same tables and mostly the same weights. As ONNX external data in one file
they are stored once: a package with three sizes in three precisions is smaller than one with three sizes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

DATA = "renderers.data"
LEAST = 4096  # bytes; smaller tensors stay in the graph
ALIGNMENT = 64


def load_whole(path: Path) -> onnx.ModelProto:
    """A graph with its numbers, with named constants in place of Constant nodes of the same size as weights, and without the
    shapes that `write_shared` adds."""
    model = onnx.load(str(path))
    del model.graph.value_info[:]
    kept = []
    for node in model.graph.node:
        value = next((a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"), None)
        if value is not None and len(value.raw_data) >= LEAST:
            value.name = node.output[0]
            model.graph.initializer.append(value)
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def write_shared(models: dict[str, onnx.ModelProto], package: Path) -> dict[str, str]:
    """Writes the graphs {file name: model} and DATA into the package; returns the SHA-256 of each file. Changes the models.

    Graphs come with the shapes of all their values: ONNX Runtime 1.30 finds them itself, but opens a graph that has them in half
    the time.
    """
    data, places = bytearray(), {}
    for model in models.values():
        del model.graph.value_info[:]  # an int8 graph has its source's
        model.CopyFrom(onnx.shape_inference.infer_shapes(model, data_prop=True))
        for tensor in model.graph.initializer:
            # Some builders keep numbers in typed fields instead of bytes.
            raw = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
            if len(raw) < LEAST:
                continue
            key = hashlib.sha256(raw).digest()
            if key not in places:
                data.extend(bytes(-len(data) % ALIGNMENT))
                places[key] = len(data)
                data.extend(raw)
            shared = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=TensorProto.EXTERNAL)
            for name, value in (("location", DATA), ("offset", places[key]), ("length", len(raw))):
                shared.external_data.add(key=name, value=str(value))
            tensor.CopyFrom(shared)
    written = {name: model.SerializeToString(deterministic=True) for name, model in models.items()} | {DATA: bytes(data)}
    for name, content in written.items():
        (package / f"{name}.part").write_bytes(content)
    for name in written:
        os.replace(package / f"{name}.part", package / name)
    return {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
