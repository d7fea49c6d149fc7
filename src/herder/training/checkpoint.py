"""The checkpoint that a run goes on from: one safetensors file, no pickle, written whole or not at all.

Tensors: ``model.*`` weights and buffers, ``average.*`` their running average, ``optimizer.<slot>.<parameter>`` AdamW's
moments, ``loss.*`` what a loss learns itself, ``random.*`` generator states, ``progress.losses`` the sums of the
unfinished epoch. Everything that is not a tensor stands as JSON in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.model.files import CHECKPOINT_KEY
from herder.spec import ModelSpec
from herder.tensor_files import read_metadata, read_tensors
from herder.training.config import TrainConfig
from herder.training.weight_averaging import WeightAverage

CHECKPOINT_VERSION = 1
"""Raised when a reader of the old version would misread the new one."""

MAY_CHANGE = frozenset({"workers", "checkpoint_every_steps", "device"})
"""Settings that a resumed run may change: none of them changes its result on one machine."""


@dataclass
class Progress:
    """Where a run stands, besides its tensors; all plain numbers and texts."""

    epoch: int = 0
    """The epoch under way, counted from 0; ``epochs`` once all are done."""
    step: int = 0
    """Steps done in that epoch."""
    global_step: int = 0
    """Steps done in the whole run."""
    seconds: float = 0.0
    """Wall time of the run so far, over all its parts."""
    epoch_seconds: float = 0.0
    """Training time of the epoch so far, without evaluation."""
    photos: int = 0
    """Photos seen in the epoch so far."""
    best: float = -float("inf")
    """The best metric so far."""
    best_epoch: int = 0
    """The epoch that reached it, counted from 1; 0 before the first evaluation."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of that epoch."""
    finished: bool = False
    """Whether the run has come to its end, by its epochs or by early stopping."""
    stopping: dict[str, float] = field(default_factory=dict)
    """State of ``EarlyStopping``."""
    plateau: dict[str, float] = field(default_factory=dict)
    """State of ``PlateauFactor``."""
    scaler: dict[str, float] = field(default_factory=dict)
    """State of the fp16 gradient scaler."""
    average_updates: int = 0
    """Updates that the weight average has had."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back."""

    path: Path
    tensors: dict[str, Tensor]
    progress: Progress
    config: TrainConfig
    spec: ModelSpec


def save_checkpoint(
    path: Path,
    network: nn.Module,
    average: WeightAverage[Any],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    losses: Tensor,
    config: TrainConfig,
    spec: ModelSpec,
    learner: nn.Module | None = None,
) -> None:
    """Write the state of a run to ``path``; ``losses`` are the sums of the unfinished epoch, ``learner`` a loss that
    learns along.

    Raises ResourceError when the disk is full or may not be written; the file that was there before then stays.
    """
    tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.network.state_dict().items()}
    if learner is not None:
        tensors |= {f"loss.{name}": value for name, value in learner.state_dict().items()}
    for name, parameter in _parameters(network, learner).items():
        tensors |= {f"optimizer.{slot}.{name}": value for slot, value in optimizer.state.get(parameter, {}).items()}
    tensors["progress.losses"] = losses
    tensors["random.cpu"] = torch.get_rng_state()
    if losses.is_cuda:
        tensors["random.cuda"] = torch.cuda.get_rng_state(losses.device)
    metadata = {
        CHECKPOINT_KEY: json.dumps({"version": CHECKPOINT_VERSION, **asdict(progress)}),
        "config": config.to_json(),
        "spec": spec.to_json(),
    }
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomic(path, safetensors.torch.save(plain, metadata=metadata))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises ModelFileError when the file is missing, cut short, no checkpoint, or written by a newer herder.
    """
    metadata = read_metadata(path)
    if not {CHECKPOINT_KEY, "config", "spec"} <= metadata.keys():
        raise ModelFileError(f"{path}: is not a training checkpoint", hint="resume from a run's last.safetensors")
    try:
        facts = json.loads(metadata[CHECKPOINT_KEY])
        version = facts.pop("version")
        settings = json.loads(metadata["config"])
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelFileError(f"{path}: the progress cannot be read ({error})", hint="the file is damaged") from None
    if not isinstance(version, int) or version > CHECKPOINT_VERSION:
        raise ModelFileError(
            f"{path}: checkpoint version {version!r} is newer than this herder reads ({CHECKPOINT_VERSION})",
            hint="upgrade herder",
        )
    strange = sorted(facts.keys() ^ {f.name for f in fields(Progress)})
    if strange:
        raise ModelFileError(
            f"{path}: unknown or missing fields {strange}", hint="resume with the herder that wrote it"
        )
    try:
        config = TrainConfig.from_dict(settings, source=str(path))
    except ConfigError as error:
        raise ModelFileError(error.message, hint="resume with the herder that wrote it") from None
    spec = ModelSpec.from_json(metadata["spec"], source=str(path))
    return Checkpoint(path, read_tensors(path), Progress(**facts), config, spec)


def check_matches(checkpoint: Checkpoint, config: TrainConfig, spec: ModelSpec) -> None:
    """Raise when a run with this config and spec cannot go on from the checkpoint.

    ModelFileError for other classes, another architecture or other photos; ConfigError for another setting.
    """
    old, path = checkpoint.spec, checkpoint.path
    other_run = "use the run's own data and model, or start a new run with --init on its best.safetensors"
    if old.class_names != spec.class_names:
        raise ModelFileError(
            f"{path}: was trained for {len(old.class_names)} classes {_short(old.class_names)}, "
            f"this run has {len(spec.class_names)} {_short(spec.class_names)}",
            hint=other_run,
        )
    if old.architecture != spec.architecture:
        before, now = asdict(old.architecture), asdict(spec.architecture)
        differing = [f"{k} {before[k]!r} not {now[k]!r}" for k in before if before[k] != now[k]]
        raise ModelFileError(f"{path}: has another architecture: {', '.join(differing)}", hint=other_run)
    if old.dataset_fingerprint != spec.dataset_fingerprint:
        raise ModelFileError(f"{path}: the training photos or labels have changed since it was written", hint=other_run)
    before, now = checkpoint.config.as_dict(), config.as_dict()
    for name in before:
        if name not in MAY_CHANGE and before[name] != now[name]:
            raise ConfigError(
                f"{name}: the run to resume has {_difference(before[name], now[name])}",
                hint="a resumed run keeps its settings; leave the flag out, or start a new run",
            )


def _parameters(network: nn.Module, learner: nn.Module | None) -> dict[str, nn.Parameter]:
    """All that learns, by name; the loss's own parameters begin with ``loss.``."""
    own = learner.named_parameters(prefix="loss") if learner is not None else ()
    return dict(network.named_parameters()) | dict(own)


def restore(
    checkpoint: Checkpoint,
    network: nn.Module,
    average: WeightAverage[Any],
    optimizer: torch.optim.Optimizer,
    learner: nn.Module | None = None,
) -> None:
    """Put the checkpoint's tensors back into network, average, optimiser and random generators.

    Raises ModelFileError when they are not just the tensors that the network calls for.
    """
    tensors = checkpoint.tensors
    _fill(network, tensors, "model.", checkpoint.path)
    _fill(average.network, tensors, "average.", checkpoint.path)
    average.updates = checkpoint.progress.average_updates
    if learner is not None:
        _fill(learner, tensors, "loss.", checkpoint.path)
    parameters = _parameters(network, learner)
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, slot, name = key.split(".", 2)
            if name not in parameters:
                raise ModelFileError(f"{checkpoint.path}: {key} fits no parameter", hint="the file is damaged")
            # Moments take the memory layout of their weights, as AdamW makes them; its step count has none.
            new = torch.empty_like(parameters[name]) if value.ndim else torch.empty((), device=parameters[name].device)
            optimizer.state[parameters[name]][slot] = new.copy_(value)
    torch.set_rng_state(tensors["random.cpu"])
    device = next(network.parameters()).device
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


@torch.no_grad()
def _fill(network: nn.Module, tensors: Mapping[str, Tensor], prefix: str, path: Path) -> None:
    """Copy the tensors under ``prefix`` into the network's own, which keep their memory layout."""
    wanted = network.state_dict()
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    wrong = sorted(
        wanted.keys() ^ found.keys() | {n for n in wanted.keys() & found.keys() if wanted[n].shape != found[n].shape}
    )
    if wrong:
        raise ModelFileError(
            f"{path}: {len(wrong)} tensors do not fit the network: {wrong[:3]}", hint="the file is damaged"
        )
    for name, value in wanted.items():
        value.copy_(found[name])


def _short(names: tuple[str, ...]) -> str:
    return str(list(names)) if len(names) <= 5 else f"[{', '.join(names[:5])}, ...]"


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, dict):
        return ", ".join(f"{k} {_difference(before[k], now[k])}" for k in before if before[k] != now[k])
    return f"{before!r}, not {now!r}"
