"""``herder soup`` from Python: average models of one architecture into one model file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from herder.api.soup_settings import Method, SoupSettings
from herder.data.augmentation import AugmentationConfig
from herder.data.pipeline import TrainingPipeline
from herder.data.records import Dataset, Problem
from herder.errors import ConfigError, DataError
from herder.evaluation import evaluate_detector
from herder.evaluation.detector import log_problem
from herder.evaluation.metrics import Metrics
from herder.evaluation.prediction_store import file_sha256
from herder.files import check_writable
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.files import load_model, save_model
from herder.model.network import Network
from herder.model.norm_statistics import reestimate_norms
from herder.model.soup import average_weights, check_compatible, greedy_choice

SOUP_KEY = "herder_soup"
"""Metadata entry of the model file that says, as JSON, what it was made of."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Ingredient:
    """One of the models given."""

    path: Path
    sha256: str
    kept: bool
    score: float | None = None
    """Its own mAP50_95 on the photos of the choice; None where there was no choice."""
    with_it: float | None = None
    """mAP50_95 of the average with it, where that was tried."""


@dataclass(frozen=True, eq=False)
class SoupRun:
    """What was made of what."""

    out: Path
    settings: SoupSettings
    ingredients: tuple[Ingredient, ...]
    chosen_on: Dataset | None
    """Photos that the models were chosen and the score threshold was set on."""
    recalibrated_on: Dataset | None
    metrics: Metrics | None
    """The soup's, on the photos of the choice."""
    threshold: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For the model file and ``--json``: names and digests, no whole paths."""
        return {
            "kind": "soup",
            "version": 1,
            "herder_version": version("herder"),
            "method": self.settings.method.value,
            "models": [
                {"name": i.path.name, "sha256": i.sha256, "kept": i.kept, "mAP50_95": i.score, "with_it": i.with_it}
                for i in self.ingredients
            ],
            "chosen_on": _about(self.chosen_on),
            "recalibrated_on": _about(self.recalibrated_on),
            "metrics": None if self.metrics is None else _plain(self.metrics.as_dict()),
            "score_threshold": self.threshold,
            "notes": list(self.notes),
        }


def make_soup(
    models: Sequence[Path],
    out: Path,
    settings: SoupSettings | None = None,
    *,
    data: Dataset | None = None,
    recalibrate: Dataset | None = None,
    progress: Progress | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> SoupRun:
    """Average ``models`` and write the result to ``out``.

    ``data`` are labelled photos: a greedy soup chooses its models on them, and every soup sets its score threshold
    there. On ``recalibrate`` the norms' statistics are estimated anew. Raises ConfigError for models that do not fit
    together, the same model twice, a greedy soup without photos, or an ``out`` that is one of the models; DataError for
    photos without labelled boxes.
    """
    settings = settings or SoupSettings()
    digests = _check(models, out, settings, data, recalibrate)
    networks = [load_model(path) for path in models]
    check_compatible([(str(path), network.spec) for path, network in zip(models, networks, strict=True)])
    spec = networks[0].spec
    size = settings.size or spec.input_size

    def mixed(members: tuple[int, ...]) -> Network:
        if len(members) == 1:
            return networks[members[0]]
        soup = Network(spec).eval()
        soup.load_state_dict(average_weights([networks[i].state_dict() for i in members]))
        if recalibrate is not None:
            reestimate_norms(soup, _batches(recalibrate, size, settings.batch, progress))
        return soup

    def measured(members: tuple[int, ...], what: str) -> Metrics:
        assert data is not None
        tell = None if progress is None else lambda done, total: progress(what, done, total)
        detector = Detector(TorchEngine(mixed(members)))
        told = on_problem if members == (0,) or settings.method is Method.UNIFORM else _already_told
        metrics, _ = evaluate_detector(detector, data, size=size, batch=settings.batch, progress=tell, on_problem=told)
        return metrics

    members = tuple(range(len(models)))
    own: dict[int, float] = {}
    with_it: dict[int, float] = {}
    metrics: Metrics | None = None
    if settings.method is Method.GREEDY:
        own = {i: measured((i,), f"measuring {models[i].name}").map50_95 for i in members}
        results: dict[tuple[int, ...], Metrics] = {}

        def score(candidate: tuple[int, ...]) -> float:
            results[candidate] = measured(candidate, f"average of {len(candidate)}")
            return results[candidate].map50_95

        members, tried = greedy_choice([own[i] for i in range(len(models))], score)
        with_it = {i: value for i, value, _ in tried}
        metrics = results.get(members)
    network = mixed(members)
    if data is not None and metrics is None:
        metrics = measured(members, "measuring the soup")
    # A temperature was fitted to the scores of one network; those of the average are others.
    plain = spec.tempered(1.0)
    threshold = settings.threshold
    if threshold is None:
        threshold = metrics.threshold if metrics else _mean([n.spec.tempered(1.0).score_threshold for n in networks])
    notes = _notes(networks, members, data, settings)
    ingredients = tuple(
        Ingredient(path, digest, i in members, own.get(i), with_it.get(i))
        for i, (path, digest) in enumerate(zip(models, digests, strict=True))
    )
    run = SoupRun(out, settings, ingredients, data, recalibrate, metrics, threshold, notes)
    made = plain.replace(
        input_size=size,
        score_threshold=threshold,
        nms_iou=spec.nms_iou if settings.iou is None else settings.iou,
        metrics=_finite(metrics) if metrics else {},
        origin=_origin(run, spec.origin),
    )
    save_model(network, made, out, metadata={SOUP_KEY: json.dumps(run.as_dict(), sort_keys=True)})
    return run


def _check(
    models: Sequence[Path], out: Path, settings: SoupSettings, data: Dataset | None, recalibrate: Dataset | None
) -> list[str]:
    """The digests of the models, after all that can be refused before any work."""
    for path in (*models, out):
        if path.suffix != ".safetensors":
            raise ConfigError(f"{path}: only .safetensors models can be averaged", hint="average before you export")
    digests = [file_sha256(path) for path in models]
    for i, digest in enumerate(digests):
        if digest in digests[:i]:
            raise ConfigError(f"{models[i]}: is the same model as {models[digests.index(digest)]}", hint="name it once")
    if out.resolve() in {path.resolve() for path in models}:
        raise ConfigError(f"{out}: is one of the models, which are not changed", hint="choose another name")
    check_writable(out)
    if settings.method is Method.GREEDY and data is None:
        raise ConfigError("soup: a greedy soup needs labelled photos to choose on", hint="give --data and --split")
    if data is not None and not any((~record.ignore).any() for record in data):
        raise DataError(f"{data.root}: no labelled box that counts", hint="check the path and the split")
    if recalibrate is not None and not len(recalibrate):
        raise DataError(f"{recalibrate.root}: no photo", hint="check the path and the split")
    return digests


def _batches(dataset: Dataset, size: int, batch: int, progress: Progress | None) -> Iterator[Tensor]:
    """The photos as the network sees them in training, but for augmentation."""
    pipeline = TrainingPipeline(
        dataset, size=size, batch_size=min(batch, len(dataset)), augmentation=AugmentationConfig.none(), seed=0
    )
    done = 0
    with pipeline:
        for part in pipeline.epoch(0, mosaic=False):
            yield part.images
            done += len(part)
            if progress:
                progress("norm statistics", min(done, len(dataset)), len(dataset))


def _notes(
    networks: Sequence[Network], members: tuple[int, ...], data: Dataset | None, settings: SoupSettings
) -> tuple[str, ...]:
    notes = []
    sizes = sorted({network.spec.input_size for network in networks})
    if len(sizes) > 1 and settings.size is None:
        first = networks[0].spec.input_size
        notes.append(f"the models have input sizes {sizes}; the soup takes the first one's, {first}")
    if data is not None:
        greedy = settings.method is Method.GREEDY
        chosen = [f"{len(members)} of {len(networks)} models"] if greedy else []
        chosen += ["the score threshold"] if settings.threshold is None else []
        where = f"split {data.split}" if data.split else "the dataset"
        if chosen:
            notes.append(
                f"{' and '.join(chosen)} {'were' if greedy else 'was'} chosen on {len(data)} photos of {where}: "
                "figures on these are a little too good"
            )
        fingerprint = data.fingerprint()
        if any(network.spec.dataset_fingerprint == fingerprint for network in networks):
            notes.append("models were trained on these very photos: the choice favours those that remember them best")
    if any(network.spec.temperature != 1 for network in networks):
        notes.append("the models' calibration does not hold for their average: run `herder calibrate` on it")
    return tuple(notes)


def _origin(run: SoupRun, first: str) -> str:
    kept = [f"{i.path.name} ({i.sha256[:12]})" for i in run.ingredients if i.kept]
    of = f"average of {len(kept)} models ({run.settings.method.value} soup): {', '.join(kept)}"
    return f"{first}; {of}" if first else of


def _about(dataset: Dataset | None) -> dict[str, Any] | None:
    if dataset is None:
        return None
    about = {"name": dataset.root.name, "split": dataset.split, "photos": len(dataset)}
    return {**about, "fingerprint": dataset.fingerprint()}


def _already_told(problem: Problem) -> None:
    """A photo that the first model could not read either."""


def _finite(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in metrics.as_dict().items() if math.isfinite(value)}


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
