"""Whether an engine that is installed here reads an ONNX opset: asked with a graph of one node, before any work."""

from __future__ import annotations

from herder.edge.engine_packages import onnxruntime_package
from herder.edge.export_graph import OPSET, onnx_package
from herder.errors import ConfigError


def check_engine_reads(opset: int) -> None:
    """Raise ConfigError where ONNX Runtime does not read ``opset``, MissingExtraError where a package is missing."""
    onnx, ort = onnx_package(), onnxruntime_package()
    sides = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "one",
        [sides("x", onnx.TensorProto.FLOAT, [1])],
        [sides("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # the reason comes as an exception
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        raise ConfigError(
            f"opset {opset}: ONNX Runtime {ort.__version__} does not read it", hint=f"use --opset {OPSET}"
        ) from error
