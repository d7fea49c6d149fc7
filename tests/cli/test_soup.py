"""``herder soup``: real files, real photos of noise, and each thing that is refused before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from herder.api.soup import SOUP_KEY, make_soup
from herder.api.soup_settings import Method, SoupSettings
from herder.cli.soup import soup_command
from herder.data.formats import read_dataset
from herder.errors import ConfigError, DataError, HerderError
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.spec import example_spec
from herder.tensor_files import read_metadata

LABELS = ["0 0.5 0.5 0.4 0.4", "0 0.3 0.3 0.2 0.2", "0 0.6 0.5 0.5 0.5"]


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    paths = []
    for seed in range(3):
        torch.manual_seed(seed)
        spec = example_spec().replace(input_size=64, origin="a test", score_threshold=0.1 * (seed + 1))
        paths.append(tmp_path / f"m{seed}.safetensors")
        save_model(Network(spec), spec, paths[-1])
    return paths


def run(*words: object) -> tuple[int, str, BaseException | None]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(soup_command)
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.exception


def test_a_uniform_soup_is_the_mean_and_says_of_what(models: list[Path], tmp_path: Path) -> None:
    code, text, _ = run(*models, "--out", tmp_path / "soup.safetensors", "--json")
    assert code == 0
    told = json.loads(text)
    assert [entry["name"] for entry in told["models"]] == ["m0.safetensors", "m1.safetensors", "m2.safetensors"]
    soup = load_model(tmp_path / "soup.safetensors")
    states = [load_model(path).state_dict() for path in models]
    name = "head.cls_preds.0.weight"
    torch.testing.assert_close(soup.state_dict()[name], (states[0][name] + states[1][name] + states[2][name]) / 3)
    assert soup.spec.score_threshold == pytest.approx(0.2)
    assert soup.spec.origin.startswith("a test; average of 3 models (uniform soup): m0.safetensors (")
    kept = json.loads(read_metadata(tmp_path / "soup.safetensors")[SOUP_KEY])
    assert kept == told
    assert str(tmp_path) not in text


def test_a_greedy_soup_says_what_it_was_chosen_on(
    models: list[Path], tmp_path: Path, yolo_folder: Callable[..., Path]
) -> None:
    data = yolo_folder(LABELS, split="val")
    out = tmp_path / "soup.safetensors"
    code, text, _ = run(*models, "--out", out, "--method", "greedy", "--data", data, "--recalibrate", data, "--json")
    assert code == 0
    told = json.loads(text)
    assert told["method"] == "greedy"
    assert told["chosen_on"]["split"] == told["recalibrated_on"]["split"] == "val"
    assert told["chosen_on"]["photos"] == 3
    assert any("chosen on 3 photos of split val" in note for note in told["notes"])
    kept = [entry for entry in told["models"] if entry["kept"]]
    best = max(entry["mAP50_95"] for entry in told["models"])
    assert best in [entry["mAP50_95"] for entry in kept]
    assert told["metrics"]["mAP50_95"] >= best
    assert load_model(out).spec.score_threshold == told["score_threshold"]


def test_the_threshold_may_come_from_a_cross_validation(models: list[Path], tmp_path: Path) -> None:
    folds = tmp_path / "folds"
    folds.mkdir()
    (folds / "crossval.json").write_text(json.dumps({"pooled": [{"threshold": 0.437}, {"threshold": 0.9}]}))
    out = tmp_path / "soup.safetensors"
    assert run(*models, "--out", out, "--threshold-from", folds, "--iou", "0.7")[0] == 0
    assert load_model(out).spec.score_threshold == 0.437
    assert load_model(out).spec.nms_iou == 0.7
    assert isinstance(run(*models, "--out", out, "--iou", "1.5")[2], ConfigError)


@pytest.mark.parametrize("content", ["", "[]", '{"pooled": []}', '{"pooled": [{"threshold": 2.0}]}'])
def test_what_is_no_cross_validation_is_refused(models: list[Path], tmp_path: Path, content: str) -> None:
    (tmp_path / "crossval.json").write_text(content)
    out = tmp_path / "soup.safetensors"
    _, _, error = run(*models, "--out", out, "--threshold-from", tmp_path / "crossval.json")
    assert isinstance(error, ConfigError)
    assert "crossval.json" in str(error)
    assert not out.exists()


def test_a_table_for_people(models: list[Path], tmp_path: Path, yolo_folder: Callable[..., Path]) -> None:
    data = yolo_folder([*LABELS, "0 nonsense"], split="train")
    code, text, _ = run(*models[:2], "--out", tmp_path / "soup.safetensors", "--data", data)
    assert code == 3  # a label was set aside
    assert "in the soup" in text
    assert "score threshold" in text


def test_the_threshold_and_calibration_of_the_soup_are_its_own(models: list[Path], tmp_path: Path) -> None:
    network = load_model(models[0])
    tempered = tmp_path / "tempered.safetensors"
    save_model(network, network.spec.tempered(2.0), tempered)
    made = make_soup([tempered, models[1]], tmp_path / "soup.safetensors")
    assert load_model(made.out).spec.temperature == 1
    assert made.threshold == pytest.approx((0.1 + 0.2) / 2)
    assert any("herder calibrate" in note for note in made.notes)


def test_training_photos_are_named_as_such(
    models: list[Path], tmp_path: Path, yolo_folder: Callable[..., Path]
) -> None:
    dataset = read_dataset(yolo_folder(LABELS), split="train")
    network = load_model(models[0])
    save_model(network, network.spec.replace(dataset_fingerprint=dataset.fingerprint()), models[0])
    made = make_soup(models[:2], tmp_path / "soup.safetensors", data=dataset)
    assert any("trained on these very photos" in note for note in made.notes)


def refused(error: type[HerderError], match: str, *words: object) -> None:
    with pytest.raises(error, match=match):
        raise run(*words)[2] or AssertionError("nothing was refused")


def test_what_is_refused(models: list[Path], tmp_path: Path, yolo_folder: Callable[..., Path]) -> None:
    out = tmp_path / "soup.safetensors"
    refused(ConfigError, "1 model given", models[0], "--out", out)
    refused(ConfigError, "is the same model as", models[0], models[0], "--out", out)
    refused(ConfigError, "one of the models", *models, "--out", models[1])
    refused(ConfigError, "only .safetensors", models[0], "b.onnx", "--out", out)
    refused(ConfigError, "only .safetensors", *models, "--out", tmp_path / "soup.onnx")
    refused(ConfigError, "labelled photos to choose on", *models, "--out", out, "--method", "greedy")
    refused(ConfigError, "no --data", *models, "--out", out, "--split", "val")
    refused(HerderError, "no such file", models[0], tmp_path / "gone.safetensors", "--out", out)
    empty = yolo_folder(["", ""])
    refused(DataError, "no labelled box", *models, "--out", out, "--data", empty)
    (empty / "images" / "val").mkdir()
    (empty / "labels" / "val").mkdir()
    photo = next((empty / "images" / "train").iterdir())
    (empty / "images" / "val" / "a.jpg").write_bytes(photo.read_bytes())
    refused(ConfigError, "must be said: train, val", *models, "--out", out, "--data", empty)
    assert not out.exists()


def test_other_classes_than_the_photos(models: list[Path], tmp_path: Path, yolo_folder: Callable[..., Path]) -> None:
    dataset = read_dataset(yolo_folder(LABELS, names=["goat"]), split="train")
    settings = SoupSettings(Method.GREEDY)
    with pytest.raises(ConfigError, match="no class is in both"):
        make_soup(models, tmp_path / "soup.safetensors", settings, data=dataset)
