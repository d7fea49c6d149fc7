from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herder.data.records import Dataset, ImageRecord
from herder.detections import Detections
from herder.errors import DataError
from herder.evaluation import evaluate_files
from herder.evaluation.coco_files import read_predictions, read_truth, write_predictions

pycocotools = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")

TRUTH: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "train/a.jpg", "width": 100, "height": 100},
        {"id": 3, "file_name": "train/b.jpg", "width": 100, "height": 100},
    ],
    "categories": [{"id": 5, "name": "llama"}, {"id": 2, "name": "alpaca"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 2, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0},
        {"id": 2, "image_id": 3, "category_id": 5, "bbox": [40, 40, 30, 30]},
    ],
}
GOOD = {"image_id": 7, "category_id": 2, "bbox": [10, 10, 20, 20], "score": 0.9}


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def evaluated(tmp_path: Path, predictions: object, truth: object = None) -> Any:
    truth = TRUTH if truth is None else truth
    return evaluate_files(written(tmp_path / "found.json", predictions), written(tmp_path / "truth.json", truth))[0]


def test_reads_both_forms_alike(tmp_path: Path) -> None:
    coco = [GOOD, {"image_id": 3, "category_id": 5, "bbox": [40, 40, 30, 15], "score": 0.5}]
    herder = [
        {"file_name": "b.jpg", "category": "llama", "bbox": [40, 40, 30, 15], "score": 0.5},
        {"file_name": "train/a.jpg", "category": "alpaca", "bbox": [10, 10, 20, 20], "score": 0.9},
    ]
    first, second = evaluated(tmp_path, coco), evaluated(tmp_path, herder)
    assert first.as_dict() == pytest.approx(second.as_dict(), abs=0, nan_ok=True)
    assert first.map50 == pytest.approx(1)
    assert [c.name for c in first.per_class] == ["alpaca", "llama"]  # in the order of their ids
    assert (first.photos, first.truths) == (2, 2)


def test_agrees_with_pycocotools_on_files(tmp_path: Path) -> None:
    """Odd ids, areas of masks, coordinates with many digits, overlaps on the threshold."""
    rng = np.random.default_rng(4)
    ids = rng.permutation(500)[:40].tolist()
    truth: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in ids],
        "categories": [{"id": 9, "name": "a"}, {"id": 4, "name": "b"}],
        "annotations": [],
    }
    found = []
    for n in range(300):
        x, y, w, h = rng.uniform(0, 300, 2).round(1).tolist() + rng.uniform(5, 200, 2).round(1).tolist()
        row = {"image_id": ids[n % 40], "category_id": int(rng.choice([9, 4])), "bbox": [x, y, w, h]}
        area = w * h * float(rng.uniform(0.4, 1))
        truth["annotations"].append({**row, "id": n + 1, "area": area, "iscrowd": int(rng.random() < 0.1)})
        shrunk = [x, y, w, h * float(rng.choice([0.5, 0.6, 0.75, 0.95, 1]))]  # IoUs that are exactly thresholds
        found += [{**row, "bbox": shrunk, "score": float(rng.integers(1, 9) / 10)}] * int(rng.integers(0, 3))
    metrics = evaluated(tmp_path, found, truth)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = pycocotools.COCO(str(tmp_path / "truth.json"))
        evaluation = cocoeval.COCOeval(reference, reference.loadRes(str(tmp_path / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = metrics.as_dict()
    names = ("mAP50_95", "mAP50", "mAP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100")
    assert [values[name] for name in names] == pytest.approx(evaluation.stats[:9].tolist(), abs=1e-6)


def test_no_predictions_and_no_annotations(tmp_path: Path) -> None:
    assert evaluated(tmp_path, []).map50 == 0
    metrics = evaluated(tmp_path, [GOOD], {**TRUTH, "annotations": []})
    assert math.isnan(metrics.map50)
    assert metrics.precision == 0


def test_written_predictions_read_back(tmp_path: Path) -> None:
    boxes = [[10.5, 10, 30, 30.25], [40, 40, 70, 70]]
    records = tuple(ImageRecord(tmp_path / name, 100, 100, boxes[:1], [0]) for name in ("a.jpg", "b.jpg"))
    dataset = Dataset(records, ("alpaca", "llama"), tmp_path)
    detections = [Detections.empty(), Detections(boxes, [0.9, 0.25], [0, 1], dataset.class_names)]
    write_predictions(tmp_path / "out.json", detections, dataset)
    rows = json.loads((tmp_path / "out.json").read_text())
    assert rows[0] == {"file_name": "b.jpg", "category": "alpaca", "bbox": [10.5, 10, 19.5, 20.25], "score": 0.9}
    table = read_predictions(tmp_path / "out.json", read_truth(written(tmp_path / "truth.json", TRUTH)))
    assert table.photos.tolist() == [0, 0]  # image 3 comes before image 7
    assert table.boxes.tolist() == [[10.5, 10, 19.5, 20.25], [40, 40, 30, 30]]


def test_photos_of_one_name_are_written_with_their_folder(tmp_path: Path) -> None:
    records = tuple(ImageRecord(tmp_path / folder / "a.jpg", 9, 9, [], []) for folder in ("x", "y"))
    found = [Detections([[0, 0, 5, 5]], [0.5], [0], ("alpaca",))] * 2
    write_predictions(tmp_path / "out.json", found, Dataset(records, ("alpaca",), tmp_path))
    assert [row["file_name"] for row in json.loads((tmp_path / "out.json").read_text())] == ["x/a.jpg", "y/a.jpg"]


def row(**changes: Any) -> list[dict[str, Any]]:
    return [GOOD, {**GOOD, **changes}]


BAD_PREDICTIONS: dict[str, tuple[Any, str]] = {
    "not JSON": ("[{", "is not JSON"),
    "too deep": ("[" * 100_000, "is not JSON"),
    "an object": ({"annotations": []}, "found an object, wanted a list"),
    "a number": ([GOOD, 5], r"\[1\]: found a number, wanted an object"),
    "no score": ([{k: v for k, v in GOOD.items() if k != "score"}], r"\[0\]: score is missing"),
    "neither form": ([{"bbox": [0, 0, 1, 1], "score": 1}], r"\[0\]: file_name is missing"),
    "NaN score": (row(score=math.nan), r"\[1\]\.score: found NaN, wanted a finite number"),
    "score above 1": (row(score=1.5), r"\[1\]\.score: found 1.5, wanted 0 to 1"),
    "score below 0": (row(score=-0.1), r"\[1\]\.score: found -0.1"),
    "infinite score": (row(score=math.inf), r"\[1\]\.score: found Infinity"),
    "huge score": (row(score=10**400), r"\[1\]\.score: .* wanted a finite number"),
    "text score": (row(score="0.9"), r"\[1\]\.score: found \"0.9\", wanted a number"),
    "true score": (row(score=True), r"\[1\]\.score: found true"),
    "NaN box": (row(bbox=[0, math.nan, 5, 5]), r"\[1\]\.bbox\[1\]: found NaN"),
    "three numbers": (row(bbox=[0, 0, 5]), r"\[1\]\.bbox: found \[0, 0, 5\], wanted \[x, y, width, height\]"),
    "negative side": (row(bbox=[0, 0, -5, 5]), r"\[1\]\.bbox: width and height .* must not be negative"),
    "far away": (row(bbox=[1e12, 0, 5, 5]), r"\[1\]\.bbox: .* is past 10,000,000 pixels"),
    "unknown image": (row(image_id=8), r"\[1\]\.image_id: 8 is not in .*truth.json"),
    "unknown category": (row(category_id=1), r"\[1\]\.category_id: 1 is not in .*truth.json"),
    "text id": (row(image_id="7"), r"\[1\]\.image_id: found \"7\", wanted a whole number"),
    "unknown file": (
        [{"file_name": "c.jpg", "category": "alpaca", "bbox": [0, 0, 1, 1], "score": 1}],
        r"\[0\]\.file_name: \"c.jpg\" is not in",
    ),
    "unknown name": (
        [{"file_name": "a.jpg", "category": "goat", "bbox": [0, 0, 1, 1], "score": 1}],
        r"\[0\]\.category: \"goat\" is not in",
    ),
}


@pytest.mark.parametrize("case", BAD_PREDICTIONS)
def test_bad_predictions_are_named(tmp_path: Path, case: str) -> None:
    content, message = BAD_PREDICTIONS[case]
    with pytest.raises(DataError, match=rf"found\.json: {message}"):
        evaluated(tmp_path, content)


def changed(key: str, *rows: Any) -> dict[str, Any]:
    return {**TRUTH, key: [*TRUTH[key], *rows]}


BAD_TRUTH: dict[str, tuple[Any, str]] = {
    "a list": ([], "found a list, wanted an object"),
    "no images": ({"categories": [], "annotations": []}, "images: wanted a list"),
    "no categories": ({**TRUTH, "categories": []}, "categories: empty"),
    "image id twice": (changed("images", {"id": 7}), r"images\[2\]\.id: 7 is already the id of images\[0\]"),
    "category id twice": (changed("categories", {"id": 5, "name": "x"}), r"categories\[2\]\.id: 5 is already"),
    "name twice": (changed("categories", {"id": 6, "name": "llama"}), r"categories: the names \['llama'\] come more"),
    "annotation id twice": (changed("annotations", TRUTH["annotations"][0]), r"annotations\[2\]\.id: 1 is already"),
    "unknown image": (
        changed("annotations", {"id": 9, "image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]}),
        r"annotations\[2\]\.image_id: 1 is not in",
    ),
    "NaN area": (
        changed("annotations", {"id": 9, "image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 1], "area": math.nan}),
        r"annotations\[2\]\.area: found NaN",
    ),
    "odd crowd": (
        changed("annotations", {"id": 9, "image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 1], "iscrowd": "no"}),
        r"annotations\[2\]\.iscrowd: found \"no\", wanted 0 or 1",
    ),
}


@pytest.mark.parametrize("case", BAD_TRUTH)
def test_bad_truth_is_named(tmp_path: Path, case: str) -> None:
    content, message = BAD_TRUTH[case]
    with pytest.raises(DataError, match=rf"truth\.json: {message}"):
        evaluated(tmp_path, [], content)


def test_a_short_name_of_two_photos_is_no_name(tmp_path: Path) -> None:
    truth = changed("images", {"id": 8, "file_name": "val/a.jpg"})
    box = {"category": "alpaca", "bbox": [10, 10, 20, 20], "score": 1}
    assert evaluated(tmp_path, [{"file_name": "train/a.jpg", **box}], truth).per_class[0].map50 == pytest.approx(1)
    with pytest.raises(DataError, match=r"file_name: \"a.jpg\" is not in"):
        evaluated(tmp_path, [{"file_name": "a.jpg", **box}], truth)


def test_missing_file_folder_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = written(tmp_path / "truth.json", TRUTH)
    with pytest.raises(DataError, match=r"none\.json: no such file"):
        evaluate_files(tmp_path / "none.json", truth)
    with pytest.raises(DataError, match="cannot be read"):
        evaluate_files(tmp_path, truth)
    monkeypatch.setattr("herder.evaluation.json_entries.MAX_BYTES", 10)
    with pytest.raises(DataError, match="past the limit of 10"):
        evaluate_files(truth, truth)
