"""A small builder for ONNX graphs: values with operators, so that the graph reads like its equations.

Everything is opset 17 and limited to operators that ONNX Runtime's CPU, CUDA and WebGPU providers have.
Names are numbered in the order of creation, so the same code always gives the same bytes.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
MOST_BUFFERS = 8  # that one operator may bind on every WebGPU device (maxStorageBuffersPerShaderStage)
MOST_SPLIT = MOST_BUFFERS - 1
MOST_PLANNED = 128 * 128  # places that one GridSample plans
TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


class Value:
    """One tensor of the graph; arithmetic with numbers, arrays and other values adds nodes."""

    __array_ufunc__ = None  # lets `array @ value` reach __rmatmul__

    def __init__(self, graph: "Graph", name: str):
        self.graph, self.name = graph, name

    def __add__(self, other):
        return self.graph.op("Add", self, other)

    def __sub__(self, other):
        return self.graph.op("Sub", self, other)

    def __mul__(self, other):
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other):
        return self.graph.op("Div", self, other)

    def __radd__(self, other):
        return self.graph.op("Add", self, other)

    def __rsub__(self, other):
        return self.graph.op("Sub", other, self)

    def __rmul__(self, other):
        return self.graph.op("Mul", self, other)

    def __rtruediv__(self, other):
        return self.graph.op("Div", other, self)

    def __neg__(self):
        return self.graph.op("Neg", self)

    def __matmul__(self, other):
        return self.graph.op("MatMul", self, other)

    def __rmatmul__(self, other):
        return self.graph.op("MatMul", other, self)

    def __lt__(self, other):
        return self.graph.op("Less", self, other)

    def __gt__(self, other):
        return self.graph.op("Greater", self, other)


class Graph:
    """Nodes, constants, inputs and outputs of one model."""

    def __init__(self, name: str):
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple, str] = {}
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.count = 0
        self.keypoints: Value | None = None  # the renderers leave their driving keypoints here

    def input(self, name: str, dtype: str, shape: list) -> Value:
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))
        return Value(self, name)

    def output(self, value: Value, name: str, dtype: str, shape: list) -> None:
        self.nodes.append(helper.make_node("Identity", [value.name], [name], name=f"out/{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))

    def const(self, array, dtype=np.float32) -> Value:
        a = np.ascontiguousarray(np.asarray(array, dtype=dtype))
        key = (a.dtype.str, a.shape, a.tobytes())
        if key not in self.constants:
            name = f"c{len(self.constants)}"
            self.constants[key] = name
            self.initializers.append(numpy_helper.from_array(a.reshape(np.shape(array)), name))
        return Value(self, self.constants[key])

    def ints(self, *values: int) -> Value:
        return self.const(np.array(values, np.int64), np.int64)

    def lift(self, value) -> Value:
        return value if isinstance(value, Value) else self.const(value)

    def op(self, kind: str, *args, outputs: int = 1, **attributes):
        names = ["" if a is None else self.lift(a).name for a in args]
        made = [f"v{self.count + i}" for i in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(kind, names, made, name=f"{kind}_{made[0]}", **attributes))
        values = [Value(self, m) for m in made]
        return values[0] if outputs == 1 else values

    # Shapes
    def reshape(self, x, *shape: int):
        return self.op("Reshape", x, self.ints(*shape))

    def unsqueeze(self, x, *axes: int):
        return self.op("Unsqueeze", x, self.ints(*axes))

    def slice(self, x, axis: int, start: int, end: int, step: int = 1):
        return self.op("Slice", x, self.ints(start), self.ints(end), self.ints(axis), self.ints(step))

    def split(self, x, axis: int, *sizes: int):
        if len(sizes) == 1:
            return [x]
        if len(sizes) > MOST_SPLIT:  # by groups, then each group
            groups = [sizes[i : i + MOST_SPLIT] for i in range(0, len(sizes), MOST_SPLIT)]
            parts = self.split(x, axis, *(sum(group) for group in groups))
            return [piece for part, group in zip(parts, groups) for piece in self.split(part, axis, *group)]
        return self.op("Split", x, self.ints(*sizes), outputs=len(sizes), axis=axis)

    def concat(self, values, axis: int):
        return self.op("Concat", *values, axis=axis)

    def transpose(self, x, *perm: int):
        return self.op("Transpose", x, perm=list(perm))

    def gather(self, x, indices, axis: int):
        index = indices if isinstance(indices, Value) else self.const(np.asarray(indices, np.int64), np.int64)
        return self.op("Gather", x, index, axis=axis)

    # Numbers
    def cast(self, x, dtype: str):
        return self.op("Cast", x, to=TYPES[dtype])

    def clip(self, x, low: float, high: float):
        return self.op("Clip", x, self.const(np.float32(low)), self.const(np.float32(high)))

    def max(self, a, b):
        return self.op("Max", a, b)

    def min(self, a, b):
        return self.op("Min", a, b)

    def exp(self, x):
        return self.op("Exp", x)

    def sqrt(self, x):
        return self.op("Sqrt", x)

    def abs(self, x):
        return self.op("Abs", x)

    def sigmoid(self, x):
        return self.op("Sigmoid", x)

    def sum(self, x, *axes: int, keep: bool = True):
        return self.op("ReduceSum", x, self.ints(*axes), keepdims=int(keep))

    def mean(self, x, *axes: int, keep: bool = True):
        return self.op("ReduceMean", x, axes=list(axes), keepdims=int(keep))

    def smoothstep(self, x, low, high):
        t = self.clip((self.lift(x) - low) * (1.0 / (np.float32(high) - np.float32(low))), 0, 1)
        return t * t * (3.0 - 2.0 * t)

    def mix(self, a, b, k):
        return self.lift(a) + (self.lift(b) - a) * k

    def where(self, condition, a, b):
        return self.op("Where", condition, a, b)

    # Images
    def sample(self, image, grid, side: int, inside: bool = False):
        """image [N,C,side,side], grid [N,h,w,2] in -1..1 -> [N,C,h,w], bilinear, repeating the border.

        `inside` promises that the grid already keeps to the outermost pixel centres. Clipping to the outermost pixel centres makes zero padding the same as border padding, and only
        zero padding without align_corners takes ONNX Runtime's fast path on the CPU (15 times faster).
        """
        if not inside:
            grid = self.clip(grid, 1 / side - 1, 1 - 1 / side)
        return self.op("GridSample", image, grid, mode="bilinear", padding_mode="zeros", align_corners=0)

    def sample_all(self, image, grid, side: int, shape: tuple[int, int] | None = None):
        """`sample` of many places, as many as the image has or shape = (rows, columns), by bands of rows: ONNX Runtime's CPU provider plans a whole grid before it
        samples, 56 bytes a place, and a plan that leaves the cache costs a thirtieth of a frame of 256x256."""
        rows, columns = shape or (side, side)
        bands = -(-rows * columns // MOST_PLANNED)
        grid = self.clip(grid, 1 / side - 1, 1 - 1 / side)
        found = [self.sample(image, part, side, inside=True) for part in self.split(grid, 1, *[rows // bands] * bands)]
        return found[0] if bands == 1 else self.concat(found, 2)

    def resize(self, x, height: int, width: int, like_nchw: int):
        """Bilinear, half-pixel centres; `like_nchw` is the (static) channel count."""
        return self.op(
            "Resize", x, None, None, self.concat([self.op("Shape", x, start=0, end=1), self.ints(like_nchw, height, width)], 0),
            mode="linear", coordinate_transformation_mode="half_pixel",
        )

    def spread(self, x, side: int, size: int):
        """`resize` of x [N,C,side,side] to size x size as two matrix products: half its time on the CPU where side is 64 or less."""
        rows = spreading(side, size)
        return rows @ (x @ self.const(np.ascontiguousarray(rows.T)))

    def spread_grid(self, x, side: int, size: int):
        """`spread` of two channels [N,2,side,side], last as GridSample wants them: [N,size,size,2]."""
        rows = spreading(side, size)
        wide = self.transpose(x @ self.const(np.ascontiguousarray(rows.T)), 0, 2, 3, 1)
        return self.reshape(rows @ self.reshape(wide, -1, side, 2 * size), -1, size, size, 2)

    def pool(self, x, factor: int):
        return self.op("AveragePool", x, kernel_shape=[factor, factor], strides=[factor, factor])

    def blur(self, x, channels: int, sigma: float):
        """Separable Gaussian with edge padding, as two depthwise convolutions."""
        r = max(1, int(np.ceil(2.5 * sigma)))
        k = np.exp(-0.5 * (np.arange(-r, r + 1) / sigma) ** 2)
        k = (k / k.sum()).astype(np.float32)
        pad = self.op("Pad", x, self.ints(0, 0, r, r, 0, 0, r, r), mode="edge")
        wy = np.tile(k.reshape(1, 1, -1, 1), (channels, 1, 1, 1))
        wx = np.tile(k.reshape(1, 1, 1, -1), (channels, 1, 1, 1))
        y = self.op("Conv", pad, wy, group=channels, kernel_shape=[2 * r + 1, 1])
        return self.op("Conv", y, wx, group=channels, kernel_shape=[1, 2 * r + 1])

    def model(self, doc: str) -> onnx.ModelProto:
        """The checked model. ValueError names an operator that WebGPU could not run: networks exported from PyTorch may hold one."""
        unbound = {"", *(c.name for c in self.initializers if c.data_type == TensorProto.INT64)}  # sizes and axes are read beforehand
        for node in self.nodes:
            buffers = sum(1 for name in node.input if name not in unbound) + len(node.output)
            if buffers > MOST_BUFFERS and node.op_type != "Concat":  # ONNX Runtime takes a long Concat in several steps
                raise ValueError(
                    f"{node.op_type} {node.name} has {len(node.input)} inputs and {len(node.output)} outputs; WebGPU binds at most "
                    f"{MOST_BUFFERS} buffers: split in groups, as Graph.split does"
                )
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
            producer_name="facewire models/training/warp", doc_string=doc,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def spreading(side: int, size: int) -> np.ndarray:
    """[size,side]: the weights of bilinear enlargement along one axis, half-pixel centres, the border repeated."""
    at = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    low = np.minimum(at.astype(int), side - 2)
    weights = np.zeros((size, side), np.float32)
    weights[np.arange(size), low + 1] = at - low
    weights[np.arange(size), low] = 1 - (at - low)
    return weights


def pixel_grid(height: int, width: int) -> np.ndarray:
    """Pixel centres in -1..1, [height, width, 2] (x, y)."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    return np.stack(np.meshgrid(x, y), -1).astype(np.float32)
