"""Denoising diffusion, formula by formula: from a picture to noise in one jump, and from noise back step by step.

Each function is one formula over a ``NoiseSchedule``. Papers: DDPM https://arxiv.org/abs/2006.11239, classifier-free
guidance https://arxiv.org/abs/2207.12598, Min-SNR weights https://arxiv.org/abs/2303.09556.

Notation: x_0 a picture (B, C, H, W) with values -1 to 1, ε standard normal noise of its shape, t (B,) whole numbers
from 0 to T - 1 (the papers' 1 to T), ᾱ, β and the rest as in ``noise_schedule``. A ``Denoiser`` is any function of
(x_t, t) that gives ε or x_0, as its ``Objective`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

from herder.generative.noise_schedule import NoiseSchedule

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, C, H, W), t (B,)) to what the objective asks for, (B, C, H, W)."""


class Objective(Enum):
    """What the network is asked for."""

    PRED_NOISE = "pred_noise"
    """ε, the noise in x_t."""
    PRED_X_START = "pred_x_start"
    """x_0, the picture under it."""


def extract(a: Tensor, t: Tensor, x_shape: torch.Size | tuple[int, ...]) -> Tensor:
    """The entries ``a[t]``, shaped to multiply a batch of ``x_shape``: (B, 1, ..., 1).

    Raises ValueError when ``t`` is not (B,) whole numbers within ``a`` (T,).

    >>> extract(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 0]), (2, 3, 8, 8)).shape
    torch.Size([2, 1, 1, 1])
    """
    if t.shape != x_shape[:1] or t.is_floating_point():
        raise ValueError(f"t: found shape {tuple(t.shape)} of {t.dtype}, wanted ({x_shape[0]},) of whole numbers")
    return a.gather(0, t.long()).reshape(-1, *[1] * (len(x_shape) - 1))


def q_sample(schedule: NoiseSchedule, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The picture after t steps of noise, in one jump (DDPM eq. 4): x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε."""
    keep = at_times(schedule.sqrt_alphas_cumprod, t, x_start)
    blur = at_times(schedule.sqrt_one_minus_alphas_cumprod, t, x_start)
    return keep * x_start + blur * noise  # (B, C, H, W)


def predict_start_from_noise(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_0 of x_t and ε, ``q_sample`` solved for it: x_0 = (x_t - sqrt(1 - ᾱ_t) ε) / sqrt(ᾱ_t)."""
    keep = at_times(schedule.sqrt_alphas_cumprod, t, x_t)
    blur = at_times(schedule.sqrt_one_minus_alphas_cumprod, t, x_t)
    return (x_t - blur * noise) / keep  # (B, C, H, W)


def predict_noise_from_start(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, x_start: Tensor) -> Tensor:
    """ε of x_t and x_0, ``q_sample`` solved for it: ε = (x_t - sqrt(ᾱ_t) x_0) / sqrt(1 - ᾱ_t)."""
    keep = at_times(schedule.sqrt_alphas_cumprod, t, x_t)
    blur = at_times(schedule.sqrt_one_minus_alphas_cumprod, t, x_t)
    return (x_t - keep * x_start) / blur  # (B, C, H, W)


def q_posterior(schedule: NoiseSchedule, x_start: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, C, H, W) and standard deviation (B, 1, 1, 1) of x_{t-1} when x_t and x_0 are known (DDPM eq. 6 and 7):

        q(x_{t-1} | x_t, x_0) = N(μ̃, β̃_t I),   β̃_t = (1 - ᾱ_{t-1}) / (1 - ᾱ_t) β_t
        μ̃ = sqrt(ᾱ_{t-1}) β_t / (1 - ᾱ_t) x_0 + sqrt(α_t) (1 - ᾱ_{t-1}) / (1 - ᾱ_t) x_t
    """  # fmt: skip
    mean = (
        at_times(schedule.posterior_mean_coef1, t, x_t) * x_start
        + at_times(schedule.posterior_mean_coef2, t, x_t) * x_t
    )
    return mean, at_times(schedule.posterior_variance.sqrt(), t, x_t)


def guided(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (https://arxiv.org/abs/2207.12598, eq. 6): ε_uncond + guidance · (ε_cond - ε_uncond).

    0 gives the unconditional answer, 1 the conditional, more exaggerates what the condition changes: truer to it, less
    varied. The paper's and the course's w is guidance - 1.
    """
    return unconditional + guidance * (conditional - unconditional)


def loss_weights(schedule: NoiseSchedule, objective: Objective, min_snr_gamma: float | None = None) -> Tensor:
    """What each step's squared error counts, (T,).

    As ||ε - ε̂||² = SNR_t ||x_0 - x̂_0||², both objectives have the same loss when x_0's error counts SNR_t and ε's
    1 (DDPM's L_simple, eq. 14). Min-SNR cuts SNR_t at γ (``min_snr_gamma``), so that steps of nearly no noise do not
    rule: x_0's error counts min(SNR_t, γ), ε's min(SNR_t, γ) / SNR_t.
    """
    snr = schedule.signal_to_noise
    of_start = snr if min_snr_gamma is None else snr.clamp(max=min_snr_gamma)
    return of_start / snr if objective is Objective.PRED_NOISE else of_start


def p_losses(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    x_start: Tensor,
    t: Tensor,
    noise: Tensor,
    *,
    objective: Objective = Objective.PRED_NOISE,
    min_snr_gamma: float | None = None,
) -> Tensor:
    """The training loss, a number: the mean over the batch of weight_t · ||target - denoise(x_t, t)||² / (C H W).

    DDPM algorithm 1; ``loss_weights`` says what a step counts.
    """
    found = denoise(q_sample(schedule, x_start, t, noise), t)  # (B, C, H, W)
    target = noise if objective is Objective.PRED_NOISE else x_start
    errors = F.mse_loss(found.to(target.dtype), target, reduction="none").flatten(1).mean(1)  # (B,)
    weights = extract(loss_weights(schedule, objective, min_snr_gamma), t, errors.shape)
    return (weights.to(errors.dtype) * errors).mean()


def predict(
    denoise: Denoiser, schedule: NoiseSchedule, x_t: Tensor, t: Tensor, objective: Objective, *, clip: bool = True
) -> tuple[Tensor, Tensor]:
    """What the denoiser makes of x_t: x̂_0 and ε̂, each (B, C, H, W).

    ``clip`` keeps x̂_0 within -1 to 1, where pictures live, and ε̂ is what then fits it: without, an error of ε̂ grows
    1 / sqrt(ᾱ_t)-fold in x̂_0 while there is hardly anything to see.
    """
    found = denoise(x_t, t).to(x_t.dtype)
    x_start = predict_start_from_noise(schedule, x_t, t, found) if objective is Objective.PRED_NOISE else found
    if clip:
        x_start = x_start.clamp(-1, 1)
    return x_start, predict_noise_from_start(schedule, x_t, t, x_start)


def p_sample(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    x_t: Tensor,
    t: int,
    noise: Tensor,
    *,
    objective: Objective = Objective.PRED_NOISE,
    clip: bool = True,
) -> Tensor:
    """One step back, x_t to x_{t-1} (B, C, H, W): a draw from q(x_{t-1} | x_t, x̂_0) (DDPM algorithm 2, with β̃_t)."""
    times = torch.full((len(x_t),), t, dtype=torch.long, device=x_t.device)  # (B,)
    x_start, _ = predict(denoise, schedule, x_t, times, objective, clip=clip)
    mean, deviation = q_posterior(schedule, x_start, x_t, times)
    return mean + deviation * noise  # β̃ is 0 at t = 0: the last step adds no noise


def at_times(values: Tensor, t: Tensor, x: Tensor) -> Tensor:
    """``values[t]`` (B, 1, 1, 1) in x's number format; taken in float64 first."""
    return extract(values, t, x.shape).to(x.dtype)
