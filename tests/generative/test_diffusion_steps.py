"""The formulas of DDPM, against NumPy, a Gaussian whose best denoiser is known, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from herder.generative.diffusion_steps import (
    Denoiser,
    Objective,
    extract,
    guided,
    loss_weights,
    p_losses,
    p_sample,
    predict,
    predict_noise_from_start,
    predict_start_from_noise,
    q_posterior,
    q_sample,
)
from herder.generative.noise_schedule import NoiseSchedule, ScheduleName

MEAN, DEVIATION = 0.3, 0.2
"""Of the Gaussian that stands for data."""


def best_denoiser(schedule: NoiseSchedule, objective: Objective) -> Denoiser:
    """For x_0 ~ N(m, s²): E[x_0 | x_t] = m + sqrt(ᾱ) s² / (ᾱ s² + 1 - ᾱ) (x_t - sqrt(ᾱ) m), by conditioning."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        left = schedule.alphas_cumprod[t].reshape(-1, 1, 1, 1).to(x.dtype)
        gain = left.sqrt() * DEVIATION**2 / (left * DEVIATION**2 + 1 - left)
        start = MEAN + gain * (x - left.sqrt() * MEAN)
        return start if objective is Objective.PRED_X_START else (x - left.sqrt() * start) / (1 - left).sqrt()

    return denoise


@pytest.fixture
def schedule() -> NoiseSchedule:
    return NoiseSchedule.of("cosine", 20)


def test_extract_picks_and_shapes() -> None:
    values = torch.tensor([10.0, 20.0, 30.0])
    assert extract(values, torch.tensor([2, 0]), (2, 3, 4, 4)).tolist() == [[[[30.0]]], [[[10.0]]]]
    assert extract(values, torch.tensor([1], dtype=torch.int32), (1,)).tolist() == [20.0]
    assert extract(values, torch.empty(0, dtype=torch.long), (0, 3, 4, 4)).shape == (0, 1, 1, 1)
    with pytest.raises(ValueError, match=r"t: found shape \(3,\)"):
        extract(values, torch.tensor([0, 1, 2]), (2, 3))
    with pytest.raises(ValueError, match="whole numbers"):
        extract(values, torch.tensor([0.0, 1.0]), (2, 3))


def test_q_sample_is_equation_4(schedule: NoiseSchedule) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 4, 1, 3, 2))
    t = np.array([0, 3, 10, 19])
    left = np.cumprod(1 - schedule.betas.numpy())[t].reshape(4, 1, 1, 1)
    found = q_sample(schedule, torch.tensor(x), torch.tensor(t), torch.tensor(noise))
    np.testing.assert_allclose(found, np.sqrt(left) * x + np.sqrt(1 - left) * noise, rtol=1e-12)


@pytest.mark.parametrize("t", [0, 7, 19])
def test_q_sample_has_the_moments_of_many_small_steps(schedule: NoiseSchedule, t: int) -> None:
    """The forward process walked step by step, q(x_t | x_{t-1}), ends with the mean and variance of the one jump."""
    generator = torch.Generator().manual_seed(t)
    walked = torch.full((40_000, 1, 1, 1), 0.8, dtype=torch.float64)
    for beta in schedule.betas[: t + 1]:
        walked = (1 - beta).sqrt() * walked + beta.sqrt() * torch.randn(walked.shape, generator=generator).double()
    noise = torch.randn(walked.shape, generator=generator).double()
    jumped = q_sample(schedule, torch.full_like(walked, 0.8), torch.full((40_000,), t), noise)
    assert jumped.mean().item() == pytest.approx(walked.mean().item(), abs=0.02)
    assert jumped.std().item() == pytest.approx(walked.std().item(), rel=0.02)


@pytest.mark.parametrize("name", list(ScheduleName))
def test_start_and_noise_undo_q_sample(name: ScheduleName) -> None:
    schedule = NoiseSchedule.of(name, 30)
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.randn((2, 30, 2, 5, 5), generator=generator).double()
    t = torch.arange(30)
    x_t = q_sample(schedule, x, t, noise)
    torch.testing.assert_close(predict_start_from_noise(schedule, x_t, t, noise), x, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(predict_noise_from_start(schedule, x_t, t, x), noise, rtol=1e-8, atol=1e-8)


def test_posterior_by_bayes_on_a_grid(schedule: NoiseSchedule) -> None:
    """The density of x_{t-1} is computed point by point as prior times likelihood, and its moments summed up."""
    x_start, x_t, t = 0.4, -0.2, 9
    betas = schedule.betas.numpy()
    before = np.prod(1 - betas[:t])
    grid = np.linspace(-8, 8, 200_001)
    log_density = -((grid - np.sqrt(before) * x_start) ** 2) / (2 * (1 - before))
    log_density += -((x_t - np.sqrt(1 - betas[t]) * grid) ** 2) / (2 * betas[t])
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    mean = (density * grid).sum()
    deviation = np.sqrt((density * (grid - mean) ** 2).sum())
    filled = (torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (x_start, x_t))
    found_mean, found_deviation = q_posterior(schedule, *filled, torch.tensor([t]))
    assert found_mean.item() == pytest.approx(mean, abs=1e-6)
    assert found_deviation.item() == pytest.approx(deviation, rel=1e-6)


def test_posterior_of_the_first_step_is_the_picture(schedule: NoiseSchedule) -> None:
    x_start, x_t = torch.randn(2, 3, 1, 4, 4)
    mean, deviation = q_posterior(schedule, x_start, x_t, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(mean, x_start)
    assert deviation.abs().max() == 0


@pytest.mark.parametrize("objective", list(Objective))
def test_the_best_denoiser_draws_the_data(objective: Objective) -> None:
    schedule = NoiseSchedule.of("cosine", 300)
    denoise = best_denoiser(schedule, objective)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn((40_000, 1, 1, 1), generator=generator).double()
    for t in reversed(range(300)):
        noise = torch.randn(x.shape, generator=generator).double()
        x = p_sample(denoise, schedule, x, t, noise, objective=objective, clip=False)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert x.std().item() == pytest.approx(DEVIATION, rel=0.03)
    skew = ((x - x.mean()) / x.std()).pow(3).mean()
    assert abs(skew.item()) < 0.05


def test_the_best_denoiser_has_the_least_loss(schedule: NoiseSchedule) -> None:
    """E||ε - ε̂||² of the best guess is ᾱ s² / (ᾱ s² + 1 - ᾱ): what the posterior of ε leaves open."""
    generator = torch.Generator().manual_seed(0)
    x_start = MEAN + DEVIATION * torch.randn((100_000, 1, 1, 1), generator=generator).double()
    noise = torch.randn(x_start.shape, generator=generator).double()
    t = torch.full((100_000,), 8)
    left = np.prod(1 - schedule.betas.numpy()[:9])
    wanted = left * DEVIATION**2 / (left * DEVIATION**2 + 1 - left)
    found = p_losses(best_denoiser(schedule, Objective.PRED_NOISE), schedule, x_start, t, noise)
    assert found.item() == pytest.approx(wanted, rel=0.02)


def test_losses_of_both_objectives_are_one(schedule: NoiseSchedule) -> None:
    """||ε - ε̂||² = SNR ||x_0 - x̂_0||²: the same guess costs the same, whichever of the two is asked for."""
    generator = torch.Generator().manual_seed(0)
    x_start, noise = torch.randn((2, 20, 1, 4, 4), generator=generator).double()
    t = torch.arange(20)
    for gamma in (None, 5.0, 0.1):
        by_noise, by_start = (
            p_losses(best_denoiser(schedule, o), schedule, x_start, t, noise, objective=o, min_snr_gamma=gamma)
            for o in (Objective.PRED_NOISE, Objective.PRED_X_START)
        )
        assert by_noise.item() == pytest.approx(by_start.item(), rel=1e-9)


def test_loss_by_hand(schedule: NoiseSchedule) -> None:
    x_start, noise = torch.randn(2, 3, 2, 4, 4)
    t = torch.tensor([0, 5, 19])
    nothing: Denoiser = lambda x, _: torch.zeros_like(x)  # noqa: E731
    assert p_losses(nothing, schedule, x_start, t, noise).item() == pytest.approx((noise**2).mean().item(), rel=1e-5)
    weights = np.minimum(schedule.signal_to_noise.numpy()[t.numpy()], 5)
    wanted = (weights * (x_start**2).flatten(1).mean(1).numpy()).mean()
    found = p_losses(nothing, schedule, x_start, t, noise, objective=Objective.PRED_X_START, min_snr_gamma=5.0)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_loss_weights(schedule: NoiseSchedule) -> None:
    assert (loss_weights(schedule, Objective.PRED_NOISE) == 1).all()
    assert loss_weights(schedule, Objective.PRED_X_START, 5.0).max() == 5
    assert loss_weights(schedule, Objective.PRED_NOISE, 5.0)[-1] == 1  # little signal: nothing to cut


def test_clip_keeps_the_picture_in_range(schedule: NoiseSchedule) -> None:
    x_t, t = 3 * torch.randn(4, 1, 5, 5), torch.tensor([0, 5, 15, 19])
    wild: Denoiser = lambda x, _: torch.full_like(x, 2.0)  # noqa: E731
    x_start, noise = predict(wild, schedule, x_t, t, Objective.PRED_NOISE)
    assert x_start.abs().max() <= 1
    torch.testing.assert_close(q_sample(schedule, x_start, t, noise), x_t)
    free, same = predict(wild, schedule, x_t, t, Objective.PRED_NOISE, clip=False)
    assert free.abs().max() > 1
    torch.testing.assert_close(same, torch.full_like(x_t, 2.0), rtol=1e-4, atol=1e-4)


def test_guidance_is_equation_6() -> None:
    conditional, unconditional = torch.randn(2, 3, 1, 2, 2)
    torch.testing.assert_close(guided(conditional, unconditional, 1), conditional)
    assert torch.equal(guided(conditional, unconditional, 0), unconditional)
    w = 2.5  # the paper's letter
    torch.testing.assert_close(guided(conditional, unconditional, 1 + w), (1 + w) * conditional - w * unconditional)


def test_keeps_the_number_format(schedule: NoiseSchedule) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        x, t = torch.zeros((2, 1, 3, 3), dtype=dtype), torch.tensor([0, 19])
        assert q_sample(schedule, x, t, x).dtype == dtype
        assert p_sample(lambda x, _: x.float(), schedule, x, 5, x).dtype == dtype
