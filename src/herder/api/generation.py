"""Learning to draw, from pictures to a run folder with a model, samples and a measured quality.

A run folder holds ``config.json`` (kind, source and settings), ``last.safetensors`` (to go on from), the model
(``diffusion.safetensors`` or ``gan.safetensors``), ``history.csv``, ``samples/`` drawn on the way, ``samples.png`` and
``quality.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from herder.api.drawers import Drawer, save_grid, train_drawer
from herder.api.drawing_settings import Kind, Settings, changed, default_settings, settings_of
from herder.api.picture_source import PictureSource
from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.generative.gan_config import GanConfig
from herder.generative.pictures import Pictures
from herder.generative.quality import Quality, fit_classifier, sample_quality
from herder.training.run import CONFIG, find_run, new_run_folder

SAMPLES, QUALITY, HISTORY = "samples.png", "quality.json", "history.csv"

GRID = 64
"""Pictures in a sample grid."""

JUDGED = 512
"""Samples drawn to measure quality with, at most; fewer where the real pictures are fewer than twice that."""


class Watcher(Protocol):
    """Hears of progress; see ``herder.cli.generate`` for one that shows it."""

    def at(self, what: str, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` steps of ``what`` are done."""

    def say(self, text: str) -> None:
        """A sentence for the user."""


class Silent:
    """A watcher that shows nothing."""

    def at(self, what: str, done: int, total: int, note: str = "") -> None:
        """Nothing is shown."""

    def say(self, text: str) -> None:
        """Nothing is said."""


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """What a run leaves."""

    folder: Path
    drawer: Drawer
    pictures: Pictures
    quality: Quality | None
    """None where it was not asked for."""


def generate(
    kind: Kind,
    source: PictureSource | None,
    out: Path | None,
    changes: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    judged: int = JUDGED,
    watcher: Watcher | None = None,
) -> GenerationResult:
    """Train a network of ``kind`` on the pictures of ``source`` and measure what it draws.

    ``changes`` are settings of ``DiffusionConfig`` or ``GanConfig`` that differ from the defaults for such pictures.
    ``out`` None is the first free of ``runs/diffusion``, ``runs/diffusion-2``, ... ``resume`` goes on with the run in
    ``out``, or the last one; source and settings are then those of the run. ``judged`` 0 measures nothing.
    Raises ConfigError, DataError, ModelFileError and ResourceError as the rooms below do.
    """
    watcher = watcher or Silent()
    run = find_run(out, name=kind.value) if resume else None
    if run is not None:
        begun_source, settings = read_run(run, kind)
        if source is not None and source != begun_source:
            raise ConfigError(
                f"{run}: learns from {begun_source}, not from {source}", hint="leave them out, or start a new run"
            )
        source = begun_source
        settings = changed(settings, changes or {})
    elif source is None:
        where = f"{out or 'runs'} holds no {kind.value} run to go on with" if resume else "no pictures to learn from"
        raise ConfigError(where, hint="give one of --photos DIR, --digits, or --data DATASET with --class NAME")
    else:
        settings = changed(default_settings(kind, source.side, photos=not source.digits), changes or {})
    pictures = source.read(lambda done, total: watcher.at("reading", done, total))
    if isinstance(settings, GanConfig):
        settings.architecture(pictures.size, pictures.channels)  # raises for a side that does not fit
    lost = f", {len(pictures.set_aside)} set aside" if pictures.set_aside else ""
    watcher.say(f"{source}: {len(pictures)} pictures of {pictures.size} pixels{lost}")
    # The folder comes last: what can go wrong before leaves none behind.
    folder = run or new_run_folder(out, name=kind.value)
    if run is None:
        write_run(folder, kind, source, settings)
    watcher.say(f"run folder {folder}")
    with unless_begun(folder):
        drawer = train_drawer(pictures, settings, folder, resume=run is not None, at=watcher.at)
    drawn = draw_like(drawer, pictures, max(GRID, min(judged, len(pictures) // 2)), watcher)
    save_grid(folder / SAMPLES, drawn[:GRID])
    quality = measure(pictures, drawn[:judged], folder, watcher) if judged else None
    return GenerationResult(folder, drawer, pictures, quality)


@contextmanager
def unless_begun(folder: Path) -> Iterator[None]:
    """Take config.json away again where a setting turns out to fit neither machine nor pictures before the first step.

    The same folder can then be given again with a better setting.
    """
    try:
        yield
    except ConfigError:
        if {path.name for path in folder.iterdir()} == {CONFIG}:
            (folder / CONFIG).unlink()
        raise


def draw_like(drawer: Drawer, pictures: Pictures, number: int, watcher: Watcher, seed: int = 0) -> Tensor:
    """Samples (number, C, S, S); where the drawer has classes, each as often as among the real pictures."""
    labels = None
    if drawer.class_names and pictures.labels is not None:
        generator = torch.Generator().manual_seed(seed)
        labels = pictures.labels[torch.randint(len(pictures), (number,), generator=generator)]  # (number,)
    return drawer.draw(
        number, labels=labels, seed=seed, progress=lambda done, total: watcher.at("drawing", done, total)
    )


def measure(pictures: Pictures, samples: Tensor, folder: Path, watcher: Watcher) -> Quality:
    """Train the judge, measure, and write quality.json."""
    judge = fit_classifier(pictures, progress=lambda done, total: watcher.at("judge", done, total))
    quality = sample_quality(pictures, samples, judge)
    write_atomic(folder / QUALITY, (json.dumps(asdict(quality), indent=2) + "\n").encode())
    return quality


def write_run(folder: Path, kind: Kind, source: PictureSource, settings: Settings) -> None:
    """Write config.json, which makes a folder a run."""
    facts = {"kind": kind.value, "source": source.as_dict(), "config": settings.as_dict()}
    write_atomic(folder / CONFIG, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())


def read_run(folder: Path, kind: Kind) -> tuple[PictureSource, Settings]:
    """Source and settings of the run in ``folder``. Raises ModelFileError where it is damaged or of another kind."""
    path = folder / CONFIG
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        found, source, values = facts["kind"], dict(facts["source"]), dict(facts["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: is no run of herder generate ({error})", hint="start a new run") from None
    if found != kind.value:
        raise ModelFileError(f"{folder}: is a run of {found}", hint=f"herder generate {found} --resume --out {folder}")
    return PictureSource.from_dict(source, where=path), settings_of(kind, values, where=path)
