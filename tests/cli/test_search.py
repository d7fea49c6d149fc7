from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from herder.api.run_photos import Photos
from herder.api.setting_search import trial_config
from herder.cli.search import search_command
from herder.errors import ConfigError, DataError, HerderError, ResourceError
from herder.training.config import TrainConfig, load_config
from herder.training.interfaces import DivergedError, Ending, TrainResult
from herder.training.tracking import Tracker, Trackers

SPACE = "[lr_head]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n\n[batch_size]\nchoices = [8, 16]\n"

LABELS = ["0 0.5 0.5 0.4 0.5\n"] * 8


class FakeTraining:
    """Stands for ``run_training``: the closer the rate is to 0.001, the better; half of it is there after one epoch."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.configs: list[TrainConfig] = []
        self.fate: dict[int, str] = {}
        """What happens to the n-th training, counted from 0."""

    def __call__(
        self,
        photos: Photos,
        model: str | None,
        init: Path | None,
        config: TrainConfig,
        out: Path,
        *,
        trackers: Sequence[Tracker],
        **_: Any,
    ) -> TrainResult:
        fate = self.fate.get(len(self.folders), "")
        self.folders.append(out)
        self.configs.append(config)
        goal = 1 / (1 + abs(math.log10(config.lr_head / 1e-3)))
        if fate == "bad":
            goal = 0.01
        watching = Trackers(trackers)  # what the loop tells them through: it takes in exceptions
        for epoch in range(1, config.epochs + 1):
            if fate == "diverges":
                raise DivergedError("the loss is not finite")
            if fate == "stopped" and epoch == 2:
                return TrainResult(out, out, out, {}, 0, epoch, Ending.INTERRUPTED, 1.0)
            watching.epoch({"epoch": float(epoch), "mAP50_95": goal * epoch / config.epochs}, best=None)
        metrics = {} if fate == "nothing" else {"mAP50_95": goal}
        return TrainResult(out, out, out, metrics, config.epochs, config.epochs, Ending.FINISHED, 1.0)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining()
    monkeypatch.setattr("herder.api.setting_search.run_training", fake)
    return fake


@pytest.fixture
def search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, yolo_folder: Callable[..., Path], training: FakeTraining
) -> Callable[..., Result]:
    """Run the command in an empty folder on 8 photos; HerderErrors come through as they are."""
    app = typer.Typer()
    app.command()(search_command)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)
    photos = yolo_folder(LABELS)

    def run(*words: str, space: str = "space.toml") -> Result:
        start = [str(photos), "--space", space, "--set", "epochs=10", "--set", "image_size=64"]
        result = CliRunner().invoke(app, [*start, *words])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


def content(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "search.json").read_text(), parse_constant=pytest.fail)
    return data


def test_the_best_settings_are_written_for_train(
    search: Callable[..., Result], training: FakeTraining, tmp_path: Path
) -> None:
    result = search("--trials", "6")
    assert result.exit_code == 0, result.output
    out = tmp_path / "runs" / "search-dataset"
    data = content(out)
    assert (data["kind"], data["finished"], len(data["trials"])) == ("search", True, 6)
    best = data["trials"][data["best"]]
    assert best["value"] == max(t["value"] for t in data["trials"] if t["state"] == "complete")
    assert load_config(out / "best.yaml") == training.configs[data["best"]]
    assert "next: herder train" in result.output
    assert [folder.name for folder in training.folders] == [f"trial-{i}" for i in range(6)]


def test_a_search_goes_on_as_if_it_had_never_ended(search: Callable[..., Result], tmp_path: Path) -> None:
    search("--trials", "4", "--out", "whole", "--pruner", "none")
    search("--trials", "2", "--out", "parts", "--pruner", "none")
    search("--trials", "4", "--out", "parts", "--pruner", "none")
    assert content(tmp_path / "whole")["trials"] == content(tmp_path / "parts")["trials"]
    again = search("--trials", "3", "--out", "parts")
    assert again.exit_code == 0
    assert len(content(tmp_path / "parts")["trials"]) == 4
    search("--trials", "4", "--out", "other", "--pruner", "none", "--seed", "1")
    values = [[t["values"] for t in content(tmp_path / name)["trials"]] for name in ("whole", "other")]
    assert values[0] != values[1]
    assert len({t["lr_head"] for t in values[0]}) == 4  # no proposal comes twice


@pytest.mark.parametrize("pruner", ["median", pytest.param("hyperband", marks=pytest.mark.slow)])
def test_hopeless_trials_are_given_up(
    search: Callable[..., Result], training: FakeTraining, tmp_path: Path, pruner: str
) -> None:
    training.fate = dict.fromkeys(range(6, 12), "bad")
    result = search("--trials", "12", "--out", "out", "--pruner", pruner)
    trials = content(tmp_path / "out")["trials"]
    pruned = [t["number"] for t in trials if t["state"] == "pruned"]
    assert len(trials) == 12
    assert set(pruned) & set(range(6, 12))
    assert all(trials[number]["value"] < 0.5 for number in pruned if number >= 6)
    assert "given up" in result.output


def test_ctrl_c_keeps_the_trial_for_next_time(
    search: Callable[..., Result], training: FakeTraining, tmp_path: Path
) -> None:
    training.fate = {1: "stopped"}
    stopped = search("--trials", "3", "--out", "out")
    assert stopped.exit_code == 130
    assert "the same command goes on" in stopped.output
    assert content(tmp_path / "out")["finished"] is False
    training.fate = {}
    assert search("--trials", "3", "--out", "out").exit_code == 0
    assert [folder.name for folder in training.folders] == ["trial-0", "trial-1", "trial-1", "trial-3"]
    assert training.configs[2] == training.configs[1]
    states = [t["state"] for t in content(tmp_path / "out")["trials"]]
    assert states == ["complete", "fail", "complete", "complete"]


def test_a_training_that_diverges_ends_no_search(
    search: Callable[..., Result], training: FakeTraining, tmp_path: Path
) -> None:
    training.fate = {0: "diverges"}
    result = search("--trials", "2", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "the loss is not finite" in result.output
    first, second = content(tmp_path / "out")["trials"]
    assert (first["state"], first["why"], first["value"]) == ("pruned", "the loss is not finite", None)
    assert second["state"] == "complete"
    training.fate = {2: "diverges"}
    assert "no trial was complete" in search("--trials", "1", "--out", "none").output
    assert not (tmp_path / "none" / "best.yaml").exists()


def test_folds_are_averaged(search: Callable[..., Result], training: FakeTraining, tmp_path: Path) -> None:
    assert search("--trials", "2", "--out", "out", "--on", "folds", "--folds", "2").exit_code == 0
    names = [folder.relative_to("out").as_posix() for folder in training.folders]
    assert names == ["trial-0/fold-1", "trial-0/fold-2", "trial-1/fold-1", "trial-1/fold-2"]
    assert len(content(tmp_path / "out")["photos"]) == 2


def test_another_search_in_the_same_store_is_an_error(search: Callable[..., Result], tmp_path: Path) -> None:
    search("--trials", "1", "--out", "out")
    with pytest.raises(ConfigError, match="study herder was begun with other training"):
        search("--trials", "2", "--out", "out", "--set", "epochs=5")
    (tmp_path / "small.toml").write_text("[lr_head]\nlow = 1e-4\nhigh = 1e-3\n")
    with pytest.raises(ConfigError, match="begun with other space"):
        search("--trials", "2", "--out", "out", space="small.toml")
    assert search("--trials", "1", "--out", "out", "--study", "two", space="small.toml").exit_code == 0


def test_early_stopping_is_left_to_the_pruner(search: Callable[..., Result], training: FakeTraining) -> None:
    search("--trials", "1", "--set", "patience=3", "--set", "evaluate_every=5")
    assert (training.configs[0].patience, training.configs[0].evaluate_every) == (0, 1)


def test_what_has_no_meaning_is_an_error(search: Callable[..., Result], training: FakeTraining, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trials"):
        search("--trials", "0")
    with pytest.raises(ResourceError, match=r"nosuch://\.\.\.@host/x: cannot be used") as error:
        search("--storage", "nosuch://me:secret@host/x")
    assert "secret" not in str(error.value)
    (tmp_path / "text").write_text("no database, and longer than a few bytes")
    with pytest.raises(ResourceError, match="cannot be used"):
        search("--storage", f"sqlite:///{tmp_path / 'text'}")
    with pytest.raises(ResourceError, match="cannot be written"):
        search("--out", str(tmp_path / "text" / "out"))
    training.fate = {0: "nothing"}
    with pytest.raises(DataError, match="mAP50_95 cannot be measured on 2 validation photos"):
        search("--trials", "1", "--out", "out")


def test_lr_backbone_keeps_its_ratio() -> None:
    base = TrainConfig(lr_backbone=1e-4, lr_head=2e-4)
    assert trial_config(base, {"lr_head": 1e-3}).lr_backbone == pytest.approx(5e-4)
    assert trial_config(base, {"lr_head": 1e-3, "lr_backbone": 1e-5}).lr_backbone == 1e-5


def test_two_searches_share_a_database(search: Callable[..., Result], training: FakeTraining, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    search("--trials", "2", "--storage", url, "--out", "one")
    search("--trials", "4", "--storage", url, "--out", "two")
    assert [folder.as_posix() for folder in training.folders] == [
        "one/trial-0",
        "one/trial-1",
        "two/trial-2",
        "two/trial-3",
    ]
    assert len(content(tmp_path / "two")["trials"]) == 4


@pytest.mark.slow
def test_a_killed_trial_is_begun_again(
    search: Callable[..., Result], training: FakeTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herder.api.search_study.HEARTBEAT", 1)
    search("--trials", "1", "--out", "out")
    # Killed in the middle of a trial, which then is under way for ever in the database, without a sign of life.
    code = (
        "import optuna, os, sys\n"
        "def train(trial):\n"
        "    trial.suggest_float('lr_head', 1e-4, 1e-2, log=True)\n"
        "    trial.suggest_categorical('batch_size', (8, 16))\n"
        "    trial.set_user_attr('folder', 'trial-1')\n"
        "    os.kill(os.getpid(), 9)\n"
        "store = optuna.storages.RDBStorage(sys.argv[1], heartbeat_interval=1)\n"
        "optuna.load_study(study_name='herder', storage=store).optimize(train)\n"
    )
    url = f"sqlite:///{tmp_path / 'out' / 'study.db'}"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code, url], check=False).returncode == -9
    time.sleep(3)
    search("--trials", "3", "--out", "out")
    assert [t["state"] for t in content(tmp_path / "out")["trials"]] == ["complete", "fail", "complete", "complete"]
    assert [folder.name for folder in training.folders] == ["trial-0", "trial-1", "trial-3"]
