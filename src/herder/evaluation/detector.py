"""A detector measured on a labelled dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from herder.boxes import nms
from herder.data.records import Dataset, ImageRecord, Problem
from herder.detections import Detections
from herder.errors import ConfigError, DataError
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.metrics import Metrics
from herder.images import read_image
from herder.inference import Detector, tempered
from herder.spec import ModelSpec

SCORE_FLOOR = 0.01
"""Average precision needs the detections of low score too; under 1 % they add nothing but time."""

DETECTIONS_A_PHOTO = 300
"""Kept after suppression; of these COCO counts the best 100 of each class."""

UNREADABLE = "unreadable"
"""The reason of the problem that a photo which cannot be evaluated gives."""

_LOG = logging.getLogger(__name__)


def log_problem(problem: Problem) -> None:
    """Report a photo that was set aside through Python's logging, as a warning."""
    _LOG.warning("set aside: %s", problem)


def evaluate_detector(
    detector: Detector,
    dataset: Dataset,
    *,
    size: int | None = None,
    batch: int = 8,
    count_as: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_problem: Callable[[Problem], None] = log_problem,
) -> tuple[Metrics, list[Detections]]:
    """Run the detector over all photos and measure what it finds; returns the detections of each record, too.

    ``size`` is the longest side in pixels the network sees (None: the model's own), ``batch`` the photos a step.
    ``progress`` is called with photos done and photos in all. A photo that cannot be read, or no longer has the size of
    its record, is given to ``on_problem`` and left out of the numbers; its place in the list holds no detections.
    ``count_as`` gives classes of the model the name of a class of the data (``{"sheep": "alpaca"}``): what a model of
    other classes is worth as a start. Detections that become one class are suppressed again.
    Raises ConfigError when the dataset has no photo or other classes than the detector, DataError when no photo at all
    can be read.
    """
    if not dataset.records:
        raise ConfigError("evaluation: the dataset has no photos", hint="check the path and the split")
    mapping = class_mapping(detector.class_names, dataset.class_names, count_as or {})
    read: list[int] = []
    last: list[Problem] = []
    photos = _photos(dataset.records, read, last, on_problem)
    found = [Detections.empty(dataset.class_names) for _ in dataset.records]
    floor = score_floor(detector.spec) / detector.looks
    stream = detector.stream(photos, score=floor, size=size, limit=DETECTIONS_A_PHOTO, batch=batch)
    for done, detections in enumerate(stream):
        renamed = to_data_classes(detections, mapping, dataset.class_names)
        if count_as:
            renamed = renamed[nms(renamed.boxes, renamed.scores, renamed.classes, detector.spec.nms_iou)]
        found[read[done]] = renamed
        if progress:
            progress(read[done] + 1, len(dataset))
    if not read:
        raise DataError(f"evaluation: none of the {len(dataset)} photos can be read; the last: {last[-1]}")
    if progress:
        progress(len(dataset), len(dataset))
    metrics = evaluate_detections([found[i] for i in read], [dataset[i] for i in read], dataset.class_names)
    return metrics, found


def score_floor(spec: ModelSpec) -> float:
    """The score from which detections are evaluated: ``SCORE_FLOOR`` of what the network says, before its temperature.

    So calibration, which keeps all boxes in their order, changes no mAP.
    """
    return float(tempered(SCORE_FLOOR, spec.temperature))


def photos_read(dataset: Dataset, problems: Sequence[Problem]) -> list[int]:
    """Indices of the photos that are in the numbers: all but those that ``evaluate_detector`` could not read."""
    unread = {problem.path for problem in problems if problem.reason == UNREADABLE}
    return [i for i, record in enumerate(dataset) if record.path not in unread]


def class_mapping(model: Sequence[str], data: Sequence[str], count_as: Mapping[str, str]) -> NDArray[np.int64]:
    """For each class of the model its id in the data (K,), by name; -1 where the data do not have it.

    Raises ConfigError when they share no class, or ``count_as`` names one that does not exist.

    >>> class_mapping(("dog", "sheep", "cow"), ("sheep", "goat"), {"cow": "goat"}).tolist()
    [-1, 0, 1]
    """
    for names, known, where in ((count_as.keys(), model, "model"), (count_as.values(), data, "dataset")):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigError(
                f"evaluation: the {where} knows no class {_listed(unknown)}", hint=f"its classes: {_listed(known, 100)}"
            )
    renamed = [count_as.get(name, name) for name in model]
    mapping = np.array([data.index(name) if name in data else -1 for name in renamed], np.int64)
    if (mapping < 0).all():
        raise ConfigError(
            f"evaluation: the model knows {_listed(model)}, the dataset {_listed(data)}: no class is in both",
            hint="use the dataset the model was made for, rename the classes, or count some as others (--count-as)",
        )
    return mapping


def _listed(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def to_data_classes(found: Detections, mapping: NDArray[np.int64], class_names: tuple[str, ...]) -> Detections:
    """The detections with the dataset's class ids; those of classes it does not have are dropped."""
    classes = mapping[found.classes]
    known = classes >= 0
    return Detections(found.boxes[known], found.scores[known], classes[known], class_names)


def _photos(
    records: tuple[ImageRecord, ...], read: list[int], last: list[Problem], on_problem: Callable[[Problem], None]
) -> Iterator[NDArray[np.uint8]]:
    """The photos that can be read; their indices go to ``read``, what is wrong with the others to ``on_problem``."""
    for index, record in enumerate(records):
        try:
            photo = read_image(record.path)
            height, width = photo.shape[:2]
            if (width, height) != (record.width, record.height):
                raise DataError(
                    f"{record.path}: {width} x {height} pixels, but labelled as {record.width} x {record.height}",
                    hint="read the dataset again",
                )
        except DataError as error:
            problem = Problem(record.path, UNREADABLE, error.message.removeprefix(f"{record.path}: "), error.hint)
            last[:] = [problem]
            on_problem(problem)
            continue
        read.append(index)
        yield photo
