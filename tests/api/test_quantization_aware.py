from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from herder.api.quantization_aware import (
    AwareSettings,
    aware_config,
    rounded_network,
    rounded_spec,
    run_quantization_aware,
)
from herder.api.run_photos import Photos, read_photos
from herder.data.pasture import PastureConfig, write_pasture
from herder.errors import ConfigError
from herder.model.fake_quantization import QuantizedConv2d
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.spec import Quantization, example_spec

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    root = tmp_path_factory.mktemp("pasture")
    write_pasture(root, train=16, val=3, config=PastureConfig(size=64))
    return read_photos(root)


@pytest.fixture(scope="module")
def model(photos: Photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "float.safetensors"
    spec = example_spec().replace(class_names=photos.train.class_names, input_size=64)
    save_model(Network(spec), spec, path)
    return path


def test_what_cannot_be_done_is_told_before_any_work(model: Path, photos: Photos, tmp_path: Path) -> None:
    spec = load_model(model).spec
    int8 = spec.replace(architecture=replace(spec.architecture, quantization=Quantization()))
    save_model(Network(int8), int8, tmp_path / "int8.safetensors")
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="is quantized already"):
        run_quantization_aware(tmp_path / "int8.safetensors", photos, out)
    with pytest.raises(ConfigError, match=r"only \.safetensors"):
        run_quantization_aware(tmp_path / "model.onnx", photos, out)
    few = replace(photos, train=replace(photos.train, records=photos.train.records[:3]))
    with pytest.raises(ConfigError, match="too few"):
        run_quantization_aware(model, few, out)
    with pytest.raises(ConfigError, match="no convolution"):
        run_quantization_aware(model, photos, out, AwareSettings(float_layers=("nowhere",)))
    with pytest.raises(ConfigError, match="weight_bits: 4"):
        AwareSettings(weight_bits=4)
    goat = spec.replace(class_names=("goat",))
    save_model(Network(goat), goat, tmp_path / "goat.safetensors")
    with pytest.raises(ConfigError, match="does not know"):
        run_quantization_aware(model, photos, out, teachers=[tmp_path / "goat.safetensors"])
    assert not out.exists()
    first = rounded_spec(spec, AwareSettings())
    save_model(Network(first), first, tmp_path / "begun" / "start.safetensors")
    with pytest.raises(ConfigError, match="rounds otherwise"):
        run_quantization_aware(model, photos, tmp_path / "begun", AwareSettings(weight_bits=7), resume=True)
    with pytest.raises(ConfigError, match="is there already"):
        run_quantization_aware(model, photos, tmp_path)


def test_the_start_keeps_the_float_weights_and_knows_its_scales(model: Path, photos: Photos) -> None:
    network = load_model(model)
    start = rounded_network(network, photos.train, AwareSettings(photos=16, weight_bits=7), size=64)
    folded = dict(network.fused().named_parameters())
    for name, value in start.named_parameters():
        if not name.endswith("exponent"):
            assert torch.equal(value, folded[name])
    layers = [m for m in start.modules() if isinstance(m, QuantizedConv2d)]
    for layer in layers:
        error = (layer.rounded_weight() - layer.weight).detach().abs()
        # At most half a step, but for the few values beyond the range.
        assert float((error > 0.51 * layer.scales[:, None, None, None]).float().mean()) < 0.1
    assert start.spec.architecture.quantization == Quantization(7)


def test_settings_are_short_and_may_be_changed(model: Path) -> None:
    config = aware_config(model, None, {"epochs": 2, "lr_head": 1e-6})
    assert (config.epochs, config.lr_head, config.image_size) == (2, 1e-6, 64)
    assert config.lr_backbone < 1e-4


@pytest.mark.slow
def test_from_a_float_file_to_int8(model: Path, photos: Photos, tmp_path: Path) -> None:
    config = aware_config(model, None, {"epochs": 1, "batch_size": 8, "device": "cpu"})
    told: list[str] = []
    result = run_quantization_aware(
        model, photos, tmp_path / "run", AwareSettings(photos=16), config, trackers=[], say=told.append
    )
    assert told
    assert result.path.stat().st_size == result.after.file_bytes < result.before.file_bytes
    taught = load_model(result.network)
    assert taught.spec.architecture.quantization == Quantization()
    start = load_model(tmp_path / "run" / "start.safetensors")
    moved = [not torch.equal(a, b) for a, b in zip(taught.parameters(), start.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2
    # The same command, resumed, finds all of it done.
    again = run_quantization_aware(
        model, photos, tmp_path / "run", AwareSettings(photos=16), config, trackers=[], resume=True
    )
    assert again.after == result.after


@pytest.mark.slow
def test_pt2e(model: Path, photos: Photos, tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    from herder.api.quantize_pt2e import run_pt2e

    with pytest.raises(ConfigError, match=r"end in \.pt2"):
        run_pt2e(model, photos, tmp_path / "model.onnx")
    result = run_pt2e(model, photos, tmp_path / "model.pt2", photos=16, rounds=3)
    assert result.path.read_bytes()[:2] == b"PK"
    assert result.after.file_bytes == result.path.stat().st_size
    assert result.ratio.value > 0
