import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from herder.edge.export import export_onnx, export_openvino
from herder.edge.onnx_half import halve_weights
from herder.edge.parity import HALF
from herder.edge.runtime import OnnxEngine, OpenVinoEngine
from herder.inference import Detector


def weights(model):
    """Bytes of the initialisers by type."""
    sizes = {}
    for tensor in model.graph.initializer:
        sizes[tensor.data_type] = sizes.get(tensor.data_type, 0) + numpy_helper.to_array(tensor).nbytes
    return sizes


@pytest.mark.parametrize("nms", [pytest.param(False, marks=pytest.mark.slow), True])
def test_half_the_bytes_and_the_same_animals(network, onnx_file, tmp_path, nms):
    result = export_onnx(network, network.spec, tmp_path / "h.onnx", half=True, nms=nms)
    assert result.parity.tolerance == HALF
    assert "float16 weights" in str(result)
    assert "allowed: 8 px and 0.03" in str(result)
    matrices = 4 * sum(w.numel() for n, w in network.fused().named_parameters() if n.endswith("weight"))
    assert weights(onnx.load(result.path))[onnx.TensorProto.FLOAT16] == matrices / 2
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    expected = Detector(OnnxEngine(onnx_file, threads=1)).detect(photo, score=0.4)
    for engine in (OnnxEngine, OpenVinoEngine):
        found = Detector(engine(result.path, threads=1)).detect(photo, score=0.4)
        assert abs(len(found) - len(expected)) <= 2 + len(expected) // 10
    assert result.parity.candidates > 0


@pytest.mark.slow
def test_openvino_files_in_half(network, tmp_path):
    result = export_openvino(network, network.spec, tmp_path / "h.xml", half=True, nms=True)
    assert result.format == "OpenVINO with float16 weights"
    assert result.parity.tolerance == HALF
    assert not OpenVinoEngine(result.path, threads=1).needs_nms


def test_values_beyond_float16_and_biases_stay():
    tensors = {
        "big": np.full((2, 2), 1e6),
        "small": np.full((2, 2), 0.5),
        "bias": np.ones(2),
        "nan": np.full((1, 1), np.nan),
    }
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", name], [f"y_{name}"]) for name in tensors],
        "g",
        [helper.make_tensor_value_info("x", 1, [2, 2])],
        [helper.make_tensor_value_info(f"y_{name}", 1, None) for name in tensors],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in tensors.items()],
    )
    model = helper.make_model(graph)
    assert halve_weights(model) == 1
    assert weights(model) == {onnx.TensorProto.FLOAT16: 8, onnx.TensorProto.FLOAT: 16 + 8 + 4}
    assert next(node.op_type for node in model.graph.node) == "Cast"
    assert halve_weights(model) == 0
