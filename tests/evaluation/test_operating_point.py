from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.evaluation.average_precision import precision_recall_curves
from herder.evaluation.matching import match
from herder.evaluation.operating_point import DEFAULT_THRESHOLD, Curve
from herder.evaluation.tables import DetectionTable, TruthTable

pycocotools = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")


def tables(rng: np.random.Generator, photos: int, per_photo: int) -> tuple[TruthTable, DetectionTable]:
    """Whole-numbered boxes in a small field, so that overlaps of exactly 0.5 and equal overlaps are common."""
    n = photos * 5
    boxes = np.concatenate([rng.integers(0, 20, (n, 2)), rng.integers(4, 16, (n, 2))], axis=1).astype(float)
    truth = TruthTable(
        np.repeat(np.arange(photos), 5), rng.integers(0, 2, n), boxes, rng.random(n) < 0.2, boxes[:, 2] * boxes[:, 3]
    )
    m = photos * per_photo
    found_photos = np.repeat(np.arange(photos), per_photo)
    seen = boxes[found_photos * 5 + rng.integers(0, 5, m)] + rng.integers(-3, 4, (m, 4))
    seen[:, 2:] = np.maximum(seen[:, 2:], 1)
    return truth, DetectionTable(found_photos, rng.integers(0, 2, m), seen, rng.integers(1, 30, m) / 30)


def coco_flags(truth: TruthTable, found: DetectionTable) -> tuple[np.ndarray, np.ndarray]:
    """Hit and ignored flags of each detection by pycocotools at IoU 0.5."""
    photos = int(truth.photos.max()) + 1
    apis = []
    with contextlib.redirect_stdout(io.StringIO()):
        for table in (truth, found):
            rows = [
                {
                    "id": i + 1,
                    "image_id": int(table.photos[i]) + 1,
                    "category_id": int(table.classes[i]),
                    "bbox": table.boxes[i].tolist(),
                    "area": float(table.boxes[i, 2] * table.boxes[i, 3]),
                    "iscrowd": int(truth.ignore[i]) if table is truth else 0,
                    "score": 0.0 if isinstance(table, TruthTable) else float(table.scores[i]),
                }
                for i in range(len(table))
            ]
            api = pycocotools.COCO()
            api.dataset = {
                "images": [{"id": i + 1} for i in range(photos)],
                "categories": [{"id": 0}, {"id": 1}],
                "annotations": rows,
            }
            api.createIndex()
            apis.append(api)
        evaluation = cocoeval.COCOeval(*apis, "bbox")
        evaluation.evaluate()
    hit, ignored = np.zeros(len(found), bool), np.zeros(len(found), bool)
    for part in evaluation.evalImgs:
        if part and part["aRng"] == evaluation.params.areaRng[0]:
            rows = np.array(part["dtIds"], int) - 1
            hit[rows] = (part["dtMatches"][0] > 0) & ~part["dtIgnore"][0].astype(bool)
            ignored[rows] = part["dtIgnore"][0]
    return hit, ignored


@pytest.mark.parametrize("seed", range(12))
def test_matching_agrees_with_pycocotools_detection_by_detection(seed: int) -> None:
    truth, found = tables(np.random.default_rng(seed), photos=6, per_photo=12)
    matches = match(truth, found)
    hit, ignored = coco_flags(truth, found)
    np.testing.assert_array_equal(matches.hits, hit)
    np.testing.assert_array_equal(matches.ignored, ignored)


def test_matching_in_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, found = tables(np.random.default_rng(0), photos=6, per_photo=12)
    whole = match(truth, found)
    for pairs in (1, 7, 100):
        monkeypatch.setattr("herder.evaluation.matching.PAIRS_AT_ONCE", pairs)
        np.testing.assert_array_equal(match(truth, found).truth, whole.truth)


def test_curves_by_class_add_up_to_the_whole() -> None:
    truth, found = tables(np.random.default_rng(1), photos=10, per_photo=15)
    whole, per_class = precision_recall_curves(truth, found, 2)
    for threshold in (0.0, 0.3, 0.5, 0.91):
        parts = [curve.at(threshold) for curve in per_class]
        at = whole.at(threshold)
        assert at.hits == sum(p.hits for p in parts)
        assert at.false_alarms == sum(p.false_alarms for p in parts)
        assert at.misses == sum(p.misses for p in parts)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), max_size=20), st.integers(0, 5))
def test_at_counts_what_is_kept(rows: list[tuple[float, bool]], missed: int) -> None:
    truths = sum(hit for _, hit in rows) + missed
    curve = Curve.of(np.array([s for s, _ in rows]), np.array([h for _, h in rows], bool), truths)
    for threshold in (0.0, 0.1, 0.4, 0.5, 0.9, 1.0):
        point = curve.at(threshold)
        kept = [hit for score, hit in rows if score >= threshold]
        assert (point.hits, point.false_alarms) == (sum(kept), len(kept) - sum(kept))
        assert point.misses == truths - sum(kept)
        if kept:
            assert point.precision == pytest.approx(sum(kept) / len(kept))
        if truths and kept and sum(kept):
            precision, recall = sum(kept) / len(kept), sum(kept) / truths
            assert point.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    best = curve.best()
    if truths and any(hit for _, hit in rows):
        assert best.f1 == max(curve.at(t).f1 for t in (0.1, 0.3, 0.5, 0.7, 0.9))
        assert curve.at(best.threshold) == best


def test_the_highest_of_equally_good_thresholds_wins() -> None:
    # One hit of two truths: 2/(1+2); with a false alarm and a second hit below: 4/(3+2) > ; ties need equal F1.
    curve = Curve.of(np.array([0.9, 0.8, 0.7]), np.array([True, False, False]), truths=1)
    assert curve.best().threshold == 0.9
    tied = Curve.of(np.array([0.9, 0.5, 0.4]), np.array([True, False, True]), truths=2)
    assert tied.f1.tolist() == pytest.approx([2 / 3, 1 / 2, 4 / 5])
    assert tied.best().threshold == 0.4


def test_nothing_found() -> None:
    point = Curve.of(np.zeros(0), np.zeros(0, bool), truths=3).best()
    assert (point.threshold, point.precision, point.recall, point.f1, point.misses) == (DEFAULT_THRESHOLD, 0, 0, 0, 3)


def test_only_false_alarms() -> None:
    point = Curve.of(np.array([0.9, 0.1]), np.zeros(2, bool), truths=3).best()
    assert (point.threshold, point.precision, point.recall, point.f1) == (DEFAULT_THRESHOLD, 0, 0, 0)


def test_nothing_labelled() -> None:
    point = Curve.of(np.array([0.9]), np.zeros(1, bool), truths=0).best()
    assert point.precision == 0
    assert math.isnan(point.recall)
    assert math.isnan(point.f1)
    assert math.isnan(Curve.of(np.zeros(0), np.zeros(0, bool), truths=0).best().precision)
