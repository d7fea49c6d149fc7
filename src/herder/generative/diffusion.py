"""A diffusion over pictures: a network, a noise schedule, and the two ways back from noise.

``GaussianDiffusion`` has the method names of Stanford's CS231n; the formulas are functions in ``diffusion_steps``
(DDPM) and ``ddim``, and may be imported from here. Pictures are -1 to 1 wherever they pass; the course's are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from herder.generative import diffusion_steps as steps_of
from herder.generative.ddim import ddim_deviation, ddim_step, ddim_times
from herder.generative.diffusion_steps import (
    Denoiser,
    Objective,
    extract,
    guided,
    loss_weights,
    p_losses,
    p_sample,
    predict_noise_from_start,
    predict_start_from_noise,
    q_posterior,
    q_sample,
)
from herder.generative.noise_schedule import NoiseSchedule, ScheduleName

__all__ = [
    "Denoiser",
    "GaussianDiffusion",
    "Objective",
    "ddim_deviation",
    "ddim_step",
    "ddim_times",
    "extract",
    "guided",
    "loss_weights",
    "p_losses",
    "p_sample",
    "predict_noise_from_start",
    "predict_start_from_noise",
    "q_posterior",
    "q_sample",
]


class GaussianDiffusion(nn.Module):
    """Training loss and sampling for a network ``model(x_t (B, C, H, W), t (B,), model_kwargs) -> (B, C, H, W)``.

    ``image_size`` is a side in pixels or (height, width); channels are ``model.channels``, 3 where it does not say.
    ``model_kwargs`` go to the network as they are: see ``Unet.forward``. Raises ValueError for an unknown objective or
    schedule.

    >>> from herder.generative.unet import Unet
    >>> diffusion = GaussianDiffusion(Unet(8, dim_mults=(1, 2)), image_size=8, timesteps=10)
    >>> diffusion.sample(2, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        image_size: int | tuple[int, int],
        timesteps: int = 1000,
        objective: str | Objective = Objective.PRED_NOISE,
        beta_schedule: str | ScheduleName = ScheduleName.SIGMOID,
        min_snr_gamma: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(f"image_size: found {image_size}, wanted a side or (height, width) in pixels")
        self.channels = int(getattr(model, "channels", 3))
        try:
            self.objective = Objective(objective)
        except ValueError:
            raise ValueError(f"objective: found {objective!r}, wanted pred_noise or pred_x_start") from None
        self.min_snr_gamma = min_snr_gamma
        self.schedule = NoiseSchedule.of(beta_schedule, timesteps)
        self.num_timesteps = timesteps

    def q_sample(self, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t of x_0 and noise; see ``diffusion_steps.q_sample``."""
        return steps_of.q_sample(self._on(x_start), x_start, t, noise)

    def predict_start_from_noise(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_0 of x_t and its noise; see ``diffusion_steps.predict_start_from_noise``."""
        return steps_of.predict_start_from_noise(self._on(x_t), x_t, t, noise)

    def predict_noise_from_start(self, x_t: Tensor, t: Tensor, x_start: Tensor) -> Tensor:
        """The noise of x_t and x_0; see ``diffusion_steps.predict_noise_from_start``."""
        return steps_of.predict_noise_from_start(self._on(x_t), x_t, t, x_start)

    def q_posterior(self, x_start: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of x_{t-1}; see ``diffusion_steps.q_posterior``."""
        return steps_of.q_posterior(self._on(x_t), x_start, x_t, t)

    def p_losses(
        self,
        x_start: Tensor,
        model_kwargs: Mapping[str, Any] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The training loss of pictures x_start (B, C, H, W) at random times with random noise, a number.

        Times and noise are drawn from ``generator``, on its own device, so that a seed means the same on every machine.
        """
        self._check(x_start)
        place = generator.device if generator is not None else x_start.device
        t = torch.randint(self.num_timesteps, (len(x_start),), generator=generator, device=place).to(x_start.device)
        noise = _normal(tuple(x_start.shape), generator, x_start)
        return steps_of.p_losses(
            self._denoiser(model_kwargs),
            self._on(x_start),
            x_start,
            t,
            noise,
            objective=self.objective,
            min_snr_gamma=self.min_snr_gamma,
        )

    @torch.no_grad()
    def p_sample(
        self,
        x_t: Tensor,
        t: int,
        model_kwargs: Mapping[str, Any] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x_{t-1} (B, C, H, W) of x_t, one DDPM step back."""
        self._check(x_t)
        noise = _normal(tuple(x_t.shape), generator, x_t)
        return steps_of.p_sample(self._denoiser(model_kwargs), self._on(x_t), x_t, t, noise, objective=self.objective)

    @torch.no_grad()
    def denoise(
        self,
        x: Tensor,
        *,
        steps: int | None = None,
        eta: float = 0.0,
        model_kwargs: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Tensor]:
        """Walk from noise x (B, C, H, W) to pictures, giving what each step leaves; the last are the pictures.

        ``steps`` None walks DDPM's T steps; a number walks as many of DDIM's, with ``eta`` as in ``ddim_step``.
        """
        self._check(x)
        schedule, ask = self._on(x), self._denoiser(model_kwargs)
        if steps is None:
            for t in reversed(range(self.num_timesteps)):
                noise = _normal(tuple(x.shape), generator, x)
                x = steps_of.p_sample(ask, schedule, x, t, noise, objective=self.objective)
                yield x
            return
        times = ddim_times(self.num_timesteps, steps)
        for t, t_next in pairwise(times):
            drawn = _normal(tuple(x.shape), generator, x) if eta else None
            x = ddim_step(ask, schedule, x, t, t_next, drawn, eta=eta, objective=self.objective)
            yield x

    def sample(
        self,
        batch_size: int = 16,
        *,
        return_all_timesteps: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw pictures (B, C, H, W) by DDPM; with ``return_all_timesteps`` (B, T + 1, C, H, W), from noise on."""
        return self._draw(batch_size, None, 0.0, return_all_timesteps, model_kwargs, generator)

    def ddim_sample(
        self,
        batch_size: int = 16,
        *,
        steps: int = 50,
        eta: float = 0.0,
        return_all_timesteps: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw pictures (B, C, H, W) in ``steps`` DDIM steps; all of them, (B, steps + 1, C, H, W), where asked for."""
        return self._draw(batch_size, steps, eta, return_all_timesteps, model_kwargs, generator)

    def _draw(
        self,
        count: int,
        steps: int | None,
        eta: float,
        all_steps: bool,
        model_kwargs: Mapping[str, Any] | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        like = next(self.parameters(), torch.empty(0))
        x = _normal((count, self.channels, *self.image_size), generator, like)
        seen = [x]
        training = self.model.training
        self.model.eval()  # or conditions would be dropped at random, as in training
        try:
            for left in self.denoise(x, steps=steps, eta=eta, model_kwargs=model_kwargs, generator=generator):
                if not all_steps:
                    seen.clear()
                seen.append(left)
        finally:
            self.model.train(training)
        return torch.stack(seen, dim=1) if all_steps else seen[-1]

    def _denoiser(self, model_kwargs: Mapping[str, Any] | None) -> Denoiser:
        return lambda x, t: cast(Tensor, self.model(x, t, dict(model_kwargs or {})))

    def _on(self, x: Tensor) -> NoiseSchedule:
        """The schedule on x's device, moved there once."""
        self.schedule = self.schedule.to(x.device)
        return self.schedule

    def _check(self, x: Tensor) -> None:
        wanted = (self.channels, *self.image_size)
        if x.shape[1:] != wanted:
            shown = ", ".join(map(str, wanted))
            raise ValueError(f"pictures: found shape {tuple(x.shape)}, wanted (B, {shown})")


def _normal(shape: tuple[int, ...], generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Standard normal numbers drawn where the generator is, then on the device and in the number format of ``like``."""
    place = generator.device if generator is not None else like.device
    return torch.randn(shape, generator=generator, device=place).to(like)
