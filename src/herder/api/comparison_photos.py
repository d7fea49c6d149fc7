"""What the models of both sides of a comparison find on the same photos: run, or read from files of predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from herder.api.comparison_sides import Member, Side
from herder.data.records import Dataset, Problem
from herder.errors import ConfigError, DataError
from herder.evaluation.coco_files import CocoTruth, read_predictions, read_truth
from herder.evaluation.prediction_store import PredictionStore, file_sha256, predictions_of
from herder.evaluation.tables import DetectionTable, TruthTable, detection_table, truth_table
from herder.inference import Detector

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RunSettings:
    """How the models are run."""

    size: int | None = None
    """Longest side in pixels that the network sees; None: each model's own."""
    batch: int = 8
    """Photos at a time."""
    engine: str = "auto"
    """As ``herder.load`` has it."""


@dataclass(frozen=True, eq=False)
class Found:
    """The labelled photos, and what each member of both sides found on them."""

    truth: TruthTable
    a: tuple[DetectionTable, ...]
    b: tuple[DetectionTable, ...]
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    """Of the photos (P,), without folders."""
    groups: tuple[str, ...]
    """Of the photos (P,): those of one group are no independent photos; empty text: a group of its own."""
    about: dict[str, Any]
    """Name, split, fingerprint and number of the photos."""
    digests: tuple[tuple[str, ...], tuple[str, ...]]
    """SHA-256 of each member's file, by side."""
    dataset: Dataset | None = None
    """The photos themselves, where they are known."""
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""


def run_sides(
    a: Side,
    b: Side,
    dataset: Dataset,
    folder: Path,
    settings: RunSettings,
    *,
    progress: Progress | None = None,
    on_problem: Callable[[Problem], None],
) -> Found:
    """Run every model of both sides over all photos; what was found once comes out of ``folder``.

    A photo that cannot be read is given to ``on_problem`` once and left out for every model. Raises ConfigError where
    two models do not know the same of the dataset's classes, and what ``predictions_of`` raises.
    """
    members = [*a.members, *b.members]
    detectors = [_loaded(member, settings) for member in members]
    _check_classes(members, detectors, dataset)
    digests = [file_sha256(member.path) for member in members]
    store = PredictionStore(folder)
    unread: dict[Path, Problem] = {}

    def note(problem: Problem) -> None:
        unread[problem.path] = problem

    all_found = []
    for member, detector, digest in zip(members, detectors, digests, strict=True):
        _, found = predictions_of(
            detector,
            dataset,
            store,
            digest,
            size=settings.size,
            batch=settings.batch,
            progress=None if progress is None else partial(progress, member.name),
            on_problem=note,
        )
        all_found.append(found)
    for problem in unread.values():
        on_problem(problem)
    read = [i for i, record in enumerate(dataset) if record.path not in unread]
    kept = dataset.select(read)
    tables = [detection_table([found[i] for i in read]) for found in all_found]
    fingerprint = dataset.fingerprint()
    seen = [
        member.name
        for member, detector in zip(members, detectors, strict=True)
        if detector.spec.dataset_fingerprint == fingerprint
    ]
    notes = (f"These are the photos that {', '.join(seen)} was trained on: new ones would be worse.",) if seen else ()
    return Found(
        truth_table(kept.records),
        tuple(tables[: len(a.members)]),
        tuple(tables[len(a.members) :]),
        dataset.class_names,
        tuple(record.path.name for record in kept),
        tuple(record.group for record in kept),
        {"name": dataset.root.name, "split": dataset.split, "fingerprint": fingerprint, "photos": len(kept)},
        (tuple(digests[: len(a.members)]), tuple(digests[len(a.members) :])),
        kept,
        notes,
    )


def read_sides(a: Side, b: Side, truth: Path) -> Found:
    """Read every file of predictions of both sides for the photos of ``truth``, a COCO annotation file.

    Raises DataError naming file and entry for what ``herder.evaluation.coco_files`` refuses, and for a score that is
    not from 0 to 1.
    """
    labels = read_truth(truth)
    if not labels.photos:
        raise DataError(f"{truth}: images: empty", hint="give the annotation file that the predictions were made for")
    names = _names(labels)
    paths = [member.path for member in (*a.members, *b.members)]
    tables = [read_predictions(path, labels) for path in paths]
    digests = [file_sha256(path) for path in paths]
    cut = len(a.members)
    about = {"name": truth.name, "split": "", "fingerprint": file_sha256(truth), "photos": labels.photos}
    return Found(
        labels.table,
        tuple(tables[:cut]),
        tuple(tables[cut:]),
        labels.class_names,
        names,
        ("",) * labels.photos,
        about,
        (tuple(digests[:cut]), tuple(digests[cut:])),
    )


def _loaded(member: Member, settings: RunSettings) -> Detector:
    from herder.api import load  # here: tests put their own in its place

    return load(member.path, engine=settings.engine)


def _check_classes(members: Sequence[Member], detectors: Sequence[Detector], dataset: Dataset) -> None:
    """Models that look for different animals are no rivals: a class that one does not know would be all misses."""
    known = [[name for name in dataset.class_names if name in detector.class_names] for detector in detectors]
    for member, own, detector in zip(members, known, detectors, strict=True):
        if not own:
            raise ConfigError(
                f"{member.name}: knows {', '.join(detector.class_names[:5])}, and none of the dataset's classes "
                f"{', '.join(dataset.class_names[:5])}",
                hint="compare models of the classes that the dataset has",
            )
        if own != known[0]:
            odd = sorted(set(own) ^ set(known[0]))
            raise ConfigError(
                f"{members[0].name} and {member.name} do not know the same of the dataset's classes: "
                f"only one of them knows {', '.join(odd[:5])}",
                hint="compare them on a dataset whose classes both know",
            )


def _names(labels: CocoTruth) -> tuple[str, ...]:
    """A name for each photo, its id where the file has none."""
    names = {index: f"image {number}" for number, index in labels.photo_ids.items()}
    # The shortest of several names is the one without folders.
    for name, index in sorted(labels.photo_names.items(), key=lambda item: -len(item[0])):
        names[index] = name
    return tuple(Path(names[index]).name for index in range(labels.photos))
