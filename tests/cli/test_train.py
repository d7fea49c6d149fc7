from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import typer
from typer.testing import CliRunner, Result

from herder.api.run_photos import read_photos
from herder.api.training_run import base_config, build_network, run_training
from herder.cli.train import train_command
from herder.data.pipeline import TrainingPipeline
from herder.errors import ConfigError, DataError, HerderError, ModelFileError
from herder.model.files import load_model, save_model
from herder.model.losses import LossConfig
from herder.model.network import Network
from herder.spec import example_spec
from herder.training.config import TrainConfig

LABELS = [
    "0 0.5 0.5 0.4 0.5\n",
    "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n",
    "",
    "0 0.6 0.5 0.7 0.6\n",
    "0 0.4 0.6 0.3 0.3\n",
]

SHORT = ["--imgsz", "64", "--batch", "2", "--set", "evaluate_every=9", "--device", "cpu"]


@pytest.fixture
def photos(yolo_folder: Callable[..., Path]) -> Path:
    return yolo_folder([*LABELS, *LABELS])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of two classes to start from: every run here trains it, since it is quick."""
    torch.manual_seed(0)
    spec = example_spec().replace(class_names=("sheep", "goat"), input_size=96)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(Network(spec), spec, path)
    return path


@pytest.fixture
def herder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the command in an empty folder; HerderErrors come through as they are."""
    app = typer.Typer()
    app.command()(train_command)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


def test_a_run_says_what_to_do_next_and_leaves_its_folder(
    herder: Callable[..., Result], photos: Path, tiny: Path, tmp_path: Path
) -> None:
    result = herder(photos, "--init", tiny, "--epochs", "1", *SHORT)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs" / "train"
    assert "8 photos to train on, 2 to validate" in result.output
    assert "no validation split" in result.output
    assert "next: herder evaluate runs/train/best.safetensors" in result.output
    assert {path.name for path in folder.iterdir()} == {
        "best.safetensors",
        "config.json",
        "dataset.json",
        "environment.json",
        "last.safetensors",
        "metrics.csv",
        "plots",
    }
    plots = {"training.png", "precision_recall.png", "f1.png", "confusion.png", "detections.png", "batch.png"}
    assert {path.name for path in (folder / "plots").iterdir()} == plots
    config = json.loads((folder / "config.json").read_text())
    assert (config["model"], config["config"]["epochs"], config["config"]["image_size"]) == ("tiny", 1, 64)
    spec = load_model(folder / "best.safetensors").spec
    assert (spec.class_names, spec.input_size) == (("alpaca",), 64)
    assert spec.dataset_fingerprint == json.loads((folder / "dataset.json").read_text())["train"]["fingerprint"]
    assert spec.origin == "tiny (tiny.safetensors)"
    assert herder(photos, "--init", tiny, "--epochs", "1", *SHORT).exit_code == 0
    assert (tmp_path / "runs" / "train-2" / "best.safetensors").exists()
    with pytest.raises(ConfigError, match="runs/train: the folder is not empty"):
        herder(photos, "--init", tiny, "--out", "runs/train", *SHORT)


def test_ctrl_c_then_the_same_command_with_resume(
    herder: Callable[..., Result], photos: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [photos, "--init", tiny, "--epochs", "2", "--freeze", "1", *SHORT]
    assert herder(*command, "--out", "whole").exit_code == 0
    with monkeypatch.context() as patch:
        epoch = TrainingPipeline.epoch

        def press(self: TrainingPipeline, number: int, step: int = 0, *, mosaic: bool = True) -> object:
            for drawn, batch in enumerate(epoch(self, number, step, mosaic=mosaic)):
                if (number, drawn) == (1, 1):
                    signal.raise_signal(signal.SIGINT)
                yield batch

        patch.setattr(TrainingPipeline, "epoch", press)
        stopped = herder(*command)
    assert stopped.exit_code == 130
    assert "herder train --resume --out runs/train" in stopped.output
    assert herder(*command, "--resume").exit_code == 0
    whole, resumed = (safetensors.torch.load_file(f"{f}/last.safetensors") for f in ("whole", "runs/train"))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    # The bare command knows the rest from the run's own config.json, and a finished run stays as it is.
    assert herder("--resume").exit_code == 0
    with pytest.raises(ConfigError, match="epochs: the run to resume has 2, not 5"):
        herder("--resume", "--epochs", "5")


def test_resume_starts_a_run_that_was_killed_before_it_began(
    herder: Callable[..., Result], photos: Path, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dataset.json").write_text("{}")
    result = herder(photos, "--init", tiny, "--epochs", "1", "--out", "mine", "--resume", *SHORT)
    assert result.exit_code == 0
    assert (tmp_path / "mine" / "best.safetensors").exists()


def test_something_set_aside_is_exit_code_3(
    herder: Callable[..., Result], yolo_folder: Callable[..., Path], tiny: Path
) -> None:
    photos = yolo_folder([*LABELS, *LABELS, "0 0.5 0.5 nan 0.5\n"])
    result = herder(photos, "--init", tiny, "--epochs", "1", *SHORT)
    assert result.exit_code == 3, result.output
    assert "set aside: " in result.output
    assert json.loads(Path("runs/train/dataset.json").read_text())["train"]["problem_list"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--epochs", "0"], ConfigError, "epochs: found 0"),
        (["--imgsz", "100"], ConfigError, "image_size: 100 is not a multiple of 32"),
        (["--lr", "-1"], ConfigError, "found -1"),
        (["--model", "herder-x"], ConfigError, "model 'herder-x' is not known"),
        (["--set", "epoch=3"], ConfigError, "epoch: no such setting"),
        (["--set", "epochs"], ConfigError, "--set epochs: wanted name=value"),
        (["--config", "missing.toml"], ConfigError, r"missing\.toml: cannot be read"),
        (["--model", "missing.toml"], ConfigError, r"missing\.toml: cannot be read"),
        (["--init", "missing.safetensors"], ModelFileError, r"missing\.safetensors: no such file"),
    ],
)
def test_bad_flags_are_told_and_leave_no_folder(
    herder: Callable[..., Result],
    photos: Path,
    tmp_path: Path,
    arguments: list[str],
    error: type[HerderError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        herder(photos, *arguments)
    assert not (tmp_path / "runs").exists()


def test_without_photos_or_labels_there_is_nothing_to_train(
    herder: Callable[..., Result], yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no photos given"):
        herder()
    with pytest.raises(ConfigError, match="runs holds no run to go on with"):
        herder("--resume")
    with pytest.raises(DataError, match="no such folder"):
        herder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no labelled box"):
        herder(yolo_folder(["", "", "", "", ""]))


def test_flags_go_before_the_config_file(
    herder: Callable[..., Result], photos: Path, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text('epochs = 1\nbatch_size = 3\nlr_head = 0.003\naugmentation = "none"\n')
    assert herder(photos, "--init", tiny, "--config", "mine.toml", *SHORT, "--lr", "0.002").exit_code == 0
    config = json.loads(Path("runs/train/config.json").read_text())["config"]
    assert (config["epochs"], config["batch_size"], config["lr_head"], config["lr_backbone"]) == (1, 2, 0.002, 0.002)
    assert config["augmentation"]["mosaic"] == 0


def test_own_splits_are_used_where_there_are_both(
    yolo_folder: Callable[..., Path], make_photo: Callable[..., Path]
) -> None:
    root = yolo_folder(LABELS)
    for i in range(2):
        make_photo(root / "images" / "val" / f"v{i}.jpg", seed=50 + i)
        (root / "labels" / "val").mkdir(parents=True, exist_ok=True)
        (root / "labels" / "val" / f"v{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    found = read_photos(root)
    assert (len(found.train), len(found.validation), found.notes) == (5, 2, ())


def test_the_held_back_photos_are_always_the_same(photos: Path) -> None:
    one, two = read_photos(photos), read_photos(photos)
    assert [r.path for r in one.validation] == [r.path for r in two.validation]
    assert not {r.path for r in one.train} & {r.path for r in one.validation}


def test_fine_tuning_starts_from_the_model_s_own_size_and_weights(photos: Path, tiny: Path) -> None:
    assert base_config(None) == TrainConfig()
    assert base_config(tiny).image_size == 96
    assert base_config(None, "yolox-nano").loss == base_config(Path("yolox_nano.onnx")).loss == LossConfig.yolox()
    assert base_config(tiny).loss == LossConfig()
    assert base_config(tiny).lr_backbone < TrainConfig().lr_backbone
    source = load_model(tiny)
    built = build_network(None, tiny, read_photos(photos).train, base_config(tiny))
    network, start = built.network, built.sentence
    assert torch.equal(network.backbone.stem.conv.weight, source.backbone.stem.conv.weight)
    assert "alpaca from" in start
    with pytest.raises(ModelFileError, match="do not fit herder-n"):
        build_network("herder-n", tiny, read_photos(photos).train, base_config(tiny))


def test_an_architecture_file_is_a_model(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text("input_size = 96\n[architecture]\nwidths = [8, 8, 16, 16, 24]\nkernel = 5\n")
    config = base_config(None, str(path))
    assert config.image_size == 96
    start = build_network(str(path), None, read_photos(photos).train, config)
    a = start.network.spec.architecture
    assert (start.network.spec.name, start.network.spec.input_size) == ("small", 96)
    assert (a.widths, a.kernel, a.depths) == ((8, 8, 16, 16, 24), 5, (1, 2, 2, 1))  # the rest is herder-n's
    assert start.sentence == "random start"


def test_a_start_from_calibrated_weights_forgets_their_temperature(tiny: Path, photos: Path) -> None:
    model = load_model(tiny)
    calibrated = tiny.with_name("calibrated.safetensors")
    save_model(model.state_dict(), model.spec.tempered(2.0), calibrated)
    built = build_network(None, calibrated, read_photos(photos).train, base_config(calibrated))
    assert built.network.spec.temperature == 1.0
    assert built.network.spec.score_threshold == pytest.approx(model.spec.score_threshold)


def test_python_s_door(photos: Path, tiny: Path, tmp_path: Path) -> None:
    config = TrainConfig(epochs=1, image_size=64, batch_size=4, device="cpu", balanced=True)
    result = run_training(photos, None, tiny, config, tmp_path / "run", trackers=[])
    assert result.best == tmp_path / "run" / "best.safetensors"
    assert result.metrics["mAP50"] >= 0


def test_animals_are_pasted_from_another_dataset(
    herder: Callable[..., Result], photos: Path, tiny: Path, tmp_path: Path, make_photo: Callable[..., Path]
) -> None:
    crops = tmp_path / "crops"
    make_photo(crops / "images" / "c.png", (32, 32), seed=9)
    (crops / "labels").mkdir()
    (crops / "labels" / "c.txt").write_text("0 0.5 0.5 0.8 0.8\n")
    (crops / "classes.txt").write_text("alpaca\n")
    result = herder(photos, "--init", tiny, "--epochs", "1", "--paste-from", crops, *SHORT)
    assert result.exit_code == 0, result.output
    assert "1 photos" in result.output
    config = json.loads((tmp_path / "runs" / "train" / "config.json").read_text())["config"]
    assert config["paste_from"] == str(crops)
    assert config["augmentation"]["copy_paste"] == 0.5
    (crops / "classes.txt").write_text("alpacca\n")
    with pytest.raises(ConfigError, match="did you mean alpaca"):
        herder(photos, "--init", tiny, "--paste-from", crops, *SHORT)
    with pytest.raises(DataError, match="nowhere"):
        herder(photos, "--init", tiny, "--paste-from", tmp_path / "nowhere", *SHORT)
    assert not (tmp_path / "runs" / "train-2").exists()
