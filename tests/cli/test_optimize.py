from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from herder.api.optimize_result import STATE
from herder.cli.optimize import optimize_command
from herder.errors import ConfigError
from herder.model.families import make_spec
from herder.model.files import read_spec, save_model
from herder.model.network import Network

LABELS = ["0 0.5 0.5 0.4 0.5\n", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "", "0 0.6 0.5 0.7 0.6\n"] * 5


@pytest.fixture
def model(tiny_model: Path) -> Path:
    return tiny_model


@pytest.fixture
def herder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    app = typer.Typer()
    app.command()(optimize_command)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--target", "cuda"], "--target cuda"),
        (["--max-latency-ms", -1], "--max-latency-ms"),
        (["--max-size-mb", 0.0001], "weights alone"),
        (["--max-drop", 2], "--max-drop"),
        (["--strategies", "shrink"], "shrink"),
        (["--sizes", "64,x"], "--sizes"),
        (["--sizes", "65"], "multiple of 32"),
        (["--engines", "tensorrt"], "tensorrt"),
        (["--threads", 0], "threads"),
        (["--budget-minutes", 0], "--budget-minutes"),
        (["--trials", 0], "--trials"),
        (["--scratch-epochs", 0], "--scratch-epochs"),
        (["--ratio", 0.9999, "--strategies", "prune"], "ratio"),
        (["--set", "epochs"], "--set"),
    ],
)
def test_bad_flags_are_refused_before_the_work(
    herder: Callable[..., Result],
    model: Path,
    yolo_folder: Callable[..., Path],
    tmp_path: Path,
    flags: list[object],
    said: str,
) -> None:
    export = [] if "--strategies" in flags else ["--strategies", "export"]
    result = herder(model, yolo_folder(LABELS), "--out", "out", *export, *flags)
    assert isinstance(result.exception, ConfigError)
    assert said in str(result.exception)
    assert not (tmp_path / "out" / STATE).exists()


@pytest.mark.slow
def test_search_begins_from_nothing(
    herder: Callable[..., Result], yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    spec = make_spec("herder-n", ("alpaca",), input_size=64)
    model = tmp_path / "given.safetensors"
    save_model(Network(spec), spec, model)
    flags = ["--epochs", 2, "--set", "batch_size=8", "--device", "cpu", "--trials", 2, "--engines", "onnx"]
    flags += ["--scratch-epochs", 3]
    data = yolo_folder(LABELS)
    result = herder(model, data, "--out", "out", "--strategies", "search", "--sizes", 64, "--max-drop", 0.9, *flags)
    assert result.exit_code == 0, result.output + repr(result.exception)
    written = json.loads((tmp_path / "out" / STATE).read_text())
    labels = {c["label"] for c in written["state"]["candidates"]}
    assert {"float32, ONNX Runtime, 64 px", "searched, float32, ONNX Runtime, 64 px"} <= labels
    (folder,) = (tmp_path / "out/networks").glob("search-*")
    allowed = json.loads((folder / "search/limit.json").read_text())["times_the_reference"]
    assert 0.5 < allowed < 2  # the given network is the reference itself
    found = read_spec(folder / "model.safetensors").architecture
    assert found != spec.architecture
    assert f"at most {allowed:.2f} times" in result.output
    assert json.loads((folder / "run/config.json").read_text())["config"]["epochs"] == 3


@pytest.mark.slow
def test_every_strategy_alone_and_combined(
    herder: Callable[..., Result], model: Path, yolo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    for package in ("torch_pruning", "onnxruntime", "matplotlib"):
        pytest.importorskip(package)
    flags = ["--epochs", 1, "--set", "batch_size=4", "--device", "cpu", "--student", model, "--ratio", 0.4]
    flags += ["--engines", "onnx"]  # OpenVINO's int8 takes most of the time, and has tests of its own
    data = yolo_folder(LABELS)
    limits = ["--max-latency-ms", 10_000, "--max-drop", 0.9]
    result = herder(model, data, "--out", "out", "--sizes", 64, "--threads", 1, *flags, *limits)
    assert result.exit_code in (0, 3), result.output + repr(result.exception)
    written = json.loads((tmp_path / "out" / STATE).read_text())
    found = {candidate["key"].split("/")[0] for candidate in written["state"]["candidates"]}
    assert found == {"base", "distill", "prune", "distill-prune"}, result.output
    made = {tuple(candidate["strategies"]) for candidate in written["state"]["candidates"]}
    assert {("distill", "prune", "export"), ("export",), ("aware",)} <= made, result.output
    best = next(c for c in written["state"]["candidates"] if c["key"] == written["best"])
    assert (tmp_path / "out" / f"best{Path(best['file']).suffix}").exists()
    assert (tmp_path / "out/report.html").exists()
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/networks").rglob("*.safetensors")}
    again = herder(model, data, "--out", "out", "--sizes", 64, "--threads", 1, *flags, "--max-size-mb", 0.0201)
    assert again.exit_code == 3, again.output
    assert runs == {path: path.stat().st_mtime_ns for path in runs}  # nothing was trained again
