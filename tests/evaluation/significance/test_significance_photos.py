"""Intervals and tests over photos: against scipy's bootstrap and against all swaps counted by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from herder.errors import ConfigError
from herder.evaluation.not_computed import NotComputed
from herder.evaluation.significance import Gate, Interval, bca_interval, paired_permutation

Array = NDArray[np.float64]


def leave_one_out(sample: Array) -> Array:
    return np.array([np.delete(sample, i).mean() for i in range(len(sample))])


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bca_as_scipy_has_it(level: float) -> None:
    """At the level that Hesterberg's expansion makes of it: twice Phi(sqrt(n / (n - 1)) t) less one."""
    sample = np.random.default_rng(1).exponential(size=25)
    expanded = 2 * stats.norm.cdf(math.sqrt(25 / 24) * stats.t.ppf((1 + level) / 2, 24)) - 1
    reference = stats.bootstrap(
        (sample,), np.mean, n_resamples=4000, confidence_level=expanded, method="BCa", rng=np.random.default_rng(2)
    )
    found = bca_interval(sample.mean(), reference.bootstrap_distribution, leave_one_out(sample), level)
    assert not isinstance(found, NotComputed)
    assert found.method == "BCa"
    assert (found.low, found.high) == pytest.approx(
        (reference.confidence_interval.low, reference.confidence_interval.high), abs=2e-3
    )


def test_where_bca_has_no_meaning() -> None:
    draws = np.linspace(0, 1, 1001)
    outside = bca_interval(2.0, draws, np.array([0.1, 0.2, 0.4]))
    assert not isinstance(outside, NotComputed)
    # Of 3 parts t is 4.303, and sqrt(3 / 2) times as much lies beyond all draws.
    assert (outside.low, outside.high) == pytest.approx((0, 1), abs=1e-3)
    alone = bca_interval(2.0, draws, np.zeros(0))
    assert not isinstance(alone, NotComputed)
    assert (alone.low, alone.high) == pytest.approx((0.025, 0.975), abs=1e-3)
    assert outside.method == "percentile, since all draws lie on one side of the estimate"
    flat = bca_interval(0.5, draws, np.array([0.3, 0.3, 0.3]))
    assert not isinstance(flat, NotComputed)
    assert "no photo makes a difference" in flat.method
    same = bca_interval(0.5, np.full(200, 0.5), np.array([0.5] * 9))
    assert same == Interval(0.5, 0.5, 0.95, "all draws are equal")
    assert isinstance(bca_interval(0.5, draws[:50], np.array([0.1, 0.2, 0.4])), NotComputed)
    assert isinstance(bca_interval(math.nan, draws, np.array([0.1])), NotComputed)


def test_draws_that_hold_nothing() -> None:
    draws = np.linspace(0, 1, 1000)
    some, many = draws.copy(), draws.copy()
    some[::50], many[::5] = np.nan, np.nan
    assert isinstance(bca_interval(0.5, some, np.array([0.1, 0.2, 0.4])), Interval)
    found = bca_interval(0.5, many, np.array([0.1, 0.2, 0.4]))
    assert found == NotComputed("200 of 1000 draws hold no labelled box: too few photos")


def test_a_permutation_test_is_near_the_count_of_all_swaps() -> None:
    gains = np.array([[0.3, 0.1], [0.2, -0.4], [-0.05, 0.1], [0.4, 0.2], [0.1, 0.1], [0.25, -0.1], [0.3, 0.0]])

    def difference(swapped: NDArray[np.bool_]) -> Array:
        return np.asarray(np.where(swapped[:, None], -gains, gains).mean(axis=0))

    observed = np.abs(gains.mean(axis=0)) - 1e-12
    every = [np.abs(difference(np.array(mask))) >= observed for mask in itertools.product((False, True), repeat=7)]
    exact = np.mean(every, axis=0)
    found = paired_permutation(difference, 7, 20_000, seed=3)
    assert [test.difference for test in found] == pytest.approx(gains.mean(axis=0).tolist())
    assert [test.p_value for test in found] == pytest.approx(exact.tolist(), abs=0.01)
    assert paired_permutation(difference, 7, 50, seed=3) == paired_permutation(difference, 7, 50, seed=3)


def test_permutations_without_an_answer() -> None:
    (few,) = paired_permutation(lambda mask: np.array([0.1]), 5, 100, seed=0)
    assert few.p_value == NotComputed("5 photos, wanted 6 or more")
    (nothing,) = paired_permutation(lambda mask: np.array([math.nan]), 9, 100, seed=0)
    assert nothing.p_value == NotComputed("no labelled box counts")
    (same,) = paired_permutation(lambda mask: np.array([0.0]), 9, 100, seed=0)
    assert same.p_value == 1.0


@pytest.mark.parametrize(
    ("kind", "margin", "low", "passed"),
    [
        ("better", 0.0, 0.001, True),
        ("better", 0.0, 0.0, False),
        ("better", 0.02, 0.01, False),
        ("not-worse", 0.01, -0.009, True),
        ("not-worse", 0.01, -0.01, True),
        ("not-worse", 0.01, -0.011, False),
        ("not-worse", 0.0, 0.0, True),
        ("not-worse", 0.0, -0.001, False),
    ],
)
def test_the_gate(kind: str, margin: float, low: float, passed: bool) -> None:
    decision = Gate(kind, margin).decide(Interval(low, 0.5, 0.95, "BCa"))  # type: ignore[arg-type]
    assert decision.passed == passed
    assert str(decision).startswith("passed" if passed else "not passed: it is not shown at 95 % confidence")


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_a_level_that_makes_no_sense(level: float) -> None:
    with pytest.raises(ConfigError, match="is not between 0 and 1"):
        bca_interval(0.5, np.linspace(0, 1, 1000), np.array([0.1, 0.2, 0.4]), level)


def test_a_gate_without_an_interval_stays_shut() -> None:
    decision = Gate("better").decide(NotComputed("3 photos"))
    assert not decision.passed
    assert "not computed: 3 photos" in str(decision)


@pytest.mark.parametrize(("kind", "margin"), [("best", 0.0), ("better", -0.1), ("better", math.nan)])
def test_a_gate_that_makes_no_sense(kind: str, margin: float) -> None:
    with pytest.raises(ConfigError):
        Gate(kind, margin)  # type: ignore[arg-type]
