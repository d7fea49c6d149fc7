"""``herder import`` on the published file."""

import pytest
from typer.testing import CliRunner

from herder.cli import app
from herder.model.files import load_model


@pytest.mark.shared
def test_the_published_nano_becomes_a_model_file(shared_dir, tmp_path):
    out = tmp_path / "yolox-nano.safetensors"
    done = CliRunner().invoke(app, ["import", str(shared_dir / "pretrained/yolox_nano.onnx"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "80 classes" in done.output
    assert load_model(out).spec.channel_order == "bgr"
