"""Pruning as one call: a model file and photos to a smaller model file, with what it cost and what it gained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from herder.api.prune_gradients import loss_gradients
from herder.api.prune_measure import EngineSpeed, Measured, compare_speed, measure_model
from herder.api.prune_settings import PruneSettings, check_settings
from herder.api.prune_state import PruneState, StepDone
from herder.api.run_photos import Photos, read_photos
from herder.api.teachers import check_teachers
from herder.api.training_run import base_config, run_training
from herder.errors import ConfigError
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.model.pruning import Importance, prune, step_ratio
from herder.model.sparsity import sparsify, sparsity
from herder.training.config import TrainConfig, load_config
from herder.training.distributed import Ranks
from herder.training.interfaces import Ending
from herder.training.tracking import Tracker

SELF = "self"
"""As a teacher: the model as it is before pruning."""


@dataclass(frozen=True)
class PruneResult:
    """The pruned model, and both models measured on the same photos."""

    path: Path
    onnx: Path
    """The pruned model for other engines; not there where ONNX is not installed."""
    before: Measured
    after: Measured
    speeds: tuple[EngineSpeed, ...]
    steps: tuple[StepDone, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, for JSON."""
        return {**asdict(self), "path": str(self.path), "onnx": str(self.onnx)}


def run_pruning(
    model: Path,
    data: Path | Photos,
    out: Path,
    settings: PruneSettings | None = None,
    config: TrainConfig | None = None,
    *,
    resume: bool = False,
    trackers: Sequence[Tracker] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> PruneResult:
    """Prune the model in steps, fine-tune after each, and write ``out/pruned.safetensors``, ``out/pruned.onnx`` and
    ``out/step-N``.

    ``config`` is for the fine-tuning of each step (None: the defaults for this model); its distillation's teachers
    teach the pruned network. With ``resume`` a run that was stopped goes on with the step it was at. Raises
    ConfigError, before any work, for settings that leave no channel or a folder that is not empty; KeyboardInterrupt
    where the training was stopped; and what training raises.
    """
    settings = settings or PruneSettings()
    if model.suffix != ".safetensors":
        raise ConfigError(f"{model}: only .safetensors models can be pruned", hint="prune before you export")
    network = load_model(model)
    check_settings(network, settings)
    config = replace(config or base_config(model), keep_zeros=settings.unstructured)
    photos = data if isinstance(data, Photos) else read_photos(data)
    check_teachers(config.distillation.teachers, network.spec, photos.train.class_names)
    state = PruneState.open(out, model, photos, settings, config, resume=resume)
    current = network
    for step in range(1, settings.steps + 1):
        kept = out / f"step-{step}.safetensors"
        if len(state.done) < step:
            start = out / f"start-{step}.safetensors"
            if not start.exists():  # a resumed step must train on from the very same start
                small = _pruned(current, settings, step, photos, config)
                save_model(small, small.spec.replace(metrics={}), start)
            best = start
            if settings.fine_tune:
                say(f"step {step} of {settings.steps}: {_left(load_model(start), network)}; fine-tuning")
                folder = out / f"step-{step}"
                result = run_training(photos, None, start, config, folder, resume=resume, trackers=trackers)
                if result.ending is Ending.INTERRUPTED:
                    say(f"stopped in step {step} of {settings.steps}; the same command with --resume goes on")
                    raise KeyboardInterrupt
                best = result.best
            current = load_model(best)
            save_model(current, current.spec, kept)
            state.add(_done(step, settings, current))
        current = load_model(kept)
    target, onnx = out / "pruned.safetensors", out / "pruned.onnx"
    save_model(current, current.spec, target)
    size = current.spec.input_size
    say(f"measuring both models at {size} pixels (the model was trained at {network.spec.input_size})")
    device = Ranks.from_environment().pick_device(config.device)
    before, after = (measure_model(path, photos, size, device) for path in (model, target))
    speeds = compare_speed(model, target, onnx, photos, say)
    pruned = PruneResult(target, onnx, before, after, speeds, tuple(state.done))
    state.write(pruned.as_dict())
    return pruned


def prune_model(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    settings: PruneSettings | None = None,
    teachers: Sequence[str | Path] = (),
    training: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> PruneResult:
    """The Python twin of ``herder prune``; ``training`` are fields of ``TrainConfig`` for the fine-tuning."""
    own = {**(training or {}), **teacher_settings(Path(model), teachers)}
    config = load_config(None, own, base=base_config(Path(model)))
    return run_pruning(Path(model), Path(data), Path(out), settings, config, resume=resume)


def teacher_settings(model: Path, teachers: Sequence[str | Path]) -> dict[str, Any]:
    """The settings that make these model files the teachers; ``self`` is the model before pruning.

    >>> teacher_settings(Path("farm.safetensors"), ["self"])
    {'distillation.teachers': ['farm.safetensors']}
    """
    paths = [str(model if str(teacher) == SELF else teacher) for teacher in teachers]
    return {"distillation.teachers": paths} if paths else {}


def _pruned(network: Network, settings: PruneSettings, step: int, photos: Photos, config: TrainConfig) -> Network:
    """The network after one more step of pruning, not yet trained."""
    if settings.unstructured:
        return sparsify(network, _gone(settings, step))
    return prune(
        network,
        step_ratio(settings.ratio, settings.steps),
        scope=settings.scope,
        importance=settings.importance,
        multiple=settings.multiple,
        learn=loss_gradients(photos, config) if settings.importance is Importance.TAYLOR else None,
    )


def _gone(settings: PruneSettings, step: int) -> float:
    """The share that is gone after a step: each takes the same share of what is left."""
    return 1 - (1 - step_ratio(settings.ratio, settings.steps)) ** step


def _done(step: int, settings: PruneSettings, network: Network) -> StepDone:
    count = sum(p.numel() for p in network.parameters())
    return StepDone(step, _gone(settings, step), count, sparsity(network), dict(network.spec.metrics))


def _left(network: Network, before: Network) -> str:
    """What is left of the network, in words."""
    share = sum(p.numel() for p in network.parameters()) / sum(p.numel() for p in before.parameters())
    zeros = sparsity(network)
    return f"{zeros:.0%} of the weights are zero" if zeros > 0.001 else f"{share:.0%} of the parameters are left"
