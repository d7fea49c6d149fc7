from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from herder.api.distill import distill, distillation_config, student_start
from herder.api.run_photos import read_photos, taught_photos
from herder.api.teachers import TeacherEngine, label_photos, read_teachers
from herder.cli.distill import distill_command
from herder.cli.train import train_command
from herder.errors import ConfigError, DataError, HerderError, ModelFileError
from herder.inference import Detector
from herder.model.distillation_config import DistillationConfig
from herder.model.engine import TorchEngine
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.spec import example_spec

LABELS = ["0 0.5 0.5 0.4 0.5\n", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "", "0 0.6 0.5 0.7 0.6\n"] * 2

SHORT = ["--epochs", "1", "--imgsz", "64", "--batch", "4", "--device", "cpu"]


@pytest.fixture
def photos(yolo_folder: Callable[..., Path]) -> Path:
    return yolo_folder(LABELS)


def write_model(path: Path, *classes: str, **changes: object) -> Path:
    """A small network that is sure of something in many cells."""
    torch.manual_seed(1)
    spec = example_spec()
    spec = spec.replace(class_names=classes, input_size=64, architecture=replace(spec.architecture, **changes))
    network = Network(spec)
    for layer in network.head.cls_preds:
        layer.weight.data.normal_(std=2.0)
        layer.bias.data.zero_()
    save_model(network, spec, path)
    return path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "teacher.safetensors", "goat", "alpaca", widths=(8, 16, 24, 32, 32))
    write_model(folder / "second.safetensors", "alpaca", reg_max=0, objectness=True)
    write_model(folder / "student.safetensors", "alpaca")
    write_model(folder / "sheep.safetensors", "sheep")
    return folder


@pytest.fixture
def herder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    app = typer.Typer()
    app.command("distill")(distill_command)
    app.command("train")(train_command)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


@pytest.fixture
def unlabelled(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    for i in range(3):
        make_photo(tmp_path / "new" / f"n{i}.png", (80, 60), seed=100 + i)
    return tmp_path / "new"


@pytest.mark.slow
def test_two_teachers_unlabelled_photos_and_a_model_at_the_end(
    herder: Callable[..., Result], photos: Path, models: Path, unlabelled: Path
) -> None:
    teachers = [models / "teacher.safetensors", "--teacher", models / "second.safetensors"]
    student = ["--student", models / "student.safetensors"]
    command = ["distill", *teachers, photos, *student, "--unlabelled", unlabelled, *SHORT]
    (unlabelled / "broken.jpg").write_bytes(b"")
    result = herder(*command, "--set", "distillation.label_score=0.3")
    assert result.exit_code == 3, result.output
    assert "broken.jpg: the file is empty" in result.output
    assert "3 photos of" in result.output
    assert "teachers: mAP50" in result.output
    assert "student: mAP50" in result.output
    config = json.loads(Path("runs/train/config.json").read_text())["config"]
    assert config["distillation"]["teachers"] == [
        str(models / name) for name in ("teacher.safetensors", "second.safetensors")
    ]
    assert config["distillation"]["label_score"] == 0.3
    facts = json.loads(Path("runs/train/dataset.json").read_text())["train"]
    assert facts["photos"] == len(read_photos(photos).train) + 3
    assert load_model(Path("runs/train/best.safetensors")).spec.class_names == ("alpaca",)
    # Both commands know from config.json how the run was taught, and a finished one stays as it is.
    assert herder("train", "--resume").exit_code == 3
    assert herder(*command, "--resume").exit_code == 3
    with pytest.raises(ConfigError, match=r"distillation: the run to resume has cls 0\.5, not 1\.0"):
        herder(*command, "--resume", "--set", "distillation.cls=1")


@pytest.mark.parametrize(
    ("teacher", "more", "error", "message"),
    [
        ("sheep", [], ConfigError, r"teacher tiny: does not know alpaca; its classes are sheep"),
        ("missing", [], ModelFileError, r"missing\.safetensors: no such file"),
        ("teacher", ["--student", "herder-q"], ConfigError, "model 'herder-q' is not known"),
        ("teacher", ["--student", "nowhere.safetensors"], ModelFileError, r"nowhere\.safetensors: no such file"),
        ("teacher", ["--set", "distillation.temprature=2"], ConfigError, r"did you mean distillation\.temperature"),
        ("teacher", ["--set", "distillation.box=-1"], ConfigError, r"distillation\.box: found -1"),
        ("teacher", ["--unlabelled", "nowhere"], DataError, "nowhere: no such folder"),
    ],
)
def test_bad_input_is_told_and_leaves_no_folder(
    herder: Callable[..., Result],
    photos: Path,
    models: Path,
    teacher: str,
    more: list[str],
    error: type[HerderError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        herder("distill", models / f"{teacher}.safetensors", photos, *more, *SHORT)
    assert not Path("runs").exists()


def test_a_run_without_a_teacher_is_not_gone_on_with(herder: Callable[..., Result], photos: Path, models: Path) -> None:
    assert herder("train", photos, "--init", models / "student.safetensors", *SHORT).exit_code == 0
    with pytest.raises(ConfigError, match="this run has no teacher"):
        herder("distill", models / "teacher.safetensors", photos, "--resume")


def test_teachers_label_photos_as_they_detect(models: Path, photos: Path, unlabelled: Path) -> None:
    config = DistillationConfig(teachers=("t",), label_score=0.6, ignore_score=0.3)
    networks = read_teachers([models / "student.safetensors"])
    (unlabelled / "broken.jpg").write_bytes(b"no photo at all")
    known = read_photos(photos).train
    shutil.copy(known[0].path, unlabelled / "again.jpg")
    found = label_photos(unlabelled, networks, known, ("alpaca",), config)
    assert [record.path.name for record in found.photos] == ["n0.png", "n1.png", "n2.png"]
    assert "1 photos left out, since they are among the labelled ones" in found.sentence
    assert [problem.path.name for problem in found.photos.problems] == ["broken.jpg"]
    wanted = Detector(TorchEngine(networks[0])).detect([record.path for record in found.photos], score=0.3)
    for record, detections in zip(found.photos, wanted, strict=True):
        np.testing.assert_allclose(record.boxes, detections.boxes, atol=1e-3)
        np.testing.assert_array_equal(record.ignore, detections.scores < 0.6)
    assert sum(len(record) for record in found.photos)


def test_photos_that_are_all_known_or_broken_teach_nothing(models: Path, photos: Path, tmp_path: Path) -> None:
    networks = read_teachers([models / "student.safetensors"])
    known = read_photos(photos)
    (tmp_path / "bad").mkdir()
    with pytest.raises(DataError, match="bad: no photos in this folder"):
        label_photos(tmp_path / "bad", networks, (), ("alpaca",), DistillationConfig())
    shutil.copy(known.validation[0].path, tmp_path / "bad" / "v.jpg")
    (tmp_path / "bad" / "b.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="of 2 photos 1 are in the dataset already and 1 cannot"):
        label_photos(tmp_path / "bad", networks, (*known.train, *known.validation), ("alpaca",), DistillationConfig())


def test_the_ensemble_of_one_detects_as_its_teacher(models: Path) -> None:
    networks = read_teachers([models / "teacher.safetensors"])
    photo = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    found = Detector(TeacherEngine(networks, ("alpaca",))).detect(photo, score=0.3)
    wanted = Detector(TorchEngine(networks[0])).detect(photo, score=0.3)
    wanted = wanted[wanted.classes == 1]
    assert len(found) == len(wanted) > 0
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)


def test_python_s_door(models: Path, photos: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "image_size": 64, "device": "cpu", "distillation.features": 0}
    result = distill(
        models / "teacher.safetensors",
        photos,
        student=str(models / "student.safetensors"),
        out=tmp_path / "run",
        settings=settings,
    )
    assert result.best.exists()
    with pytest.raises(ConfigError, match="no teacher"):
        distillation_config([], "herder-n")


def test_a_students_name_is_no_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "herder-n").mkdir()
    assert student_start("herder-n") == ("herder-n", None)
    assert student_start("trial.toml") == ("trial.toml", None)
    assert student_start("best.safetensors") == (None, Path("best.safetensors"))


def test_photos_of_the_test_split_are_never_learned_from(
    yolo_folder: Callable[..., Path], models: Path, tmp_path: Path
) -> None:
    data = yolo_folder(LABELS)
    yolo_folder(LABELS[:1], split="val")
    unlabelled = tmp_path / "unlabelled"
    shutil.copytree(data / "images/train", data / "images/test")
    shutil.copytree(data / "images/train", unlabelled)
    shutil.copytree(data / "labels/train", data / "labels/test")
    for split in ("train", "val"):  # other pictures than in the test split
        for photo in (data / "images" / split).iterdir():
            photo.write_bytes(photo.read_bytes() + split.encode())
    config = distillation_config([models / "teacher.safetensors"], "herder-n", unlabelled=unlabelled)
    with pytest.raises(DataError, match="8 are in the dataset already"):
        taught_photos(read_photos(data), config)


def test_a_folder_in_use_is_refused_before_the_teachers_label(
    herder: Callable[..., Result], photos: Path, models: Path, tmp_path: Path
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    flags = ["--out", "used", "--unlabelled", tmp_path / "nowhere", *SHORT]
    with pytest.raises(ConfigError, match="used: the folder is not empty"):
        herder("distill", models / "teacher.safetensors", photos, *flags)
