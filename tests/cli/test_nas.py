"""``herder nas`` on the command line: what it writes and says, and a real run from photos to a trained architecture."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from herder.api import architecture_training
from herder.api.architecture_bench import NetworkBench, NetworkCost
from herder.api.search_study import open_study
from herder.api.training_run import base_config
from herder.cli.nas import nas_command
from herder.cli.train import train_command
from herder.data.pasture import PastureConfig, write_pasture
from herder.edge.paired_timing import Ratio
from herder.errors import ConfigError, DataError, HerderError, MissingExtraError
from herder.model.files import read_spec
from herder.training.interfaces import Ending, TrainResult

LABELS = ["0 0.5 0.5 0.4 0.5\n"] * 8

SMALL = """
width = { choices = [0.25, 0.5] }
depth = { choices = [0.5] }
neck_width = { choices = [0, 32] }
head_width = { choices = [16, 32] }
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Nothing is trained or timed; the folders of what would have been trained."""
    folders: list[Path] = []

    def train(photos: object, model: str, init: None, config: Any, out: Path, **_: object) -> TrainResult:
        folders.append(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.csv").write_text("epoch,box,cls\n1,2.5,1\n")
        return TrainResult(out, out, out, {"mAP50_95": 0.1 + len(folders) / 100}, 1, 1, Ending.FINISHED, 1.0)

    monkeypatch.setattr(architecture_training, "run_training", train)
    cost = NetworkCost(Ratio(0.5, 0.4, 0.6), 1.0, 1000, 2000)
    monkeypatch.setattr(NetworkBench, "measure", lambda self, spec: cost)
    monkeypatch.setattr(NetworkBench, "reference_milliseconds", lambda self: 10.0)
    return folders


@pytest.fixture
def photos(yolo_folder: Callable[..., Path]) -> Path:
    return yolo_folder(LABELS)


@pytest.fixture
def herder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run `nas` or `train` in an empty folder; HerderErrors come through as they are."""
    app = typer.Typer()
    app.command("nas")(nas_command)
    app.command("train")(train_command)
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> Result:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(result.exception, HerderError):
            raise result.exception
        return result

    return run


def test_what_it_writes_and_says(
    herder: Callable[..., Result], photos: Path, quick: list[Path], tmp_path: Path
) -> None:
    result = herder("nas", photos, "--trials", "3", "--epochs", "1", "--check", "3", "--sizes", "64,96")
    assert result.exit_code == 0, result.output
    out = tmp_path / "runs" / "nas-dataset"
    data = json.loads((out / "nas.json").read_text(), parse_constant=pytest.fail)
    assert (data["kind"], data["finished"], len(data["trials"])) == ("nas", True, 3)
    assert data["space"]["input_size"] == [64, 96]
    assert data["check"]["epochs"] == 4
    assert (out / "pareto.png").exists()
    assert "by mAP50_95 after 1 epochs: Spearman's rho" in result.output
    assert "by training loss after 1 epochs: rank correlation not computed: all values of one side" in result.output
    best = max(data["trials"], key=lambda trial: trial["accuracy"])
    assert f"--model runs/nas-dataset/{best['name']}.toml" in result.output
    assert base_config(None, str(out / f"{best['name']}.toml")).image_size == best["values"]["input_size"]
    again = herder("nas", photos, "--trials", "3", "--epochs", "1", "--sizes", "64,96", "--json")
    assert json.loads(again.stdout)["front"] == data["front"]
    assert len(quick) == 6


def test_exit_codes(
    herder: Callable[..., Result], photos: Path, quick: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "labels" / "train" / "photo0.txt").write_text("0 0.5 what\n")
    assert herder("nas", photos, "--trials", "1").exit_code == 3

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(architecture_training, "run_training", stop)
    stopped = herder("nas", photos, "--trials", "2")
    assert stopped.exit_code == 130
    assert "the same command goes on" in stopped.output


def test_where_everything_is_over_the_limit_it_says_so(
    herder: Callable[..., Result], photos: Path, quick: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("herder.api.architecture_search.check_limits", lambda *_: None)
    result = herder("nas", photos, "--trials", "2", "--max-latency-ms", "4.9", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "not trained: 5.00 ms, 4.9 allowed" in result.output
    assert "no architecture was trained: allow more milliseconds" in result.output
    assert not quick
    assert not (tmp_path / "out" / "pareto.png").exists()


def test_bad_input_is_told_before_any_work(
    herder: Callable[..., Result], photos: Path, quick: list[Path], tmp_path: Path
) -> None:
    for words, said in (
        (["--set", "epochs=3"], "--set epochs: the search decides it"),
        (["--set", "image_size=64"], "--set image_size"),
        (["--sizes", "64,big"], "--sizes 64,big: wanted whole numbers"),
        (["--sizes", "100"], "--sizes: input_size: found 100"),
        (["--space", "none.toml"], "none.toml: cannot be read"),
        (["--trials", "0"], "0 trials"),
        (["--check", "2"], "--check 2"),
        (["--max-size-mb", "-1"], "--max-size-mb -1.0 is not positive"),
        (["--max-latency-ms", "1"], "--max-latency-ms 1: even the smallest network"),
    ):
        with pytest.raises(ConfigError, match=said):
            herder("nas", photos, *words)
    empty = tmp_path / "empty"
    (empty / "images" / "train").mkdir(parents=True)
    with pytest.raises(DataError):
        herder("nas", empty)
    assert not quick
    assert not (tmp_path / "runs" / "nas-dataset" / "study.db").exists()


@pytest.mark.parametrize(("package", "extra"), [("optuna", "lab"), ("matplotlib", "train")])
def test_a_missing_package_is_told_before_any_work(
    herder: Callable[..., Result],
    photos: Path,
    quick: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    extra: str,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else found(name, *more)
    )
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as error:
        herder("nas", photos)
    assert f"herder[{extra}]" in error.value.hint
    assert not quick


def test_a_password_goes_into_no_file(
    herder: Callable[..., Result], photos: Path, quick: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["herder", "nas", "--storage=nosuch://me:secret@host/x"])
    monkeypatch.setattr("herder.api.architecture_search.open_study", partial(kept_here, open_study))
    result = herder("nas", photos, "--trials", "1", "--storage", "nosuch://me:secret@host/x", "--out", "out")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "out" / "nas.json").read_text()
    assert "nosuch://...@host/x" in text
    assert "secret" not in text + result.output


def kept_here(opened: Callable[..., Any], storage: str, *rest: Any, **more: Any) -> Any:
    """The study in a file, since there is no server in a test."""
    return opened("", *rest, **more)


@pytest.mark.slow
def test_from_scenes_to_a_trained_architecture(herder: Callable[..., Result], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_pasture(tmp_path / "scenes", train=16, val=8, config=PastureConfig(size=96))
    (tmp_path / "space.toml").write_text(SMALL)
    words = ("nas", "scenes", "--out", "out", "--epochs", "1", "--sizes", "64", "--threads", "1", "--set", "device=cpu")
    space = ("--space", "space.toml", "--check", "3", "--check-epochs", "2")
    result = herder(*words, *space, "--trials", "3")
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "out" / "nas.json").read_text(), parse_constant=pytest.fail)
    assert data["check"]["wanted"] == len(data["check"]["trained"]) == 3
    for trial in data["trials"]:
        if trial["state"] == "trained":
            spec = read_spec(tmp_path / "out" / trial["name"] / "best.safetensors")
            assert spec.name == trial["name"]
            assert spec.input_size == 64
            assert trial["milliseconds"] > 0
    name = data["trials"][0]["name"]
    trained = herder("train", "scenes", "--model", f"out/{name}.toml", "--epochs", "1", "--out", "long")
    assert trained.exit_code == 0, trained.output
    spec = read_spec(tmp_path / "long" / "best.safetensors")
    assert (spec.name, spec.input_size) == (name, 64)
    assert spec.architecture == read_spec(tmp_path / "out" / name / "best.safetensors").architecture
    again = herder("train", "--resume", "--out", "long")
    assert again.exit_code == 0, again.output


@pytest.mark.slow
def test_two_processes_share_a_study_and_a_killed_one_is_made_good(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_pasture(tmp_path / "scenes", train=8, val=4, config=PastureConfig(size=64))
    (tmp_path / "space.toml").write_text(SMALL)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    command = [
        *(sys.executable, "-c", "from herder.cli import main; main()", "nas", "scenes", "--space", "space.toml"),
        *("--epochs", "1", "--sizes", "32", "--threads", "1", "--trials", "4", "--storage", url, "--set", "device=cpu"),
    ]
    runs = [subprocess.Popen([*command, "--out", name], cwd=tmp_path) for name in ("one", "two")]
    deadline = time.monotonic() + 300  # on a busy machine
    while not list((tmp_path / "one").glob("trial-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    runs[0].kill()
    assert runs[0].wait() == -9
    try:
        assert runs[1].wait(timeout=300) == 0
    finally:
        runs[1].kill()
    data = json.loads((tmp_path / "two" / "nas.json").read_text())
    trained = [trial for trial in data["trials"] if trial["state"] == "trained"]
    assert len(trained) >= 4
    # What the killed process had begun is under way in the study until its heart has not beaten for two minutes.
    assert {trial["state"] for trial in data["trials"]} <= {"trained", "copy", "running"}
    assert len({trial["number"] for trial in data["trials"]}) == len(data["trials"])
