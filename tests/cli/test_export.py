import json

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

import herder
from herder.cli import app
from herder.errors import ConfigError, DataError, ModelFileError
from herder.model.files import save_model
from herder.model.network import Network
from herder.spec import example_spec

runner = CliRunner()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    network = Network(example_spec().replace(input_size=64))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(network, network.spec, path)
    return path


def export(*arguments):
    return runner.invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize(("name", "ending"), [("onnx", ".onnx"), ("openvino", ".xml"), ("torchscript", ".torchscript")])
def test_exports_beside_the_model_and_prints_parity(model, name, ending):
    result = export(model, "--format", name)
    assert result.exit_code == 0, result.output
    assert model.with_suffix(ending).is_file()
    assert "parity with torch on 4 pictures" in result.stdout
    assert str(model.with_suffix(ending)) in result.stdout.replace("\n", "")


def test_the_exported_file_detects(model, tmp_path, make_photo):
    photos = tmp_path / "photos"
    for i in range(2):
        make_photo(photos / f"{i}.jpg", (80, 60), seed=i)
    out = tmp_path / "new" / "m.onnx"
    assert export(model, "--out", out, "--photos", photos).exit_code == 0
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    torch_found = herder.load(model).detect(pixels, score=0.001)
    onnx_found = herder.load(out).detect(pixels, score=0.001)
    assert len(torch_found) == len(onnx_found) > 0
    np.testing.assert_allclose(np.sort(onnx_found.scores), np.sort(torch_found.scores), atol=1e-4)


def test_fixed_size_with_suppression(model, tmp_path):
    out = tmp_path / "m.onnx"
    result = export(model, "--out", out, "--size", 96, "--nms")
    assert result.exit_code == 0, result.output
    loaded = onnx.load(out)
    assert [d.dim_value for d in loaded.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 96, 96]
    facts = json.loads({e.key: e.value for e in loaded.metadata_props}["herder_export"])
    assert facts == {"nms": True, "needs_nms": False, "fixed_size": 96}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--size", "100"), ConfigError, "export size 100"),
        (("--format", "torchscript", "--nms"), ConfigError, "--nms is not for TorchScript"),
        (("--format", "torchscript", "--half"), ConfigError, "--half is not for TorchScript"),
        (("--format", "openvino", "--opset", "17"), ConfigError, "--opset is for ONNX only"),
        (("--format", "openvino"), ConfigError, "OpenVINO's files end in .xml"),
        (("--format", "torchscript"), ConfigError, "TorchScript files end in .torchscript"),
        (("--opset", "5"), ConfigError, "opset 5: the graph needs operators of opset 11"),
        (("--photos", "nowhere"), DataError, "nowhere"),
    ],
)
def test_wrong_use_is_told(model, tmp_path, arguments, error, message):
    result = export(model, "--out", tmp_path / "m.onnx", *arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("name", ["m.xml", "m.safetensors", "m"])
def test_onnx_is_not_written_under_another_kind_of_name(model, tmp_path, name):
    out = tmp_path / name
    out.write_bytes(b"the owner's")
    result = export(model, "--out", out)
    assert isinstance(result.exception, ConfigError)
    assert "ONNX files end in .onnx" in str(result.exception)
    assert out.read_bytes() == b"the owner's"


def test_half_precision_for_openvino(model, tmp_path):
    out = tmp_path / "half.xml"
    result = export(model, "--format", "openvino", "--half", "--out", out)
    assert result.exit_code == 0, result.output
    assert "OpenVINO with float16 weights" in result.stdout
    assert "allowed: 8 px and 0.03" in result.stdout
    assert herder.load(out).spec == herder.load(model).spec


def test_only_safetensors_are_exported(tmp_path):
    assert isinstance(export(tmp_path / "m.onnx").exception, ConfigError)
    assert isinstance(export(tmp_path / "m.safetensors").exception, ModelFileError)
