"""How much noise each step of a diffusion adds: three schedules, and the numbers that follow from one.

The forward process makes noise of a picture in T small steps (DDPM, https://arxiv.org/abs/2006.11239, eq. 2):

    q(x_t | x_{t-1}) = N(sqrt(1 - β_t) x_{t-1}, β_t I),   α_t = 1 - β_t,   ᾱ_t = α_1 α_2 ... α_t

A schedule is the list β_1 ... β_T. ᾱ_t is the share of the picture's variance that is left after t steps; it should
fall from nearly 1 to nearly 0, and every schedule here is a wish about how it falls. All of it is computed in float64:
1 - ᾱ_t of the first steps and ᾱ_t of the last are small differences of large numbers.

Notation: T steps. The papers count t from 1 to T, tensors from 0 to T - 1: index t holds the paper's t + 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import Enum

import torch
from torch import Tensor

LARGEST_BETA = 0.9999
"""No step may wipe out all of the picture: x_{t-1} could not be told from x_t at all."""


class ScheduleName(Enum):
    """The schedules by name."""

    LINEAR = "linear"
    """DDPM's; made for pictures of 256 pixels, it spends many steps on what is already noise."""
    COSINE = "cosine"
    """Improved DDPM's; falls gently at both ends, better for small pictures."""
    SIGMOID = "sigmoid"
    """Gentler still in the middle; the default of the course."""


def linear_beta_schedule(timesteps: int) -> Tensor:
    """β that rises in a line: (T,) float64.

    DDPM, https://arxiv.org/abs/2006.11239, section 4: from 1e-4 to 0.02 in T = 1000 steps. For another T both ends are
    scaled by 1000 / T, so that about as much noise is added in all, and cut at ``LARGEST_BETA``.
    Raises ValueError when ``timesteps`` is below 1.

    >>> linear_beta_schedule(1000)[[0, -1]].tolist()
    [0.0001, 0.02]
    """
    scale = 1000 / _checked(timesteps)
    return torch.linspace(scale * 1e-4, scale * 0.02, timesteps, dtype=torch.float64).clamp(max=LARGEST_BETA)


def cosine_beta_schedule(timesteps: int, s: float = 0.008) -> Tensor:
    """β such that ᾱ falls like a squared cosine: (T,) float64.

    Improved DDPM, https://arxiv.org/abs/2102.09672, eq. 17, with t counted from 0 to T:

        ᾱ_t = f(t) / f(0),   f(t) = cos²((t / T + s) / (1 + s) · π / 2),   β_t = 1 - ᾱ_t / ᾱ_{t-1}

    The offset ``s`` keeps the first β from being too small to matter against the steps between grey values. β is cut to
    0.0001 ... 0.9999. Raises ValueError when ``timesteps`` is below 1 or ``s`` is negative.

    >>> round(cosine_beta_schedule(4)[0].item(), 4)
    0.153
    """
    if not s >= 0:
        raise ValueError(f"s: found {s}, wanted 0 or more")
    moment = torch.arange(_checked(timesteps) + 1, dtype=torch.float64) / timesteps  # (T + 1,)
    return _betas_of(torch.cos((moment + s) / (1 + s) * math.pi / 2) ** 2).clamp(1e-4, LARGEST_BETA)


def sigmoid_beta_schedule(timesteps: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> Tensor:
    """β such that ᾱ falls like a sigmoid: (T,) float64.

    Jabri et al., https://arxiv.org/abs/2212.11972, algorithm 1, with σ the logistic function and t from 0 to T:

        ᾱ_t = (σ(end / τ) - σ((start + t / T · (end - start)) / τ)) / (σ(end / τ) - σ(start / τ))

    β is cut at 0.999, or the last would be 1. Raises ValueError when ``timesteps`` is below 1, ``tau`` is not positive
    or ``end`` is not above ``start``.

    >>> sigmoid_beta_schedule(1000)[-1].item()
    0.999
    """
    if not (tau > 0 and end > start):
        raise ValueError(f"tau, start, end: found {tau}, {start}, {end}; wanted tau above 0 and start below end")
    moment = torch.arange(_checked(timesteps) + 1, dtype=torch.float64) / timesteps  # (T + 1,)
    curve = torch.sigmoid((start + moment * (end - start)) / tau)
    return _betas_of(curve[-1] - curve).clamp(0, 0.999)


def beta_schedule(name: ScheduleName | str, timesteps: int) -> Tensor:
    """β of the schedule of this name: (T,) float64. Raises ValueError for an unknown name."""
    makers = {
        ScheduleName.LINEAR: linear_beta_schedule,
        ScheduleName.COSINE: cosine_beta_schedule,
        ScheduleName.SIGMOID: sigmoid_beta_schedule,
    }
    try:
        return makers[ScheduleName(name)](timesteps)
    except ValueError as error:
        if isinstance(name, ScheduleName) or name in {known.value for known in ScheduleName}:
            raise
        known_names = ", ".join(known.value for known in ScheduleName)
        raise ValueError(f"beta_schedule: found {name!r}, wanted one of {known_names}") from error


@dataclass(frozen=True)
class NoiseSchedule:
    """A schedule and all that follows from it; every tensor is (T,), float64 unless moved to a device without it.

    >>> schedule = NoiseSchedule.of("cosine", 1000)
    >>> len(schedule), schedule.betas.dtype
    (1000, torch.float64)
    """

    betas: Tensor
    """β_t, the variance that step t adds."""
    alphas_cumprod: Tensor
    """ᾱ_t, what is left of the picture's variance after step t."""
    alphas_cumprod_prev: Tensor
    """ᾱ_{t-1}, with 1 before the first step."""
    sqrt_alphas_cumprod: Tensor
    """sqrt(ᾱ_t), the picture's factor in x_t."""
    sqrt_one_minus_alphas_cumprod: Tensor
    """sqrt(1 - ᾱ_t), the noise's factor in x_t."""
    posterior_mean_coef1: Tensor
    """x_0's factor in the mean of q(x_{t-1} | x_t, x_0): sqrt(ᾱ_{t-1}) β_t / (1 - ᾱ_t)."""
    posterior_mean_coef2: Tensor
    """x_t's factor in it: sqrt(1 - β_t) (1 - ᾱ_{t-1}) / (1 - ᾱ_t)."""
    posterior_variance: Tensor
    """Its variance, (1 - ᾱ_{t-1}) / (1 - ᾱ_t) β_t; 0 at the first step, where x_0 is known."""
    signal_to_noise: Tensor
    """ᾱ_t / (1 - ᾱ_t)."""

    @classmethod
    def of(cls, name: ScheduleName | str, timesteps: int) -> NoiseSchedule:
        """The schedule of this name with ``timesteps`` steps. Raises ValueError for an unknown name or no steps."""
        return cls.from_betas(beta_schedule(name, timesteps))

    @classmethod
    def from_betas(cls, betas: Tensor) -> NoiseSchedule:
        """All that follows from ``betas`` (T,). Raises ValueError when they are not in 0 ... 1, both left out."""
        if betas.ndim != 1 or not len(betas):
            raise ValueError(f"betas: found shape {tuple(betas.shape)}, wanted (T,) with T of at least 1")
        betas = betas.double()
        if not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError(
                f"betas: found values from {betas.min():.3g} to {betas.max():.3g}, wanted above 0 and below 1"
            )
        alphas = 1 - betas
        left = alphas.cumprod(0)
        before = torch.cat([left.new_ones(1), left[:-1]])
        return cls(
            betas=betas,
            alphas_cumprod=left,
            alphas_cumprod_prev=before,
            sqrt_alphas_cumprod=left.sqrt(),
            sqrt_one_minus_alphas_cumprod=(1 - left).sqrt(),
            posterior_mean_coef1=before.sqrt() * betas / (1 - left),
            posterior_mean_coef2=alphas.sqrt() * (1 - before) / (1 - left),
            posterior_variance=(1 - before) / (1 - left) * betas,
            signal_to_noise=left / (1 - left),
        )

    def __len__(self) -> int:
        return len(self.betas)

    def to(self, device: torch.device) -> NoiseSchedule:
        """The same schedule on ``device``; itself when it is there already."""
        if self.betas.device == device:
            return self
        dtype = torch.float32 if device.type == "mps" else self.betas.dtype  # Apple's GPUs have no float64
        return NoiseSchedule(**{f.name: getattr(self, f.name).to(device, dtype) for f in fields(self)})


def _checked(timesteps: int) -> int:
    if isinstance(timesteps, bool) or not isinstance(timesteps, int) or timesteps < 1:
        raise ValueError(f"timesteps: found {timesteps!r}, wanted a whole number of at least 1")
    return timesteps


def _betas_of(curve: Tensor) -> Tensor:
    """β_t = 1 - ᾱ_t / ᾱ_{t-1} (T,) of a falling curve of ᾱ (T + 1,), which need not start at 1."""
    return 1 - curve[1:] / curve[:-1]
