from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from herder.cli.quantize import quantize_command
from herder.errors import ConfigError

if importlib.util.find_spec("nncf") is None:  # importing it here would load its reporter
    pytest.skip("NNCF is not installed", allow_module_level=True)

LABELS = ["0 0.5 0.5 0.4 0.5\n", "", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "0 0.6 0.5 0.7 0.6\n"] * 6


@pytest.fixture
def model(tiny_model: Path) -> Path:
    return tiny_model


@pytest.fixture
def herder() -> Callable[..., Result]:
    app = typer.Typer()
    app.command()(quantize_command)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", 3], "--epochs: static quantization does not train"),
        (["--method", "pt2e", "--resume"], "--resume: pt2e quantization does not train"),
        (["--method", "aware", "--unchecked"], "are for static and dynamic"),
        (["--method", "aware", "--to", "onnx"], "are for static and dynamic"),
        (["--method", "aware", "--max-drop", 0.1], "are for static and dynamic"),
        (["--unchecked", "--max-drop", 0.1], "--max-drop: --unchecked measures no mAP"),
        (["--method", "dynamic"], "no linear layer"),
        (["--method", "dynamic", "--to", "openvino"], "for ONNX only"),
        (["--out", "x.onnx"], "files for openvino end in .xml"),
        (["--photos", 2], "too few"),
    ],
)
def test_wrong_use_is_refused(
    herder: Callable[..., Result],
    model: Path,
    yolo_folder: Callable[..., Path],
    tmp_path: Path,
    flags: list[object],
    message: str,
) -> None:
    before = sorted(tmp_path.rglob("*int8*"))
    result = herder(model, yolo_folder(LABELS), *flags)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert sorted(tmp_path.rglob("*int8*")) == before


def test_the_model_itself_is_never_overwritten(herder: Callable[..., Result], tmp_path: Path) -> None:
    float_onnx = tmp_path / "model.onnx"
    result = herder(float_onnx, tmp_path, "--to", "onnx", "--out", float_onnx)
    assert isinstance(result.exception, ConfigError)
    assert "is the float model itself" in str(result.exception)


@pytest.mark.slow
def test_writes_the_file_and_the_table(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path]
) -> None:
    result = herder(model, yolo_folder(LABELS), "--max-drop", 1)
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "mAP50_95" in result.output
    assert "no layer had to stay float" in result.output
    assert model.with_name("model-int8.xml").exists()
    assert model.with_name("model-int8.bin").exists()
