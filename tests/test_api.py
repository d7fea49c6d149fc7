"""The Python functions: the same errors and results as the commands."""

import numpy as np
import pytest
import torch

import herder
from herder.errors import ConfigError, ModelFileError
from herder.model.files import save_model
from herder.model.network import Network
from herder.spec import example_spec


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    network = Network(example_spec())
    for layer in network.head.cls_preds:  # so that an untrained network says something
        torch.nn.init.constant_(layer.bias, 0.0)
    save_model(network, example_spec(), path)
    return path


def photos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((60, 90), (200, 100), (33, 32))]


def test_load_detects_from_a_file(model):
    detector = herder.load(model)
    found = detector.detect(photos(), score=0.3)
    assert len(found) == 3
    assert all(len(each) for each in found)
    for each, photo in zip(found, photos(), strict=True):
        height, width = photo.shape[:2]
        assert each.boxes.min() >= 0
        assert (each.boxes[:, 2] <= width).all()
        assert (each.boxes[:, 3] <= height).all()
        assert (np.diff(each.scores) <= 0).all()


def test_an_exported_model_finds_the_same(model, tmp_path):
    result = herder.export(model, tmp_path / "tiny.onnx")
    assert result.parity.ok
    torch_found = herder.load(model).detect(photos(), score=0.4)
    for engine in ("onnx", "openvino"):
        found = herder.load(tmp_path / "tiny.onnx", engine=engine).detect(photos(), score=0.4)
        for a, b in zip(found, torch_found, strict=True):
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "engine", "error", "words"),
    [
        ("none.safetensors", "auto", ModelFileError, "no such file"),
        ("none.onnx", "auto", ModelFileError, "no such file"),
        ("none.pt", "auto", ModelFileError, "no such file"),
        ("tiny.safetensors", "openvino", ConfigError, "cannot run a safetensors"),
        ("tiny.onnx", "torch", ConfigError, "cannot run an exported"),
        ("tiny.safetensors", "abacus", ConfigError, "not known"),
    ],
)
def test_what_cannot_be_loaded_says_so(tmp_path, name, engine, error, words):
    with pytest.raises(error, match=words):
        herder.load(tmp_path / name, engine=engine)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"x")
    with pytest.raises(ModelFileError, match="unknown kind"):
        herder.load(path)
