"""int8 and float16 variants of a renderer, and the numbers that its graphs share."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from portrait.quantise import driven, quantise  # noqa: E402
from portrait.quantise_float16 import to_float16  # noqa: E402
from portrait.quantise_int8 import chosen_convolutions, ranges_of, to_int8  # noqa: E402
from portrait.quantise_share import DATA, load_whole, write_shared  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
SIDE = 32


def small_renderer() -> onnx.ModelProto:
    """picture [B,3,32,32] -> stem, then two convolutions with a LeakyReLU between; a flow made of the input samples the result.

    picture ->                 stem (3 channels: too few) -> body.first -> LeakyReLU -> body.second -> GridSample -> out
    Concat(stem, stem) -> flow.stem (reads evidence for a grid) -> flow.last (2 channels: a head) -> the grid
    """
    rng = np.random.default_rng(0)
    held, nodes = [], []

    def conv(name: str, source: str, inputs: int, outputs: int) -> str:
        weight = (rng.normal(size=(outputs, inputs, 3, 3)) * (0.5 / np.sqrt(inputs * 9))).astype(np.float32)
        held.append(numpy_helper.from_array(weight, f"{name}.weight"))
        held.append(numpy_helper.from_array(rng.normal(size=outputs).astype(np.float32) * 0.1, f"{name}.bias"))
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [name], name=name, pads=[1, 1, 1, 1]))
        return name

    def add(op: str, name: str, *inputs: str, **attributes) -> str:
        nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    stem = add("LeakyRelu", "stem.act", conv("stem", "picture", 3, 32), alpha=0.1)
    body = conv("body.second", add("LeakyRelu", "body.act", conv("body.first", stem, 32, 32), alpha=0.1), 32, 32)
    evidence = add("Concat", "evidence", stem, stem, axis=1)
    flow = conv("flow.last", add("LeakyRelu", "flow.act", conv("flow.stem", evidence, 64, 16), alpha=0.1), 16, 2)
    flow = add("Cast", "flow.float", flow, to=TensorProto.FLOAT)
    grid = add("Transpose", "grid", add("Tanh", "flow.tanh", flow), perm=[0, 2, 3, 1])
    add("GridSample", "out", body, grid, mode="bilinear", padding_mode="zeros", align_corners=0)
    value = lambda name, channels: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", channels, SIDE, SIDE])  # noqa: E731
    graph = helper.make_graph(nodes, "small", [value("picture", 3)], [value("out", 32)], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(["out"], feed)[0]


@pytest.fixture
def picture() -> dict[str, np.ndarray]:
    return {"picture": np.random.default_rng(1).random((3, 3, SIDE, SIDE), np.float32)}


def test_wide_convolutions_are_chosen_but_neither_heads_nor_what_reads_the_evidence_of_a_flow():
    assert [n.name for n in chosen_convolutions(small_renderer())] == ["body.first", "body.second"]


def test_carefully_nothing_is_chosen_that_a_flow_is_made_of():
    model = small_renderer()
    body = next(n for n in model.graph.node if n.name == "body.second")
    grid = next(n for n in model.graph.node if n.name == "flow.stem")
    grid.input[0] = body.output[0]  # the flow's first layer reads features of the body: 32 channels instead of 64
    weight = next(t for t in model.graph.initializer if t.name == "flow.stem.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :32], weight.name))
    assert [n.name for n in chosen_convolutions(model)] == ["body.first", "body.second", "flow.stem"]
    assert chosen_convolutions(model, careful=True) == []


def test_convolutions_may_share_their_weights(picture):
    model = small_renderer()
    second = next(n for n in model.graph.node if n.name == "body.second")
    second.input[1], second.input[2] = "body.first.weight", "body.first.bias"
    chosen = chosen_convolutions(model)
    expected, found = run(model, picture), run(to_int8(model, chosen, ranges_of(model, chosen, [picture])), picture)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_an_int8_graph_runs_on_8_bit_kernels_and_gives_nearly_the_same(picture, tmp_path):
    model = small_renderer()
    chosen = chosen_convolutions(model)
    quantised = to_int8(model, chosen, ranges_of(model, chosen, [picture]))
    expected, found = run(model, picture), run(quantised, picture)
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    ort.InferenceSession(quantised.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "optimised.onnx")).graph.node]
    assert kinds.count("QLinearConv") == 2 and "QLinearLeakyRelu" in kinds


def test_weights_use_7_bits_so_that_processors_without_vnni_do_not_overflow(picture):
    model = small_renderer()
    chosen = chosen_convolutions(model)
    held = {t.name: numpy_helper.to_array(t) for t in to_int8(model, chosen, ranges_of(model, chosen, [picture])).graph.initializer}
    weights = held["body.first.weight/q"]
    assert weights.dtype == np.int8 and np.abs(weights).reshape(32, -1).max(1).tolist() == [63] * 32


def test_a_float16_graph_keeps_grids_and_sampling_in_float32(picture):
    model = small_renderer()
    half = to_float16(model)
    typed = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(half, strict_mode=True).graph.value_info}
    assert {typed[n] for n in ("stem", "body.act", "evidence", "flow.stem")} == {TensorProto.FLOAT16}
    sample = next(n for n in half.graph.node if n.op_type == "GridSample")
    assert {typed[n] for n in ("flow.float", *sample.input)} == {TensorProto.FLOAT}
    assert np.abs(run(half, picture) - run(model, picture)).max() < 5e-3


def test_graphs_share_equal_numbers_in_one_file_and_compute_the_same_again(picture, tmp_path):
    model = small_renderer()
    expected = run(model, picture)
    hashes = write_shared({"a.onnx": small_renderer(), "b.onnx": small_renderer()}, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a.onnx", "b.onnx", DATA} == set(hashes)
    assert (tmp_path / DATA).stat().st_size < 1.1 * sum(len(t.raw_data) for t in model.graph.initializer)
    assert hashes[DATA] == hashlib.sha256((tmp_path / DATA).read_bytes()).hexdigest()
    opened = ort.InferenceSession(str(tmp_path / "b.onnx"), providers=["CPUExecutionProvider"])
    assert np.array_equal(opened.run(["out"], picture)[0], expected)
    shapes = {v.name for v in onnx.load(str(tmp_path / "b.onnx"), load_external_data=False).graph.value_info}
    assert shapes >= {n for node in model.graph.node for n in node.output} - {"out"}
    assert write_shared({n: load_whole(tmp_path / n) for n in ("a.onnx", "b.onnx")}, tmp_path) == hashes


def test_motions_are_the_same_every_time_and_reach_every_avatar():
    runs = driven(3, seed=1)
    assert all(np.array_equal(a["motion"], b["motion"]) for a, b in zip(runs, driven(3, seed=1)))
    assert set(np.concatenate([r["slots"] for r in runs]).tolist()) == {0, 1, 2}
    assert not np.array_equal(runs[0]["motion"], driven(3, seed=2)[0]["motion"])


def test_a_package_gets_its_variants_by_one_command_and_again_the_same(tmp_path):
    package = tmp_path / "portrait"
    shutil.copytree(ROOT / "models/portrait", package)
    manifest = json.loads((package / "manifest.json").read_text())
    manifest["files"] = [f for f in manifest["files"] if f.get("size", 128) == 128]
    (package / "manifest.json").write_text(json.dumps(manifest))
    portraits = tmp_path / "portraits"
    portraits.mkdir()
    for name in ("ada.jpg", "ada.json", "hugo.jpg", "hugo.json"):
        shutil.copy(ROOT / "models/portraits" / name, portraits)
    reports = list(quantise(package, portraits, ("int8", "float16")))
    assert [r["psnr"] > limit for r, limit in zip(reports, (42, 60))] == [True, True]
    manifest = json.loads((package / "manifest.json").read_text())
    renderer = next(f for f in manifest["files"] if f["role"] == "renderer")
    assert [v["precision"] for v in renderer["variants"]] == ["int8", "float16"]
    for one in (renderer, *renderer["variants"], *manifest["data"]):
        assert hashlib.sha256((package / one["file"]).read_bytes()).hexdigest() == one["sha256"]
    list(quantise(package, portraits, ("int8", "float16")))
    assert json.loads((package / "manifest.json").read_text()) == manifest
