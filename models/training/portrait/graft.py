"""PyTorch modules as parts of the hand-written graphs."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable

import onnx
import torch
from torch import nn

from portrait.reader import Reader
from portrait.reading import READER_INPUTS, READER_OUTPUTS
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


def inline(g: Graph, name: str, model: onnx.ModelProto, inputs: dict[str, Value]) -> list[Value]:
    """Adds the model's nodes to g under a prefix; returns its outputs."""
    names = {k: v.name for k, v in inputs.items()}
    rename = lambda n: "" if n == "" else names.setdefault(n, f"{name}/{n}")  # noqa: E731
    for tensor in model.graph.initializer:
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = rename(tensor.name)
        g.initializers.append(copy)
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{name}/{node.name}"
        copy.input[:] = [rename(n) for n in node.input]
        copy.output[:] = [rename(n) for n in node.output]
        g.nodes.append(copy)
    return [Value(g, names[o.name]) for o in model.graph.output]


def inlined_reader(reader: Reader) -> Callable[[Graph, dict[str, Value]], dict[str, Value]]:
    """For reading.read_with."""
    model = export(reader, {n: torch.rand(2, *shape) for n, shape in READER_INPUTS.items()}, [f"found.{n}" for n in READER_OUTPUTS])  # inputs have the same names
    return lambda g, given: dict(zip(READER_OUTPUTS, inline(g, "reader", model, given)))
