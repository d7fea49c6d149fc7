"""``herder demo``, whole but small."""

import json

import pytest
from typer.testing import CliRunner

from herder.cli import app
from herder.cli.demo import make_folder
from herder.errors import ConfigError


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="not made by herder demo"):
        make_folder(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_an_earlier_demo_is_made_anew_and_other_files_stay(tmp_path):
    make_folder(tmp_path / "demo")
    (tmp_path / "demo" / "report.html").write_text("old")
    (tmp_path / "demo" / "notes.txt").write_text("mine")
    make_folder(tmp_path / "demo")
    assert not (tmp_path / "demo" / "report.html").exists()
    assert (tmp_path / "demo" / "notes.txt").read_text() == "mine"


def test_a_size_off_the_stride_is_refused_before_anything_is_written(tmp_path):
    out = tmp_path / "demo"
    done = CliRunner().invoke(app, ["demo", "--out", str(out), "--size", "100"])
    assert isinstance(done.exception, ConfigError)
    assert not out.exists()


@pytest.mark.slow
def test_the_demo_ends_with_a_model_a_picture_and_a_report(tmp_path):
    out = tmp_path / "demo"
    done = CliRunner().invoke(
        app, ["demo", "--out", str(out), "--scenes", "24", "--epochs", "2", "--size", "128"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    for name in (
        "shipped.jpg",
        "trained.onnx",
        "detections.jpg",
        "report.html",
        "run/best.safetensors",
        "run/metrics.csv",
    ):
        assert (out / name).stat().st_size > 0
    assert "photos a second" in done.output
    assert json.loads((out / "run/config.json").read_text())
