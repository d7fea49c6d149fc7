from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from herder.generative.pictures import Pictures
from herder.generative.quality import Judge, features, fit_classifier, frechet, frechet_distance, sample_quality


def gaussian(seed: int, count: int, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """A mean (count,) and a covariance (count, count), of lower rank where asked for."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(rank or count, count)) * rng.uniform(0.1, 3, count)
    return torch.from_numpy(rng.normal(size=count)), torch.from_numpy(rows.T @ rows / len(rows))


@pytest.mark.parametrize("count", [1, 2, 16, 64])
def test_against_scipys_matrix_root(count: int) -> None:
    for seed in range(5):
        (mean_a, cov_a), (mean_b, cov_b) = gaussian(seed, count), gaussian(100 + seed, count)
        root = scipy.linalg.sqrtm(cov_a.numpy() @ cov_b.numpy())
        wanted = float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace()) - 2 * np.trace(root).real
        assert frechet_distance(mean_a, cov_a, mean_b, cov_b) == pytest.approx(wanted, rel=1e-9)


@given(
    *(st.floats(-1e3, 1e3) for _ in range(2)),
    *(st.floats(0, 1e3) for _ in range(2)),
)
def test_against_the_closed_form_in_one_dimension(mean_a: float, mean_b: float, one: float, other: float) -> None:
    """W2^2 of N(m, s^2) and N(n, t^2) is (m - n)^2 + (s - t)^2."""
    parts = [torch.tensor(value, dtype=torch.float64).reshape(shape) for value, shape in
             ((mean_a, (1,)), (one**2, (1, 1)), (mean_b, (1,)), (other**2, (1, 1)))]  # fmt: skip
    wanted = (mean_a - mean_b) ** 2 + (one - other) ** 2
    assert frechet_distance(*parts) == pytest.approx(wanted, rel=1e-9, abs=1e-9 * (1 + one**2 + other**2))


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12))
def test_symmetric_never_negative_and_zero_between_equals(seed: int, count: int, rank: int) -> None:
    """Also where the covariance has no full rank, as that of few pictures."""
    a, b = gaussian(seed, count, min(rank, count)), gaussian(seed + 1, count)
    scale = float(a[1].trace() + b[1].trace())
    assert frechet_distance(*a, *b) >= 0
    assert frechet_distance(*a, *b) == pytest.approx(frechet_distance(*b, *a), abs=1e-9 * scale)
    assert frechet_distance(*a, *a) == pytest.approx(0, abs=1e-9 * scale)


def test_a_shift_alone_and_a_scale_alone() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 5)))
    assert frechet(rows, rows + 2) == pytest.approx(5 * 2**2)
    # s C s for s = 3 has the root 3 C, so that the distance is (3 - 1)^2 tr C, beside what the mean moves.
    moved = float((2 * rows.mean(0)).square().sum())
    assert frechet(rows, 3 * rows) == pytest.approx(4 * float(np.trace(np.cov(rows.numpy().T))) + moved)
    assert frechet(rows[:, :1], rows[:, :1] + 1) == pytest.approx(1)  # one feature: torch's covariance is a number


def test_what_does_not_fit_is_named() -> None:
    mean, cov = torch.zeros(3), torch.eye(3)
    with pytest.raises(ValueError, match=r"mean_b: found \(2,\), wanted \(3,\)"):
        frechet_distance(mean, cov, torch.zeros(2), cov)
    with pytest.raises(ValueError, match=r"cov_b: found \(2, 2\)"):
        frechet_distance(mean, cov, mean, torch.eye(2))
    with pytest.raises(ValueError, match=r"features_b: found \(1, 3\)"):
        frechet(torch.zeros(4, 3), torch.zeros(1, 3))


@pytest.fixture(scope="module")
def stripes() -> Pictures:
    """Three classes that a small network tells apart in no time: bright top, bright left side, bright middle."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat(40)
    images = 0.2 * torch.randn(120, 1, 8, 8, generator=rng) - 0.5
    images[labels == 0, :, :4] += 1
    images[labels == 1, :, :, :4] += 1
    images[labels == 2, :, 2:6, 2:6] += 1
    return Pictures(images.clamp(-1, 1), labels, ("top", "left", "middle"))


@pytest.fixture(scope="module")
def judge(stripes: Pictures) -> Judge:
    return fit_classifier(stripes, steps=60)


def test_the_judge_learns_the_classes_and_is_the_same_again(stripes: Pictures, judge: Judge) -> None:
    assert judge.accuracy == 1.0
    assert judge.knows_classes
    assert judge.task == "3 classes"
    before = torch.get_rng_state()
    again = fit_classifier(stripes, steps=60)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(features(again.network, stripes.images), features(judge.network, stripes.images))


def test_features_do_not_depend_on_the_neighbours(stripes: Pictures, judge: Judge) -> None:
    all_of_them = features(judge.network, stripes.images)
    assert all_of_them.dtype == torch.float64
    torch.testing.assert_close(features(judge.network, stripes.images[7:8]), all_of_them[7:8], atol=1e-5, rtol=1e-5)


def test_without_classes_the_judge_learns_turns(stripes: Pictures) -> None:
    # Top and left are turns of each other: of these pictures only the top ones show how far they were turned.
    top = Pictures(stripes.images[stripes.labels == 0])
    turned = fit_classifier(top, steps=60)
    assert (turned.task, turned.knows_classes) == ("rotation", False)
    assert turned.accuracy == 1.0
    quality = sample_quality(top, top.images, turned)
    assert (quality.shares, quality.classes_covered) == ((), 0)
    assert "classes drawn" not in str(quality)
    one_class = Pictures(top.images, torch.zeros(40, dtype=torch.int64), ("top",))
    assert fit_classifier(one_class, steps=1).task == "rotation"


def test_real_samples_are_near_and_noise_is_far(stripes: Pictures, judge: Judge) -> None:
    chosen = torch.randperm(120, generator=torch.Generator().manual_seed(3))[:60]
    good = sample_quality(stripes, stripes.images[chosen], judge)
    assert good.count == 60
    assert good.frechet < 3 * good.real_halves
    assert good.classes_covered == 3
    assert sum(good.shares) == pytest.approx(1)
    noise = sample_quality(stripes, torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(1)), judge)
    assert noise.frechet > 10 * good.frechet
    assert noise.real_halves == good.real_halves
    assert "3 of 3 classes drawn" in str(good)


def test_a_lost_class_is_seen(stripes: Pictures, judge: Judge) -> None:
    """Mode collapse: the drawn pictures may be perfect, and a class is still missing."""
    quality = sample_quality(stripes, stripes.images[stripes.labels != 1], judge)
    assert quality.classes_covered == 2
    assert quality.shares[1] == 0
    nearly = torch.cat([stripes.images[stripes.labels != 1], stripes.images[stripes.labels == 1][:1]])
    assert sample_quality(stripes, nearly, judge).classes_covered == 2  # 1 of 81 is no tenth of a third


def test_too_few_and_wrong_shapes(stripes: Pictures, judge: Judge) -> None:
    with pytest.raises(ValueError, match="found 9 pictures, wanted 10"):
        fit_classifier(Pictures(stripes.images[:9]))
    with pytest.raises(ValueError, match=r"found \(5, 3, 8, 8\), wanted \(M, 1, 8, 8\)"):
        sample_quality(stripes, torch.zeros(5, 3, 8, 8), judge)
    with pytest.raises(ValueError, match="1 beside 120"):
        sample_quality(stripes, stripes.images[:1], judge)
