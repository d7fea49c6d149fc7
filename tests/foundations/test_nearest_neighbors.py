from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from herder.foundations import nearest_neighbors
from herder.foundations.nearest_neighbors import KNearestNeighbor, best_k, cross_validate_k, nearest


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    return load_digits(return_X_y=True)


def trained(X: Any, y: Any) -> KNearestNeighbor:
    knn = KNearestNeighbor()
    knn.train(X, y)
    return knn


def test_three_versions_give_the_same_distances(digits: tuple[Any, Any]) -> None:
    X, y = digits
    knn = trained(X[:200], y[:200])
    two, one, none = (
        knn.compute_distances_two_loops(X[200:230]),
        knn.compute_distances_one_loop(X[200:230]),
        knn.compute_distances_no_loops(X[200:230]),
    )
    assert two == pytest.approx(one, rel=1e-12)
    assert two == pytest.approx(none, rel=1e-6)


@pytest.mark.parametrize("num_loops", [0, 1, 2])
def test_predicts_as_scikit_learn(digits: tuple[Any, Any], num_loops: int) -> None:
    X, y = digits
    wanted = KNeighborsClassifier(5, algorithm="brute").fit(X[:300], y[:300]).predict(X[300:400])
    assert trained(X[:300], y[:300]).predict(X[300:400], k=5, num_loops=num_loops).tolist() == wanted.tolist()


def test_blocks_change_nothing(digits: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = digits
    knn = trained(X[:100], y[:100])
    whole = knn.predict(X[100:150], k=3)
    monkeypatch.setattr(nearest_neighbors, "BLOCK_DISTANCES", 700)
    assert knn.predict(X[100:150], k=3).tolist() == whole.tolist()


def test_training_anew_forgets_the_old_samples(digits: tuple[Any, Any]) -> None:
    X, y = digits
    knn = trained(X[:50], y[:50])
    knn.compute_distances_no_loops(X[100:110])
    knn.train(X[50:90], y[50:90])
    assert knn.compute_distances_no_loops(X[100:110]) == pytest.approx(knn.compute_distances_one_loop(X[100:110]))


def test_pixels_of_uint8_do_not_wrap_around() -> None:
    knn = trained(np.array([[250, 0]], np.uint8), np.array([0]))
    for distances in (knn.compute_distances_two_loops, knn.compute_distances_one_loop, knn.compute_distances_no_loops):
        assert distances(np.array([[247, 4]], np.uint8)).tolist() == [[5.0]]


def test_equal_votes_go_to_the_smaller_label() -> None:
    knn = trained(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([7, 2, 2, 7]))
    assert knn.predict_labels(np.array([[1.0, 2.0, 3.0, 4.0]]), k=2).tolist() == [2]
    assert knn.predict_labels(np.array([[1.0, 2.0, 3.0, 4.0]]), k=4).tolist() == [2]
    assert knn.predict_labels(np.array([[1.0, 2.0, 3.0, 4.0]]), k=1).tolist() == [7]


def test_labels_need_not_start_at_nought_or_be_dense() -> None:
    knn = trained(np.array([[0.0], [10.0]]), np.array([-5, 1000]))
    assert knn.predict(np.array([[1.0], [8.0]])).tolist() == [-5, 1000]


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5), st.integers(1, 6))
def test_nearest_is_a_stable_sort(rows: list[list[int]], k: int) -> None:
    dists = np.array(rows, float)
    wanted = [sorted(range(6), key=lambda i, row=row: (row[i], i))[:k] for row in rows]  # type: ignore[misc]
    assert nearest(dists, k).tolist() == wanted


def test_a_single_training_sample() -> None:
    assert trained(np.array([[1.0, 2.0]]), np.array([3])).predict(np.zeros((4, 2))).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("num_loops", [0, 1, 2])
def test_no_test_sample_gives_no_label(num_loops: int) -> None:
    assert trained(np.ones((2, 2)), np.array([0, 1])).predict(np.zeros((0, 2)), num_loops=num_loops).shape == (0,)


def test_cross_validation_as_scikit_learn(digits: tuple[Any, Any]) -> None:
    X, y = digits[0][:120], digits[1][:120]
    found = cross_validate_k(X, y, [1, 3], num_folds=4)
    for k, accuracies in found.items():
        for fold, accuracy in enumerate(accuracies):
            test = np.arange(120) // 30 == fold
            model = KNeighborsClassifier(k, algorithm="brute").fit(X[~test], y[~test])
            assert accuracy == pytest.approx(model.score(X[test], y[test]))


def test_shuffled_folds_follow_the_seed(digits: tuple[Any, Any]) -> None:
    X, y = np.sort(digits[0][:90], axis=0), np.arange(90) // 30  # without shuffling, a fold is one class
    assert cross_validate_k(X, y, [3], 3, seed=1) == cross_validate_k(X, y, [3], 3, seed=1)
    assert np.mean(cross_validate_k(X, y, [3], 3, seed=1)[3]) > np.mean(cross_validate_k(X, y, [3], 3)[3])


def test_of_equal_accuracies_the_smaller_k_is_best() -> None:
    assert best_k({10: [0.9, 0.9], 5: [0.9, 0.9], 1: [1.0, 0.5]}) == 5


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros(3), np.zeros(3, int), r"X: found shape \(3,\), wanted \(N, D\)"),
        (np.zeros((0, 3)), np.zeros(0, int), r"X: found shape \(0, 3\), wanted \(N, D\) with N of at least 1"),
        (np.zeros((2, 3), object), np.zeros(2, int), "X: found dtype object, wanted real numbers"),
        (np.zeros((2, 3)), np.zeros(3, int), r"y: found shape \(3,\) of int64, wanted \(2,\) of whole numbers"),
        (np.zeros((2, 3)), np.zeros(2), r"y: found shape \(2,\) of float64, wanted \(2,\) of whole numbers"),
    ],
)
def test_what_cannot_be_trained_on_is_named(X: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KNearestNeighbor().train(X, y)


def test_what_cannot_be_predicted_is_named() -> None:
    knn = trained(np.zeros((3, 2)), np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"X: found shape \(1, 3\), wanted \(M, 2\)"):
        knn.predict(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="k: found 4, wanted a whole number from 1 to 3"):
        knn.predict(np.zeros((1, 2)), k=4)
    with pytest.raises(ValueError, match="k: found 0"):
        knn.predict_labels(np.zeros((1, 3)), k=0)
    with pytest.raises(ValueError, match="num_loops: found 3, wanted 0 or 1 or 2"):
        knn.predict(np.zeros((1, 2)), num_loops=3)
    with pytest.raises(ValueError, match=r"dists: found shape \(1, 2\), wanted \(M, 3\)"):
        knn.predict_labels(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="nothing was trained yet"):
        KNearestNeighbor().predict(np.zeros((1, 2)))


def test_what_cannot_be_cross_validated_is_named() -> None:
    with pytest.raises(ValueError, match="num_folds: found 5, wanted a whole number from 2 to 4"):
        cross_validate_k(np.zeros((4, 1)), np.zeros(4, int), [1])
    with pytest.raises(ValueError, match="k: found 3, wanted a whole number from 1 to 2"):
        cross_validate_k(np.zeros((4, 1)), np.zeros(4, int), [3], num_folds=2)
    with pytest.raises(ValueError, match="k_choices: found none"):
        cross_validate_k(np.zeros((4, 1)), np.zeros(4, int), [], num_folds=2)
