"""The schedules against the papers' closed forms, computed here with NumPy and Python's own floats."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from herder.generative.noise_schedule import (
    NoiseSchedule,
    ScheduleName,
    beta_schedule,
    cosine_beta_schedule,
    linear_beta_schedule,
    sigmoid_beta_schedule,
)

NAMES = list(ScheduleName)


def test_linear_is_ddpms() -> None:
    np.testing.assert_allclose(linear_beta_schedule(1000).numpy(), np.linspace(1e-4, 0.02, 1000), rtol=1e-12)
    # What is left at the end, as published of this schedule: about 4e-5.
    assert NoiseSchedule.of("linear", 1000).alphas_cumprod[-1].item() == pytest.approx(4.036e-5, rel=1e-3)


def test_linear_adds_as_much_noise_in_fewer_steps() -> None:
    many, few = (NoiseSchedule.of("linear", steps).alphas_cumprod[-1].log() for steps in (1000, 500))
    assert few.item() == pytest.approx(many.item(), rel=0.02)
    assert linear_beta_schedule(10).max() < 1


@pytest.mark.parametrize("steps", [1, 2, 10, 1000, 4000])
def test_cosine_is_equation_17(steps: int) -> None:
    def f(t: int) -> float:
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    wanted = [min(max(1 - f(t) / f(t - 1), 0.0001), 0.9999) for t in range(1, steps + 1)]
    np.testing.assert_allclose(cosine_beta_schedule(steps).numpy(), wanted, rtol=1e-9)


def test_cosine_is_clipped_at_both_ends() -> None:
    betas = cosine_beta_schedule(1000)
    assert betas[-1] == 0.9999
    assert cosine_beta_schedule(4000)[0] == 0.0001  # 1 - f(1) / f(0) is smaller
    assert (betas[1:] >= betas[:-1]).all()


@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_sigmoid_is_algorithm_1(steps: int) -> None:
    t = np.arange(steps + 1) / steps
    left = (expit(3.0) - expit(-3.0 + 6.0 * t)) / (expit(3.0) - expit(-3.0))
    wanted = np.clip(1 - left[1:] / left[:-1], 0, 0.999)
    np.testing.assert_allclose(sigmoid_beta_schedule(steps).numpy(), wanted, rtol=1e-9)


def test_sigmoid_temperature_and_ends() -> None:
    t = np.arange(11) / 10
    left = expit(2.0 / 0.7) - expit(t * 2.0 / 0.7)
    found = sigmoid_beta_schedule(10, start=0.0, end=2.0, tau=0.7)
    np.testing.assert_allclose(found.numpy()[:-1], (1 - left[1:] / left[:-1])[:-1], rtol=1e-9)


@given(st.sampled_from(NAMES), st.integers(1, 300))
def test_every_schedule_only_loses_the_picture(name: ScheduleName, steps: int) -> None:
    schedule = NoiseSchedule.of(name, steps)
    left = schedule.alphas_cumprod
    assert len(schedule) == steps
    assert ((schedule.betas > 0) & (schedule.betas < 1)).all()
    assert (left[1:] < left[:-1]).all()
    assert ((left > 0) & (left < 1)).all()
    assert all(bool(getattr(schedule, field).isfinite().all()) for field in schedule.__dataclass_fields__)


@pytest.mark.parametrize("name", NAMES)
def test_what_follows_from_betas(name: ScheduleName) -> None:
    schedule = NoiseSchedule.of(name, 50)
    betas = schedule.betas.numpy()
    left = np.exp(np.cumsum(np.log1p(-betas)))  # another way to the product
    np.testing.assert_allclose(schedule.alphas_cumprod, left, rtol=1e-12)
    np.testing.assert_allclose(schedule.alphas_cumprod_prev, [1.0, *left[:-1]], rtol=1e-12)
    np.testing.assert_allclose(schedule.sqrt_alphas_cumprod**2 + schedule.sqrt_one_minus_alphas_cumprod**2, 1)
    np.testing.assert_allclose(schedule.signal_to_noise, left / (1 - left), rtol=1e-9)
    assert schedule.posterior_variance[0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_posterior_is_the_product_of_two_gaussians(name: ScheduleName) -> None:
    """N(x_{t-1}; sqrt(ᾱ_{t-1}) x_0, 1 - ᾱ_{t-1}) · N(x_t; sqrt(1 - β_t) x_{t-1}, β_t): their precisions add."""
    schedule = NoiseSchedule.of(name, 40)
    betas = schedule.betas.numpy()[1:]
    before = schedule.alphas_cumprod.numpy()[:-1]
    precision = 1 / (1 - before) + (1 - betas) / betas
    np.testing.assert_allclose(schedule.posterior_variance[1:], 1 / precision, rtol=1e-9)
    np.testing.assert_allclose(schedule.posterior_mean_coef1[1:], np.sqrt(before) / (1 - before) / precision, rtol=1e-9)
    np.testing.assert_allclose(schedule.posterior_mean_coef2[1:], np.sqrt(1 - betas) / betas / precision, rtol=1e-9)


def test_computed_in_float64() -> None:
    assert all(maker(7).dtype == torch.float64 for maker in (linear_beta_schedule, cosine_beta_schedule))
    assert NoiseSchedule.from_betas(torch.tensor([0.1, 0.2])).posterior_variance.dtype == torch.float64
    schedule = NoiseSchedule.of("sigmoid", 5)
    assert schedule.to(torch.device("cpu")) is schedule
    assert schedule.to(torch.device("meta")).betas.device.type == "meta"


@pytest.mark.parametrize("timesteps", [0, -3, 2.5, True])
def test_refuses_steps_that_are_none(timesteps: int) -> None:
    with pytest.raises(ValueError, match="timesteps: found"):
        beta_schedule("cosine", timesteps)


def test_refuses_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="found 'quadratic', wanted one of linear, cosine, sigmoid"):
        beta_schedule("quadratic", 10)
    with pytest.raises(ValueError, match="s: found -1"):
        cosine_beta_schedule(10, s=-1)
    with pytest.raises(ValueError, match="tau"):
        sigmoid_beta_schedule(10, tau=0)
    with pytest.raises(ValueError, match="start below end"):
        sigmoid_beta_schedule(10, start=1, end=1)
    with pytest.raises(ValueError, match=r"betas: found shape \(0,\)"):
        NoiseSchedule.from_betas(torch.empty(0))
    for wrong in ([0.0], [1.0], [float("nan")], [-0.1, 0.5]):
        with pytest.raises(ValueError, match="betas: found values"):
            NoiseSchedule.from_betas(torch.tensor(wrong))
