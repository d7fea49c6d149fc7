import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from herder.edge.export import export_onnx
from herder.edge.graph_flops import count_graph_work
from herder.edge.runtime import FACTS_KEY
from herder.errors import ConfigError, MissingExtraError, ModelFileError
from herder.model.flops import count_work
from herder.spec import METADATA_KEY, example_spec


def test_a_file_is_as_much_work_as_its_network(network, onnx_file, nms_file):
    wanted = count_work(network.fused(), 96, 96)
    assert count_graph_work(onnx_file, 96) == wanted
    assert count_graph_work(nms_file, 96) == wanted
    assert count_graph_work(onnx_file, 192).macs == 4 * wanted.macs


def test_another_family(bgr_network, bgr_file):
    assert count_graph_work(bgr_file, 64) == count_work(bgr_network.fused(), 64, 64)


def test_a_fixed_size(network, tmp_path):
    path = export_onnx(network, network.spec, tmp_path / "m.onnx", size=64).path
    assert count_graph_work(path, 64) == count_work(network.fused(), 64, 64)
    with pytest.raises(ConfigError, match="exported for 64 pixels only"):
        count_graph_work(path, 96)


def small_graph(nodes, initializers, outputs=(("y", None),)):
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["b", 3, "h", "w"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs]
    graph = helper.make_graph(
        nodes, "g", [images], ends, [numpy_helper.from_array(v, k) for k, v in initializers.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    facts = '{"nms": false, "needs_nms": true, "fixed_size": null}'
    helper.set_model_props(model, {METADATA_KEY: example_spec().to_json(), FACTS_KEY: facts})
    return model


def test_nodes_by_hand(tmp_path):
    """A grouped convolution, a pooled vector and a linear layer, whose weight is quantised and shared."""
    nodes = [
        helper.make_node("Conv", ["images", "w", "b"], ["x"], group=3, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["g"]),
        helper.make_node("Gemm", ["f", "g"], ["h"], transB=1),
        helper.make_node("MatMul", ["h", "g"], ["y"]),
    ]
    weights = {
        "w": np.ones((6, 1, 3, 3), np.float32),
        "b": np.ones(6, np.float32),
        "q": np.ones((5, 6), np.int8),
        "s": np.array(0.1, np.float32),
        "z": np.array(0, np.int8),
    }
    path = tmp_path / "m.onnx"
    onnx.save(small_graph(nodes, weights, [("y", ["b", 6])]), path)
    work = count_graph_work(path, 32)
    assert work.macs == 6 * 32 * 32 * 9 + 5 * 6 + 6 * 5
    assert work.parameters == 6 * 9 + 6 + 30


def test_unknown_shapes_are_said(tmp_path):
    nodes = [
        helper.make_node("NonZero", ["images"], ["n"]),
        helper.make_node("Cast", ["n"], ["k"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["k"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    path = tmp_path / "m.onnx"
    onnx.save(small_graph(nodes, {"w": np.ones((4, 2), np.float32)}), path)
    with pytest.raises(ModelFileError, match="shape at MatMul cannot be told"):
        count_graph_work(path, 32)


def test_other_files(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08no")
    with pytest.raises(ModelFileError, match="is not an ONNX file"):
        count_graph_work(path, 32)


def test_without_onnx(onnx_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="counting the work"):
        count_graph_work(onnx_file, 96)
