"""``herder quantize``: a model in 8-bit integers, as accurate as it has to be."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from herder.catalogue import beside
from herder.cli.evaluation_output import SET_ASIDE, progress_bars, tell_problems
from herder.cli.model_argument import FloatModel
from herder.cli.quantize_in_torch import TrainingFlags, quantize_aware, quantize_pt2e
from herder.errors import ConfigError

if TYPE_CHECKING:
    from herder.api.quantize import QuantizeResult

PHOTOS, IN_TORCH_PHOTOS = 300, 128
"""Photos to calibrate with where nobody says; torch takes longer for each."""

MAX_DROP = 0.01
"""mAP@0.5 that may be lost where nobody says."""


class TargetChoice(Enum):
    """Kinds of int8 files."""

    OPENVINO = "openvino"
    ONNX = "onnx"


class MethodChoice(Enum):
    """Ways to int8."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    AWARE = "aware"
    PT2E = "pt2e"


def quantize_command(
    model: FloatModel,
    data: Annotated[Path, typer.Argument(help="Labelled photos; with --unchecked any folder of photos.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; with aware a new folder.", show_default="MODEL-int8.xml, .onnx or .pt2, beside MODEL"
        ),
    ] = None,
    to: Annotated[
        TargetChoice | None, typer.Option("--to", help="Kind of file.", show_default="openvino; onnx if dynamic")
    ] = None,
    method: Annotated[
        MethodChoice,
        typer.Option(
            help="static: ranges from photos. dynamic: linear layers alone. aware: fine-tuned. pt2e: in torch."
        ),
    ] = MethodChoice.STATIC,
    photos: Annotated[
        int | None,
        typer.Option(help="Training photos to measure ranges on, at most.", show_default="300; aware and pt2e 128"),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="mAP@0.5 that may be lost on the validation photos.", show_default=str(MAX_DROP)),
    ] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Measure no mAP: photos need no labels.")] = False,
    size: Annotated[int | None, typer.Option(help="Longest side in pixels; the model's own if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of photos.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="aware: passes over all training photos.")] = None,
    device: Annotated[str | None, typer.Option(help="aware: auto, cpu, cuda or cuda:N.")] = None,
    teacher: Annotated[list[Path] | None, typer.Option(help="aware: learn from it; MODEL itself if none.")] = None,
    config: Annotated[Path | None, typer.Option(help="aware: TOML or YAML file of settings.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="aware: any setting of the training.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="aware: go on with the run in --out.")] = False,
) -> None:
    """Turn the convolutions of MODEL into 8-bit integers: ranges from training photos, accuracy on validation photos.

    Layers that int8 would cost too much stay float, as few as the wanted accuracy allows; where nothing keeps
    --max-drop, no file is written. Exit code 3 when photos or labels had to be set aside.
    """
    flags = TrainingFlags(epochs, device, tuple(teacher or ()), config, tuple(changes or ()), resume)
    if method is not MethodChoice.AWARE and flags.given():
        raise ConfigError(f"{flags.given()}: {method.value} quantization does not train", hint="use --method aware")
    if method in (MethodChoice.AWARE, MethodChoice.PT2E):
        if unchecked or any(flag is not None for flag in (size, to, max_drop)):
            raise ConfigError(
                "--max-drop, --unchecked, --size and --to: are for static and dynamic", hint="leave them out"
            )
        seen = IN_TORCH_PHOTOS if photos is None else photos
        if method is MethodChoice.AWARE:
            quantize_aware(model, data, out or beside(model, f"{model.stem}-aware"), flags, seen, seed)
        else:
            quantize_pt2e(model, data, out or beside(model, f"{model.stem}-int8.pt2"), seen, seed)
        return
    if unchecked and max_drop is not None:
        raise ConfigError("--max-drop: --unchecked measures no mAP", hint="leave out one of them")
    # Here, since torch takes seconds to load: `herder --help` should not wait for it.
    from herder.api.quantize import QuantizeSettings, run_quantization
    from herder.edge.quantization import Target

    target = (
        Target.ONNX if method is MethodChoice.DYNAMIC and to is None else Target((to or TargetChoice.OPENVINO).value)
    )
    out = out or beside(model, f"{model.stem}-int8{target.suffix}")
    if out.resolve() == model.resolve():
        raise ConfigError(f"{out}: is the float model itself", hint="choose another name with --out")
    settings = QuantizeSettings(
        target,
        method is MethodChoice.DYNAMIC,
        PHOTOS if photos is None else photos,
        None if unchecked else MAX_DROP if max_drop is None else max_drop,
        size,
        seed,
    )
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    with progress_bars(quiet=False) as advance:
        result = run_quantization(
            model, data, out, settings, say=say, progress=advance or (lambda what, done, total: None)
        )
    _show(result, console)
    say(f"int8 model: {result.path}" + (f" and {result.path.with_suffix('.bin').name}" if out.suffix == ".xml" else ""))
    tell_problems(result.problems)
    if result.problems:
        raise typer.Exit(SET_ASIDE)


def _show(result: QuantizeResult, console: Console) -> None:
    before, after = result.before, result.after
    table = Table("", "float", "int8", "change or ratio")
    if before.map50 is not None and after.map50 is not None:
        table.add_row("mAP50", f"{before.map50:.4f}", f"{after.map50:.4f}", f"{after.map50 - before.map50:+.4f}")
    if before.map50_95 is not None and after.map50_95 is not None:
        change = f"{after.map50_95 - before.map50_95:+.4f}"
        table.add_row("mAP50_95", f"{before.map50_95:.4f}", f"{after.map50_95:.4f}", change)
    a, b = before.file_bytes, after.file_bytes
    table.add_row("file MB", f"{a / 1e6:.3f}", f"{b / 1e6:.3f}", f"{b / a:.3f}")
    table.add_row(
        "ms, network alone", f"{before.milliseconds:.2f}", f"{after.milliseconds:.2f}", str(result.time_ratio)
    )
    console.print(table)
    if result.kept_float:
        kept = Table("layer kept in float", "loss where it alone is rounded")
        for layer in result.kept_float:
            kept.add_row(layer.name, f"{layer.loss:.4f}")
        console.print(kept)
    else:
        console.print("no layer had to stay float", highlight=False)
