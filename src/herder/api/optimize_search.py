"""The architecture that ``herder optimize`` finds: the most accurate one that is as fast as the model given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from herder.api.architecture_bench import NetworkBench
from herder.api.architecture_limits import CostLimits
from herder.api.architecture_search import ArchitectureSearchSettings, search_architectures
from herder.api.run_photos import Photos
from herder.api.training_run import base_config
from herder.errors import ConfigError
from herder.files import write_atomic
from herder.model.architecture_space import ArchitectureSpace
from herder.model.families import BASE
from herder.spec import ModelSpec
from herder.training.config import load_config

PROXY_EPOCHS = 5
"""Of the short training that stands for a long one."""

LIMIT = "limit.json"
"""How slow the given model is, measured once: a search that goes on has the limit it began with."""

DECIDED = ("epochs", "image_size", "patience", "evaluate_every")
"""Training settings that the search decides itself."""


def search_architecture(
    photos: Photos,
    given: ModelSpec,
    changes: Mapping[str, Any],
    folder: Path,
    trials: int,
    say: Callable[[str], None],
) -> Path:
    """Search at the size of the ``given`` model, in ``folder``; return the architecture file of the best.

    ``changes`` are settings of all trainings. A search that was stopped goes on. Raises KeyboardInterrupt where it is
    stopped, ConfigError where no network was both as fast as the given one and trained.
    """
    config = load_config(
        None, {name: value for name, value in changes.items() if name not in DECIDED}, base=base_config(None)
    )
    most = _times(given, folder)
    say(f"searching for networks of at most {most:.2f} times the time of {BASE}, the given one's own")
    run = search_architectures(
        photos,
        config,
        ArchitectureSpace(input_size=(given.input_size,)),
        folder,
        ArchitectureSearchSettings(trials, PROXY_EPOCHS, limits=CostLimits(times=most)),
        on_trial=lambda trial: say(
            f"{trial.name}: "
            + (trial.why or "stopped" if trial.accuracy is None else f"{config.metric} {trial.accuracy:.3f}")
        ),
        say=say,
    )
    if not run.finished:
        raise KeyboardInterrupt
    if not run.front:
        raise ConfigError(
            f"search: none of {trials} networks is as fast as the given one ({most:.2f} times the time of {BASE})",
            hint="try more with --trials",
        )
    best = max(run.front, key=lambda trial: trial.accuracy or 0.0)
    return folder / f"{best.name}.toml"


def _times(given: ModelSpec, folder: Path) -> float:
    """Time of the given network for each of the reference's."""
    path = folder / LIMIT
    if not path.exists():
        taken = NetworkBench(folder, "onnx", given.input_size).measure(given)
        write_atomic(path, json.dumps({"times_the_reference": round(taken.time.value, 4)}).encode())
    return float(json.loads(path.read_text(encoding="utf-8"))["times_the_reference"])
