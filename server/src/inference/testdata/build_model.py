"""Writes the tests' model package beside this file: python build_model.py (needs onnx and numpy; no weights, a few KB).

The smallest graphs that obey the package contract and whose pictures a test can compute by hand:
  encoder   picture = portrait / 255 averaged to 32x32, planar; points = the landmarks as they came
  renderer  rgb = 255 * clip(picture + 0.5 * jawOpen + 0.25 * view yaw + 0.25 * points[0].x (size 32 only), 0, 1)
            i420 = BT.601 limited range of that
"""
import hashlib
import json
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tiny")
DTYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}
# the order of proto/src/motion/expressions.ts; a test compares them
EXPRESSIONS = (
    "eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft eyeBlinkRight "
    "eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight jawForward jawLeft "
    "jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight "
    "mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight mouthRollLower "
    "mouthRollUpper mouthShrugLower mouthShrugUpper mouthPressLeft mouthPressRight mouthLowerDownLeft "
    "mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight browDownLeft browDownRight browInnerUp browOuterUpLeft "
    "browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight noseSneerLeft noseSneerRight tongueOut"
).split()
AVATAR = [
    {"name": "picture", "dtype": "float32", "shape": [3, 32, 32]},
    {"name": "points", "dtype": "float32", "shape": [68, 2]},
]


class Graph:
    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, op, *inputs, output=None, **attributes):
        self.count += 1
        output = output or f"v{self.count}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def save(self, file, inputs, outputs):
        values = [[helper.make_tensor_value_info(v["name"], DTYPES[v["dtype"]], v["shape"]) for v in side]
                  for side in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, file, values[0], values[1], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                                  producer_name="facewire-tests")
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        with open(os.path.join(HERE, file), "wb") as stream:
            stream.write(data)
        return {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "inputs": inputs, "outputs": outputs}


def encoder():
    g = Graph()
    x = g.add("Cast", "portrait", to=TensorProto.FLOAT)
    x = g.add("Div", x, g.constant(255.0))
    x = g.add("Transpose", x, perm=[2, 0, 1])
    x = g.add("Unsqueeze", x, g.constant([0], np.int64))
    x = g.add("AveragePool", x, kernel_shape=[16, 16], strides=[16, 16])
    g.add("Squeeze", x, g.constant([0], np.int64), output="picture")
    g.add("Identity", "landmarks", output="points")
    inputs = [{"name": "portrait", "dtype": "uint8", "shape": [512, 512, 3]},
              {"name": "landmarks", "dtype": "float32", "shape": [68, 2]}]
    return {"role": "encoder", **g.save("encoder.onnx", inputs, AVATAR)}


def renderer(size):
    g = Graph()
    x = g.add("Gather", "bank.picture", "slots", axis=0)  # Bx3x32x32
    if size != 32:
        x = g.add("AveragePool", x, kernel_shape=[32 // size] * 2, strides=[32 // size] * 2)

    def column(source, index):  # Bx1x1x1
        value = g.add("Gather", source, g.constant([index], np.int64), axis=1)
        return g.add("Reshape", value, g.constant([-1, 1, 1, 1], np.int64))

    jaw = column("motion", 6 + EXPRESSIONS.index("jawOpen"))
    x = g.add("Add", x, g.add("Mul", jaw, g.constant(0.5)))
    x = g.add("Add", x, g.add("Mul", column("view", 0), g.constant(0.25)))
    inputs = [{"name": "bank.picture", "dtype": "float32", "shape": ["S", 3, 32, 32]}]
    if size == 32:
        points = g.add("Gather", "bank.points", "slots", axis=0)
        flat = g.add("Reshape", points, g.constant([-1, 136], np.int64))
        x = g.add("Add", x, g.add("Mul", column(flat, 0), g.constant(0.25)))
        inputs.append({"name": "bank.points", "dtype": "float32", "shape": ["S", 68, 2]})
    x = g.add("Clip", x, g.constant(0.0), g.constant(1.0))
    x = g.add("Mul", x, g.constant(255.0))  # Bx3xHxW

    def bytes_of(value, output=None):
        rounded = g.add("Floor", g.add("Add", value, g.constant(0.5)))
        return g.add("Cast", rounded, to=TensorProto.UINT8, **({"output": output} if output else {}))

    bytes_of(g.add("Transpose", x, perm=[0, 2, 3, 1]), "rgb")
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
    yuv = g.add("Conv", x, g.constant(matrix.reshape(3, 3, 1, 1)), g.constant([16.0, 128.0, 128.0]))
    luma, chroma = f"luma{size}", f"chroma{size}"
    g.nodes.append(helper.make_node("Split", [yuv, g.constant([1, 2], np.int64)], [luma, chroma], axis=1))
    chroma = g.add("AveragePool", chroma, kernel_shape=[2, 2], strides=[2, 2])
    planes = [g.add("Reshape", luma, g.constant([-1, size, size], np.int64)),
              g.add("Reshape", chroma, g.constant([-1, size // 2, size], np.int64))]
    bytes_of(g.add("Concat", *planes, axis=1), "i420")
    inputs += [{"name": "slots", "dtype": "int64", "shape": ["B"]},
               {"name": "motion", "dtype": "float32", "shape": ["B", 58]},
               {"name": "view", "dtype": "float32", "shape": ["B", 2]}]
    outputs = [{"name": "rgb", "dtype": "uint8", "shape": ["B", size, size, 3]},
               {"name": "i420", "dtype": "uint8", "shape": ["B", size * 3 // 2, size]}]
    return {"role": "renderer", "size": size, "gflop": 0.00001, **g.save(f"renderer-{size}.onnx", inputs, outputs)}


def main():
    os.makedirs(HERE, exist_ok=True)
    manifest = {
        "format": 1, "name": "tiny", "family": "test", "version": "1.0.0", "licence": "MIT",
        "trainingData": "none: no learned weights", "expressionNames": EXPRESSIONS, "keypoints": 0, "avatar": AVATAR,
        "files": [encoder(), renderer(16), renderer(32)],
    }
    with open(os.path.join(HERE, "manifest.json"), "w") as stream:
        json.dump(manifest, stream, indent=1)
        stream.write("\n")


if __name__ == "__main__":
    main()
