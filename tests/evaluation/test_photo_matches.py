"""PhotoMatches against pycocotools, on datasets as they are and with photos that are really repeated."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herder.evaluation.matching import match, match_at
from herder.evaluation.photo_matches import IOUS, PhotoMatches
from herder.evaluation.rules import Rules
from herder.evaluation.tables import DetectionTable, TruthTable

pycocotools = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")

Scene = tuple[TruthTable, DetectionTable, int, int]


def random_scene(rng: np.random.Generator, photos: int = 12, classes: int = 3, *, ties: bool = True) -> Scene:
    """Labelled boxes, some of them crowds, and detections near and far from them; empty photos among them."""
    count = rng.integers(0, 7, photos)
    where = np.repeat(np.arange(photos), count)
    boxes = np.concatenate([rng.uniform(0, 300, (len(where), 2)), rng.uniform(8, 150, (len(where), 2))], axis=1)
    kinds = rng.integers(0, classes, len(where))
    truth = TruthTable(where, kinds, boxes, rng.random(len(where)) < 0.2, boxes[:, 2] * boxes[:, 3])
    pick = np.sort(rng.integers(0, len(where), 4 * len(where))) if len(where) else np.zeros(0, np.int64)
    seen = boxes[pick] + rng.normal(0, 0.15, (len(pick), 4)) * np.tile(boxes[pick, 2:], 2)
    alone = rng.integers(0, photos, 5)  # false alarms, on empty photos too
    seen = np.concatenate([seen, rng.uniform(5, 100, (5, 4))])
    seen[:, 2:] = np.maximum(seen[:, 2:], 1)
    labels = np.concatenate([kinds[pick], rng.integers(0, classes, 5)])
    labels = np.where(rng.random(len(labels)) < 0.1, rng.integers(0, classes, len(labels)), labels)
    scores = rng.integers(1, 20, len(seen)) / 20 if ties else rng.permutation(len(seen)) / len(seen)
    at = np.concatenate([where[pick], alone])
    order = np.argsort(at, kind="stable")
    return truth, DetectionTable(at[order], labels[order], seen[order], scores[order]), photos, classes


def reference(scene: Scene, repeats: Any = None) -> np.ndarray[Any, Any]:
    """Average precision (10, K) of pycocotools on the scene with photo i there ``repeats[i]`` times; NaN for -1."""
    truth, found, photos, classes = scene
    rows: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    image = 0
    for photo, times in enumerate(np.ones(photos, int) if repeats is None else repeats):
        for _ in range(times):
            image += 1
            for i in np.flatnonzero(truth.photos == photo):
                box = truth.boxes[i].tolist()
                rows[0].append({"bbox": box, "area": truth.areas[i], "iscrowd": int(truth.ignore[i])})
                rows[0][-1] |= {"image_id": image, "category_id": int(truth.classes[i]), "id": len(rows[0])}
            for i in np.flatnonzero(found.photos == photo):
                box = found.boxes[i].tolist()
                rows[1].append({"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "score": found.scores[i]})
                rows[1][-1] |= {"image_id": image, "category_id": int(found.classes[i]), "id": len(rows[1])}
    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for annotations in rows:
            api = pycocotools.COCO()
            names, numbers = [{"id": k} for k in range(classes)], [{"id": i} for i in range(1, image + 1)]
            api.dataset = {"images": numbers, "categories": names, "annotations": annotations}
            api.createIndex()
            both.append(api)
        evaluation = cocoeval.COCOeval(*both, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    average = evaluation.eval["precision"][:, :, :, 0, 2].mean(axis=1)
    return np.where(average < 0, np.nan, average)


@pytest.mark.parametrize("seed", range(12))
def test_unit_weights_equal_pycocotools(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    matches = PhotoMatches.of(*scene)
    np.testing.assert_allclose(matches.average_precision(), reference(scene), atol=1e-9)
    np.testing.assert_array_equal(matches.average_precision(), matches.average_precision(np.ones(len(matches))))
    expected = reference(scene)
    assert matches.map() == pytest.approx((np.nanmean(expected[0]), np.nanmean(expected)), abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_weights_equal_photos_really_repeated(seed: int) -> None:
    """No equal scores within a photo and class, where the order of copies would decide."""
    rng = np.random.default_rng(100 + seed)
    scene = random_scene(rng, ties=False)
    repeats = rng.integers(0, 4, scene[2])
    matches = PhotoMatches.of(*scene)
    np.testing.assert_allclose(matches.average_precision(repeats), reference(scene, repeats), atol=1e-9)


def test_weights_of_nought_leave_photos_out() -> None:
    scene = random_scene(np.random.default_rng(7))
    assert np.isnan(PhotoMatches.of(*scene).average_precision(np.zeros(scene[2]))).all()
    assert np.isnan(PhotoMatches.of(*scene).map(np.zeros(scene[2]))).all()


def nothing(photos: int = 3) -> Scene:
    none, boxes = np.zeros(0, np.int64), np.zeros((0, 4))
    return (
        TruthTable(none, none, boxes, none > 0, boxes[:, 0]),
        DetectionTable(none, none, boxes, boxes[:, 0]),
        photos,
        2,
    )


def test_nothing_found_and_nothing_there() -> None:
    truth, found, photos, classes = random_scene(np.random.default_rng(3))
    no_truth, none_found, *_ = nothing()
    assert PhotoMatches.of(truth, none_found, photos, classes).map() == (0.0, 0.0)
    assert np.isnan(PhotoMatches.of(no_truth, found, photos, classes).average_precision()).all()
    for photos, classes in ((0, 0), (3, 0), (0, 2), (3, 2)):
        matches = PhotoMatches.of(no_truth, none_found, photos, classes)
        assert matches.average_precision().shape == (10, classes)
        assert np.isnan(matches.map()).all()


def test_other_overlaps_have_no_map50_95() -> None:
    scene = random_scene(np.random.default_rng(4))
    every, half = PhotoMatches.of(*scene), PhotoMatches.of(*scene, Rules.COCO, (0.5,))
    assert half.map()[0] == every.map()[0]
    assert np.isnan(half.map()[1])


def test_joined_photos_are_one_dataset() -> None:
    """Both halves of a dataset, matched apart, make the whole; weights mix two models photo by photo."""
    truth, found, photos, classes = random_scene(np.random.default_rng(5))
    parts = []
    for here in (lambda p: p < 5, lambda p: p >= 5):
        t, f = here(truth.photos), here(found.photos)
        part = TruthTable(*(getattr(truth, n)[t] for n in ("photos", "classes", "boxes", "ignore", "areas")))
        parts.append(PhotoMatches.of(part, found.pick(f), photos, classes))
    joined = PhotoMatches.joined(parts)
    whole = PhotoMatches.of(truth, found, photos, classes)
    assert joined.map() == whole.map()
    other = PhotoMatches.of(truth, found.pick(np.arange(len(found)) % 2 == 0), photos, classes)
    both = PhotoMatches.joined([whole, other])
    assert both.map(np.repeat([1, 0], photos)) == whole.map()
    assert both.map(np.repeat([0, 1], photos)) == other.map()
    with pytest.raises(ValueError, match="cannot be joined"):
        PhotoMatches.joined([whole, PhotoMatches.of(truth, found, photos, classes, Rules.COCO, (0.5,))])


box = st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 40)] * 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(box, st.booleans()), max_size=6),
    st.lists(st.tuples(box, st.sampled_from([0.25, 0.5, 0.75])), max_size=8),
    st.booleans(),
)
def test_matching_at_many_overlaps_is_matching_at_each(truths: Any, founds: Any, by_class: bool) -> None:
    photos, ends = np.zeros(len(truths), np.int64), np.zeros(len(founds), np.int64)
    boxes = np.array([t[0] for t in truths], np.float64).reshape(-1, 4)
    truth = TruthTable(photos, np.arange(len(truths)) % 2, boxes, np.array([t[1] for t in truths], bool), photos * 1.0)
    seen = np.array([f[0] for f in founds], np.float64).reshape(-1, 4)
    found = DetectionTable(ends, np.arange(len(founds)) % 2, seen, np.array([f[1] for f in founds], np.float64))
    together = match_at(truth, found, IOUS, by_class=by_class)
    for level, iou in enumerate(IOUS):
        alone = match(truth, found, iou, by_class=by_class)
        np.testing.assert_array_equal(together.truth[level], alone.truth)
        np.testing.assert_array_equal(together.ignored[level], alone.ignored)
