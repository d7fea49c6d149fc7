"""COCO's precision and recall arrays, computed by hotcoco or faster-coco-eval: the first of the two that is installed.

hotcoco (https://github.com/derekallman/hotcoco, MIT) takes columns and is the faster one; faster-coco-eval
(https://github.com/MiXaiLL76/faster_coco_eval, Apache-2.0) takes a Python object for each box. Both agree with
pycocotools to 1e-6; ``benchmarks/evaluation.py`` measures it. Here only the data are handed over, and the arrays read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from herder.errors import MissingExtraError
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable

ALL, SMALL, MEDIUM, LARGE = range(4)
"""COCO's area ranges, by their index in its arrays."""


@dataclass(frozen=True, eq=False)
class CocoArrays:
    """What COCO's means are taken over; -1 where a class has no labelled box (of that size).

    ``precision`` (10 IoUs, 101 recalls, K classes, 4 area ranges) at 100 detections a class and photo; ``recall``
    (10 IoUs, K classes, 3 limits of 1, 10 and 100 detections) over all areas.
    """

    precision: DoubleArray
    recall: DoubleArray


def coco_arrays(truth: TruthTable, found: DetectionTable, photos: int, classes: int) -> CocoArrays:
    """Run the engine. Raises MissingExtraError when none is installed."""
    if photos == 0 or classes == 0 or not len(truth):
        return CocoArrays(np.full((10, 101, classes, 4), -1.0), np.full((10, classes, 3), -1.0))
    for name, engine in ENGINES.items():
        try:
            module = import_module(name)
        except ImportError:
            continue
        arrays = engine(module, truth, found, photos, classes)
        return CocoArrays(np.asarray(arrays["precision"])[..., -1], np.asarray(arrays["recall"])[:, :, ALL])
    raise MissingExtraError("evaluation", "train")


def _hotcoco(module: Any, truth: TruthTable, found: DetectionTable, photos: int, classes: int) -> Mapping[str, Any]:
    images = [{"id": photo} for photo in range(1, photos + 1)]
    categories = [{"id": index, "name": str(index)} for index in range(classes)]
    expected = module.COCO.from_arrays(
        images,
        categories,
        truth.photos + 1,
        truth.classes,
        truth.boxes,
        area=truth.areas,
        iscrowd=truth.ignore.astype(np.int64),
    )
    columns = found.photos + 1, found.boxes, found.scores, found.classes
    evaluation = module.COCOeval(expected, expected.load_res(np.column_stack(columns)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    arrays: Mapping[str, Any] = evaluation.eval
    return arrays


def _faster_coco_eval(
    module: Any, truth: TruthTable, found: DetectionTable, photos: int, classes: int
) -> Mapping[str, Any]:
    images = [{"id": photo} for photo in range(1, photos + 1)]
    categories = [{"id": index} for index in range(classes)]
    boxes: dict[str, Sequence[Any]] = {
        "image_id": (truth.photos + 1).tolist(),
        "category_id": truth.classes.tolist(),
        "bbox": truth.boxes.tolist(),
        "area": truth.areas.tolist(),
        "iscrowd": truth.ignore.astype(int).tolist(),
    }
    seen: dict[str, Sequence[Any]] = {
        "image_id": (found.photos + 1).tolist(),
        "category_id": found.classes.tolist(),
        "bbox": found.boxes.tolist(),
        "area": (found.boxes[:, 2] * found.boxes[:, 3]).tolist(),
        "score": found.scores.tolist(),
    }
    both = [_dataset(module.COCO, images, categories, columns) for columns in (boxes, seen)]
    evaluation = module.COCOeval_faster(*both, "bbox", print_function=_silent)
    evaluation.evaluate()
    evaluation.accumulate()
    arrays: Mapping[str, Any] = evaluation.eval
    return arrays


ENGINES: Mapping[str, Callable[[Any, TruthTable, DetectionTable, int, int], Mapping[str, Any]]] = {
    "hotcoco": _hotcoco,
    "faster_coco_eval": _faster_coco_eval,
}
"""By the name of the package, in the order of preference."""


def _dataset(kind: Any, images: list[Any], categories: list[Any], columns: dict[str, Sequence[Any]]) -> Any:
    rows = zip(*columns.values(), strict=True)
    # Ids start at 1: the library takes 0 for "not matched".
    annotations = [{"id": i, **dict(zip(columns, row, strict=True))} for i, row in enumerate(rows, start=1)]
    dataset = kind(print_function=_silent)
    dataset.dataset = {"images": images, "categories": categories, "annotations": annotations}
    dataset.createIndex()
    return dataset


def _silent(*_: object) -> None:
    """Print nothing."""
