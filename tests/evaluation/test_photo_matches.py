"""Matches that are counted again with other weights: against pycocotools on datasets with photos really repeated."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.resampled_precision import draw_weights, jackknife, resample
from herder.evaluation.tables import DetectionTable, TruthTable

pycocotools = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")

EMPTY = np.zeros(0, np.int64)


def random_tables(seed: int, photos: int, classes: int, *, ties: bool = True) -> tuple[TruthTable, DetectionTable]:
    """Crowds, empty photos, missed boxes, false alarms, and with ``ties`` scores of which many are equal."""
    rng = np.random.default_rng(seed)
    n, extra = int(rng.integers(0, 5 * photos)), int(rng.integers(0, 3 * photos))
    where, which = np.sort(rng.integers(photos, size=n)), rng.integers(classes, size=n)
    boxes = np.c_[rng.uniform(0, 60, (n, 2)), rng.uniform(5, 40, (n, 2))]
    truth = TruthTable(where, which, boxes, rng.random(n) < 0.15, boxes[:, 2] * boxes[:, 3])
    moved = boxes + rng.normal(0, 3, (n, 4))
    found = np.r_[moved, np.c_[rng.uniform(0, 60, (extra, 2)), rng.uniform(5, 40, (extra, 2))]]
    found[:, 2:] = np.maximum(found[:, 2:], 1)
    at = np.r_[where, rng.integers(photos, size=extra)]
    kinds = np.r_[which, rng.integers(classes, size=extra)]
    order = np.argsort(at, kind="stable")
    scores = rng.random(n + extra)
    return truth, DetectionTable(at[order], kinds[order], found[order], np.round(scores, 1) if ties else scores)


def reference(truth: TruthTable, found: DetectionTable, copies: list[int], classes: int) -> tuple[float, float]:
    """mAP50 and mAP50_95 by pycocotools where photo i is there ``copies[i]`` times; -1 becomes NaN."""
    rows: tuple[list[dict[str, object]], list[dict[str, object]]] = ([], [])
    image = 0
    for photo, times in enumerate(copies):
        for _ in range(times):
            image += 1
            for i in np.flatnonzero(truth.photos == photo):
                box = truth.boxes[i].tolist()
                row = {"image_id": image, "category_id": int(truth.classes[i]), "bbox": box, "area": box[2] * box[3]}
                rows[0].append({**row, "iscrowd": int(truth.ignore[i]), "id": len(rows[0]) + 1})
            for i in np.flatnonzero(found.photos == photo):
                box = found.boxes[i].tolist()
                row = {"image_id": image, "category_id": int(found.classes[i]), "bbox": box, "area": box[2] * box[3]}
                rows[1].append({**row, "score": float(found.scores[i]), "id": len(rows[1]) + 1, "iscrowd": 0})
    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for annotations in rows:
            api = pycocotools.COCO()
            api.dataset = {
                "images": [{"id": i} for i in range(1, image + 1)],
                "categories": [{"id": i} for i in range(classes)],
                "annotations": annotations,
            }
            api.createIndex()
            both.append(api)
        evaluation = cocoeval.COCOeval(*both, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    all_of_them, at_50 = (float(value) for value in evaluation.stats[:2])
    return (math.nan if at_50 == -1 else at_50, math.nan if all_of_them == -1 else all_of_them)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(1, 3))
def test_a_weight_is_a_number_of_copies(seed: int, copies: list[int], classes: int) -> None:
    truth, found = random_tables(seed, len(copies), classes, ties=max(copies) <= 1)
    matches = PhotoMatches.of(truth, found, len(copies), classes)
    if sum(copies):
        assert matches.map(np.array(copies)) == pytest.approx(
            reference(truth, found, copies, classes), abs=1e-9, nan_ok=True
        )
    assert matches.map() == pytest.approx(reference(truth, found, [1] * len(copies), classes), abs=1e-9, nan_ok=True)
    # Only shares count: three of each photo are as good as one.
    assert matches.map(np.full(len(copies), 3)) == pytest.approx(matches.map(), abs=1e-12, nan_ok=True)


def test_nothing_labelled_and_nothing_found() -> None:
    none = TruthTable(EMPTY, EMPTY, np.zeros((0, 4)), np.zeros(0, bool), np.zeros(0))
    nothing = DetectionTable(EMPTY, EMPTY, np.zeros((0, 4)), np.zeros(0))
    assert np.isnan(PhotoMatches.of(none, nothing, 2, 1).map()).all()
    assert np.isnan(PhotoMatches.of(none, nothing, 0, 0).map()).all()
    one = TruthTable(np.array([1]), np.array([0]), np.array([[0.0, 0, 9, 9]]), np.array([False]), np.array([81.0]))
    matches = PhotoMatches.of(one, nothing, 2, 1)
    assert matches.map() == (0, 0)
    assert np.isnan(matches.map(np.array([1, 0]))).all()


def test_ids_and_weights_out_of_range() -> None:
    truth, found = random_tables(1, 4, 2)
    with pytest.raises(ValueError, match="photo ids"):
        PhotoMatches.of(truth, found, 2, 2)
    with pytest.raises(ValueError, match="class ids"):
        PhotoMatches.of(truth, found, 4, 1)
    with pytest.raises(ValueError, match="weights"):
        PhotoMatches.of(truth, found, 4, 2).map(np.ones(3))


def test_draws_are_paired_and_repeatable() -> None:
    truth, found = random_tables(3, 12, 2)
    one = PhotoMatches.of(truth, found, 12, 2)
    other = PhotoMatches.of(truth, found.pick(found.scores > 0.3), 12, 2)
    values = resample([one, other, one], 20, seed=5)
    assert values.shape == (20, 3, 2)
    assert (values[:, 0] == values[:, 2]).all()
    assert (values[:, 0] != values[:, 1]).any()
    assert (resample([other], 20, seed=5)[:, 0] == values[:, 1]).all()
    first = next(draw_weights(12, 1, 5))
    assert first.sum() == 12
    assert tuple(values[0, 0]) == one.map(first)
    with pytest.raises(ValueError, match="wanted one and the same"):
        resample([one, PhotoMatches.of(truth, found, 13, 2)], 1, 0)


def test_the_jackknife_leaves_photos_out() -> None:
    truth, found = random_tables(3, 12, 2)
    matches = PhotoMatches.of(truth, found, 12, 2)
    values = jackknife([matches])
    assert values.shape == (12, 1, 2)
    for i in (0, 7):
        assert tuple(values[i, 0]) == pytest.approx(
            reference(truth, found, [int(j != i) for j in range(12)], 2), abs=1e-9
        )
    groups = [np.arange(6), np.arange(6, 12)]
    assert jackknife([matches], groups)[1, 0] == pytest.approx(reference(truth, found, [1] * 6 + [0] * 6, 2), abs=1e-9)
    assert jackknife([PhotoMatches.of(truth, found, 1300, 2)]).shape == (500, 1, 2)
