"""Pruning as one call: a model file and photos to a smaller model file, with what it cost and what it gained."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from herder.api.run_photos import Photos, read_photos
from herder.api.training_run import base_config, run_training
from herder.errors import ConfigError
from herder.evaluation import evaluate_detector
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.files import load_model, save_model
from herder.model.flops import count_work
from herder.model.network import Network
from herder.model.pruning import Importance, Scope, check_pruning, check_ratio, prune, step_ratio
from herder.model.sparsity import sparsify, zipped_bytes
from herder.training.config import TrainConfig, load_config
from herder.training.distributed import Ranks
from herder.training.interfaces import Ending
from herder.training.tracking import Tracker

ROUNDS = 30
"""Paired timings of both networks."""


@dataclass(frozen=True)
class Measured:
    """A model as it is measured here."""

    parameters: int
    flops: int
    """For one photo on the square canvas of the model's input size; two for each multiply-accumulate."""
    milliseconds: float
    """Median of the network alone in torch on the CPU, one photo; the two models of a result took turns."""
    map50: float
    map50_95: float
    file_bytes: int
    zipped_bytes: int


@dataclass(frozen=True)
class PruneResult:
    """The pruned model, and both models measured on the same photos."""

    path: Path
    before: Measured
    after: Measured
    interrupted: bool = False


@dataclass(frozen=True)
class PruneSettings:
    """How to prune."""

    ratio: float = 0.3
    """Share of the channels that go; of the weights where unstructured."""
    steps: int = 3
    """Rounds of pruning and fine-tuning, each of which takes the same share of what is left."""
    scope: Scope = Scope.GLOBAL
    importance: Importance = Importance.L2
    multiple: int = 4
    """Channels left are multiples of this where a layer has that many: processors work on groups of them."""
    unstructured: bool = False
    """Zero single weights, with no fine-tuning, in place of taking channels out."""


def run_pruning(
    model: Path,
    data: Path | Photos,
    out: Path,
    settings: PruneSettings | None = None,
    config: TrainConfig | None = None,
    *,
    trackers: Sequence[Tracker] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> PruneResult:
    """Prune the model in steps, fine-tune after each, and write ``out/pruned.safetensors`` and ``out/step-N``.

    ``config`` is for the fine-tuning of each step (None: the defaults for this model). Raises ConfigError, before any
    work, for settings that leave no channel or a folder that is not empty, and what training raises.
    """
    settings = settings or PruneSettings()
    if model.suffix != ".safetensors":
        raise ConfigError(f"{model}: only .safetensors models can be pruned", hint="prune before you export")
    network = load_model(model)
    if settings.unstructured:
        check_ratio(settings.ratio)
    else:
        check_pruning(network, settings.ratio, settings.scope, settings.steps)
    if settings.multiple < 1:
        raise ConfigError(f"multiple: {settings.multiple}", hint="wanted 1 or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already", hint="choose a new folder with --out")
    config = config or base_config(model)
    photos = data if isinstance(data, Photos) else read_photos(data)
    target = out / "pruned.safetensors"
    interrupted = False
    if settings.unstructured:
        save_model(sparse := sparsify(network, settings.ratio), sparse.spec.replace(metrics={}), target)
    else:
        share, current = step_ratio(settings.ratio, settings.steps), network
        for step in range(1, settings.steps + 1):
            current = prune(
                current, share, scope=settings.scope, importance=settings.importance, multiple=settings.multiple
            )
            start = out / f"start-{step}.safetensors"
            save_model(current, current.spec, start)
            kept = sum(p.numel() for p in current.parameters()) / sum(p.numel() for p in network.parameters())
            say(f"step {step} of {settings.steps}: {kept:.0%} of the parameters are left; fine-tuning")
            result = run_training(photos, None, start, config, out / f"step-{step}", trackers=trackers)
            interrupted = result.ending is Ending.INTERRUPTED
            if result.best.exists():
                current = load_model(result.best)
            if interrupted:
                break
        save_model(current, current.spec, target)
    pruned = load_model(target)
    before_ms, after_ms = paired_milliseconds(network, pruned)
    before = _measure(network, model, photos, before_ms, config)
    after = _measure(pruned, target, photos, after_ms, config)
    return PruneResult(target, before, after, interrupted)


def prune_model(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    settings: PruneSettings | None = None,
    training: Mapping[str, Any] | None = None,
) -> PruneResult:
    """The Python twin of ``herder prune``; ``training`` are fields of ``TrainConfig`` for the fine-tuning."""
    config = load_config(None, dict(training or {}), base=base_config(Path(model)))
    return run_pruning(Path(model), Path(data), Path(out), settings, config)


def paired_milliseconds(first: Network, second: Network, rounds: int = ROUNDS) -> tuple[float, float]:
    """Median milliseconds of both networks for one photo; they take turns, so that a busy moment hits both."""
    engines = [TorchEngine(network) for network in (first, second)]
    canvases = [np.full((1, e.spec.input_size, e.spec.input_size, 3), 114, np.uint8) for e in engines]
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 3):
        for engine, canvas, times in zip(engines, canvases, taken, strict=True):
            begun = time.perf_counter()
            engine.predict(canvas)
            if turn >= 3:  # the first ones make plans and fill caches
                times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken[0]), statistics.median(taken[1])


def _measure(network: Network, path: Path, photos: Photos, milliseconds: float, config: TrainConfig) -> Measured:
    size = network.spec.input_size
    work = count_work(network, size, size)
    device = Ranks.from_environment().pick_device(config.device)
    metrics, _ = evaluate_detector(Detector(TorchEngine(network, device=device)), photos.validation)
    numbers = metrics.as_dict()
    return Measured(
        work.parameters,
        work.flops,
        milliseconds,
        numbers["mAP50"],
        numbers["mAP50_95"],
        path.stat().st_size,
        zipped_bytes(path),
    )
