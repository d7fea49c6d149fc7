from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from herder.edge.export_quantized import export_quantized
from herder.edge.runtime import OnnxEngine, OpenVinoEngine
from herder.errors import ConfigError
from herder.model.engine import TorchEngine
from herder.model.fake_quantization import QuantizedConv2d
from herder.model.network import Network
from herder.model.quantized_layers import settling
from herder.spec import Quantization, example_spec

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def rounded(network: Network, canvases: NDArray[np.uint8], quantization: Quantization) -> Network:
    a = replace(network.spec.architecture, quantization=quantization)
    copy = Network(network.spec.replace(architecture=a)).eval()
    copy.load_state_dict(network.fused().state_dict(), strict=False)
    with settling(copy):
        TorchEngine(copy, fuse=False).predict(canvases)
    return copy


def smooth(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures (count, height, width, 3) with shapes in them, as photos have."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, height // 8, width // 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module", params=[Quantization(), Quantization(7, before_activation=True)], ids=str)
def int8_network(request: pytest.FixtureRequest, awake: Callable[..., Network]) -> Network:
    """A small YOLOX kind, so that some maps have a scale for each channel."""
    canvases = smooth(2, 128, 128)
    spec = example_spec()
    a = replace(spec.architecture, stem="focus", depthwise=True, objectness=True, reg_max=0)
    network = awake(spec.replace(architecture=a, input_size=96)).train()
    with torch.no_grad():
        network.raw(torch.from_numpy(canvases).permute(0, 3, 1, 2).float())  # norms that fit these pictures
    return rounded(network.eval(), canvases, request.param)


@pytest.fixture(scope="module")
def int8_file(int8_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "model.onnx"
    assert export_quantized(int8_network, int8_network.spec, out).path == out
    return out


def test_weights_are_bytes_with_the_networks_scales(int8_network: Network, int8_file: Path) -> None:
    graph = onnx.load(int8_file).graph
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    layers = {n: m for n, m in int8_network.named_modules() if isinstance(m, QuantizedConv2d)}
    assert len(layers) > 60
    for name, layer in layers.items():
        codes = tensors[f"{name}.int8"]
        assert codes.dtype == np.int8
        assert np.abs(codes).max() <= layer.limit
        restored = codes * tensors[f"{name}.scale"][:, None, None, None]
        np.testing.assert_allclose(restored, layer.rounded_weight().detach(), rtol=1e-5, atol=1e-7)
    wide = sum(t.nbytes for t in tensors.values() if t.dtype == np.float32)
    assert wide < 0.5 * sum(p.numel() * 4 for p in int8_network.parameters())


def test_both_engines_give_what_torch_gives(int8_network: Network, int8_file: Path) -> None:
    canvases = smooth(1, 128, 96)
    boxes, scores = TorchEngine(int8_network, fuse=False).predict(canvases)
    for engine in (OnnxEngine, OpenVinoEngine):
        found_boxes, found_scores = engine(int8_file).predict(canvases)
        assert found_boxes.shape == boxes.shape
        # Single codes differ, and an untrained network lets that grow: the bulk must be the same.
        assert np.median(np.abs(found_scores - scores)) < 0.05
        assert np.median(np.abs(found_boxes - boxes)) < 2
    assert OnnxEngine(int8_file).spec == int8_network.spec


def test_onnx_runtime_convolves_in_int8_where_it_was_trained_for_it(
    int8_network: Network, int8_file: Path, tmp_path: Path
) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(int8_file), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    quantization = int8_network.spec.architecture.quantization
    assert quantization is not None
    assert (kinds.count("QLinearConv") > 50) == quantization.before_activation


@pytest.mark.slow
def test_openvinos_own_files(int8_network: Network, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    result = export_quantized(int8_network, int8_network.spec, tmp_path / "model.xml")
    assert result.size_bytes < 2e6
    assert OpenVinoEngine(tmp_path / "model.xml").spec == int8_network.spec


@pytest.mark.slow
def test_the_common_export_knows_quantized_models(int8_network: Network, tmp_path: Path) -> None:
    import herder
    from herder.edge.export import export_torchscript
    from herder.model.files import save_model

    save_model(int8_network, int8_network.spec, tmp_path / "int8.safetensors")
    result = herder.export(tmp_path / "int8.safetensors", tmp_path / "int8.onnx")
    assert "int8" in result.format
    with pytest.raises(ConfigError, match="is quantized"):
        export_torchscript(int8_network, int8_network.spec, tmp_path / "int8.torchscript")


def test_what_cannot_be_written_is_told(network: Network, int8_network: Network, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a float model"):
        export_quantized(network, network.spec, tmp_path / "model.onnx")
    with pytest.raises(ConfigError, match="no engine runs"):
        export_quantized(int8_network, int8_network.spec, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_file_far_from_torch_is_not_written(
    int8_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from herder.edge import export_quantized as module
    from herder.errors import ModelFileError

    export = module.exportable

    def spoiled(network):
        plain, scales = export(network)
        for layer in (*plain.head.cls_preds, *plain.head.reg_preds, *plain.head.obj_preds):
            layer.bias.data.add_(1)
        return plain, scales

    monkeypatch.setattr(module, "exportable", spoiled)
    with pytest.raises(ModelFileError, match="does not agree"):
        export_quantized(int8_network, int8_network.spec, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
