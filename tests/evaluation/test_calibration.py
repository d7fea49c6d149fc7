from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from herder.boxes import IntArray
from herder.evaluation.calibration import (
    Calibration,
    Reliability,
    calibration_error,
    error_by_chance,
    measure_calibration,
    reliability_bins,
)
from herder.evaluation.calibration_sections import calibration_section, sections_from_json, verdict
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.plain_values import from_plain, to_plain
from herder.evaluation.tables import DetectionTable, DoubleArray, TruthTable
from herder.evaluation.temperature import cross_fitted, fit_temperature, negative_log_likelihood
from herder.inference import tempered


def drawn(count: int, temperature: float, seed: int = 0) -> tuple[DoubleArray, np.ndarray]:
    """Scores whose logits are ``temperature`` times what would be right."""
    rng = np.random.default_rng(seed)
    right = rng.beta(1, 1.5, count)
    return np.asarray(expit(logit(right) * temperature)), rng.random(count) < right


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_logistic_regression(temperature: float) -> None:
    scores, hits = drawn(5000, temperature)
    fitted = fit_temperature(scores, hits)
    assert fitted == pytest.approx(temperature, rel=0.1)
    regression = LogisticRegression(C=1e12, fit_intercept=False, tol=1e-10).fit(logit(scores)[:, None], hits)
    assert fitted == pytest.approx(1 / regression.coef_[0, 0], rel=1e-4)
    least = minimize_scalar(
        lambda t: negative_log_likelihood(tempered(scores, t), hits), bounds=(0.05, 20), options={"xatol": 1e-9}
    )
    assert fitted == pytest.approx(least.x, rel=1e-4)


def test_a_temperature_needs_hits_and_false_alarms() -> None:
    scores, hits = np.full(100, 0.7), np.arange(100) < 19
    assert "19 hits" in str(fit_temperature(scores, hits))
    assert "19 false alarms" in str(fit_temperature(scores, ~hits))
    assert isinstance(fit_temperature(np.zeros(0), np.zeros(0, bool)), NotComputed)
    # Scores of 0 and 1 that are wrong have no finite likelihood, and still no NaN comes out.
    extreme = fit_temperature(np.repeat([0.0, 1.0], 50), np.arange(100) % 2 == 0)
    assert extreme == pytest.approx(20.0)


@given(st.floats(0.05, 20), st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_tempered_scores_keep_their_order_and_come_back(temperature: float, values: list[float]) -> None:
    scores = np.sort(np.array(values))
    warmed = tempered(scores, temperature)
    assert ((warmed >= 0) & (warmed <= 1)).all()
    assert (np.diff(warmed) >= 0).all()
    inside = (scores > 1e-6) & (scores < 1 - 1e-6)
    np.testing.assert_allclose(warmed[inside], expit(logit(scores[inside]) / temperature), rtol=1e-9)
    within = inside & (warmed > 1e-12) & (warmed < 1 - 1e-9)
    np.testing.assert_allclose(tempered(warmed[within], 1 / temperature), scores[within], rtol=1e-4)


def test_calibration_error_by_hand() -> None:
    scores = np.array([0.12, 0.18, 0.55, 0.55, 0.95, 1.0])
    hits = np.array([False, True, True, True, True, False])
    # bins: 2 of mean 0.15, half right; 2 of 0.55, all right; 2 of 0.975, half right
    assert calibration_error(scores, hits) == pytest.approx((0.35 + 0.45 + 0.475) / 3)
    bins = reliability_bins(scores, hits)
    assert [b.count for b in bins] == [0, 2, 0, 0, 0, 2, 0, 0, 0, 2]
    assert (bins[1].confidence, bins[1].precision) == (pytest.approx(0.15), 0.5)
    assert isinstance(bins[0].precision, NotComputed)
    # cut by a second column, each detection stands alone in its bin but the two of 0.55
    place = np.array([[0.1], [0.9], [0.5], [0.5], [0.1], [0.9]])
    alone = (0.12 + 0.82 + 2 * 0.45 + 0.05 + 1.0) / 6
    assert calibration_error(scores, hits, place) == pytest.approx(alone)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_cutting_bins_further_never_makes_the_error_smaller(rows: list[tuple[float, bool]]) -> None:
    scores, hits = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    place = np.random.default_rng(0).random((len(rows), 2))
    assert 0 <= calibration_error(scores, hits) <= calibration_error(scores, hits, place) + 1e-12 <= 1 + 1e-9


def test_chance_alone_gets_small_with_many_detections() -> None:
    few, many = np.full(20, 0.5), np.full(2000, 0.5)
    # the mean of |binomial / n - 1/2| is about 0.4 / sqrt(n)
    assert error_by_chance(few) == pytest.approx(0.4 / np.sqrt(20), rel=0.2)
    assert error_by_chance(many) == pytest.approx(0.4 / np.sqrt(2000), rel=0.2)


def tables(scores: DoubleArray, hits: np.ndarray) -> tuple[TruthTable, DetectionTable, IntArray]:
    """A photo for each detection; where it is a hit there is a box under it, elsewhere one far away."""
    count = len(scores)
    photos, zeros = np.arange(count), np.zeros(count, np.int64)
    found = DetectionTable(photos, zeros, np.tile([10.0, 10, 20, 20], (count, 1)), scores)
    boxes = np.where(hits[:, None], found.boxes, [70.0, 70, 9, 9])
    truth = TruthTable(photos, zeros, boxes, zeros > 0, boxes[:, 2] * boxes[:, 3])
    return truth, found, np.full((count, 2), 100)


def measured(count: int, temperature: float) -> Calibration:
    calibration = measure_calibration(*tables(*drawn(count, temperature)))
    assert isinstance(calibration, Calibration)
    return calibration


def test_too_sure_scores_are_seen_and_mended() -> None:
    scores, hits = drawn(3000, 2.0)
    calibration = measure_calibration(*tables(scores, hits))
    assert isinstance(calibration, Calibration)
    assert isinstance(calibration.after, Reliability)
    kept = scores >= 0.05
    assert calibration.before.detections == kept.sum()
    assert calibration.before.hits == hits[kept].sum()
    assert calibration.before.brier == pytest.approx(np.mean((scores - hits)[kept] ** 2))
    assert calibration.helps
    assert calibration.after.ece < calibration.before.ece / 2
    assert calibration.after.nll < calibration.before.nll
    assert "It helps" in verdict(calibration)


def test_scores_that_are_right_stay_as_they_are() -> None:
    calibration = measured(3000, 1.0)
    assert calibration.temperature == pytest.approx(1, abs=0.1)
    assert calibration.before.ece < 2 * calibration.before.ece_by_chance


def test_what_lies_on_a_herd_counts_neither_way() -> None:
    scores, hits = drawn(200, 1.0)
    truth, found, sizes = tables(scores, hits)
    herds = TruthTable(truth.photos, truth.classes, truth.boxes, hits, truth.areas)  # what is hit is a herd
    calibration = measure_calibration(herds, found, sizes)
    assert isinstance(calibration, Calibration)
    assert calibration.before.hits == 0
    assert isinstance(calibration.temperature, NotComputed)
    assert "not computed: 0 hits" in verdict(calibration)


def test_too_few_to_hold_half_of_them_out() -> None:
    scores, hits = np.full(50, 0.6), np.arange(50) < 25
    calibration = measure_calibration(*tables(scores, hits))
    assert isinstance(calibration, Calibration)
    assert isinstance(calibration.after, NotComputed)
    assert not calibration.helps
    assert "half of the photos is too few" in verdict(calibration)
    assert calibration_section(calibration).pictures


def test_no_detection_at_all() -> None:
    truth, found, sizes = tables(np.full(3, 0.01), np.array([True, False, True]))
    assert str(measure_calibration(truth, found, sizes)) == "not computed: no detection reaches a score of 0.05"


def test_photos_of_one_group_are_held_out_together() -> None:
    scores, hits = drawn(400, 2.0)
    groups = np.arange(400) // 100
    calibrated = cross_fitted(scores, hits, np.arange(400), groups)
    assert not isinstance(calibrated, NotComputed)
    factors = logit(calibrated) / logit(scores)
    each = [np.ptp(factors[groups == g]) for g in range(4)]
    assert max(each) < 1e-6  # one temperature a group
    assert len({round(float(factors[groups == g].mean()), 6) for g in range(4)}) == 2  # two halves


def test_a_result_comes_back_from_json() -> None:
    calibration = measured(300, 2.0)
    plain = to_plain(calibration)
    assert from_plain(Calibration, plain) == calibration
    (section,) = sections_from_json({"calibration": plain}, "calibration.json")
    assert section.text == calibration_section(calibration).text
