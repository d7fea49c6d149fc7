from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from herder.data.records import Dataset, ImageRecord
from herder.detections import Detections
from herder.errors import DataError
from herder.evaluation import evaluate_detections
from herder.evaluation.cross_validation import METRICS, CrossValidation, FoldResult, Pooled
from herder.evaluation.cross_validation_sections import crossval_sections, sections_from_json
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.pooled_folds import pool
from herder.evaluation.report import render_report
from herder.evaluation.significance.intervals import Interval


def fold(number: int, value: float, strategy: str = "stratified", **metrics: float) -> FoldResult:
    known = {**dict.fromkeys(METRICS, value), "threshold": 0.3, **metrics}
    return FoldResult(strategy, 1, number, 80, 20, 30, "abc", known, 4, 90.0, f"{strategy}-1-{number}/b", "f" * 64)


def photos(count: int, seed: int = 0) -> tuple[Dataset, list[Detections]]:
    """Photos with two boxes each, found with some error, and a false alarm here and there."""
    rng = np.random.default_rng(seed)
    records, found = [], []
    for i in range(count):
        corners = rng.uniform(0, 50, (2, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (2, 2))], 1).astype(np.float32)
        records.append(ImageRecord(Path(f"{i}.jpg"), 100, 100, boxes, np.zeros(2, np.int64)))
        moved = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), [[60, 60, 90, 90]]]).astype(np.float32)
        chosen = rng.random(3) < (0.8, 0.8, 0.3)
        scores = rng.uniform(0.1, 1, 3).astype(np.float32)
        found.append(Detections(moved[chosen], scores[chosen], np.zeros(chosen.sum(), np.int64), ("alpaca",)))
    return Dataset(tuple(records), ("alpaca",)), found


def test_mean_spread_and_corrected_interval() -> None:
    result = CrossValidation((fold(1, 0.6), fold(2, 0.7), fold(3, 0.8)), ())
    spread = result.spreads()[0]
    assert (spread.metric, spread.n) == ("mAP50", 3)
    assert spread.mean == pytest.approx(0.7)
    assert spread.std == pytest.approx(0.1)
    assert spread.steadiness == pytest.approx(1 - 0.1 / 0.7)
    # Nadeau and Bengio 2003, equation 9 with J = 3 and n2 / n1 = 20 / 80, at two degrees of freedom.
    half = stats.t.ppf(0.975, 2) * np.sqrt((1 / 3 + 0.25) * 0.01)
    assert isinstance(spread.interval, Interval)
    assert (spread.interval.low, spread.interval.high) == pytest.approx((0.7 - half, 0.7 + half))


def test_the_robustness_score_is_the_mean_over_strategies_and_metrics() -> None:
    steady = [fold(i, 0.5) for i in (1, 2)]
    other = [fold(1, 0.4, "kfold"), fold(2, 0.6, "kfold")]
    shaky = 1 - np.std([0.4, 0.6], ddof=1) / 0.5
    assert CrossValidation(tuple(steady), ()).robustness() == 1
    assert CrossValidation((*steady, *other), ()).robustness() == pytest.approx((1 + shaky) / 2)
    mixed = (fold(1, 0.5, F1=0.4), fold(2, 0.5, F1=0.6))
    assert CrossValidation(mixed, ()).robustness() == pytest.approx((4 + shaky) / 5)


def test_what_has_no_spread_says_why() -> None:
    assert "1 value, wanted 2" in str(CrossValidation((fold(1, 0.5),), ()).robustness())
    assert "the mean is 0" in str(CrossValidation((fold(1, 0.0), fold(2, 0.0)), ()).robustness())
    assert str(CrossValidation((), ()).robustness()) == "not computed: no fold was measured"
    lost = fold(2, 0.5)
    known = {name: value for name, value in lost.metrics.items() if name != "recall"}
    result = CrossValidation((fold(1, 0.5), FoldResult(**{**vars(lost), "metrics": known})), ())
    spread = result.spreads()[METRICS.index("recall")]
    assert "1 of 2 folds have no labelled box" in str(spread.mean)
    assert isinstance(result.robustness(), NotComputed)


def test_pooled_numbers_are_those_of_one_evaluation() -> None:
    dataset, found = photos(40)
    pooled = pool("kfold", 1, dataset, found, np.arange(40), draws=200, seed=1)
    metrics = evaluate_detections(found, dataset.records, dataset.class_names).as_dict()
    assert (pooled.photos, pooled.truths, pooled.threshold) == (40, 80, metrics["threshold"])
    for measure in pooled.measures:
        assert measure.value == pytest.approx(metrics[measure.name])
        assert isinstance(measure.interval, Interval)
        assert measure.value in measure.interval
        assert measure.interval.method == "BCa"
    again = pool("kfold", 1, dataset, found, np.arange(40), draws=200, seed=1, workers=2)
    assert again == pooled


def test_photos_that_never_part_are_drawn_together() -> None:
    dataset, found = photos(20)
    twice = Dataset(dataset.records * 2, dataset.class_names)
    alone = pool("kfold", 1, twice, found * 2, np.arange(40), draws=300)
    together = pool("kfold", 1, twice, found * 2, np.tile(np.arange(20), 2), draws=300)

    def width(pooled: Pooled) -> float:
        interval = pooled.measures[METRICS.index("recall")].interval
        assert isinstance(interval, Interval)
        return interval.high - interval.low

    # Copies tell nothing new: the interval of recall is that of 20 photos, sqrt(2) times as wide as if they did.
    single = pool("kfold", 1, dataset, found, np.arange(20), draws=300)
    assert width(together) == pytest.approx(width(single), rel=0.05)
    assert 1.2 < width(together) / width(alone) < 1.7


def test_pooling_nothing_says_why() -> None:
    empty = ImageRecord(Path("a.jpg"), 9, 9, np.zeros((0, 4)), np.zeros(0))
    nothing = Detections.empty(("alpaca",))
    pooled = pool("kfold", 1, Dataset((empty,) * 2, ("alpaca",)), [nothing] * 2, np.arange(2), draws=100)
    assert all(isinstance(m.value, NotComputed) for m in pooled.measures if m.name.startswith("mAP"))
    assert all(isinstance(m.interval, NotComputed) for m in pooled.measures if m.name.startswith("mAP"))
    json.dumps(CrossValidation((), (pooled,)).as_dict(), allow_nan=False)


def test_there_and_back_and_the_page() -> None:
    dataset, found = photos(10)
    pooled = pool("stratified", 1, dataset, found, np.arange(10), draws=100)
    result = CrossValidation((fold(1, 0.5), fold(2, 0.7)), (pooled,), ("a <note>",))
    data = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert CrossValidation.from_dict(data, "x") == result
    page = render_report("Cross-validation", sections_from_json(data, "x"))
    assert page == render_report("Cross-validation", crossval_sections(result))
    assert "a &lt;note&gt;" in page
    assert "Robustness score" in page
    assert "nan" not in page.lower().replace("nano", "")
    render_report("nothing", crossval_sections(CrossValidation((), ())))


@pytest.mark.parametrize(
    "data", [{}, {"folds": 3, "pooled": []}, {"folds": [{}], "pooled": []}, {"folds": [], "pooled": 1}]
)
def test_something_else_is_no_result(data: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"crossval\.json: is no result"):
        CrossValidation.from_dict(data, "crossval.json")
