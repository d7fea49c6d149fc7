"""Distances against scipy's, most of all where |x|^2 + |y|^2 - 2 x.y loses its digits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from herder.foundations import distances
from herder.foundations.distances import pairwise_distances

RNG = np.random.default_rng(0)
CLUSTERS = RNG.standard_normal((4, 300))[RNG.integers(0, 4, 120)]
CASES = {
    "normal": (RNG.standard_normal((40, 300)), RNG.standard_normal((90, 300))),
    "pixels": (RNG.integers(0, 256, (40, 300)).astype(float), RNG.integers(0, 256, (90, 300)).astype(float)),
    "far from the origin": (RNG.standard_normal((40, 300)) + 1e4, RNG.standard_normal((90, 300)) + 1e4),
    "tight clusters": (CLUSTERS[:40] + 1e-3 * RNG.standard_normal((40, 300)), CLUSTERS[40:]),
    "loose clusters": (CLUSTERS[:40] + 0.45 * RNG.standard_normal((40, 300)), CLUSTERS[40:]),
    "tighter clusters": (CLUSTERS[:40] + 1e-5 * RNG.standard_normal((40, 300)), CLUSTERS[40:]),
    "one outlier": (
        np.vstack([RNG.standard_normal((40, 300)), np.full((1, 300), 1e6)]),
        RNG.standard_normal((90, 300)),
    ),
    "tiny": (1e-25 * RNG.standard_normal((40, 300)), 1e-25 * RNG.standard_normal((90, 300))),
    "huge": (1e40 * RNG.standard_normal((40, 300)), 1e40 * RNG.standard_normal((90, 300))),
    "float32": (RNG.standard_normal((40, 300), np.float32), RNG.standard_normal((90, 300), np.float32)),
    "one feature": (RNG.standard_normal((40, 1)), RNG.standard_normal((90, 1))),
    "one row": (RNG.standard_normal((1, 300)), RNG.standard_normal((1, 300))),
}


@pytest.mark.parametrize("name", CASES)
def test_right_to_six_digits(name: str) -> None:
    x, y = CASES[name]
    assert pairwise_distances(x, y) == pytest.approx(cdist(x.astype(float), y.astype(float)), rel=1e-6)


@pytest.mark.parametrize("spread", [0.3, 0.45, 0.6, 0.8])
def test_many_rows_of_loose_clusters(spread: float) -> None:
    rng = np.random.default_rng(1)
    middles = rng.standard_normal((5, 256))
    x, y = (middles[rng.integers(0, 5, n)] + spread * rng.standard_normal((n, 256)) for n in (300, 900))
    assert np.abs(pairwise_distances(x, y) / cdist(x, y) - 1).max() < 1e-6


def test_equal_rows_are_exactly_nought_apart() -> None:
    x = RNG.standard_normal((30, 500)) * 100
    found = pairwise_distances(x, np.vstack([x, RNG.standard_normal((2000, 500)) * 100]))
    assert (np.diag(found) == 0).all()


def test_rows_all_alike_give_no_negative_square() -> None:
    x = np.full((50, 200), 0.1)
    assert not pairwise_distances(x, x).any()


def test_whole_numbers_and_truth_values_count_as_numbers() -> None:
    assert pairwise_distances(np.array([[True, False]]), np.array([[0, 1]], np.uint8)).item() == pytest.approx(2**0.5)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = CASES["pixels"]
    whole = pairwise_distances(x, y)
    monkeypatch.setattr(distances, "BLOCK_VALUES", 1000)
    monkeypatch.setattr(distances, "CACHE_VALUES", 700)
    assert pairwise_distances(x, y) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("kept", [0, 10**9])
def test_points_may_be_measured_from_again_and_again(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "KEPT_VALUES", kept)
    monkeypatch.setattr(distances, "CACHE_VALUES", 700)
    x, y = CASES["pixels"]
    points = distances.Points(y)
    for part in (x[:7], x[7:30], x[30:]):
        assert pairwise_distances(part, points) == pytest.approx(cdist(part, y), rel=1e-6)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 4), st.floats(-1e3, 1e3), st.integers(0, 2**32 - 1))
def test_any_small_arrays(m: int, n: int, d: int, shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((m, d)) + shift, rng.standard_normal((n, d)) + shift
    assert pairwise_distances(x, y) == pytest.approx(np.sqrt(((x[:, None] - y) ** 2).sum(-1)), rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"y: found shape \(2, 4\), wanted \(N, 3\)"),
        (np.zeros(3), np.zeros((2, 3)), r"x: found shape \(3,\), wanted \(M, D\)"),
        (np.array([[np.nan]]), np.zeros((2, 1)), "found NaN"),
        (np.zeros((2, 1)), np.array([[np.inf]]), "found NaN, infinity"),
        (np.zeros((2, 1), complex), np.zeros((2, 1)), "x: found dtype complex128"),
    ],
)
def test_what_cannot_be_measured_is_named(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pairwise_distances(x, y)
