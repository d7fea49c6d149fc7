"""Distillation as one call: teachers, labelled photos and perhaps unlabelled ones to a small detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from herder.api.run_photos import Photos, read_photos
from herder.api.teachers import TeacherEngine, read_teachers
from herder.api.training_run import DEFAULT_MODEL, base_config, run_training
from herder.catalogue import Use, read_catalogue, resolve
from herder.errors import ConfigError
from herder.evaluation import evaluate_detector
from herder.evaluation.metrics import Metrics
from herder.inference import Detector
from herder.model.architecture_files import is_architecture_file
from herder.training.config import TrainConfig, load_config
from herder.training.interfaces import TrainResult


def student_start(student: str) -> tuple[str | None, Path | None]:
    """``model`` and ``init`` of a run whose student is a model file or the name of a model.

    >>> student_start("herder-n")
    ('herder-n', None)
    >>> student_start("runs/nas/trial-3.toml")  # an architecture
    ('runs/nas/trial-3.toml', None)
    """
    shipped = {model.name for model in read_catalogue()}
    path = resolve(student, Use.WEIGHTS) if student in shipped else Path(student)
    is_weights = not is_architecture_file(student) and (path.suffix or path.is_file())
    return (None, path) if is_weights else (student, None)


def distillation_config(
    teachers: Sequence[str | Path],
    student: str,
    *,
    unlabelled: str | Path | None = None,
    file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    base: TrainConfig | None = None,
) -> TrainConfig:
    """The settings of a run that learns from these teachers, over the defaults for the student's start.

    Raises ConfigError for no teacher or a setting out of range.
    """
    if not teachers:
        raise ConfigError("distillation: no teacher", hint="name at least one model file")
    model, init = student_start(student)
    own: dict[str, Any] = {"distillation.teachers": [str(teacher) for teacher in teachers]}
    if unlabelled is not None:
        own["distillation.unlabelled"] = str(unlabelled)
    return load_config(file, {**(settings or {}), **own}, base=base or base_config(init, model))


def distill(
    teachers: str | Path | Sequence[str | Path],
    data: str | Path,
    *,
    student: str = DEFAULT_MODEL,
    unlabelled: str | Path | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a small detector that learns from labels and from larger ones; the Python twin of ``herder distill``.

    ``student`` is a model's name (a random start) or a model file. Several ``teachers`` are an ensemble.
    ``unlabelled`` is a folder of photos that they label. ``settings`` are fields of ``TrainConfig``.
    """
    several = [teachers] if isinstance(teachers, (str, Path)) else list(teachers)
    config = distillation_config(several, student, unlabelled=unlabelled, settings=settings)
    model, init = student_start(student)
    return run_training(Path(data), model, init, config, Path(out) if out else None)


def measure_teachers(config: TrainConfig, data: Path | Photos, *, device: torch.device | str = "cpu") -> Metrics:
    """What the teachers together reach on the validation photos: what the student may hope for."""
    photos = data if isinstance(data, Photos) else read_photos(data)
    engine = TeacherEngine(read_teachers(config.distillation.teachers), photos.validation.class_names, device=device)
    metrics, _ = evaluate_detector(Detector(engine), photos.validation)
    return metrics
