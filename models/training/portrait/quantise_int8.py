"""Static 8-bit quantisation of a renderer's convolutions, for ONNX Runtime's CPU provider.

Every chosen convolution becomes  x -> Q -> DQ -> Conv(DQ(weights), DQ(bias)) -> Q -> DQ,  which ONNX Runtime fuses into one
QLinearConv; LeakyReLU between two of them is put on 8 bits as well. Activations are uint8 with a zero point, weights
int8 per output channel, of 7 bits: two products of 8 bits overflow the 16-bit sums of processors without VNNI.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

WEIGHT_LIMIT = 63
MINIMUM_CHANNELS = 16  # of the output
MINIMUM_SUM = 32  # products in each output: fewer are not worth their rounding
# of a picture; a 1x1 kernel has less to win
MINIMUM_MACS = (1_000_000, 10_000_000)
# Histograms are cut where so few values lie outside, or a single outlier would cost everybody resolution.
CUT = 2e-5


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def chosen_convolutions(model: onnx.ModelProto, careful: bool = False) -> list[onnx.NodeProto]:
    """Convolutions worth it: those that save more than rounding costs, but for those that read a flow to make another.

    A flow is small beside the features that come with it in one input, so that 8 bits leave little of it (measured: 12 dB),
    and the last layer before a flow is read to fractions of a pixel (3 dB). `careful` leaves out everything that a grid is made of.
    """
    held = {t.name: list(t.dims) for t in model.graph.initializer}
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    maker = {name: node for node in model.graph.node for name in node.output}
    leads, last = leading_to_grids(model, maker), leading_to_grids(model, maker, past_convolutions=False)
    chosen = []
    for node in model.graph.node:
        if node.op_type != "Conv" or any(n not in held for n in node.input[1:]) or node.input[0] not in maker:
            continue
        outputs, inputs, *kernel = held[node.input[1]]
        if len(kernel) != 2:
            continue
        place = shapes.get(node.output[0], [0, 0, 0, 0])[2:]
        macs = outputs * inputs * int(np.prod(kernel)) * int(np.prod(place))
        worth = outputs >= MINIMUM_CHANNELS and inputs * int(np.prod(kernel)) >= MINIMUM_SUM and macs >= MINIMUM_MACS[kernel == [1, 1]]
        delicate = careful or maker[node.input[0]].op_type in ("Concat", "Reshape")
        if worth and not (delicate and node.output[0] in leads) and node.output[0] not in last:
            chosen.append(node)
    return chosen


def leading_to_grids(model: onnx.ModelProto, maker: dict[str, onnx.NodeProto], past_convolutions: bool = True) -> set[str]:
    """Values that some grid of a GridSample is made of; without those that only a convolution or another sampling makes it of."""
    found: set[str] = set()
    waiting = [node.input[1] for node in model.graph.node if node.op_type == "GridSample"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            node = maker.get(name)
            if node is not None and (past_convolutions or node.op_type not in ("Conv", "GridSample")):
                waiting.extend(node.input)
    return found


def activations_of(model: onnx.ModelProto, chosen: list[onnx.NodeProto]) -> list[str]:
    """Tensors that are rounded: inputs and outputs of the chosen, and what a LeakyReLU makes of the latter."""
    names = dict.fromkeys(name for node in chosen for name in (node.input[0], node.output[0]))
    made = {node.output[0] for node in chosen}
    names |= dict.fromkeys(n.output[0] for n in model.graph.node if n.op_type == "LeakyRelu" and n.input[0] in made)
    return list(names)


def ranges_of(model: onnx.ModelProto, chosen: list[onnx.NodeProto], feeds: list[dict[str, np.ndarray]]) -> dict[str, tuple[float, float]]:
    """(low, high) of every activation over the calibration runs, without the CUT share at either end; 0 is inside."""
    names = activations_of(model, chosen)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    opened = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    lows: dict[str, list[float]] = {name: [] for name in names}
    highs: dict[str, list[float]] = {name: [] for name in names}
    for feed in feeds:
        for name, value in zip(names, opened.run(names, feed)):
            cut = max(1, int(value.size * CUT))
            flat = value.ravel()
            parted = np.partition(flat, (cut, flat.size - 1 - cut))
            lows[name].append(float(parted[cut]))
            highs[name].append(float(parted[-1 - cut]))
    return {name: (min(0.0, min(lows[name])), max(1e-4, max(highs[name]))) for name in names}


def to_int8(source: onnx.ModelProto, chosen: list[onnx.NodeProto], ranges: dict[str, tuple[float, float]]) -> onnx.ModelProto:
    """A copy of `source` in which the chosen convolutions compute with 8 bits."""
    held = weights_of(source)
    wanted = {node.output[0] for node in chosen}
    initializers: dict[str, onnx.TensorProto] = {}
    nodes: list[onnx.NodeProto] = []
    rounded: dict[str, str] = {}
    scales: dict[str, tuple[np.float32, np.uint8]] = {}

    def keep(name: str, value: np.ndarray) -> str:
        initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def parameters(name: str) -> tuple[str, str]:
        low, high = ranges[name]
        scale = np.float32((high - low) / 255)
        zero = np.uint8(np.clip(round(-low / float(scale)), 0, 255))
        scales[name] = (scale, zero)
        return keep(f"{name}/scale", scale), keep(f"{name}/zero", zero)

    def round_activation(name: str, origin: str) -> str:
        """Adds Q and DQ behind `origin`; returns the rounded tensor's name."""
        if name not in rounded:
            scale, zero = parameters(name)
            nodes.append(helper.make_node("QuantizeLinear", [origin, scale, zero], [f"{name}/q"], name=f"{name}/Q"))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}/q", scale, zero], [f"{name}/dq"], name=f"{name}/DQ"))
            rounded[name] = f"{name}/dq"
        return rounded[name]

    def round_weights(node: onnx.NodeProto) -> list[str]:
        weights = held[node.input[1]].astype(np.float64)
        outputs = weights.shape[0]
        scale = (np.abs(weights).reshape(outputs, -1).max(1).clip(1e-8) / WEIGHT_LIMIT).astype(np.float32)
        steps = np.rint(weights / scale.reshape(-1, 1, 1, 1)).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
        name = node.input[1]
        if f"{name}/q" not in initializers:  # two convolutions may share their weights
            names = [keep(f"{name}/q", steps), keep(f"{name}/scale", scale), keep(f"{name}/zero", np.zeros(outputs, np.int8))]
            nodes.append(helper.make_node("DequantizeLinear", names, [f"{name}/dq"], name=f"{name}/DQ", axis=0))
        bias = held[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(outputs)
        unit = (scales[node.input[0]][0] * scale).astype(np.float32)
        name = f"{node.output[0]}/bias"  # its scale is the input's too
        limit = 2.0**31 - 1
        names = [
            keep(f"{name}/q", np.rint(bias / unit).clip(-limit, limit).astype(np.int32)),
            keep(f"{name}/scale", unit), keep(f"{name}/zero", np.zeros(outputs, np.int32)),
        ]
        nodes.append(helper.make_node("DequantizeLinear", names, [f"{name}/dq"], name=f"{name}/DQ", axis=0))
        return [f"{node.input[1]}/dq", f"{name}/dq"]

    for node in source.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if node.output[0] in wanted:
            given = round_activation(node.input[0], node.input[0])
            copy.input[:] = [given, *round_weights(node)]
            nodes.append(copy)
            round_activation(node.output[0], node.output[0])
            continue
        # Who reads a chosen convolution's output reads it rounded, so that its own rounding is the only one.
        copy.input[:] = [rounded[n] if n in wanted else n for n in node.input]
        nodes.append(copy)
        if node.op_type == "LeakyRelu" and node.input[0] in wanted:
            round_activation(node.output[0], node.output[0])
    model = onnx.ModelProto()
    model.CopyFrom(source)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {n for node in nodes for n in node.input}
    kept = [t for t in source.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.initializer.extend(initializers.values())
    model.doc_string = f"{source.doc_string}, {len(chosen)} convolutions on 8 bits"
    onnx.checker.check_model(model)
    return model


