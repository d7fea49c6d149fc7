"""DDIM against DDPM, the paper's formulas in NumPy, and a Gaussian whose way back is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from herder.generative.ddim import ddim_deviation, ddim_step, ddim_times
from herder.generative.diffusion_steps import Denoiser, q_posterior
from herder.generative.noise_schedule import NoiseSchedule, ScheduleName

MEAN, DEVIATION = -0.2, 0.3


def gaussian_denoiser(schedule: NoiseSchedule) -> Denoiser:
    """ε̂ = sqrt(1 - ᾱ) (x - sqrt(ᾱ) m) / (ᾱ s² + 1 - ᾱ): minus the score of q(x_t) times sqrt(1 - ᾱ)."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        left = schedule.alphas_cumprod[t].reshape(-1, 1, 1, 1)
        return (1 - left).sqrt() * (x - left.sqrt() * MEAN) / (left * DEVIATION**2 + 1 - left)

    return denoise


@pytest.mark.parametrize("name", list(ScheduleName))
def test_eta_1_with_every_step_is_ddpm(name: ScheduleName) -> None:
    schedule = NoiseSchedule.of(name, 50)
    found = [ddim_deviation(schedule, t, t - 1, 1.0).item() for t in range(50)]
    np.testing.assert_allclose(np.square(found), schedule.posterior_variance, rtol=1e-6, atol=1e-15)
    # And the mean too: equation 12 with this σ is equation 7 of DDPM.
    x_t = torch.randn((1, 1, 4, 4), dtype=torch.float64)
    denoise = gaussian_denoiser(schedule)
    for t in (1, 20, 49):
        times, left = torch.tensor([t]), schedule.alphas_cumprod[t]
        x_start = (x_t - (1 - left).sqrt() * denoise(x_t, times)) / left.sqrt()
        wanted, _ = q_posterior(schedule, x_start, x_t, times)
        step = ddim_step(denoise, schedule, x_t, t, t - 1, torch.zeros_like(x_t), eta=1.0, clip=False)
        torch.testing.assert_close(step, wanted, rtol=1e-6, atol=1e-8)


def test_one_step_is_equation_12() -> None:
    schedule = NoiseSchedule.of("sigmoid", 30)
    left = np.cumprod(1 - schedule.betas.numpy())
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 2, 1, 3, 3))
    epsilon = 0.3 * x
    x_start = (x - np.sqrt(1 - left[22]) * epsilon) / np.sqrt(left[22])
    sigma = 0.5 * np.sqrt((1 - left[10]) / (1 - left[22])) * np.sqrt(1 - left[22] / left[10])
    wanted = np.sqrt(left[10]) * x_start + np.sqrt(1 - left[10] - sigma**2) * epsilon + sigma * noise
    found = ddim_step(lambda x, _: 0.3 * x, schedule, torch.tensor(x), 22, 10, torch.tensor(noise), eta=0.5, clip=False)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize(("eta", "steps"), [(0.0, 50), (0.0, 200), (0.5, 200), (1.0, 200)])
def test_the_best_denoiser_draws_the_data(eta: float, steps: int) -> None:
    schedule = NoiseSchedule.of("cosine", 200)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((40_000, 1, 1, 1), generator=generator).double()
    times = ddim_times(200, steps)
    for t, t_next in pairwise(times):
        noise = torch.randn(x.shape, generator=generator).double()
        x = ddim_step(gaussian_denoiser(schedule), schedule, x, t, t_next, noise, eta=eta, clip=False)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(DEVIATION, rel=0.05)


def test_eta_0_walks_the_known_path() -> None:
    """For Gaussian data the way without noise keeps (x_t - sqrt(ᾱ) m) / sd(x_t): each quantile stays itself."""
    schedule = NoiseSchedule.of("cosine", 2000)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1, 1, 1)
    z = (x - schedule.sqrt_alphas_cumprod[-1] * MEAN).flatten()
    for t in reversed(range(2000)):
        x = ddim_step(gaussian_denoiser(schedule), schedule, x, t, t - 1, clip=False)
    torch.testing.assert_close(x.flatten(), MEAN + DEVIATION * z, rtol=0, atol=0.005)


def test_eta_0_is_deterministic() -> None:
    schedule = NoiseSchedule.of("cosine", 10)
    x = torch.randn(2, 1, 4, 4)
    first = ddim_step(lambda x, _: 0.1 * x, schedule, x, 9, 4)
    torch.manual_seed(99)
    assert torch.equal(first, ddim_step(lambda x, _: 0.1 * x, schedule, x, 9, 4))
    # Noise given to it counts for nothing.
    assert torch.equal(first, ddim_step(lambda x, _: 0.1 * x, schedule, x, 9, 4, torch.randn(2, 1, 4, 4)))


def test_last_step_gives_the_picture_found() -> None:
    schedule = NoiseSchedule.of("cosine", 10)
    x, noise = torch.randn(2, 1, 1, 4, 4)
    for eta in (0.0, 1.0):
        found = ddim_step(lambda x, _: torch.full_like(x, 5.0), schedule, x, 9, -1, noise, eta=eta)
        assert found.abs().max() <= 1


@given(st.data())
def test_times_fall_from_the_last_to_the_picture(data: st.DataObject) -> None:
    timesteps = data.draw(st.integers(1, 2000))
    steps = data.draw(st.integers(1, timesteps))
    times = ddim_times(timesteps, steps)
    assert len(times) == steps + 1
    assert times[0] == timesteps - 1
    assert times[-1] == -1
    assert all(a > b for a, b in pairwise(times))


def test_every_step_is_every_time() -> None:
    assert ddim_times(5, 5) == [4, 3, 2, 1, 0, -1]


def test_refuses_what_has_no_meaning() -> None:
    schedule, x = NoiseSchedule.of("cosine", 10), torch.zeros(1, 1, 4, 4)
    for steps in (0, 11, -1):
        with pytest.raises(ValueError, match="steps: found"):
            ddim_times(10, steps)
    for t, t_next in ((3, 3), (3, 5), (10, 3), (3, -2)):
        with pytest.raises(ValueError, match="t, t_next: found"):
            ddim_step(lambda x, _: x, schedule, x, t, t_next)
    for eta, noise in ((1.5, x), (-0.1, x), (0.5, None)):
        with pytest.raises(ValueError, match="eta: found"):
            ddim_step(lambda x, _: x, schedule, x, 5, 2, noise, eta=eta)
