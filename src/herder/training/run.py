"""The run folder: everything that is needed to repeat a run, beside its models.

``config.json`` the resolved settings and where data and starting weights came from, ``environment.json`` versions and
machine, ``dataset.json`` fingerprint, counts and what was set aside, ``metrics.csv``, ``best.safetensors``,
``last.safetensors``, and plots.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from herder.data.records import Dataset
from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic, writing
from herder.processor import processor_name
from herder.training.config import TrainConfig

CONFIG, ENVIRONMENT, DATASET = "config.json", "environment.json", "dataset.json"

PACKAGES = ("herder", "torch", "numpy", "opencv-python-headless", "pillow", "safetensors", "faster-coco-eval", "mlflow")

PROBLEMS_LISTED = 1000
"""Findings written to dataset.json one by one; their counts are complete."""


@dataclass(frozen=True)
class RunSettings:
    """What a run was started with: enough for ``--resume`` to need nothing else."""

    data: str
    """The dataset's path."""
    model: str
    """The model's name."""
    init: str
    """The file of the starting weights; empty where the run starts from random ones."""
    config: TrainConfig


def check_free(out: Path) -> None:
    """Raise ConfigError where ``out``, the folder of a run that is to begin, holds anything already."""
    with writing(out):
        names = {path.name for path in out.iterdir() if path.suffix != ".part"} if out.is_dir() else set()
    # A run that was killed while it wrote its first facts has no config.json yet: its folder is as good as empty.
    if names - {DATASET, ENVIRONMENT}:
        raise ConfigError(
            f"{out}: the folder is not empty", hint="go on with that run by --resume, or choose another folder"
        )


def new_run_folder(out: Path | None, *, root: Path = Path("runs"), name: str = "train") -> Path:
    """Make the folder of a new run: ``out``, or the first free of ``runs/train``, ``runs/train-2``, ...

    Raises ConfigError when ``out`` holds anything already, ResourceError when it cannot be made.
    """
    if out is not None:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        check_free(out)
        return out
    number = 1
    while True:
        folder = root / (name if number == 1 else f"{name}-{number}")
        with writing(folder):
            root.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir()  # fails where the folder is there: two runs started at once never share one
            except FileExistsError:
                number += 1
                continue
        return folder


def find_run(out: Path | None, *, root: Path = Path("runs"), name: str = "train") -> Path | None:
    """The run to go on with: ``out``, or last of ``runs/train``, ``runs/train-2``, ...; None where there is none."""
    if out is not None:
        return out if (out / CONFIG).exists() else None
    runs: dict[int, Path] = {}
    for folder in root.glob(f"{name}*"):
        number = folder.name.removeprefix(f"{name}-") if folder.name != name else "1"
        if number.isdigit() and (folder / CONFIG).exists():
            runs[int(number)] = folder
    return runs[max(runs)] if runs else None


def write_run_facts(folder: Path, settings: RunSettings, train: Dataset, validation: Dataset) -> None:
    """Write config.json, environment.json and dataset.json. Raises ResourceError when the disk is full."""
    _write(folder / DATASET, {"train": dataset_facts(train), "validation": dataset_facts(validation)})
    _write(folder / ENVIRONMENT, environment_facts())
    config = settings.config.as_dict()
    # Last: a folder with a config.json is a run.
    _write(folder / CONFIG, {"data": settings.data, "model": settings.model, "init": settings.init, "config": config})


def read_run_settings(folder: Path) -> RunSettings:
    """What the run in ``folder`` was started with. Raises ModelFileError when config.json is damaged."""
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        config = TrainConfig.from_dict(values["config"], source=str(path))
        return RunSettings(str(values["data"]), str(values["model"]), str(values["init"]), config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{path}: cannot be read ({error})", hint="start a new run") from None


def environment_facts() -> dict[str, Any]:
    """Versions, processor and threads: what a run's exact bits depend on besides its settings."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "packages": versions,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def dataset_facts(dataset: Dataset) -> dict[str, Any]:
    """Fingerprint, counts, and what was set aside."""
    labels = [record.classes for record in dataset]
    counts = np.bincount(np.concatenate(labels) if labels else [], minlength=len(dataset.class_names))
    return {
        "root": str(dataset.root),
        "split": dataset.split,
        "fingerprint": dataset.fingerprint(),
        "photos": len(dataset),
        "photos_without_boxes": sum(len(record) == 0 for record in dataset),
        "boxes": int(counts.sum()),
        "boxes_by_class": dict(zip(dataset.class_names, counts.tolist(), strict=True)),
        "problems": dict(Counter(problem.reason for problem in dataset.problems)),
        "problem_list": [str(problem) for problem in dataset.problems[:PROBLEMS_LISTED]],
    }


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    write_atomic(path, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())
