from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from herder.training.config import TrainConfig
from herder.training.terminal import TerminalTracker
from herder.training.tracking import CsvTracker, RunFacts, StepFacts, read_rows


def facts(folder: Path, first_epoch: int = 0, losses: tuple[str, ...] = ("box", "cls", "dfl")) -> RunFacts:
    return RunFacts(folder, TrainConfig(epochs=5), losses, steps_per_epoch=10, first_epoch=first_epoch)


def row(epoch: int) -> dict[str, float]:
    names = facts(Path()).columns
    return dict.fromkeys(names, epoch / 3) | {"epoch": float(epoch), "mAP50": math.nan}


def test_rows_come_back_and_nan_is_an_empty_cell(tmp_path: Path) -> None:
    tracker = CsvTracker()
    tracker.start(facts(tmp_path))
    tracker.epoch(row(1), best=None)
    header, line = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header.split(",")[:4] == ["epoch", "box", "cls", "dfl"]
    assert line.startswith("1,0.33333333,0.33333333,0.33333333,0.33333333,0.33333333,,0.33333333")
    assert read_rows(tmp_path / "metrics.csv")[0]["box"] == pytest.approx(1 / 3)


def test_a_resumed_run_cuts_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    whole, cut = CsvTracker(), CsvTracker()
    whole.start(facts(tmp_path))
    for epoch in (1, 2, 3):
        whole.epoch(row(epoch), best=None)
    text = (tmp_path / "metrics.csv").read_text()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,0.3")  # killed within a line
    cut.start(facts(tmp_path, first_epoch=2))
    cut.epoch(row(3), best=None)
    assert (tmp_path / "metrics.csv").read_text() == text


def test_a_missing_or_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none.csv") == []
    (tmp_path / "empty.csv").write_text("")
    assert read_rows(tmp_path / "empty.csv") == []
    CsvTracker().start(facts(tmp_path, first_epoch=3))
    assert read_rows(tmp_path / "metrics.csv") == []


def test_objectness_has_its_column(tmp_path: Path) -> None:
    assert "obj" not in facts(tmp_path).columns
    assert facts(tmp_path, losses=("box", "cls", "obj")).columns[:4] == ("epoch", "box", "cls", "obj")


@pytest.mark.parametrize("live", [False, True])
def test_the_terminal_shows_each_epoch(tmp_path: Path, live: bool) -> None:
    out = io.StringIO()
    tracker = TerminalTracker(Console(file=out, force_terminal=live, width=200))
    tracker.start(facts(tmp_path))
    tracker.step(StepFacts(1, 3, {"box": 1.5}, 12.0))
    tracker.step(StepFacts(1, 10, {"box": 1.5}, 12.0))
    tracker.epoch(row(1) | {"mAP50_95": 0.1234, "images_per_second": 45.6}, best=tmp_path)
    tracker.end("finished")
    text = out.getvalue()
    assert "1/5" in text
    assert "0.123" in text
    assert "45.6" in text
    assert "finished" in text
    assert ("\x1b" in text) == live


def test_an_epoch_without_evaluation_is_printed_all_the_same(tmp_path: Path) -> None:
    out = io.StringIO()
    tracker = TerminalTracker(Console(file=out, width=120))
    tracker.start(facts(tmp_path))
    tracker.epoch({k: v for k, v in row(1).items() if not k.startswith("mAP")}, best=None)
    tracker.end("done")
    assert "1/5" in out.getvalue()
