"""The rules of Open Images: matching, what was looked for, the hierarchy; against their example and a plain loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herder.errors import DataError
from herder.evaluation.open_images.matching import match_open_images
from herder.evaluation.open_images.precision import by_open_images, evaluate_open_images
from herder.evaluation.open_images.rules import ClassLabels, Hierarchy, VerifiedLabels, expand_truth
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.rules import Rules
from herder.evaluation.tables import DetectionTable, TruthTable

NAMES = ("cat", "dog", "elephant")


def truth_of(*rows: tuple[int, int, list[float], bool]) -> TruthTable:
    """From photo, class, xyxy box and whether it is a group."""
    boxes = np.array([row[2] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    photos, classes = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    return TruthTable(photos, classes, boxes, np.array([row[3] for row in rows], bool), boxes[:, 2] * boxes[:, 3])


def found_of(*rows: tuple[int, int, list[float], float]) -> DetectionTable:
    table = truth_of(*((photo, kind, box, False) for photo, kind, box, _ in rows))
    return DetectionTable(table.photos, table.classes, table.boxes, np.array([row[3] for row in rows], np.float64))


def test_the_example_of_the_object_detection_api() -> None:
    """The challenge evaluator's own test (tensorflow/models, object_detection_evaluation_test.py, Apache-2.0).

    There groups weigh 0.5 and the classes reach 1/7, 1/3 and 1/3. With the challenge's weight of 1, by hand: cat has 4
    boxes, found at rank 2 is one: 1/4 * 1/2; dog 1 box at rank 3, since the detection in photo 2 does not count;
    elephant 2 boxes, of which the group is found at rank 1: 1/2.
    """
    truth = truth_of(
        (0, 0, [0, 0, 1, 1], False),
        (0, 2, [0, 0, 2, 2], False),
        (0, 0, [0, 0, 3, 3], True),
        (1, 0, [10, 10, 11, 11], False),
        (1, 0, [500, 500, 510, 510], False),
        (1, 2, [10, 10, 12, 12], True),
        (2, 1, [0, 0, 1, 1], False),
    )
    found = found_of(
        (0, 1, [10, 10, 11, 11], 0.7),
        (0, 1, [100, 100, 120, 120], 0.8),
        (1, 0, [10, 10, 11, 11], 0.7),
        (1, 0, [100, 100, 120, 120], 0.8),
        (1, 1, [100, 100, 220, 220], 0.5),
        (1, 2, [10, 10, 11, 11], 0.9),
        (2, 1, [0, 0, 1, 1], 0.5),
    )
    verified = VerifiedLabels({"a": {"cat": True, "dog": False, "elephant": True}})
    metrics = evaluate_open_images(*by_open_images(truth, found, ["a", "b", "c"], NAMES, verified), 3, NAMES)
    assert [c.map50 for c in metrics.per_class] == pytest.approx([1 / 8, 1 / 3, 1 / 2])
    assert metrics.map50 == pytest.approx((1 / 8 + 1 / 3 + 1 / 2) / 3)
    assert [c.truths for c in metrics.per_class] == [4, 1, 2]
    assert np.isnan([metrics.map50_95, metrics.map75, metrics.ap_small, metrics.ar_100]).all()
    everywhere = evaluate_open_images(truth, found, 3, NAMES)  # without labels the detection in photo 2 is false
    assert everywhere.per_class[1].map50 == pytest.approx(1 / 4)


HERD, ALONE = [0.0, 0, 400, 200], [450.0, 300, 550, 400]


def test_a_group_is_found_once_and_missed_once() -> None:
    truth = truth_of((0, 0, HERD, True), (0, 0, ALONE, False))
    found = found_of(
        (0, 0, ALONE, 0.9),
        (0, 0, [10, 10, 60, 60], 0.7),
        (0, 0, [100, 50, 180, 150], 0.8),
        (0, 0, [350, 0, 450, 100], 0.6),  # half of it lies in the group
        (0, 0, [360, 0, 460, 100], 0.5),  # less
        (0, 0, ALONE, 0.4),  # a duplicate
    )
    matches = match_open_images(truth, found)
    assert matches.hits.tolist() == [True, False, True, False, False, False]
    assert matches.ignored.tolist() == [False, True, False, True, False, False]
    assert matches.truth.tolist() == [1, 0, 0, 0, -1, -1]
    metrics = evaluate_open_images(truth, found, 1, ("alpaca",))
    assert metrics.map50 == 1.0  # both boxes are found before the first false alarm
    assert (metrics.precision, metrics.recall) == (1.0, 1.0)
    missed = evaluate_open_images(truth, found_of((0, 0, ALONE, 0.9)), 1, ("alpaca",))
    assert (missed.map50, missed.recall) == pytest.approx((0.5, 0.5))


def test_each_detection_asks_for_one_box_only() -> None:
    """PASCAL VOC's rule, unlike COCO's: the better box is taken, and the other free one does not help."""
    truth = truth_of((0, 0, [0, 0, 100, 100], False), (0, 0, [0, 0, 100, 60], False))
    found = found_of((0, 0, [0, 0, 100, 100], 0.9), (0, 0, [0, 0, 100, 90], 0.8))
    assert match_open_images(truth, found).truth.tolist() == [0, -1]
    assert PhotoMatches.of(truth, found, 1, 1).hits[0].tolist() == [True, True]


def plain_average_precision(truth: TruthTable, found: DetectionTable, kind: int) -> float:
    """The protocol as a loop: label each detection of one class, then the area under the interpolated curve."""
    scored: list[tuple[float, bool]] = []
    for photo in np.unique(np.concatenate([truth.photos, found.photos])):
        boxes = np.flatnonzero((truth.photos == photo) & (truth.classes == kind))
        rows = np.flatnonzero((found.photos == photo) & (found.classes == kind))
        taken: set[int] = set()
        groups: dict[int, float] = {}
        for row in sorted(rows, key=lambda r: -found.scores[r]):
            best: dict[bool, tuple[float, int]] = {False: (0.0, -1), True: (0.0, -1)}
            for i in boxes:
                a, b = found.boxes[row], truth.boxes[i]
                sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
                common, own = max(sides[0], 0) * max(sides[1], 0), a[2] * a[3]
                share = common / (own if truth.ignore[i] else own + b[2] * b[3] - common)
                if share > best[bool(truth.ignore[i])][0]:
                    best[bool(truth.ignore[i])] = (share, int(i))
            if best[False][0] >= 0.5 and best[False][1] not in taken:
                taken.add(best[False][1])
                scored.append((found.scores[row], True))
            elif best[True][0] >= 0.5:
                groups[best[True][1]] = max(groups.get(best[True][1], 0), found.scores[row])
            else:
                scored.append((found.scores[row], False))
        scored += [(score, True) for score in groups.values()]
    count = int((truth.classes == kind).sum())
    if not count:
        return float("nan")
    hits = np.array([hit for _, hit in sorted(scored, key=lambda s: -s[0])], float)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(sum(precision[i:].max() for i in np.flatnonzero(hits)) / count)


@pytest.mark.parametrize("seed", range(15))
def test_agrees_with_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, photos = 60, 8
    where = np.sort(rng.integers(0, photos, count))
    boxes = np.concatenate([rng.uniform(0, 150, (count, 2)), rng.uniform(10, 90, (count, 2))], axis=1)
    truth = TruthTable(where, rng.integers(0, 3, count), boxes, rng.random(count) < 0.3, boxes[:, 2] * boxes[:, 3])
    pick = np.sort(rng.integers(0, count, 150))
    seen = np.concatenate([boxes[pick, :2] + rng.normal(0, 8, (150, 2)), boxes[pick, 2:] * 0.9], axis=1)
    found = DetectionTable(where[pick], truth.classes[pick], seen, rng.permutation(150) / 150)
    expected = [plain_average_precision(truth, found, kind) for kind in range(4)]
    matches = PhotoMatches.of(truth, found, photos, 4, Rules.OPEN_IMAGES)
    np.testing.assert_allclose(matches.average_precision()[0], expected, atol=1e-9)
    assert np.isnan(matches.map()[1])
    metrics = evaluate_open_images(truth, found, photos, ("a", "b", "c", "d"))
    assert metrics.map50 == pytest.approx(np.nanmean(expected), abs=1e-9)


TREE = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [
        {
            "LabelName": "/m/0jbk",
            "Subcategory": [
                {"LabelName": "/m/0pcr"},
                {"LabelName": "/m/04rky", "Subcategory": [{"LabelName": "/m/01yrx"}], "Part": [{"LabelName": "/m/x"}]},
            ],
        },
        {"LabelName": "/m/pet", "Subcategory": [{"LabelName": "/m/01yrx"}]},
    ],
}
TABLE = "/m/0jbk,Animal\n/m/0pcr,Alpaca\n/m/04rky,Mammal\n/m/01yrx,Cat\n/m/pet,Pet\n"


@pytest.fixture
def labels(tmp_path: Path) -> ClassLabels:
    (tmp_path / "classes.csv").write_text(TABLE)
    return ClassLabels.of(("alpaca", "Animal", "cat"), tmp_path / "classes.csv")


def test_the_hierarchy(tmp_path: Path, labels: ClassLabels) -> None:
    (tmp_path / "tree.json").write_text(json.dumps(TREE))
    hierarchy = Hierarchy.read(tmp_path / "tree.json", labels)
    assert hierarchy.above["alpaca"] == {"Animal"}
    assert hierarchy.above["cat"] == {"Mammal", "Animal", "Pet"}  # two ways up
    assert hierarchy.above["Animal"] == frozenset()  # the outermost is no class
    assert hierarchy.below("Animal") == {"alpaca", "cat", "Mammal"}
    truth = truth_of((0, 0, ALONE, False), (1, 2, HERD, True), (1, 1, ALONE, False))
    expanded = expand_truth(truth, ("alpaca", "Animal", "cat"), hierarchy)
    assert expanded.photos.tolist() == [0, 0, 1, 1, 1]
    assert expanded.classes.tolist() == [0, 1, 2, 1, 1]
    assert expanded.ignore.tolist() == [False, False, True, True, False]


def test_what_was_looked_for(tmp_path: Path, labels: ClassLabels) -> None:
    """A cat that is there is an animal that is there; no animal means no alpaca; cats were not looked for in c."""
    names = ("alpaca", "Animal", "cat")
    (tmp_path / "tree.json").write_text(json.dumps(TREE))
    (tmp_path / "verified.csv").write_text(
        "ImageID,Source,LabelName,Confidence\na,verification,/m/01yrx,1\nb,verification,/m/0jbk,0\n"
        "zzz,verification,/m/0jbk,1\na,verification,/m/other,0\n"
    )
    hierarchy = Hierarchy.read(tmp_path / "tree.json", labels)
    verified = VerifiedLabels.read(tmp_path / "verified.csv", ["a", "b", "c"], names, labels)
    assert verified.photos == {"a": {"cat": True}, "b": {"Animal": False}}
    found = found_of(*((photo, kind, ALONE, 0.5) for photo in range(3) for kind in range(3)))
    truth, kept = by_open_images(truth_of((2, 0, ALONE, False)), found, ["a", "b", "c"], names, verified, hierarchy)
    assert truth.classes.tolist() == [0, 1]
    seen = list(zip(kept.photos.tolist(), kept.classes.tolist(), strict=True))
    assert seen == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: no column ImageID, LabelName, Confidence"),
        ("ImageID,LabelName\na,/m/0pcr\n", "line 1: no column Confidence"),
        ("ImageID,LabelName,Confidence\na,/m/0pcr\n", "line 2: 2 fields, wanted 3"),
        ("ImageID,LabelName,Confidence\na,/m/0pcr,0.7\n", "line 2: a confidence of '0.7'"),
        ("ImageID,LabelName,Confidence\nb,/m/0pcr,1\n", r"no label of these photos \(such as a\)"),
        ("ImageID,LabelName,Confidence\na,\ufeff\x00", "verified.csv"),
    ],
)
def test_broken_files_of_labels(tmp_path: Path, labels: ClassLabels, content: str, message: str) -> None:
    (tmp_path / "verified.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        VerifiedLabels.read(tmp_path / "verified.csv", ["a"], ("alpaca",), labels)


@pytest.mark.parametrize("content", ["{", "[]", '{"LabelName": 5}', '{"LabelName": "a", "Subcategory": 3}', "[" * 9999])
def test_broken_hierarchies(tmp_path: Path, labels: ClassLabels, content: str) -> None:
    (tmp_path / "tree.json").write_text(content)
    with pytest.raises(DataError, match=r"tree\.json"):
        Hierarchy.read(tmp_path / "tree.json", labels)


def test_missing_files_and_a_hierarchy_of_other_classes(tmp_path: Path, labels: ClassLabels) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        VerifiedLabels.read(tmp_path / "none.csv", ["a"], ("alpaca",), labels)
    other: Any = Hierarchy({"/m/0pcr": frozenset()})
    with pytest.raises(DataError, match="none of the classes") as error:
        by_open_images(truth_of((0, 0, ALONE, False)), found_of((0, 0, ALONE, 0.9)), ["a"], NAMES, None, other)
    assert "--class-table" in error.value.hint
