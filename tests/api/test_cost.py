from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from herder.api import cost as cost_room
from herder.api import fresh_process
from herder.api.cost import CostSettings, measure_cost
from herder.api.cost_process import CostJob, job_text, main, open_detector, run_job
from herder.data.formats import read_dataset
from herder.edge.engine_packages import openvino_package
from herder.edge.export import export_onnx
from herder.edge.export_facts import ExportFacts
from herder.edge.openvino_files import save_openvino
from herder.edge.runtime import OnnxEngine
from herder.errors import ConfigError, DataError, ModelFileError
from herder.evaluation import evaluate_detector
from herder.evaluation.cost import Cost
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain, to_plain
from herder.evaluation.prediction_store import file_sha256
from herder.model.files import save_model
from herder.model.flops import count_work
from herder.model.network import Network
from herder.spec import example_spec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = Network(example_spec().replace(input_size=64))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(network, network.spec, path)
    return path


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    from herder.model.files import load_model

    network = load_model(model)
    return export_onnx(network, network.spec, model.with_name("given.onnx")).path


@pytest.fixture
def photos(tmp_path: Path, make_photo) -> list[Path]:
    return [make_photo(tmp_path / f"{i}.jpg", (80, 60), seed=i) for i in range(3)]


FEW = CostSettings(engines=("onnx",), threads=(1,), timings=20, device="cpu")


def test_one_fresh_process_for_each_configuration(exported: Path, photos: list[Path]) -> None:
    seen: list[tuple[str, int, int]] = []
    settings = CostSettings(("onnx",), (1,), (1, 2), timings=20)
    cost = measure_cost(exported, photos, settings, progress=lambda *step: seen.append(step))
    assert [(one.configuration.batch, one.timings) for one in cost.measurements] == [(1, 21), (2, 20)]
    assert seen == [("configurations", done, 2) for done in range(3)]
    one = cost.measurements[0]
    assert one.sha256 == cost.artifacts[0].sha256 == file_sha256(exported)
    assert cost.artifact(one).bytes == exported.stat().st_size
    assert one.flops == count_work(Network(example_spec()), 64, 64).flops
    assert 0 < one.base_rss_bytes < one.peak_rss_bytes < 2e9
    assert one.latency_ms.p50 > one.network_ms.p50 > 0
    assert isinstance(one.latency_ms.p95, float)
    assert one.latency_ms.p99 == NotComputed("the 99th percentile needs 100 timings, 21 were taken")
    assert one.peak_cuda_bytes == NotComputed("it ran on the processor")
    assert one.map50 == NotComputed("accuracy was not asked for")
    assert cost.machine.cpu
    assert cost.left_out == ()
    assert from_plain(Cost, json.loads(json.dumps(to_plain(cost), allow_nan=False))) == cost


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run jobs without starting Python again; the file with the job is the same."""

    class Here:
        stderr = None

        def __init__(self, command: list[str], **_: object) -> None:
            job = json.loads(Path(command[-2]).read_text())
            result = run_job(CostJob(**{**job, "photos": tuple(job["photos"])}))
            Path(command[-1]).write_text(json.dumps(result))

        def __enter__(self) -> Here:
            import io

            self.stderr = io.BytesIO()
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(fresh_process.subprocess, "Popen", Here)


def test_a_safetensors_model_is_exported_for_the_others(
    model: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_this_process(monkeypatch)
    cost = measure_cost(model, photos, CostSettings(threads=(1,), timings=1, device="cpu"))
    assert [one.configuration.engine for one in cost.measurements] == ["torch", "onnx", "openvino"]
    given, made = cost.artifacts
    assert (given.file, given.made_from) == ("tiny.safetensors", "")
    assert (made.file, made.made_from) == ("tiny.onnx", "tiny.safetensors")
    assert len({one.flops for one in cost.measurements}) == 1
    assert given.parameters > made.parameters  # norms are folded away


def test_accuracy_is_that_of_the_same_file(exported: Path, yolo_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    folder = yolo_folder(["0 0.5 0.5 0.4 0.4\n", "0 0.3 0.4 0.2 0.3\n"])
    dataset = read_dataset(folder, split="train")
    cost = measure_cost(exported, [record.path for record in dataset], FEW, labelled=dataset)
    metrics, _ = evaluate_detector(open_detector(exported, "onnx", "cpu"), dataset, size=64)
    assert (cost.measurements[0].map50, cost.measurements[0].map50_95) == (metrics.map50, metrics.map50_95)


def test_what_is_not_installed_is_left_out(model: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    find = cost_room.importlib.util.find_spec
    monkeypatch.setattr(
        cost_room.importlib.util, "find_spec", lambda name, *a: None if name == "openvino" else find(name, *a)
    )
    cost = measure_cost(model, photos, CostSettings(("torch", "openvino"), (1,), timings=1, device="cpu"))
    assert [one.configuration.engine for one in cost.measurements] == ["torch"]
    assert cost.left_out[0].reason == "openvino is not installed: pip install 'herder[openvino]'"


def test_torch_does_not_run_onnx_files(exported: Path, photos: list[Path]) -> None:
    with pytest.raises(ConfigError, match=r"torch does not run \.onnx files"):
        measure_cost(exported, photos, CostSettings(("torch",), device="cpu"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -9 $$", "the process was ended by SIGKILL, most likely since memory ran out"),
        ("kill -11 $$", "the process was ended by SIGSEGV"),
        ("echo trouble ahead >&2; exit 7", "the process ended with exit code 7: trouble ahead"),
        ("exit 1", "the process ended with exit code 1: no message"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_process_that_ends_badly_is_left_out(
    exported: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ConfigError, match=reason):
        measure_cost(exported, photos, FEW)


def test_a_broken_photo_is_the_callers_error(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        measure_cost(exported, [broken], FEW)


def test_the_process_answers_with_what_went_wrong(
    exported: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herder.api.cost_process._end_with_parent", lambda: None)
    job, answer = tmp_path / "job.json", tmp_path / "answer.json"
    work = CostJob(str(exported), "onnx", "cpu", 1, 1, 64, (str(photos[0]),), 1, 0)
    for error, kind in ((MemoryError(), "ResourceError"), (ConfigError("odd", hint="even"), "ConfigError")):

        def fail(_: CostJob, error: BaseException = error) -> dict[str, object]:
            raise error

        monkeypatch.setattr("herder.api.cost_process.run_job", fail)
        job.write_text(job_text(work))
        main(job, answer)
        assert json.loads(answer.read_text())["error"]["kind"] == kind


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engines": ("tpu",)}, "engine 'tpu' is not known"),
        ({"device": "npu"}, "device 'npu' is not known"),
        ({"threads": (0,)}, "threads 0 is not positive"),
        ({"batches": (4, -1)}, "batch -1 is not positive"),
        ({"timings": 0}, "timings 0 is not positive"),
        ({"sizes": (100,)}, "image size 100 is not a multiple of 32"),
    ],
)
def test_settings_without_a_meaning(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CostSettings(**settings)


def test_nothing_to_measure_with(model: Path, exported: Path, photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no photos"):
        measure_cost(model, [])
    with pytest.raises(ModelFileError, match="unknown kind of model file"):
        measure_cost(tmp_path / "model.pt", photos)
    with pytest.raises(ModelFileError, match="no such file"):
        measure_cost(tmp_path / "model.onnx", photos)


def test_cuda_where_there_is_none(model: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="there is no CUDA device"):
        measure_cost(model, photos, CostSettings(device="cuda"))


def test_a_file_of_fixed_size(model: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    network = Network(example_spec().replace(input_size=96))
    path = export_onnx(network, network.spec, tmp_path / "fixed.onnx", size=64).path
    cost = measure_cost(path, photos[:1], CostSettings(("onnx",), (1,), (2,), timings=1))
    assert cost.measurements[0].configuration.size == 64
    assert cost.model == "tiny"


def test_streams_and_what_has_none(model: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    settings = CostSettings(("torch", "onnx"), (2,), timings=4, device="cpu", streams=(1, 2))
    cost = measure_cost(model, photos, settings)
    ways = [(one.configuration.engine, one.configuration.streams) for one in cost.measurements]
    assert ways == [("torch", 1), ("onnx", 1), ("onnx", 2)]
    assert all(one.frames_per_second > 0 for one in cost.measurements)
    assert [one.reason for one in cost.left_out] == ["streams are for ONNX Runtime and OpenVINO"]
    with pytest.raises(ConfigError, match="streams 0"):
        CostSettings(streams=(0,))


def test_an_openvino_file(exported: Path, photos: list[Path], tmp_path: Path) -> None:
    engine = OnnxEngine(exported)
    path = tmp_path / "tiny.xml"
    written = save_openvino(
        openvino_package().Core().read_model(exported), path, engine.spec, ExportFacts(False, True, None), half=False
    )
    cost = measure_cost(path, photos, CostSettings(threads=(1,), timings=2, device="cpu"))
    (one,) = cost.measurements
    assert one.configuration.engine == "openvino"
    assert cost.artifacts[0].bytes == written
    assert one.flops == measure_cost(exported, photos, FEW).measurements[0].flops
    with pytest.raises(ConfigError, match=r"torch does not run \.xml files: give the \.onnx or \.safetensors file"):
        measure_cost(path, photos, CostSettings(("torch",), device="cpu"))
