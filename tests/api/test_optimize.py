"""A tiny model all the way: exported, measured, picked, stopped and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from herder.api import load, optimize_files, optimize_measure
from herder.api.optimize import OptimizeSettings, run_optimization
from herder.api.optimize_constraints import Constraints
from herder.api.optimize_measure import Bench
from herder.api.optimize_networks import TrainingPlan
from herder.api.optimize_report import write_optimize_report
from herder.api.optimize_result import STATE
from herder.api.run_photos import read_photos
from herder.edge.export import export_onnx
from herder.errors import ConfigError, DataError, ModelFileError, ResourceError
from herder.evaluation import evaluate_detector
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.spec import Quantization, example_spec

pytest.importorskip("onnxruntime")

LABELS = ["0 0.5 0.5 0.4 0.5\n", "0 0.3 0.4 0.5 0.5\n0 0.8 0.8 0.2 0.2\n", "", "0 0.6 0.5 0.7 0.6\n"] * 4

MEMORY = Bench.memory

EXPORT = OptimizeSettings(strategies=("export",), engines=("onnx",), sizes=(64,), threads=1)


def tiny(path: Path) -> Path:
    """The same small network each time."""
    torch.manual_seed(0)
    spec = example_spec().replace(input_size=64)
    save_model(Network(spec), spec, path)
    return path


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, bytes]:
    """Its ONNX files, in float32 and (True) in float16."""
    folder = tmp_path_factory.mktemp("exports")
    network = load_model(tiny(folder / "model.safetensors"))
    for half in (False, True):
        export_onnx(network, network.spec, folder / f"{half}.onnx", half=half)
    return {half: (folder / f"{half}.onnx").read_bytes() for half in (False, True)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny(tmp_path / "model.safetensors")


@pytest.fixture
def data(yolo_folder: Callable[..., Path]) -> Path:
    return yolo_folder(LABELS)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, exports: dict[bool, bytes]) -> None:
    """Files that are exported once for all tests, memory without a process for each candidate, and few rounds."""

    def copied(network: Network, spec: object, out: Path, *, half: bool, photos: object) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(exports[half])

    monkeypatch.setattr(optimize_files, "export_onnx", copied)
    monkeypatch.setattr(Bench, "memory", lambda self, path, engine, size: (50_000_000, 90_000_000))
    monkeypatch.setattr(optimize_measure, "ROUNDS", 6)
    monkeypatch.setattr(optimize_measure, "DRAWS", 20)


def test_from_a_model_to_the_best_file(model: Path, data: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    run = run_optimization(model, data, out, EXPORT, say=said.append)
    assert [c.precision for c in run.measured.candidates] == ["float32", "float16"]
    assert run.best == out / "best.onnx"
    assert run.choice.best is not None
    assert run.best.read_bytes() == (out / run.choice.best.file).read_bytes()
    assert load(run.best).spec.input_size == 64
    plain, half = run.measured.candidates
    assert plain.drop == 0
    assert plain.drop_bounds == (0, 0)
    assert half.file_bytes < plain.file_bytes
    assert any("times as fast" in line for line in said)
    written = json.loads((out / STATE).read_text())
    assert written["best"] == run.choice.best.key
    assert written["finished"] is True


def test_accuracy_is_that_of_the_file(model: Path, data: Path, tmp_path: Path) -> None:
    run = run_optimization(model, data, tmp_path / "out", EXPORT)
    photos = read_photos(data).validation
    for candidate in run.measured.candidates:
        metrics, _ = evaluate_detector(load(tmp_path / "out" / candidate.file), photos)
        assert candidate.map50 == pytest.approx(metrics.map50, abs=1e-9)
        assert candidate.file_bytes == (tmp_path / "out" / candidate.file).stat().st_size


def test_goes_on_where_it_was_stopped(model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, measure, calls = tmp_path / "out", Bench.candidate, list[str]()

    def stopped(self: Bench, *arguments: object) -> object:
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append("")
        return measure(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Bench, "candidate", stopped)
    first = run_optimization(model, data, out, EXPORT)
    assert first.interrupted
    assert len(first.measured.candidates) == 1
    assert first.best is not None
    assert json.loads((out / STATE).read_text())["finished"] is False
    monkeypatch.setattr(Bench, "candidate", measure)
    second = run_optimization(model, data, out, EXPORT)
    assert not second.interrupted
    assert second.measured.candidates[0] == first.measured.candidates[0]  # kept, not measured again
    assert len(second.measured.candidates) == 2


def test_other_limits_pick_again_and_measure_nothing(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = run_optimization(model, data, out, EXPORT)
    monkeypatch.setattr(Bench, "candidate", None)
    size = min(c.file_bytes for c in first.measured.candidates) / 1e6
    run = run_optimization(model, data, out, replace(EXPORT, constraints=Constraints(size_mb=1.01 * size)))
    assert run.choice.best is not None
    assert run.choice.best.precision == "float16"
    none = run_optimization(model, data, out, replace(EXPORT, constraints=Constraints(latency_ms=1e-6)))
    assert none.best is None
    assert not (out / "best.onnx").exists()
    assert any("cannot be met" in sentence for sentence in none.choice.sentences)


def test_a_file_that_is_gone_is_made_again(model: Path, data: Path, tmp_path: Path) -> None:
    run = run_optimization(model, data, tmp_path / "out", EXPORT)
    lost = tmp_path / "out" / run.measured.candidates[1].file
    lost.unlink()
    again = run_optimization(model, data, tmp_path / "out", EXPORT)
    assert lost.exists()
    assert len(again.measured.candidates) == 2


def test_one_that_fails_costs_no_other(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export: Callable[..., None] = optimize_files.export_onnx

    def fail(*arguments: object, half: bool, **options: object) -> None:
        if half:
            raise ModelFileError("does not agree", hint="report it")
        export(*arguments, half=half, **options)

    monkeypatch.setattr(optimize_files, "export_onnx", fail)
    run = run_optimization(model, data, tmp_path / "out", EXPORT)
    assert [c.precision for c in run.measured.candidates] == ["float32"]
    assert [each.reason for each in run.measured.not_tried] == ["does not agree (report it)"]


def test_a_used_up_budget_begins_nothing(model: Path, data: Path, tmp_path: Path) -> None:
    run = run_optimization(model, data, tmp_path / "out", replace(EXPORT, budget_minutes=1e-9))
    assert run.measured.candidates == ()
    assert {each.reason for each in run.measured.not_tried} == {"the budget was used up"}
    assert run.choice.sentences == ("nothing could be measured",)


def test_the_page_and_the_picture(model: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    limits = Constraints(latency_ms=1e-6)
    run = run_optimization(model, data, tmp_path / "out", replace(EXPORT, constraints=limits))
    page = write_optimize_report(run, limits, tmp_path / "out", "model & data").read_text()
    assert "cannot be met" in page
    assert "model &amp; data" in page
    assert all(candidate.label in page for candidate in run.measured.candidates)
    assert (tmp_path / "out/pareto.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_measured_is_a_page_too(model: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    run = run_optimization(model, data, tmp_path / "out", replace(EXPORT, budget_minutes=1e-9))
    assert "budget" in write_optimize_report(run, Constraints(), tmp_path / "out", "").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "cuda"}, "--target cuda"),
        ({"target": "phone"}, "--target phone is not known"),
        ({"sizes": (50,)}, "not a multiple"),
        ({"strategies": ("prune",), "training": TrainingPlan(ratio=0.999)}, "zero channels"),
        ({"strategies": ("distill",), "training": TrainingPlan(student="herder-q")}, "herder-q"),
        ({"constraints": Constraints(size_mb=0.001)}, "weights alone take"),
        ({"constraints": Constraints(memory_mb=1)}, "before any model is opened"),
    ],
)
def test_refused_before_anything_is_measured(
    model: Path, data: Path, tmp_path: Path, changes: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "candidate", None)
    settings = replace(EXPORT, **changes)  # type: ignore[arg-type]
    with pytest.raises((ConfigError, ModelFileError), match=said):
        run_optimization(model, data, tmp_path / "out", settings)


def test_models_that_cannot_be_optimized(model: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"only \.safetensors"):
        run_optimization(model.with_suffix(".onnx"), data, tmp_path / "out", EXPORT)
    with pytest.raises(ModelFileError, match="no such file"):
        run_optimization(model.with_name("none.safetensors"), data, tmp_path / "out", EXPORT)
    spec = example_spec()
    rounded = spec.replace(architecture=replace(spec.architecture, quantization=Quantization()))
    save_model(Network(rounded), rounded, tmp_path / "int8.safetensors")
    with pytest.raises(ConfigError, match="quantized already"):
        run_optimization(tmp_path / "int8.safetensors", data, tmp_path / "out", EXPORT)


def test_too_few_photos_to_calibrate_with(model: Path, yolo_folder: Callable[..., Path], tmp_path: Path) -> None:
    settings = replace(EXPORT, strategies=("quantize",))
    with pytest.raises(ConfigError, match="too few to calibrate"):
        run_optimization(model, yolo_folder(LABELS[:4]), tmp_path / "out", settings)


def test_photos_of_other_animals(model: Path, yolo_folder: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no class is in both"):
        run_optimization(model, yolo_folder(LABELS, names=("zebra",)), tmp_path / "out", EXPORT)


def test_a_folder_of_another_model_or_a_broken_one(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_optimization(model, data, out, replace(EXPORT, budget_minutes=1e-9))
    spec = example_spec().replace(input_size=64)
    save_model(Network(spec), spec, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="begun with another model"):
        run_optimization(tmp_path / "other.safetensors", data, out, EXPORT)
    (out / STATE).write_text("{")
    with pytest.raises(DataError, match=STATE):
        run_optimization(model, data, out, EXPORT)


@pytest.mark.parametrize("changes", [{"threads": 0}, {"budget_minutes": 0.0}])
def test_settings_without_meaning(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        replace(EXPORT, **changes)  # type: ignore[arg-type]


def test_memory_of_a_process_that_fails(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "memory", MEMORY)
    monkeypatch.setattr(optimize_measure, "run_fresh", lambda job, folder: "the process was ended by SIGKILL")
    with pytest.raises(ResourceError, match="SIGKILL"):
        run_optimization(model, data, tmp_path / "out", EXPORT)
