"""Spearman's rho against scipy and a textbook's example."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from herder.evaluation.not_computed import NotComputed
from herder.evaluation.rank_correlation import RankCorrelation, rank_correlation, ranks, spearman

# IQ and hours of TV a week, the worked example of https://en.wikipedia.org/wiki/Spearman's_rank_correlation_coefficient
IQ = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
HOURS = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]


def test_a_textbook_s_value() -> None:
    found = rank_correlation(IQ, HOURS)
    assert isinstance(found, RankCorrelation)
    assert found.rho == pytest.approx(-29 / 165)
    assert -1 <= found.low < found.rho < found.high <= 1
    assert found.low < 0 < found.high  # ten pairs do not tell


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_as_scipy_has_it_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, np.float64).T
    assert ranks(x).tolist() == stats.rankdata(x).tolist()
    if np.ptp(x) and np.ptp(y):
        assert spearman(x, y) == pytest.approx(float(stats.spearmanr(x, y).statistic))
    else:
        assert np.isnan(spearman(x, y))


def test_same_order_reverse_and_equal_seeds() -> None:
    up = np.arange(6.0)
    for y, rho in ((up**3, 1.0), (-up, -1.0)):
        found = rank_correlation(up, y, draws=200)
        assert isinstance(found, RankCorrelation)
        assert (found.rho, found.low, found.high) == pytest.approx((rho, rho, rho))
    assert rank_correlation(IQ, HOURS, draws=50, seed=3) == rank_correlation(IQ, HOURS, draws=50, seed=3)


def test_what_cannot_be_said() -> None:
    assert isinstance(rank_correlation([], []), NotComputed)
    assert isinstance(rank_correlation([1, 2], [1, 2]), NotComputed)
    assert isinstance(rank_correlation([1, 2, 3], [0, 0, 0]), NotComputed)
    with pytest.raises(ValueError, match="shapes"):
        rank_correlation([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="finite"):
        rank_correlation([1, 2, float("nan")], [1, 2, 3])
