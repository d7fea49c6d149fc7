import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from herder.cli.benchmark import benchmark_command
from herder.edge.export import export_onnx
from herder.errors import ConfigError, DataError
from herder.model.network import Network
from herder.spec import example_spec

runner = CliRunner()
app = typer.Typer()
app.command()(benchmark_command)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    network = Network(example_spec().replace(input_size=64))
    return export_onnx(network, network.spec, tmp_path_factory.mktemp("model") / "tiny.onnx").path


@pytest.fixture
def photos(tmp_path, make_photo):
    for i in range(5):
        make_photo(tmp_path / "photos" / "deep" / f"{i}.jpg", (80, 60), seed=i)
    return tmp_path / "photos"


def benchmark(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def test_table_json_and_page(model, photos, tmp_path):
    out = tmp_path / "new" / "out"
    words = ("--engines", "onnx", "--threads", "1", "--timings", "3", "--photos", "2")
    result = benchmark(model, "--data", photos, *words, "--out", out)
    assert result.exit_code == 0, result.output
    assert "2 photos of photos" in result.stdout
    assert "GFLOPs a photo" in result.stdout
    assert "the 99th percentile needs 100 timings, 4 were taken" in result.stdout
    content = json.loads((out / "cost.json").read_text())
    assert (content["kind"], content["version"]) == ("cost", 1)
    assert content["model"]["name"] == "tiny"
    assert content["model"]["sha256"] == content["artifacts"][0]["sha256"] == content["measurements"][0]["sha256"]
    assert content["data"] == {"name": "photos", "split": "", "fingerprint": None, "photos": 2}
    assert content["machine"]["cpu"]
    assert content["measurements"][0]["frames_per_second"] > 0
    assert content["measurements"][0]["latency_ms"]["p50"] > 0
    page = (out / "cost.html").read_text()
    assert "Photos/s" in page
    assert str(tmp_path) not in page


def test_drawn_scenes_and_json_alone(model):
    result = benchmark(model, "--engines", "onnx,torch", "--threads", "1", "--timings", "1", "--photos", "1", "--json")
    assert result.exit_code == 3
    content = json.loads(result.stdout)
    assert content["data"]["name"] == "drawn pastures"
    assert content["left_out"][0]["configuration"]["engine"] == "torch"


def test_labelled_photos(model, yolo_folder):
    folder = yolo_folder(["0 0.5 0.5 0.4 0.4\n", "0 0.3 0.4 0.2 0.3\n"])
    words = ("--engines", "onnx", "--threads", "1", "--timings", "1", "--accuracy", "--json")
    result = benchmark(model, "--data", folder, *words)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["data"]["split"] == "train"
    assert len(content["data"]["fingerprint"]) == 64
    assert 0 <= content["measurements"][0]["map50_95"] <= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threads", "two"), "--threads two: wanted whole numbers"),
        (("--batch", "0"), "batch 0 is not positive"),
        (("--engines", "tpu"), "engine 'tpu' is not known"),
        (("--accuracy",), "drawn scenes tell nothing"),
    ],
)
def test_wrong_words(model, words, message):
    result = benchmark(model, *words, "--photos", "1")
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_folders_without_photos_or_labels(model, tmp_path, photos):
    (tmp_path / "empty").mkdir()
    for folder, message in ((tmp_path / "empty", "no photos"), (tmp_path / "none", "no such folder")):
        result = benchmark(model, "--data", folder)
        assert isinstance(result.exception, DataError)
        assert message in str(result.exception)
    result = benchmark(model, "--data", photos, "--accuracy")
    assert isinstance(result.exception, ConfigError)
    assert "has no labels that herder reads" in str(result.exception)
