"""What ``herder quantize`` does in torch: quantization-aware fine-tuning, and torch's own PT2E."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from herder.cli.train import SET_ASIDE, assignments

if TYPE_CHECKING:
    from herder.api.quantization_aware import Accuracy


@dataclass(frozen=True)
class TrainingFlags:
    """Flags of the command that only fine-tuning knows."""

    epochs: int | None
    device: str | None
    teachers: tuple[Path, ...]
    config: Path | None
    settings: tuple[str, ...]
    resume: bool

    def given(self) -> str:
        """The first flag that was given, as it is typed; "" where none was."""
        flags = {
            "--epochs": self.epochs is not None,
            "--device": self.device is not None,
            "--teacher": bool(self.teachers),
            "--config": self.config is not None,
            "--set": bool(self.settings),
            "--resume": self.resume,
        }
        return next((name for name, given in flags.items() if given), "")


def quantize_aware(model: Path, data: Path, out: Path, flags: TrainingFlags, photos: int, seed: int) -> None:
    """Fine-tune with rounding and write ``out/aware.onnx``; exit code 3 where photos were set aside.

    Ctrl-C ends it with code 130; the same command with ``--resume`` goes on.
    """
    from herder.api.quantization_aware import AwareSettings, aware_config, run_quantization_aware
    from herder.api.run_photos import read_photos
    from herder.training.terminal import TerminalTracker

    changes = {"epochs": flags.epochs, "device": flags.device}
    wanted = {name: value for name, value in changes.items() if value is not None} | assignments(list(flags.settings))
    config = aware_config(model, flags.config, wanted)
    console = Console(soft_wrap=True)
    known = read_photos(data)
    result = run_quantization_aware(
        model,
        known,
        out,
        AwareSettings(photos=photos, seed=seed),
        config,
        teachers=flags.teachers,
        resume=flags.resume,
        trackers=[TerminalTracker(console)],
        say=lambda text: console.print(text, markup=False, highlight=False),
    )
    _table(console, {"float": result.before, "int8, before training": result.static, "int8, trained": result.after})
    console.print(str(result.parity), markup=False, highlight=False)
    console.print(f"int8 model: {result.path}; in torch: {result.network}", markup=False, highlight=False)
    if known.set_aside:
        raise typer.Exit(SET_ASIDE)


def quantize_pt2e(model: Path, data: Path, out: Path, photos: int, seed: int) -> None:
    """Quantize in torch and write ``out`` (.pt2); exit code 3 where photos were set aside."""
    from herder.api.quantize_pt2e import run_pt2e
    from herder.api.run_photos import read_photos

    console = Console(soft_wrap=True)
    known = read_photos(data)
    result = run_pt2e(model, known, out, photos=photos, seed=seed)
    _table(console, {"float": result.before, "int8": result.after})
    console.print(
        f"in torch, network alone: {result.before_ms:.1f} ms before, {result.after_ms:.1f} ms after,"
        f" ratio {result.ratio}",
        highlight=False,
    )
    console.print(f"int8 model: {result.path}", markup=False, highlight=False)
    if known.set_aside:
        raise typer.Exit(SET_ASIDE)


def _table(console: Console, measured: dict[str, Accuracy]) -> None:
    table = Table("", "mAP50", "mAP50_95", "file MB")
    for name, one in measured.items():
        table.add_row(name, f"{one.map50:.4f}", f"{one.map50_95:.4f}", f"{one.file_bytes / 1e6:.3f}")
    console.print(table)
