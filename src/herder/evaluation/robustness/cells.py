"""One cell of the robustness table: photos made worse as they are read, run through the detector and measured.

The randomness of a photo follows from ``(seed, corruption, severity, the photo's name)`` alone, so that the order of
cells and photos, and how many processes share them, change nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.data.records import Dataset, ImageRecord
from herder.detections import Detections
from herder.errors import ConfigError, DataError
from herder.evaluation.average_precision import evaluate_detections
from herder.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from herder.evaluation.detector import DETECTIONS_A_PHOTO, class_mapping, score_floor, to_data_classes
from herder.evaluation.error_analysis import photo_errors
from herder.evaluation.metrics import Metrics
from herder.evaluation.robustness.result import CLEAN, Cell, CellResult
from herder.evaluation.tables import detection_table, truth_table
from herder.files import write_atomic
from herder.images import read_image
from herder.inference import Detector

CELL_VERSION = 1
"""Raised when a cell's file of the old version would say something else than a new one."""

_LOG = logging.getLogger(__name__)


def chosen_cells(corruptions: Sequence[str], severities: Sequence[int]) -> list[Cell]:
    """Every corruption at every severity, in published order; nothing named is all of them.

    Raises ConfigError for a name or severity that there is not.

    >>> [str(cell) for cell in chosen_cells(["fog", "shot_noise"], [5])]
    ['shot_noise 5', 'fog 5']
    """
    unknown = [name for name in corruptions if name not in CORRUPTIONS]
    if unknown:
        raise ConfigError(f"corruption {unknown[0]!r} is not known", hint=f"choose from {', '.join(CORRUPTIONS)}")
    outside = [severity for severity in severities if severity not in SEVERITIES]
    if outside:
        raise ConfigError(
            f"severity {outside[0]} is not from 1 to 5", hint="use --severities 1,2,3,4,5, or some of them"
        )
    names = [name for name in CORRUPTIONS if name in corruptions or not corruptions]
    return [Cell(name, severity) for name in names for severity in sorted(set(severities) or SEVERITIES)]


def photo_rng(cell: Cell, name: str, seed: int) -> np.random.Generator:
    """The generator for one photo of one cell, by the photo's file name."""
    photo = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "little")
    corruption = list(CORRUPTIONS).index(cell.corruption)
    return np.random.default_rng(np.random.SeedSequence([seed, corruption, cell.severity, photo]))


def corrupted(record: ImageRecord, cell: Cell, seed: int) -> tuple[NDArray[np.uint8], ImageRecord]:
    """The photo of a record under a corruption, (H, W, 3) uint8 RGB, and the record that goes with it.

    Boxes move where the corruption moves what they hold; one that leaves the photo is not in the record.
    Raises DataError where the photo cannot be read.
    """
    clean, rng = read_image(record.path), photo_rng(cell, record.path.name, seed)
    photo, boxes, kept = corrupt(cell.corruption, clean, cell.severity, rng, record.boxes, record.ignore)
    changed = replace(record, boxes=boxes, width=photo.shape[1], height=photo.shape[0]).select(kept)
    return photo, changed


def run_cell(
    detector: Detector,
    dataset: Dataset,
    cell: Cell,
    threshold: float,
    *,
    seed: int = 0,
    size: int | None = None,
    batch: int = 8,
) -> CellResult:
    """Measure the detector on all photos under one corruption; at severity 0 these are the photos as they are.

    ``threshold`` is the score that hits, misses and false alarms are counted at. Raises DataError for a photo that
    cannot be read: what clean photos could not be read is left out beforehand.
    """
    mapping = class_mapping(detector.class_names, dataset.class_names, {})
    records: list[ImageRecord] = []

    def photos() -> Iterator[NDArray[np.uint8]]:
        for record in dataset:
            photo, changed = corrupted(record, cell, seed)
            records.append(changed)
            yield photo

    stream = detector.stream(
        photos(), score=score_floor(detector.spec), size=size, limit=DETECTIONS_A_PHOTO, batch=batch
    )
    found = [to_data_classes(detections, mapping, dataset.class_names) for detections in stream]
    metrics = evaluate_detections(found, records, dataset.class_names)
    return cell_result(cell, metrics, records, found, threshold)


def cell_result(
    cell: Cell, metrics: Metrics, records: Sequence[ImageRecord], found: Sequence[Detections], threshold: float
) -> CellResult:
    """Put together what one cell reached."""
    errors = photo_errors(truth_table(records), detection_table(found), len(records), threshold)
    return CellResult(
        cell.corruption,
        cell.severity,
        len(records),
        metrics.truths,
        metrics.map50,
        metrics.map50_95,
        tuple(e.hits for e in errors),
        tuple(e.misses for e in errors),
        tuple(e.false_alarms for e in errors),
    )


def clean_result(metrics: Metrics, dataset: Dataset, found: Sequence[Detections]) -> CellResult:
    """The row of the photos as they are, at the threshold of its own best F1."""
    return cell_result(Cell(CLEAN, 0), metrics, dataset.records, found, metrics.threshold)


def cells_digest(prediction_key: str, dataset: Dataset, threshold: float, seed: int) -> str:
    """What decides a cell beside its name: a run with another digest shares no cells with this one."""
    text = json.dumps([CELL_VERSION, prediction_key, dataset.fingerprint(), threshold, seed])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cell_path(folder: Path, cell: Cell) -> Path:
    """The file that keeps a finished cell."""
    return folder / f"{cell.corruption}-{cell.severity}.json"


def write_cell(folder: Path, result: CellResult) -> None:
    """Keep a finished cell. Raises ResourceError where the folder cannot be written."""
    write_atomic(cell_path(folder, result.cell), json.dumps(result.as_dict(), allow_nan=False).encode())


def read_cell(folder: Path, cell: Cell, photos: int) -> CellResult | None:
    """A cell that an earlier run finished; None where there is none, or its file is damaged, which is a warning."""
    path = cell_path(folder, cell)
    try:
        result = CellResult.from_dict(json.loads(path.read_bytes()), str(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, DataError) as error:
        _LOG.warning("%s: damaged (%s), the cell is computed again", path, str(error).splitlines()[0])
        return None
    if result.cell != cell or result.photos != photos:
        _LOG.warning("%s: holds another cell, this one is computed again", path)
        return None
    return result
