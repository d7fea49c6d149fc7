"""Both engines behind COCO's arrays, each against what is counted by hand, and against the one matching core."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from herder.errors import MissingExtraError
from herder.evaluation import coco_engines
from herder.evaluation.coco_engines import ALL, LARGE, MEDIUM, SMALL, coco_arrays
from herder.evaluation.photo_matches import PhotoMatches
from herder.evaluation.tables import DetectionTable, TruthTable


@pytest.fixture(params=list(coco_engines.ENGINES))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One engine alone; skipped where it is not installed."""
    name: str = request.param
    pytest.importorskip(name)
    monkeypatch.setattr(coco_engines, "ENGINES", {name: coco_engines.ENGINES[name]})
    return name


def test_counted_by_hand(engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A small box found, a medium one missed, a false alarm between them; a herd that hides another false alarm."""
    boxes = np.array([[0.0, 0, 20, 20], [100, 100, 50, 50], [200, 200, 100, 100]])
    truth = TruthTable(
        np.array([0, 0, 1]), np.zeros(3, np.int64), boxes, np.array([False, False, True]), boxes[:, 2] * boxes[:, 3]
    )
    seen = np.array([[0.0, 0, 20, 20], [300, 300, 20, 20], [210, 210, 50, 50]])
    found = DetectionTable(np.array([0, 0, 1]), np.zeros(3, np.int64), seen, np.array([0.8, 0.9, 0.7]))
    arrays = coco_arrays(truth, found, 2, 1)
    assert arrays.precision.shape == (10, 101, 1, 4)
    assert arrays.recall.shape == (10, 1, 3)
    # One hit at rank two, of two boxes: precision 1/2 up to recall 1/2, that is at 51 of the 101 recalls.
    assert arrays.precision[0, :, 0, ALL].mean() == pytest.approx(51 / 101 / 2)
    assert arrays.precision[0, :, 0, SMALL].mean() == pytest.approx(1 / 2)
    assert arrays.precision[0, :, 0, MEDIUM].mean() == 0
    assert (arrays.precision[0, :, 0, LARGE] == -1).all()
    assert arrays.recall[0, 0].tolist() == pytest.approx([0, 0.5, 0.5])  # with one detection only the false alarm
    assert capfd.readouterr() == ("", "")


def test_agrees_with_the_matching_core(engine: str) -> None:
    rng = np.random.default_rng(0)
    photos, classes, count = 40, 4, 200
    where = np.sort(rng.integers(0, photos, count))
    boxes = np.concatenate([rng.uniform(0, 300, (count, 2)), rng.uniform(8, 150, (count, 2))], axis=1)
    kinds = rng.integers(0, classes, count)
    truth = TruthTable(where, kinds, boxes, rng.random(count) < 0.2, boxes[:, 2] * boxes[:, 3])
    seen = np.maximum(boxes + rng.normal(0, 8, (count, 4)), 1)
    found = DetectionTable(where, kinds, seen, rng.integers(1, 10, count) / 10)
    arrays = coco_arrays(truth, found, photos, classes)
    matches = PhotoMatches.of(truth, found, photos, classes)
    np.testing.assert_allclose(arrays.precision[..., ALL].mean(axis=1), matches.average_precision(), atol=1e-9)


def test_no_engine_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in coco_engines.ENGINES:
        monkeypatch.setitem(sys.modules, name, None)
    one, box = np.zeros(1, np.int64), np.array([[0.0, 0, 5, 5]])
    truth = TruthTable(one, one, box, one > 0, box[:, 2] * box[:, 3])
    with pytest.raises(MissingExtraError, match="evaluation needs packages"):
        coco_arrays(truth, DetectionTable(one, one, box, one + 0.5), 1, 1)
