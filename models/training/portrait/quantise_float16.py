"""Half precision for the learned part of a renderer, for GPUs.

Convolutions and matrix products with stored weights, and what stands between them, compute in float16. Geometry, sampling
with its grids, and every step that the network marked by a cast to float (softmax, flows, logits, light) stay in
float32: a float16 coordinate is off by up to a quarter of a pixel at 512.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEARNED = ("Conv", "Gemm")
# Operator -> which of its inputs are data; None: all. The means of the identity's normalisation are not here: squares overflow.
BETWEEN = {
    "LeakyRelu": None, "Add": None, "Sub": None, "Mul": None, "Concat": None, "DepthToSpace": None, "Transpose": None,
    "Resize": 1, "Slice": 1, "Split": 1, "Reshape": 1, "Unsqueeze": 1, "Squeeze": 1,
}


def to_float16(source: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `source` whose learned part is in float16; inputs and outputs keep their types."""
    held = {t.name: t for t in source.graph.initializer}
    for node in source.graph.node:
        if node.op_type == "Constant":
            held |= {node.output[0]: a.t for a in node.attribute if a.name == "value"}
    floats = {name for name, t in held.items() if t.data_type == TensorProto.FLOAT}
    outputs = {o.name for o in source.graph.output}
    half: set[str] = set()  # values that exist in float16
    both: dict[tuple[str, bool], str] = {}  # (value, in half precision?) -> name of its converted copy
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def converted(name: str, wanted: bool) -> str:
        """The name of a value in float16 (wanted) or float32."""
        if name == "" or (name in half) == wanted:
            return name
        if (name, wanted) not in both:
            both[name, wanted] = copy = f"{name}/{'half' if wanted else 'float'}"
            if name in held:
                value = numpy_helper.to_array(held[name])
                constants.append(numpy_helper.from_array(value.clip(-65504, 65504).astype(np.float16), copy))
            else:
                nodes.append(helper.make_node("Cast", [name], [copy], name=copy, to=TensorProto.FLOAT16 if wanted else TensorProto.FLOAT))
        return both[name, wanted]

    for node in source.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        learned = node.op_type in LEARNED and node.input[1] in floats
        data = list(node.input)[: BETWEEN.get(node.op_type)]
        between = node.op_type in BETWEEN and any(n in half for n in data) and all(n in half or n in floats for n in data)
        if (learned or between) and not outputs & set(node.output):
            chosen = list(node.input) if learned else data
            copy.input[: len(chosen)] = [converted(n, True) for n in chosen]
            half.update(node.output)
        else:
            copy.input[:] = [converted(n, False) for n in node.input]
        nodes.append(copy)
    model = onnx.ModelProto()
    model.CopyFrom(source)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {n for node in nodes for n in node.input}
    del model.graph.initializer[:]
    model.graph.initializer.extend(t for t in source.graph.initializer if t.name in used)
    model.graph.initializer.extend(constants)
    del model.graph.value_info[:]
    model.doc_string = f"{source.doc_string}, learned part in float16"
    onnx.checker.check_model(model)
    return model
