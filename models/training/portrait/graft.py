"""PyTorch modules as parts of the hand-written graphs."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import torch
from torch import nn

from portrait.lifter import INPUTS as LIFTER_INPUTS, LANDMARKS, Lifted, Lifter
from portrait.reader import Reader
from portrait.reading import READER_INPUTS, READER_OUTPUTS
from warp.encoder import Lifting
from warp.graph import OPSET, Graph, Value

# The tracing exporter, which Debian's torch has too, keeps to plain operators.
OLD_EXPORTER = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}


def export(module: nn.Module, inputs: dict[str, torch.Tensor], outputs: list[str]) -> onnx.ModelProto:
    """module as ONNX, batch dynamic in everything."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), buffer, opset_version=OPSET, input_names=list(inputs), output_names=outputs,
            dynamic_axes={name: {0: "B"} for name in (*inputs, *outputs)}, **OLD_EXPORTER,
        )
    return onnx.load_from_string(buffer.getvalue())


def inline(g: Graph, name: str, model: onnx.ModelProto, inputs: dict[str, Value], *, halves: bool = False) -> list[Value]:
    """Adds the model's nodes to g under a prefix; returns its outputs.

    halves: weights that half precision holds exactly, as all that checkpoints here keep, take half the file; ONNX Runtime
    casts them when it opens the graph.
    """
    names = {k: v.name for k, v in inputs.items()}
    rename = lambda n: "" if n == "" else names.setdefault(n, f"{name}/{n}")  # noqa: E731
    for tensor in model.graph.initializer:
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = rename(tensor.name)
        if halves and (half := as_halves(tensor)):
            half.name = f"{copy.name}.half"
            g.initializers.append(half)
            g.nodes.append(onnx.helper.make_node("Cast", [half.name], [copy.name], name=f"{copy.name}.cast", to=onnx.TensorProto.FLOAT))
        else:
            g.initializers.append(copy)
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{name}/{node.name}"
        copy.input[:] = [rename(n) for n in node.input]
        copy.output[:] = [rename(n) for n in node.output]
        g.nodes.append(copy)
    return [Value(g, names[o.name]) for o in model.graph.output]


def as_halves(tensor: onnx.TensorProto) -> onnx.TensorProto | None:
    """The tensor in half precision, if it is large and loses nothing by it."""
    if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < 1024:
        return None
    values = onnx.numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    return onnx.numpy_helper.from_array(halves) if np.array_equal(halves.astype(np.float32), values) else None


def inlined_reader(reader: Reader) -> Callable[[Graph, dict[str, Value]], dict[str, Value]]:
    """For reading.read_with."""
    model = export(reader, {n: torch.rand(2, *shape) for n, shape in READER_INPUTS.items()}, [f"found.{n}" for n in READER_OUTPUTS])  # inputs have the same names
    return lambda g, given: dict(zip(READER_OUTPUTS, inline(g, "reader", model, given, halves=True)))


def inlined_lifter(lifter: Lifter) -> Lifting:
    """For warp.encoder.encoder_graph."""
    model = export(lifter, {n: torch.rand(2, *shape) for n, shape in LIFTER_INPUTS.items()}, [f"lifted.{n}" for n in Lifted._fields])

    def lift(g: Graph, rotation: Value, residual: Value) -> tuple[Value, Value, Value]:
        given = {"residual": g.reshape(residual, 1, 3 * LANDMARKS), "rotation": g.reshape(rotation, 1, 9)}
        pose, depth, doubt = inline(g, "lifter", model, given, halves=True)
        return g.reshape(pose, 6), g.reshape(depth, LANDMARKS, 1), g.reshape(doubt, 1)

    return lift
