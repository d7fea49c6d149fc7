"""int8 files of both kinds, made from the tiny network once a session."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from herder.edge.export import export_onnx
from herder.edge.export_facts import ExportFacts
from herder.edge.quantization import Target, check_float, write_dynamic, write_float, write_int8
from herder.edge.quantization_onnx import convolution_names, decoding, is_quantized, linear_names, read_onnx
from herder.edge.quantization_openvino import convolutions, float_model, quantize_openvino
from herder.edge.quantization_openvino import decoding as openvino_decoding
from herder.edge.runtime import OnnxEngine, OpenVinoEngine
from herder.errors import ConfigError, ModelFileError
from herder.model.network import Network

if importlib.util.find_spec("nncf") is None:  # importing it here would load its reporter
    pytest.skip("NNCF is not installed", allow_module_level=True)


@pytest.fixture(scope="session")
def photos_like(network: Network) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(7)
    return [np.repeat(np.repeat(rng.integers(0, 256, (1, 8, 12, 3), np.uint8), 8, 1), 8, 2) for _ in range(4)]


@pytest.fixture(scope="session")
def int8_onnx(onnx_file: Path, photos_like: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    write_int8(onnx_file, photos_like, path, Target.ONNX)
    return path


@pytest.fixture(scope="session")
def int8_xml(onnx_file: Path, photos_like: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.xml"
    write_int8(onnx_file, photos_like, path, Target.OPENVINO)
    return path


@pytest.mark.slow
def test_both_kinds_answer_in_the_float_files_shapes_and_are_rounded(
    onnx_file: Path, int8_onnx: Path, int8_xml: Path, photos_like: list[NDArray[np.uint8]]
) -> None:
    """How near they come is measured on a trained network elsewhere: an untrained one answers noise with noise."""
    expected = OnnxEngine(onnx_file, threads=1).predict(photos_like[0])
    for engine in (OnnxEngine(int8_onnx, threads=1), OpenVinoEngine(int8_xml, threads=1), OpenVinoEngine(int8_onnx)):
        boxes, scores = engine.predict(photos_like[0])
        assert boxes.shape == expected[0].shape
        assert scores.shape == expected[1].shape
        assert np.isfinite(boxes).all()
        assert 0.2 < np.corrcoef(expected[1].ravel(), scores.ravel())[0, 1] < 1


@pytest.mark.slow
def test_spec_and_facts_travel(onnx_file: Path, int8_onnx: Path, int8_xml: Path, network: Network) -> None:
    assert OnnxEngine(int8_onnx).spec == OpenVinoEngine(int8_xml).spec == network.spec
    before = {entry.key: entry.value for entry in onnx.load(onnx_file).metadata_props}
    assert {entry.key: entry.value for entry in onnx.load(int8_onnx).metadata_props} == before


@pytest.mark.slow
def test_another_spec_replaces_the_files_own(
    onnx_file: Path, photos_like: list[NDArray[np.uint8]], network: Network, tmp_path: Path
) -> None:
    spec = network.spec.replace(metrics={})
    write_int8(onnx_file, photos_like[:2], tmp_path / "x.onnx", Target.ONNX, spec=spec)
    assert OnnxEngine(tmp_path / "x.onnx").spec == spec != network.spec


@pytest.mark.slow
def test_weights_are_rounded_for_each_channel(onnx_file: Path, int8_onnx: Path) -> None:
    """Every weight of the file lies within half of its channel's own step of the float one."""
    floats = {t.name: numpy_helper.to_array(t) for t in onnx.load(onnx_file).graph.initializer}
    originals = [floats[n.input[1]] for n in onnx.load(onnx_file).graph.node if n.op_type == "Conv"]
    graph = onnx.load(int8_onnx).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    stored |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    back = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    convs = [n for n in graph.node if n.op_type == "Conv"]
    assert len(convs) == len(originals)
    for conv, original in zip(convs, originals, strict=True):
        values, scale = (stored[name] for name in back[conv.input[1]].input[:2])
        assert values.dtype == np.int8
        assert scale.shape == (len(original),)
        step = np.abs(original).max(axis=(1, 2, 3)) / 127
        error = np.abs(values * scale[:, None, None, None] - original).max(axis=(1, 2, 3))
        assert (error <= 0.51 * np.maximum(step, scale)).all()
        # The first layer has 7 bits: sums of two products in 16 bits must not overflow where there is no VNNI.
        np.testing.assert_allclose(scale, step * (2 if conv is convs[0] else 1), rtol=0.01)


@pytest.mark.slow
def test_onnx_runtime_alone_reads_the_file_and_the_checker_passes_it(int8_onnx: Path) -> None:
    onnx.checker.check_model(onnx.load(int8_onnx), full_check=True)
    images = np.zeros((2, 3, 64, 96), np.float32)
    boxes, scores = onnxruntime.InferenceSession(str(int8_onnx)).run(None, {"images": images})
    assert boxes.shape[:2] == scores.shape[:2] == (2, 126)


@pytest.mark.slow
def test_the_int8_files_are_smaller(onnx_file: Path, int8_onnx: Path) -> None:
    weights = sum(numpy_helper.to_array(t).nbytes for t in onnx.load(onnx_file).graph.initializer)
    kinds = [n.op_type for n in onnx.load(int8_onnx).graph.node]
    int8 = sum(t.nbytes for t in map(numpy_helper.to_array, onnx.load(int8_onnx).graph.initializer))
    assert int8 < 0.5 * weights
    assert "QuantizeLinear" in kinds


@pytest.mark.slow
def test_layers_kept_in_float_have_float_weights(
    onnx_file: Path, photos_like: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    kept = convolution_names(read_onnx(onnx_file))[:2]
    write_int8(onnx_file, photos_like[:2], tmp_path / "x.onnx", Target.ONNX, kept)
    graph = onnx.load(tmp_path / "x.onnx").graph
    back = {name for n in graph.node if n.op_type == "DequantizeLinear" for name in n.output}
    floats = [n.name for n in graph.node if n.op_type == "Conv" and n.input[1] not in back]
    assert floats == kept
    model = quantize_openvino(float_model(onnx_file), photos_like[:2], kept)
    nodes = convolutions(model)
    types = [nodes[name].input_value(1).get_node().get_type_name() for name in kept]
    assert types == ["Constant", "Constant"]


def test_decoding_is_what_comes_after_the_last_convolutions(onnx_file: Path) -> None:
    graph = read_onnx(onnx_file)
    nodes = {n.name: n.op_type for n in graph.graph.node}
    after = decoding(graph)
    assert "Conv" not in {nodes[name] for name in after}
    assert {"Softmax", "Sigmoid"} & {nodes[name] for name in after}  # distributions and scores
    assert not any("act" in name for name in after)  # activations belong to the layers
    assert {"boxes", "scores"} <= openvino_decoding(float_model(onnx_file))


@pytest.mark.slow
def test_progress_counts_the_canvases(onnx_file: Path, photos_like: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    seen = photos_like[:3]
    write_int8(onnx_file, seen, tmp_path / "x.xml", Target.OPENVINO, progress=lambda *count: told.append(count))
    assert told[-1] == (3, 3)
    assert max(done for done, _ in told) == 3


@pytest.mark.parametrize("target", list(Target))
def test_an_unknown_layer_is_refused(
    onnx_file: Path, photos_like: list[NDArray[np.uint8]], target: Target, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no convolution is called nonsense"):
        write_int8(onnx_file, photos_like, tmp_path / f"x{target.suffix}", target, ["nonsense"])


@pytest.mark.slow
def test_files_that_cannot_be_quantized(
    int8_onnx: Path, int8_xml: Path, nms_file: Path, onnx_file: Path, tmp_path: Path
) -> None:
    for path in (int8_onnx, int8_xml):
        with pytest.raises(ConfigError, match="quantized already"):
            check_float(path)
    with pytest.raises(ConfigError, match="without --nms"):
        check_float(nms_file)
    write_float(onnx_file, tmp_path / "float.xml", Target.OPENVINO)
    with pytest.raises(ConfigError, match="cannot be quantized"):
        check_float(tmp_path / "float.xml")
    (tmp_path / "broken.onnx").write_bytes(b"\x08nonsense")
    (tmp_path / "broken.xml").write_text("nonsense")
    for name in ("broken.onnx", "broken.xml", "missing.onnx", "missing.xml"):
        with pytest.raises(ModelFileError, match=name):
            check_float(tmp_path / name)


def test_half_precision_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    model = onnx.load(onnx_file)
    first = model.graph.initializer[0]
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first).astype(np.float16), first.name))
    onnx.save(model, tmp_path / "half.onnx")
    with pytest.raises(ConfigError, match="float16"):
        check_float(tmp_path / "half.onnx")


@pytest.mark.slow
def test_a_file_of_fixed_size(network: Network, photos_like: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    source = export_onnx(network, network.spec, tmp_path / "fixed.onnx", size=64).path
    assert check_float(source)[1] == ExportFacts(nms=False, needs_nms=True, fixed_size=64)
    square = [canvas[:, :64, :64] for canvas in photos_like[:2]]
    write_int8(source, square, tmp_path / "fixed.xml", Target.OPENVINO)
    assert OpenVinoEngine(tmp_path / "fixed.xml").predict(square[0])[1].shape[0] == 1


def test_dynamic_quantization_needs_linear_layers(onnx_file: Path, network: Network, tmp_path: Path) -> None:
    assert linear_names(read_onnx(onnx_file)) == []
    with pytest.raises(ConfigError, match="no linear layer"):
        write_dynamic(onnx_file, tmp_path / "x.onnx", network.spec)


def test_dynamic_quantization_of_a_linear_layer(onnx_file: Path, network: Network, tmp_path: Path) -> None:
    """A graph of one matrix product: its weights become int8, its answer stays within the rounding."""
    weights = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    info, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"], name="linear")],
        "one layer",
        [info("x", floats, [None, 16])],
        [info("y", floats, [None, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "float.onnx")
    write_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx", network.spec)
    assert is_quantized(onnx.load(tmp_path / "int8.onnx"))
    x = np.random.default_rng(1).normal(size=(4, 16)).astype(np.float32)
    (y,) = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weights, atol=0.15)


@pytest.mark.slow
def test_nothing_that_reports_home_is_loaded(int8_xml: Path) -> None:
    assert "openvino_telemetry" not in sys.modules
