"""``herder grow``: a wider file that detects the same and can be trained, and each thing that is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from herder import api
from herder.cli.grow import grow_command
from herder.errors import ConfigError, HerderError, ModelFileError
from herder.images import read_image


def run(*words: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(grow_command)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_wider_model_finds_the_same(tiny_model: Path, tmp_path: Path, make_photo: Callable[..., Path]) -> None:
    out = tmp_path / "grown.safetensors"
    result = run(tiny_model, "--out", out, "--width", "1.5")
    assert result.exit_code == 0
    assert "tiny-x1.5" in result.stdout
    photo = read_image(make_photo(tmp_path / "a.jpg", size=(90, 64)))
    old, new = (api.load(path).detect(photo, score=0.001) for path in (tiny_model, out))
    assert len(old)
    np.testing.assert_allclose(new.boxes, old.boxes, atol=1e-2)
    np.testing.assert_allclose(new.scores, old.scores, atol=1e-5)


@pytest.mark.slow
def test_it_can_be_trained_further(tiny_model: Path, tmp_path: Path, yolo_folder: Callable[..., Path]) -> None:
    out = tmp_path / "grown.safetensors"
    assert run(tiny_model, "--out", out).exit_code == 0
    data = yolo_folder(["0 0.5 0.5 0.5 0.5"] * 8)
    trained = api.train(data, init=out, out=tmp_path / "run", settings={"epochs": 1, "image_size": 64, "batch_size": 4})
    spec = api.load(trained.best).spec
    assert spec.name == "tiny-x1.5"
    assert "Net2Net" in spec.origin


def refused(error: type[HerderError], match: str, *words: object) -> None:
    with pytest.raises(error, match=match):
        raise run(*words).exception or AssertionError("nothing was refused")


def test_what_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown.safetensors"
    refused(ConfigError, "is not above 1", tiny_model, "--out", out, "--width", "1")
    refused(ConfigError, "noise 2", tiny_model, "--out", out, "--noise", "2")
    refused(ConfigError, "only .safetensors", tiny_model, "--out", tmp_path / "grown.onnx")
    refused(ConfigError, "only .safetensors", tmp_path / "model.onnx", "--out", out)
    refused(ConfigError, "the model itself", tiny_model, "--out", tiny_model)
    refused(ModelFileError, "no such file", tmp_path / "gone.safetensors", "--out", out)
    assert not out.exists()
