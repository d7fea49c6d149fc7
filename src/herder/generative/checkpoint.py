"""The state of a training run in one safetensors file: no pickle, written whole or not at all.

Tensors of the file, by their names:

    module.<module>.<key>                  a module's ``state_dict``: weights, buffers, a running average's count
    optimizer.<optimizer>.<i>.<slot>       what an optimiser keeps for its i-th parameter, such as Adam's two moments
    random.torch, random.cuda              torch's own generators, which dropout and ``torch.randn`` draw from
    random.generator                       the run's own ``torch.Generator``, when there is one
    extra.<name>                           any other tensor of the run, such as its losses so far

Everything that is no tensor (settings, step, history, an optimiser's learning rate) stands as JSON in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.tensor_files import read_metadata, read_tensors

STATE_KEY = "herder_generative_state"
"""The metadata entry that tells such a file from any other."""

STATE_VERSION = 1
"""Raised when a reader of the old version would misread the new one."""


@dataclass(frozen=True)
class State:
    """A state read back; nothing is restored until ``restore_state``."""

    path: Path
    """Where it was read from, for error messages."""
    tensors: dict[str, Tensor]
    """All tensors, by the names that the module's docstring lists."""
    facts: dict[str, Any]
    """What the run wrote beside its tensors, as JSON gives it back: tuples have become lists."""
    optimizers: dict[str, dict[str, Any]]
    """An optimiser's ``groups`` (learning rate, betas, ...) and the ``scalars`` it keeps beside tensors."""


def save_state(
    path: Path,
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer] | None = None,
    facts: Mapping[str, Any],
    generator: torch.Generator | None = None,
    tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write named modules, optimisers, random states, JSON ``facts`` and other ``tensors`` to ``path``, all at once.

    Raises ValueError for facts that JSON cannot hold, and ResourceError when the disk is full or may not be written;
    the file that was there before then stays.

    >>> import tempfile
    >>> layer = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.safetensors")
    ...     save_state(path, modules={"layer": layer}, facts={"step": 3})
    ...     state = load_state(path)
    ...     restore_state(state, {"layer": nn.Linear(2, 1)})
    >>> state.facts
    {'step': 3}
    """
    named = {f"extra.{name}": value for name, value in (tensors or {}).items()}
    for name, module in modules.items():
        named |= {f"module.{_plain(name)}.{key}": value for key, value in module.state_dict().items()}
    described: dict[str, dict[str, Any]] = {}
    for name, optimizer in (optimizers or {}).items():
        packed = optimizer.state_dict()  # parameters are counted through all groups
        scalars: dict[str, dict[str, Any]] = {}
        for index, slots in packed["state"].items():
            for slot, value in slots.items():
                if isinstance(value, Tensor):
                    named[f"optimizer.{_plain(name)}.{index}.{slot}"] = value
                else:
                    scalars.setdefault(str(index), {})[slot] = value
        described[name] = {"groups": packed["param_groups"], "scalars": scalars}
    named["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        named["random.cuda"] = torch.cuda.get_rng_state()
    if generator is not None:
        named["random.generator"] = generator.get_state()
    metadata = {
        STATE_KEY: _to_json("optimizers", {"version": STATE_VERSION, "optimizers": described}),
        "facts": _to_json("facts", dict(facts)),
    }
    # Copies: two modules may share a weight, and safetensors writes no shared memory.
    plain = {name: value.detach().cpu().clone().contiguous() for name, value in named.items()}
    write_atomic(path, safetensors.torch.save(plain, metadata=metadata))


def load_state(path: Path) -> State:
    """Read what ``save_state`` wrote.

    Raises ModelFileError when the file is missing, damaged, something else, or written by a newer herder.
    """
    metadata = read_metadata(path)
    if STATE_KEY not in metadata:
        raise ModelFileError(f"{path}: is not the state of a generative run", hint="name a file that training wrote")
    try:
        header, facts = json.loads(metadata[STATE_KEY]), json.loads(metadata["facts"])
        version, optimizers = header["version"], dict(header["optimizers"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: its facts cannot be read ({error})", hint="the file is damaged") from None
    if not isinstance(version, int) or version > STATE_VERSION:
        raise ModelFileError(
            f"{path}: state version {version!r} is newer than this herder reads ({STATE_VERSION})",
            hint="upgrade herder",
        )
    if not isinstance(facts, dict):
        raise ModelFileError(f"{path}: its facts are no table of names", hint="the file is damaged")
    return State(path, read_tensors(path), facts, optimizers)


def restore_state(
    state: State,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer] | None = None,
    generator: torch.Generator | None = None,
) -> None:
    """Put a state back into modules, optimisers and random generators, so that a run goes on as if never stopped.

    The file may hold more modules than are asked for. Random states, torch's own too, are set back when the run's
    ``optimizers`` are given: a reader of the weights alone (``restore_state(state, {"network": network})``) leaves
    them as they are. Raises ModelFileError when a tensor is missing, left over or of another shape or dtype; nothing
    has been changed then.
    """
    pairs = [(module, _module_tensors(state, name, module)) for name, module in modules.items()]
    packed = [(optimizer, _optimizer_state(state, name, optimizer)) for name, optimizer in (optimizers or {}).items()]
    if packed:
        _check_random(state, generator)
    for module, values in pairs:
        module.load_state_dict(values)
    for optimizer, slots in packed:
        optimizer.load_state_dict(slots)
    if packed:
        _restore_random(state, generator)


def check_config(state: State, config: Mapping[str, Any], *, may_change: Collection[str] = ()) -> None:
    """Raise ConfigError where ``config`` differs from ``state.facts["config"]`` in a name outside ``may_change``.

    Both are compared as JSON, so that a tuple equals the list that it became. Raises ModelFileError when the state
    has no config.
    """
    before = state.facts.get("config")
    if not isinstance(before, dict):
        raise ModelFileError(f"{state.path}: holds no config", hint="the file is damaged, or of another kind")
    now = json.loads(_to_json("config", dict(config)))
    for name in sorted(before.keys() | now.keys()):
        if name not in may_change and before.get(name) != now.get(name):
            raise ConfigError(
                f"{name}: the run to resume ({state.path}) has {before.get(name)!r}, not {now.get(name)!r}",
                hint="a resumed run keeps its settings; give the same ones, or start a new run in another folder",
            )


def _module_tensors(state: State, name: str, module: nn.Module) -> dict[str, Tensor]:
    """The state dict for ``module`` out of the file, checked against what the module calls for."""
    prefix = f"module.{name}."
    found = {key.removeprefix(prefix): value for key, value in state.tensors.items() if key.startswith(prefix)}
    wanted = module.state_dict()
    strange = sorted(wanted.keys() ^ found.keys())
    if strange:
        raise ModelFileError(
            f"{state.path}: {len(strange)} tensors of {name!r} are missing or left over: {strange[:3]}",
            hint="the file is damaged, or belongs to another network",
        )
    for key, value in wanted.items():
        if (value.shape, value.dtype) != (found[key].shape, found[key].dtype):
            raise ModelFileError(
                f"{state.path}: {name}.{key} is {tuple(found[key].shape)} of {found[key].dtype}, "
                f"wanted {tuple(value.shape)} of {value.dtype}",
                hint="the file is damaged, or belongs to another network",
            )
    return found


def _optimizer_state(state: State, name: str, optimizer: Optimizer) -> dict[str, Any]:
    """The state dict for ``optimizer`` out of the file, checked against its parameters."""
    damaged = "the file is damaged, or belongs to another run"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    slots: dict[int, dict[str, Any]] = {}
    try:
        groups, scalars = state.optimizers[name]["groups"], state.optimizers[name]["scalars"]
        counts = [len(group["params"]) for group in groups]
        for index, values in scalars.items():
            slots.setdefault(int(index), {}).update(values)
        prefix = f"optimizer.{name}."
        for key, value in state.tensors.items():
            if key.startswith(prefix):
                index, slot = key.removeprefix(prefix).split(".", 1)
                shape = parameters[int(index)].shape
                if value.ndim and value.shape != shape:
                    raise ModelFileError(
                        f"{state.path}: {key} is {tuple(value.shape)}, wanted {tuple(shape)}", hint=damaged
                    )
                slots.setdefault(int(index), {})[slot] = value
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelFileError(f"{state.path}: optimiser {name!r} cannot be read ({error})", hint=damaged) from None
    if counts != [len(group["params"]) for group in optimizer.param_groups]:
        raise ModelFileError(f"{state.path}: optimiser {name!r} has other parameters", hint=damaged)
    # JSON knows no tuples; Adam's betas are one. Settings that a newer torch has added keep their defaults.
    tupled = [{key: tuple(v) if key == "betas" else v for key, v in group.items()} for group in groups]
    merged = [{**new, **old} for new, old in zip(optimizer.param_groups, tupled, strict=True)]
    return {"state": slots, "param_groups": merged}


def _check_random(state: State, generator: torch.Generator | None) -> None:
    """Raise where a random state is missing or is not of the size that this torch and this device want."""
    wanted = {"random.torch": torch.get_rng_state()}
    if generator is not None:
        wanted["random.generator"] = generator.get_state()
    for name, now in wanted.items():
        found = state.tensors.get(name)
        if found is None or (found.shape, found.dtype) != (now.shape, now.dtype):
            raise ModelFileError(
                f"{state.path}: {name} is missing or does not fit",
                hint="the file is damaged, or the run began on another kind of device",
            )


def _restore_random(state: State, generator: torch.Generator | None) -> None:
    """Set the random generators back; the GPU's only where the run had one and this machine has one."""
    try:
        torch.set_rng_state(state.tensors["random.torch"])
        if torch.cuda.is_available() and "random.cuda" in state.tensors:
            torch.cuda.set_rng_state(state.tensors["random.cuda"])
        if generator is not None:
            generator.set_state(state.tensors["random.generator"])
    except RuntimeError as error:
        raise ModelFileError(
            f"{state.path}: the random states cannot be restored ({error})", hint="the file is damaged"
        ) from None


def _plain(name: str) -> str:
    """A module's or optimiser's name without a dot, which parts the names in the file."""
    if not name or "." in name:
        raise ValueError(f"name: found {name!r}, wanted one without a dot")
    return name


def _to_json(name: str, value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: found what JSON cannot hold ({error}), wanted numbers, texts and lists") from None
