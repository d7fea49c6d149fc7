"""A Solver's state in one .npz file: plain arrays and one JSON text, no pickle, so that opening a file can run nothing.

Names inside the file: ``model/params/W1``, ``model/running/0/running_mean``, ``best/...`` likewise,
``optim/W1/velocity``, and ``facts``, the JSON of everything that is not an array.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from herder.errors import ModelFileError
from herder.files import write_atomic
from herder.foundations.arguments import Array
from herder.foundations.optimizers import Config

FORMAT = 1


@dataclass(frozen=True)
class ModelState:
    """A model's weights, and the running statistics of its batch norm layers, which are learned too."""

    params: dict[str, Array]
    running: dict[str, Array]

    @classmethod
    def of(cls, model: Any) -> ModelState:
        """A copy of what ``model`` has learned so far."""
        params = {name: np.array(value) for name, value in model.params.items()}
        running = {f"{place}/{key}": np.array(value) for place, key, value in _running(model)}
        return cls(params, running)

    def give_to(self, model: Any) -> None:
        """Set ``model`` back to this state."""
        model.params.update({name: value.copy() for name, value in self.params.items()})
        for place, bn_param in enumerate(getattr(model, "bn_params", ())):
            prefix = f"{place}/"
            bn_param.update({k.removeprefix(prefix): v.copy() for k, v in self.running.items() if k.startswith(prefix)})


@dataclass(frozen=True)
class SolverState:
    """Everything that decides how a Solver goes on; ``generators`` the state of its random numbers."""

    settings: dict[str, Any]
    model: ModelState
    best: ModelState
    optim_configs: dict[str, Config]
    loss_history: list[float]
    train_acc_history: list[float]
    val_acc_history: list[float]
    epoch: int
    best_val_acc: float
    generators: dict[str, Any]


_FACTS = ("settings", "loss_history", "train_acc_history", "val_acc_history", "epoch", "best_val_acc", "generators")
"""The fields of SolverState that JSON holds as they are."""


def write_checkpoint(path: Path, state: SolverState) -> None:
    """Write ``state`` all at once. Raises ResourceError when the disk is full or the place may not be written."""
    arrays: dict[str, Array] = {}
    for name, model in (("model", state.model), ("best", state.best)):
        arrays.update({f"{name}/params/{key}": value for key, value in model.params.items()})
        arrays.update({f"{name}/running/{key}": value for key, value in model.running.items()})
    numbers: dict[str, dict[str, float]] = {}
    for param, config in state.optim_configs.items():
        arrays.update({f"optim/{param}/{key}": value for key, value in config.items() if isinstance(value, np.ndarray)})
        # JSON keeps every bit of a float64, and the difference between 5 and 5.0.
        numbers[param] = {k: _plain(v) for k, v in config.items() if not isinstance(v, np.ndarray)}
    facts = {"format": FORMAT, "optim": numbers, **{name: getattr(state, name) for name in _FACTS}}
    arrays["facts"] = np.array(json.dumps(facts))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


def read_checkpoint(path: Path, like: SolverState) -> SolverState:
    """Read a checkpoint that goes on from settings and a model like those of ``like``.

    Raises ModelFileError when the file is missing, damaged, of another format, or from other settings or shapes.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, Array] = {name: file[name] for name in file.files}
        facts = json.loads(str(arrays.pop("facts")))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, wanted {FORMAT}")
        for generator in facts["generators"].values():
            np.random.default_rng().bit_generator.state = generator  # raises now, not when half is restored
        optim_configs: dict[str, Config] = {
            param: {**numbers, **_under(arrays, f"optim/{param}/")} for param, numbers in facts["optim"].items()
        }
        state = SolverState(
            settings=dict(facts["settings"]),
            model=ModelState(_under(arrays, "model/params/"), _under(arrays, "model/running/")),
            best=ModelState(_under(arrays, "best/params/"), _under(arrays, "best/running/")),
            optim_configs=optim_configs,
            loss_history=[float(loss) for loss in facts["loss_history"]],
            train_acc_history=[float(accuracy) for accuracy in facts["train_acc_history"]],
            val_acc_history=[float(accuracy) for accuracy in facts["val_acc_history"]],
            epoch=int(facts["epoch"]),
            best_val_acc=float(facts["best_val_acc"]),
            generators=dict(facts["generators"]),
        )
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file", hint="check the path, or train first") from None
    except Exception as error:  # a damaged zip, npy header or JSON can raise nearly anything
        raise ModelFileError(
            f"{path}: cannot be read as a Solver's checkpoint ({error})", hint="use the checkpoint of another epoch"
        ) from error
    _check_fit(path, state, like)
    return state


def _check_fit(path: Path, state: SolverState, like: SolverState) -> None:
    for name, wanted in like.settings.items():
        found = state.settings.get(name)
        if found != wanted:
            raise ModelFileError(
                f"{path}: {name}: found {found!r}, wanted {wanted!r}", hint="make the Solver with the settings it had"
            )
    wanted_arrays = _described(like.model.params)
    for params in (state.model.params, state.best.params):
        if _described(params) != wanted_arrays:
            raise ModelFileError(
                f"{path}: params: found {_described(params)}, wanted {wanted_arrays}", hint="make the model that it was"
            )
    for name, has, wants in (
        ("optimizer", state.optim_configs, like.optim_configs),
        ("random numbers", state.generators, like.generators),
    ):
        if set(has) != set(wants):
            raise ModelFileError(
                f"{path}: {name}: found the state of {', '.join(sorted(has))}, wanted {', '.join(sorted(wants))}",
                hint="make the model that it was",
            )


def _described(arrays: Mapping[str, Array]) -> dict[str, str]:
    return {name: f"{value.dtype} {value.shape}" for name, value in sorted(arrays.items())}


def _running(model: Any) -> Iterator[tuple[int, str, Array]]:
    for place, bn_param in enumerate(getattr(model, "bn_params", ())):
        for key, value in bn_param.items():
            if isinstance(value, np.ndarray):
                yield place, key, value


def _under(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names start with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _plain(value: Any) -> Any:
    """A NumPy number as Python's own, which JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value
