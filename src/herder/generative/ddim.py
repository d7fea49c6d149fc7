"""DDIM: the same trained network, drawn from in few long steps instead of all the short ones.

Song et al., https://arxiv.org/abs/2010.02502. DDPM's loss asks only how x_t relates to x_0, not to x_{t-1}; so other
ways back with the same q(x_t | x_0) may be walked with the same network, among them ones that leave steps out
(section 4.2) and one that adds no noise at all (η = 0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from herder.generative.diffusion_steps import Denoiser, Objective, predict
from herder.generative.noise_schedule import NoiseSchedule


def ddim_deviation(schedule: NoiseSchedule, t: int, t_next: int, eta: float) -> Tensor:
    """The noise that a DDIM step adds, a number (DDIM eq. 16), with ᾱ' of ``t_next`` (1 for -1, the finished picture):

        σ = η sqrt((1 - ᾱ') / (1 - ᾱ_t)) sqrt(1 - ᾱ_t / ᾱ')

    With η = 1 and t_next = t - 1 this is DDPM's sqrt(β̃_t).
    """  # fmt: skip
    left, then = schedule.alphas_cumprod[t], _left_at(schedule, t_next)
    return eta * ((1 - then) / (1 - left)).sqrt() * (1 - left / then).sqrt()


def ddim_step(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    x_t: Tensor,
    t: int,
    t_next: int,
    noise: Tensor | None = None,
    *,
    eta: float = 0.0,
    objective: Objective = Objective.PRED_NOISE,
    clip: bool = True,
) -> Tensor:
    """One long step back, x_t to x at ``t_next`` (-1 for x_0 itself), (B, C, H, W) (DDIM eq. 12):

        x' = sqrt(ᾱ') x̂_0 + sqrt(1 - ᾱ' - σ²) ε̂ + σ ε

    ``eta`` 0 adds no noise, and the same start always gives the same picture; 1 is DDPM. ``noise`` may be left out for
    0. Raises ValueError when steps do not go down or ``eta`` is not 0 to 1.
    """  # fmt: skip
    if not -1 <= t_next < t < len(schedule):
        raise ValueError(f"t, t_next: found {t}, {t_next}; wanted -1 <= t_next < t < {len(schedule)}")
    if not 0 <= eta <= 1 or (eta and noise is None):
        raise ValueError(f"eta: found {eta}, wanted 0 to 1, and noise where it is above 0")
    times = torch.full((len(x_t),), t, dtype=torch.long, device=x_t.device)  # (B,)
    x_start, epsilon = predict(denoise, schedule, x_t, times, objective, clip=clip)
    then, deviation = _left_at(schedule, t_next), ddim_deviation(schedule, t, t_next, eta)
    toward = (1 - then - deviation**2).clamp(min=0).sqrt().to(x_t.dtype)
    x_next = then.sqrt().to(x_t.dtype) * x_start + toward * epsilon
    return x_next if noise is None else x_next + deviation.to(x_t.dtype) * noise


def ddim_times(timesteps: int, steps: int) -> list[int]:
    """``steps`` times from T - 1 down to 0, evenly spread, and -1 for the finished picture.

    Raises ValueError when ``steps`` is not 1 to ``timesteps``.

    >>> ddim_times(1000, 4)
    [999, 666, 333, 0, -1]
    """
    if not 1 <= steps <= timesteps:
        raise ValueError(f"steps: found {steps}, wanted 1 to {timesteps}")
    if steps == 1:
        return [timesteps - 1, -1]
    return [round((timesteps - 1) * (1 - i / (steps - 1))) for i in range(steps)] + [-1]


def _left_at(schedule: NoiseSchedule, t: int) -> Tensor:
    return schedule.alphas_cumprod[t] if t >= 0 else schedule.alphas_cumprod.new_ones(())
