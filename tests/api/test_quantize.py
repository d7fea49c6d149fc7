"""What is refused before any work, and one quantization from the model to the file."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from herder.api.quantize import QuantizeSettings, run_quantization
from herder.api.quantize_checks import check_quantization
from herder.edge.quantization import Target
from herder.errors import ConfigError, DataError, HerderError, ModelFileError, ResourceError
from herder.model.files import save_model
from herder.model.network import Network
from herder.spec import Quantization, example_spec

if importlib.util.find_spec("nncf") is None:  # importing it here would load its reporter
    pytest.skip("NNCF is not installed", allow_module_level=True)

LABELS = ["0 0.5 0.5 0.4 0.5\n", "", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "0 0.6 0.5 0.7 0.6\n"] * 6


@pytest.fixture
def model(tiny_model: Path) -> Path:
    return tiny_model


@pytest.mark.parametrize(
    ("settings", "out", "message"),
    [
        (QuantizeSettings(photos=3), "x.xml", "photos: 3 are too few"),
        (QuantizeSettings(), "x.onnx", "files for openvino end in .xml"),
        (QuantizeSettings(Target.ONNX), "x.xml", "files for onnx end in .onnx"),
        (QuantizeSettings(max_drop=-0.1), "x.xml", "max_drop: -0.1"),
        (QuantizeSettings(max_drop=float("nan")), "x.xml", "max_drop: nan"),
        (QuantizeSettings(size=100), "x.xml", "size 100 is not a multiple of 32"),
        (QuantizeSettings(dynamic=True), "x.xml", "dynamic: is for ONNX only"),
    ],
)
def test_settings_are_refused(
    model: Path,
    yolo_folder: Callable[..., Path],
    tmp_path: Path,
    settings: QuantizeSettings,
    out: str,
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_quantization(model, yolo_folder(LABELS), tmp_path / out, settings)
    assert not (tmp_path / out).exists()


def test_the_sample_is_told_in_the_photos_own_classes(
    model: Path, tmp_path: Path, yolo_folder: Callable[..., Path]
) -> None:
    """The model's first class is another one than the photos' first."""
    spec = example_spec().replace(input_size=64, class_names=("zebra", "alpaca"))
    save_model(Network(spec), spec, tmp_path / "zebra.safetensors")
    found = check_quantization(
        tmp_path / "zebra.safetensors", yolo_folder(LABELS), tmp_path / "x.xml", QuantizeSettings()
    )
    assert found.class_names == ("alpaca",)


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    model: Path, tmp_path: Path, yolo_folder: Callable[..., Path]
) -> None:
    data = yolo_folder(LABELS)
    (tmp_path / "taken.xml").mkdir()
    for out, said in (("taken.xml", "there is a folder"), ("model.safetensors/x.xml", "is a file, not a folder")):
        with pytest.raises(ResourceError, match="cannot be written") as caught:
            check_quantization(model, data, tmp_path / out, QuantizeSettings())
        assert said in str(caught.value)


@pytest.mark.parametrize("labels", [LABELS[:4], LABELS[:1] * 19])
def test_too_few_photos_are_refused(model: Path, yolo_folder: Callable[..., Path], labels: Sequence[str]) -> None:
    """19 photos are too few as well: a fifth is held back to judge by."""
    with pytest.raises(ConfigError, match="too few to calibrate"):
        run_quantization(model, yolo_folder(labels), model.with_suffix(".xml"))


def test_photos_without_labels_are_refused_unless_nothing_is_measured(
    model: Path, tmp_path: Path, make_photo: Callable[..., Path]
) -> None:
    for i in range(20):
        make_photo(tmp_path / "plain" / f"{i}.jpg", seed=i)
    (tmp_path / "plain" / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError):
        check_quantization(model, tmp_path / "plain", tmp_path / "x.xml", QuantizeSettings())
    found = check_quantization(model, tmp_path / "plain", tmp_path / "x.xml", QuantizeSettings(max_drop=None))
    assert len(found.sample) == 20
    assert found.validation is None
    assert [problem.path.name for problem in found.problems] == ["broken.jpg"]


def test_models_that_cannot_be_quantized(model: Path, yolo_folder: Callable[..., Path], tmp_path: Path) -> None:
    data = yolo_folder(LABELS)
    spec = example_spec()
    rounded = spec.replace(architecture=replace(spec.architecture, quantization=Quantization()))
    save_model(Network(rounded), rounded, tmp_path / "rounded.safetensors")
    refused: list[tuple[str, type[HerderError]]] = [
        ("rounded.safetensors", ConfigError),
        ("missing.safetensors", ModelFileError),
        ("missing.onnx", ModelFileError),
        ("model.pt", ConfigError),
    ]
    for name, kind in refused:
        with pytest.raises(kind, match=name):
            run_quantization(tmp_path / name, data, tmp_path / "x.xml")


@pytest.mark.slow
def test_without_labels_and_to_onnx(model: Path, tmp_path: Path, make_photo: Callable[..., Path]) -> None:
    for i in range(16):
        make_photo(tmp_path / "plain" / f"{i}.jpg", seed=i)
    said: list[str] = []
    settings = QuantizeSettings(Target.ONNX, max_drop=None)
    result = run_quantization(model, tmp_path / "plain", tmp_path / "int8.onnx", settings, say=said.append)
    assert result.path.read_bytes()[:1] == b"\x08"
    assert result.before.map50 is None
    assert result.after.milliseconds > 0
    assert any("what each layer loses" in text for text in said)


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_detector_keeps_its_accuracy(shared_dir: Path, tmp_path: Path) -> None:
    """YOLOX nano as published, on photos where its sheep are the alpacas: int8 finds them as well as float does."""
    from herder.data.formats import read_dataset
    from herder.edge.calibration_sample import calibration_canvases, calibration_sample
    from herder.edge.export import export_onnx
    from herder.edge.quantization import write_int8
    from herder.edge.runtime import OpenVinoEngine
    from herder.evaluation import evaluate_detector
    from herder.inference import Detector
    from herder.model.pretrained import import_weights

    network = import_weights(shared_dir / "pretrained" / "yolox_nano.onnx")
    source = export_onnx(network, network.spec, tmp_path / "nano.onnx").path
    seen = calibration_sample(read_dataset(shared_dir / "alpaca", split="train"), 32)
    write_int8(source, list(calibration_canvases(seen, 256)), tmp_path / "nano.xml", Target.OPENVINO)
    photos = read_dataset(shared_dir / "alpaca", split="val").select(range(40))
    counted = {"sheep": "alpaca", "dog": "alpaca", "horse": "alpaca"}
    reached = [
        evaluate_detector(Detector(OpenVinoEngine(path)), photos, size=256, count_as=counted)[0].map50
        for path in (source, tmp_path / "nano.xml")
    ]
    assert reached[0] > 0.1  # so that there is something to lose
    assert reached[1] > reached[0] - 0.03
