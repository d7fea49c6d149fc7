"""Linear classifiers against scikit-learn's optimum, and what training promises."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from herder.foundations.linear_classifiers import LinearClassifier, LinearSVM, Softmax
from herder.foundations.linear_losses import softmax_loss_vectorized, svm_loss_vectorized

BOTH = [LinearSVM, Softmax]


def three_clouds(n: int = 150) -> tuple[Any, Any]:
    """Three overlapping clouds of points and a column of ones."""
    rng = np.random.default_rng(1)
    y = np.arange(n) % 3
    centres = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    return np.column_stack([centres[y] + rng.standard_normal((n, 2)), np.ones(n)]), y


def test_softmax_comes_as_low_as_scikit_learn() -> None:
    X, y = three_clouds()
    reg = 0.01
    # scikit-learn: C * sum of losses + 1/2 |W|^2, so C = 1 / (2 N reg) has the same minimum as ours
    best = LogisticRegression(C=1 / (2 * len(X) * reg), fit_intercept=False, tol=1e-8).fit(X, y)
    lowest, _ = softmax_loss_vectorized(best.coef_.T, X, y, reg)
    model = Softmax()
    model.train(X, y, learning_rate=0.1, reg=reg, num_iters=800, batch_size=150, seed=0)
    reached, _ = model.loss(X, y, reg)
    assert lowest <= reached <= 1.01 * lowest
    assert np.mean(model.predict(X) == best.predict(X)) > 0.97


@pytest.mark.parametrize("kind", BOTH)
def test_the_loss_falls_and_classes_are_found(kind: type[LinearClassifier]) -> None:
    X, y = three_clouds()
    model = kind()
    history = model.train(X, y, learning_rate=0.05, num_iters=400, batch_size=50, seed=0)
    assert len(history) == 400
    assert all(isinstance(loss, float) for loss in history)
    assert np.mean(history[-20:]) < 0.4 * history[0]
    assert model.W.shape == (3, 3)
    assert np.mean(model.predict(X) == y) > 0.9


@pytest.mark.parametrize(("kind", "function"), [(LinearSVM, svm_loss_vectorized), (Softmax, softmax_loss_vectorized)])
def test_the_loss_is_that_of_its_name(kind: type[LinearClassifier], function: Any) -> None:
    X, y = three_clouds(12)
    model = kind()
    model.W = np.random.default_rng(0).standard_normal((3, 3))
    found, gradient = model.loss(X, y, 0.5)
    wanted, wanted_gradient = function(model.W, X, y, 0.5)
    assert found == wanted
    np.testing.assert_array_equal(gradient, wanted_gradient)


def test_one_step_by_hand() -> None:
    model = Softmax()
    model.W = np.zeros((1, 2))
    history = model.train(np.array([[2.0]]), np.array([1]), learning_rate=0.5, reg=0.0, num_iters=1, batch_size=1)
    assert history == [pytest.approx(np.log(2))]
    # both probabilities 1/2: dW = x (p - [right]) = (1, -1)
    np.testing.assert_allclose(model.W, [[-0.5, 0.5]])


def test_the_seed_decides_and_training_goes_on() -> None:
    X, y = three_clouds()
    first, second, third = Softmax(), Softmax(), Softmax()
    histories = [model.train(X, y, num_iters=5, seed=seed) for model, seed in ((first, 3), (second, 3), (third, 4))]
    assert histories[0] == histories[1] != histories[2]
    np.testing.assert_array_equal(first.W, second.W)
    before = first.W
    first.train(X[:3], y[:3], num_iters=0)
    np.testing.assert_array_equal(first.W, before)
    # A later batch may lack the last class: W knows it already.
    first.train(X[y < 2], y[y < 2], num_iters=1)
    assert first.W.shape == (3, 3)


def test_types_and_talk(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = three_clouds()
    model = Softmax()
    model.train(X.astype(np.float32), y, num_iters=101, verbose=True)
    assert model.W.dtype == np.float32
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["iteration 0 / 101", "iteration 100 / 101"]
    pixels = Softmax()
    pixels.train(np.full((4, 2), 200, np.uint8), np.array([0, 1, 0, 1]), num_iters=2)
    assert pixels.W.dtype == np.float64
    assert capsys.readouterr().out == ""


def test_equal_scores_go_to_the_smaller_class_and_no_rows_to_none() -> None:
    model = LinearSVM()
    model.W = np.ones((2, 3))
    assert model.predict(np.ones((2, 2))).tolist() == [0, 0]
    assert model.predict(np.ones((0, 2))).shape == (0,)


@pytest.mark.parametrize("kind", BOTH)
def test_untrained(kind: type[LinearClassifier]) -> None:
    with pytest.raises(ValueError, match=r"^W: found no weights, .* call train first"):
        kind().predict(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="call train first"):
        kind().loss(np.zeros((1, 2)), np.array([0]), 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((4, 2, 2))}, r"X: found shape \(4, 2, 2\), wanted \(N, D\)"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0, int)}, r"X: found shape \(0, 2\)"),
        ({"y": np.array([0, 1])}, r"y: found shape \(2,\), wanted \(4,\)"),
        ({"y": np.array([0, 1, -1, 0])}, "y: found labels from -1 to 1, wanted 0 to 1"),
        ({"y": np.array([0.0, 1, 1, np.nan])}, "y: found dtype float64"),
        ({"y": np.array(["a", "b", "b", "a"])}, "y: found dtype <U1, wanted whole numbers"),
        ({"y": None}, r"y: found shape \(\), wanted \(4,\)"),
        ({"learning_rate": -1}, "learning_rate: found -1"),
        ({"learning_rate": None}, "learning_rate: found None"),
        ({"reg": -1}, "reg: found -1"),
        ({"num_iters": 1.5}, "num_iters: found 1.5, wanted a whole number"),
        ({"batch_size": 0}, "batch_size: found 0, wanted a whole number of at least 1"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Softmax().train(**{"X": np.zeros((4, 2)), "y": np.array([0, 1, 1, 0]), **change})


def test_other_features_or_classes_than_before() -> None:
    model = Softmax()
    model.train(np.zeros((4, 2)), np.array([0, 1, 1, 0]), num_iters=1)
    with pytest.raises(ValueError, match=r"^X: found shape \(4, 3\), wanted \(N, 2\)"):
        model.train(np.zeros((4, 3)), np.array([0, 1, 1, 0]))
    with pytest.raises(ValueError, match=r"^X: found shape \(4, 3\), wanted \(N, 2\)"):
        model.predict(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"^y: found labels from 0 to 2, wanted 0 to 1"):
        model.train(np.zeros((4, 2)), np.array([0, 1, 2, 0]))
