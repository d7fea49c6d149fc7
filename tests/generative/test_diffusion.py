"""GaussianDiffusion, the course's names over the formulas, with networks whose answer is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from herder.generative.diffusion import GaussianDiffusion, extract, q_sample
from herder.generative.noise_schedule import NoiseSchedule
from herder.generative.unet import Unet

MEANS = {0: -0.3, 1: 0.2}
DEVIATION = 0.2
"""Far enough from -1 and 1 for clipping to change nothing."""


class BestDenoiser(nn.Module):
    """ε̂ for data N(m, s²), where m follows from the condition: a class, or all of them mixed into their mean."""

    channels = 1

    def __init__(self, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.was_training: list[bool] = []

    def forward(self, x: Tensor, t: Tensor, model_kwargs: dict[str, Any]) -> Tensor:
        self.was_training.append(self.training)
        mean = MEANS[model_kwargs["class"]] if "class" in model_kwargs else 0.0
        left = extract(self.schedule.alphas_cumprod, t, x.shape).to(x.dtype)
        return (1 - left).sqrt() * (x - left.sqrt() * mean) / (left * DEVIATION**2 + 1 - left)


def known(timesteps: int = 300) -> GaussianDiffusion:
    return GaussianDiffusion(
        BestDenoiser(NoiseSchedule.of("cosine", timesteps)),
        image_size=(40, 50),
        timesteps=timesteps,
        beta_schedule="cosine",
    )


@pytest.mark.parametrize("way", ["ddpm", "ddim", "ddim with noise"])
@pytest.mark.parametrize("asked", [{}, {"class": 0}, {"class": 1}])
def test_draws_what_the_network_knows(way: str, asked: dict[str, int]) -> None:
    diffusion, generator = known(), torch.Generator().manual_seed(0)
    if way == "ddpm":
        found = diffusion.sample(4, model_kwargs=asked, generator=generator)
    else:
        eta = 0.0 if way == "ddim" else 1.0
        found = diffusion.ddim_sample(4, steps=300, eta=eta, model_kwargs=asked, generator=generator)
    assert found.shape == (4, 1, 40, 50)
    assert found.mean().item() == pytest.approx(MEANS[asked["class"]] if asked else 0.0, abs=0.01)
    assert found.std().item() == pytest.approx(DEVIATION, rel=0.04)  # the finite number of steps costs about 2 %


def test_all_timesteps_go_from_noise_to_picture() -> None:
    diffusion = known(30)
    for steps, found in (
        (30, diffusion.sample(2, return_all_timesteps=True, generator=torch.Generator().manual_seed(1))),
        (7, diffusion.ddim_sample(2, steps=7, return_all_timesteps=True, generator=torch.Generator().manual_seed(1))),
    ):
        assert found.shape == (2, steps + 1, 1, 40, 50)
        assert found[:, 0].std().item() == pytest.approx(1, abs=0.03)
        assert found[:, -1].std().item() < 0.3
    whole = diffusion.sample(2, return_all_timesteps=True, generator=torch.Generator().manual_seed(1))
    end = diffusion.sample(2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(whole[:, -1], end)


def test_one_seed_one_picture() -> None:
    diffusion = known(10)
    first, same, other = (diffusion.sample(1, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert diffusion.sample(1).shape == diffusion.ddim_sample(1, steps=2).shape


def test_draws_in_eval_mode_and_goes_back() -> None:
    diffusion = known(5).train()
    diffusion.sample(1)
    assert diffusion.model.was_training == [False] * 5
    assert diffusion.model.training
    for _ in diffusion.denoise(torch.zeros(1, 1, 40, 50), steps=2):
        assert torch.is_grad_enabled()  # the caller's own work between the steps keeps its gradients


def test_methods_are_the_functions() -> None:
    diffusion = GaussianDiffusion(Unet(8, dim_mults=(1,)), image_size=8, timesteps=20)
    schedule = NoiseSchedule.of("sigmoid", 20)
    x, noise = torch.randn(2, 4, 3, 8, 8)
    t = torch.tensor([0, 5, 11, 19])
    x_t = diffusion.q_sample(x, t, noise)
    assert torch.equal(x_t, q_sample(schedule, x, t, noise))
    torch.testing.assert_close(diffusion.predict_noise_from_start(x_t, t, x), noise, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        diffusion.predict_start_from_noise(x_t[:3], t[:3], noise[:3]), x[:3], rtol=1e-3, atol=1e-4
    )
    mean, deviation = diffusion.q_posterior(x, x_t, t)
    assert mean.shape == x.shape
    assert deviation.flatten().tolist() == pytest.approx(schedule.posterior_variance[t].sqrt().tolist())
    assert diffusion.p_sample(x_t, 3, generator=torch.Generator().manual_seed(0)).shape == x.shape


@pytest.mark.parametrize("objective", ["pred_noise", "pred_x_start"])
def test_losses_fall_when_it_learns(objective: str) -> None:
    torch.manual_seed(0)
    network = Unet(8, condition_dim=2, dim_mults=(1,), channels=1)
    diffusion = GaussianDiffusion(network, image_size=6, timesteps=20, objective=objective, min_snr_gamma=5.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.stack([torch.full((1, 6, 6), -0.8), torch.full((1, 6, 6), 0.8)]).repeat(8, 1, 1, 1)
    given = {"text_emb": torch.eye(2).repeat(8, 1)}
    losses = []
    for _ in range(60):
        loss = diffusion.p_losses(pictures, given, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_loss_follows_from_the_seed() -> None:
    diffusion = GaussianDiffusion(Unet(8, dim_mults=(1,)), image_size=8, timesteps=20)
    x = torch.rand(4, 3, 8, 8)
    first, same, other = (diffusion.p_losses(x, generator=torch.Generator().manual_seed(s)).item() for s in (1, 1, 2))
    assert first == same != other
    assert diffusion.p_losses(x).ndim == 0


def test_channels_and_sizes() -> None:
    diffusion = GaussianDiffusion(Unet(8, dim_mults=(1, 2), channels=1), image_size=(7, 12), timesteps=3)
    assert diffusion.sample(2).shape == (2, 1, 7, 12)
    assert diffusion.ddim_sample(0, steps=2).shape == (0, 1, 7, 12)
    with pytest.raises(ValueError, match=r"pictures: found shape \(2, 1, 8, 8\), wanted \(B, 1, 7, 12\)"):
        diffusion.p_losses(torch.zeros(2, 1, 8, 8))


def test_refuses_what_has_no_meaning() -> None:
    network = Unet(8, dim_mults=(1,))
    with pytest.raises(ValueError, match="objective: found 'pred_v', wanted pred_noise or pred_x_start"):
        GaussianDiffusion(network, image_size=8, objective="pred_v")
    with pytest.raises(ValueError, match="beta_schedule: found 'steep'"):
        GaussianDiffusion(network, image_size=8, beta_schedule="steep")
    with pytest.raises(ValueError, match="image_size: found 0"):
        GaussianDiffusion(network, image_size=0)
    with pytest.raises(ValueError, match="steps: found 9"):
        GaussianDiffusion(network, image_size=8, timesteps=5).ddim_sample(1, steps=9)
