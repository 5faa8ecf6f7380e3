"""Counts what one ONNX graph costs: multiply-adds of its matrix operators (GFLOP = 2 per multiply-add), stored numbers, ms.

Shapes are read off a real run in which the operators' tensors are made outputs, so no shape inference has to succeed.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")
SAMPLE_FLOP = 8  # per value of a bilinear GridSample, as in its four multiply-adds


def count_parameters(path: Path) -> int:
    """Floating-point numbers stored in the graph (weights, and tables baked in)."""
    import onnx

    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8)
    model = onnx.load(str(path))
    stored = sum(int(np.prod(t.dims, dtype=np.int64)) for t in model.graph.initializer if t.data_type in floats)
    for node in model.graph.node:
        if node.op_type == "Constant":
            stored += sum(int(np.prod(a.t.dims, dtype=np.int64)) for a in node.attribute if a.name == "value" and a.t.data_type in floats)
    return stored


def count_gflop(path: Path, feed: dict[str, np.ndarray]) -> float:
    """GFLOP of one run with `feed`: convolutions, matrix products and bilinear sampling."""
    import onnx
    import onnxruntime as ort

    model = onnx.load(str(path))
    graph = model.graph
    static = {t.name: tuple(t.dims) for t in graph.initializer}
    nodes = [n for n in graph.node if n.op_type in (*HEAVY, "GridSample")]
    wanted = dict.fromkeys(name for n in nodes for name in (*n.input[:2], *n.output) if name and name not in static)
    given = {o.name for o in graph.output} | {i.name for i in graph.input}
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted if name not in given)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    shapes = static | {n: np.shape(v) for n, v in zip(names, session.run(None, feed))} | {n: np.shape(v) for n, v in feed.items()}
    flop = 0
    for node in nodes:
        out, weights = shapes[node.output[0]], shapes[node.input[1]]
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Conv":
            flop += 2 * _size(out) * _size(weights[1:])
        elif node.op_type == "ConvTranspose":
            flop += 2 * _size(shapes[node.input[0]]) * _size(weights[1:])
        elif node.op_type == "GridSample":
            flop += SAMPLE_FLOP * _size(out)
        else:
            left = shapes[node.input[0]]
            inner = left[0] if node.op_type == "Gemm" and "transA" in attributes and attributes["transA"].i else left[-1]
            flop += 2 * _size(out) * inner
    return flop / 1e9


def best_ms(run, *, repeats: int = 20, seconds: float = 4.0) -> float:
    """Best of repeated calls in milliseconds; the best, because other work shares the cores."""
    run()
    best, began = float("inf"), time.perf_counter()
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - began > seconds:
            break
    return best * 1000


def _size(shape) -> int:
    return int(np.prod(shape, dtype=np.int64))
