from __future__ import annotations

import dataclasses
import logging
import math
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from herder.data.pipeline import Batch, TrainingPipeline
from herder.errors import ConfigError, ModelFileError, ResourceError
from herder.model.files import load_model, read_spec
from herder.model.losses import DetectionLoss, LossTerms
from herder.model.network import Network
from herder.spec import ModelSpec
from herder.training.checkpoint import load_checkpoint
from herder.training.config import Schedule, TrainConfig
from herder.training.interfaces import DivergedError, Ending, TrainResult
from herder.training.multi_scale import canvas_side, rescale
from herder.training.run_state import BEST, LAST
from herder.training.tracking import TIMING_COLUMNS, RunFacts, StepFacts, read_rows

Runner = Callable[..., TrainResult]


class Killed(BaseException):
    """What stands for kill -9 here: nothing in the loop catches it. test_kill.py uses the real one."""


def dies_at(draw: int) -> Callable[[int, Batch], Batch]:
    def wrap(drawn: int, batch: Batch) -> Batch:
        if drawn == draw:
            raise Killed
        return batch

    return wrap


def assert_same_run(a: Path, b: Path) -> None:
    """The same checkpoint, best model and metrics, but for what the clock says."""
    one, two = load_checkpoint(a / LAST), load_checkpoint(b / LAST)
    assert one.tensors.keys() == two.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.equal(value, two.tensors[name]), name
    clock = {"seconds": 0.0, "epoch_seconds": 0.0}
    assert dataclasses.replace(one.progress, **clock) == dataclasses.replace(two.progress, **clock)
    # safetensors writes its metadata in any order: what counts is what can be read.
    assert read_spec(a / BEST) == read_spec(b / BEST)
    best = [load_model(folder / BEST).state_dict() for folder in (a, b)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())
    rows = [
        [{k: repr(v) for k, v in row.items() if k not in TIMING_COLUMNS} for row in read_rows(folder / "metrics.csv")]
        for folder in (a, b)
    ]
    assert rows[0] == rows[1]


def test_a_run_leaves_what_it_promises(run: Runner, config: TrainConfig, spec: ModelSpec, tmp_path: Path) -> None:
    spec = spec.replace(dataset_fingerprint="f" * 64)
    result = run(config, tmp_path, spec=spec)
    assert (result.ending, result.epochs) == (Ending.FINISHED, 3)
    rows = read_rows(tmp_path / "metrics.csv")
    assert (
        (tmp_path / "metrics.csv")
        .read_text()
        .startswith(
            "epoch,box,cls,dfl,precision,recall,mAP50,mAP50_95,lr_backbone,lr_head,images_per_second,peak_memory_mb,seconds\n"
        )
    )
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["lr_head"] == pytest.approx(config.lr_head * config.final_lr_fraction)
    assert all(math.isfinite(value) and value > 0 for row in rows for value in row.values())
    best = max(rows, key=lambda row: row["mAP50_95"])
    assert result.best_epoch == best["epoch"]
    written = read_spec(result.best)
    assert written.score_threshold == 0.125
    assert written.dataset_fingerprint == "f" * 64
    assert written.metrics["mAP50_95"] == pytest.approx(best["mAP50_95"], rel=1e-6)
    load_model(result.best)
    assert load_checkpoint(result.last).progress.finished
    assert not list(tmp_path.glob(".*"))


def test_the_best_file_holds_the_averaged_weights(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    def evaluate(network: Network) -> Mapping[str, float]:
        assert not network.training
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"mAP50_95": [0.1, 0.3, 0.2][len(seen) - 1]}

    result = run(config, tmp_path, evaluate=evaluate)
    assert (result.best_epoch, result.metrics) == (2, {"mAP50_95": 0.3})
    best = load_model(result.best).state_dict()
    assert all(torch.equal(best[name], value) for name, value in seen[1].items())
    last = load_checkpoint(result.last).tensors
    assert any(not torch.equal(last[f"model.{name}"], value) for name, value in seen[2].items())


def test_same_seed_same_weights(run: Runner, config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    run(config, tmp_path / "again")
    assert_same_run(whole, tmp_path / "again")
    run(dataclasses.replace(config, seed=1), tmp_path / "other")
    name, folders = "model.backbone.stem.conv.weight", (whole, tmp_path / "other")
    weights = [load_checkpoint(folder / LAST).tensors[name] for folder in folders]
    assert not torch.equal(*weights)


def test_killed_anywhere_and_resumed_ends_the_same(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, freeze_backbone_epochs=1, schedule=Schedule.PLATEAU, plateau_patience=1)
    run(config, tmp_path / "whole")
    for draw in (2, 3, 7):  # before and after a step checkpoint, at an epoch's end; test_kill.py goes further
        folder = tmp_path / f"killed-{draw}"
        with pytest.raises(Killed):
            run(config, folder, wrap=dies_at(draw))
        run(config, folder, resume=True)
        assert_same_run(tmp_path / "whole", folder)


def test_killed_before_the_first_checkpoint_starts_over(
    run: Runner, config: TrainConfig, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(config, tmp_path, wrap=dies_at(0))
    run(config, tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


def test_killed_while_evaluating_or_telling_ends_the_same(
    run: Runner, config: TrainConfig, whole: Path, tmp_path: Path
) -> None:
    class Deadly:
        def start(self, run: RunFacts) -> None: ...
        def step(self, facts: StepFacts) -> None: ...
        def end(self, summary: str) -> None: ...
        def epoch(self, row: Mapping[str, float], *, best: Path | None) -> None:
            if row["epoch"] == 2:
                raise Killed

    def evaluate(network: Network) -> Mapping[str, float]:
        raise Killed

    with pytest.raises(Killed):  # after best.safetensors and the row in metrics.csv, before the checkpoint
        run(config, tmp_path / "a", trackers=[Deadly()])
    assert len(read_rows(tmp_path / "a" / "metrics.csv")) == 2
    run(config, tmp_path / "a", resume=True)
    assert_same_run(whole, tmp_path / "a")
    with pytest.raises(Killed):
        run(config, tmp_path / "b", evaluate=evaluate)
    (tmp_path / "b" / ".last.safetensors.x.part").write_text("half")
    run(config, tmp_path / "b", resume=True)
    assert_same_run(whole, tmp_path / "b")
    assert not list((tmp_path / "b").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_step_and_resumes(
    run: Runner, config: TrainConfig, whole: Path, tmp_path: Path, number: int
) -> None:
    before = signal.getsignal(number)

    def press(drawn: int, batch: Batch) -> Batch:
        if drawn == 4:
            signal.raise_signal(number)
        return batch

    result = run(config, tmp_path, wrap=press)
    assert signal.getsignal(number) is before
    assert result.ending is Ending.INTERRUPTED
    progress = load_checkpoint(result.last).progress
    assert (progress.epoch, progress.step, progress.global_step) == (1, 2, 5)
    if number == signal.SIGINT:
        assert run(config, tmp_path, resume=True).ending is Ending.FINISHED
        assert_same_run(whole, tmp_path)


def test_the_second_ctrl_c_stops_at_once(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    def press(drawn: int, batch: Batch) -> Batch:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return batch

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path, wrap=press)


def test_resuming_a_finished_run_changes_nothing(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    first = run(config, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = run(config, tmp_path, resume=True)
    assert again == first
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_resuming_with_other_settings_or_classes_is_refused(
    run: Runner, config: TrainConfig, spec: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(config, tmp_path, wrap=dies_at(4))
    with pytest.raises(ConfigError, match="lr_head: the run to resume has"):
        run(dataclasses.replace(config, lr_head=0.5), tmp_path, resume=True)
    with pytest.raises(ModelFileError, match=r"1 classes .*this run has 2"):
        run(config, tmp_path, resume=True, spec=spec.replace(class_names=("alpaca", "llama")))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(
    run: Runner, config: TrainConfig, spec: ModelSpec, tmp_path: Path
) -> None:
    loss, calls = DetectionLoss(spec), []

    def breaking(*arguments: Tensor) -> LossTerms:
        terms = loss(*arguments)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 5:
            terms.total = terms.total * math.nan
        return terms

    with pytest.raises(DivergedError, match=r"not finite at step 2 of epoch 2 \(step 5 of the run\)"):
        run(config, tmp_path, loss=breaking)
    checkpoint = load_checkpoint(tmp_path / LAST)
    assert checkpoint.progress.global_step == 3
    assert all(bool(value.isfinite().all()) for value in checkpoint.tensors.values())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
    ],
)
def test_out_of_memory_names_smaller_settings(
    run: Runner, config: TrainConfig, tmp_path: Path, error: Exception
) -> None:
    def wrap(drawn: int, batch: Batch) -> Batch:
        raise error

    with pytest.raises(ResourceError, match="batch 4 at 64 pixels") as caught:
        run(config, tmp_path, wrap=wrap)
    assert "--batch 2" in caught.value.hint


def test_other_errors_pass_unchanged(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    def wrap(drawn: int, batch: Batch) -> Batch:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run(config, tmp_path, wrap=wrap)


def test_early_stopping_ends_the_run_and_stays_ended(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, epochs=9, patience=1)
    result = run(config, tmp_path, evaluate=lambda _: {"mAP50_95": 0.5})
    assert (result.ending, result.epochs) == (Ending.EARLY, 2)
    assert run(config, tmp_path, resume=True).ending is Ending.EARLY


def test_nothing_to_measure_keeps_the_last_epoch(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    result = run(config, tmp_path, evaluate=lambda _: {"mAP50_95": math.nan})
    assert (result.best_epoch, result.metrics) == (3, {})
    load_model(result.best)


def test_evaluation_may_be_rarer(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    calls = []
    config = dataclasses.replace(config, evaluate_every=2)
    run(config, tmp_path, evaluate=lambda _: calls.append(1) or {"mAP50_95": 0.5})  # type: ignore[func-returns-value]
    assert len(calls) == 2
    assert [math.isnan(row["mAP50_95"]) for row in read_rows(tmp_path / "metrics.csv")] == [True, False, False]


def test_the_backbone_stays_while_frozen(run: Runner, config: TrainConfig, spec: ModelSpec, tmp_path: Path) -> None:
    config = dataclasses.replace(config, freeze_backbone_epochs=2, ema_decay=0.0)
    states = []

    def evaluate(network: Network) -> Mapping[str, float]:
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return {}

    network = Network(spec)
    states.append({name: value.clone() for name, value in network.state_dict().items()})
    run(config, tmp_path, evaluate=evaluate, network=network)

    def moved(a: dict[str, Tensor], b: dict[str, Tensor], part: str) -> bool:
        return any(not torch.equal(value, b[name]) for name, value in a.items() if name.startswith(part))

    assert not moved(states[0], states[2], "backbone.")
    assert moved(states[0], states[2], "head.")
    assert moved(states[2], states[3], "backbone.")


def test_mosaic_ends_before_the_run_does(
    run: Runner, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, epoch = [], TrainingPipeline.epoch

    def spy(self: TrainingPipeline, number: int, step: int = 0, *, mosaic: bool = True) -> Iterator[Batch]:
        seen.append((number, mosaic))
        return epoch(self, number, step, mosaic=mosaic)

    monkeypatch.setattr(TrainingPipeline, "epoch", spy)
    run(config, tmp_path)
    assert seen == [(0, True), (1, True), (2, False)]


def test_a_failing_tracker_is_told_once_and_stops_nothing(
    run: Runner, config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def start(self, run: RunFacts) -> None:
            raise OSError("no network")

        step = epoch = end = start

    with caplog.at_level(logging.WARNING):
        assert run(config, tmp_path, trackers=[Broken()]).ending is Ending.FINISHED
    assert [record.getMessage() for record in caplog.records if "Broken" in record.getMessage()] == [
        "Broken failed at start and is left out from here on: no network"
    ]


def test_other_paths_through_a_step_run(run: Runner, config: TrainConfig, tmp_path: Path) -> None:
    for i, changes in enumerate(
        ({"multi_scale": 0.5}, {"precision": "bf16"}, {"channels_last": False, "clip_norm": 0.0}, {"batch_size": 1})
    ):
        result = run(TrainConfig.from_dict({**config.as_dict(), **changes, "epochs": 1}), tmp_path / str(i))
        assert result.ending is Ending.FINISHED
        assert math.isfinite(read_rows(tmp_path / str(i) / "metrics.csv")[0]["box"])


def test_multi_scale_sides_follow_from_seed_and_step() -> None:
    config = TrainConfig(multi_scale=0.25, image_size=320)
    sides = [canvas_side(config, step, 320) for step in range(200)]
    assert set(sides) == {256, 288, 320, 352, 384} | ({224} & set(sides)) | ({416} & set(sides))
    assert sides == [canvas_side(config, step, 320) for step in range(200)]
    assert sides != [canvas_side(dataclasses.replace(config, seed=1), step, 320) for step in range(200)]


def test_rescaled_boxes_follow_the_picture() -> None:
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    images[:, :, 16:32, 8:24] = 200
    scaled, boxes = rescale(images, torch.tensor([[[8.0, 16.0, 24.0, 32.0]]]), 128)
    assert scaled.shape == (1, 3, 128, 128)
    assert boxes.tolist() == [[[16.0, 32.0, 48.0, 64.0]]]
    rows, columns = torch.nonzero(scaled[0, 0] > 100, as_tuple=True)
    assert (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1) == (16, 32, 48, 64)
