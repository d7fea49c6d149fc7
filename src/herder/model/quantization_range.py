"""Which range of values int8 should cover: wide enough for most, narrow enough for fine steps.

The range with the least mean squared error of rounding is sought among shrunk copies of the full one (as in
https://arxiv.org/abs/2106.08295, section 3.1): one outlier must not cost all other values a bit.
Notation: N values, C channels, E weights of a channel, F factors tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FACTORS = 33
"""Ranges tried, from a third of the full one to all of it."""

SMALLEST = 1e-8
"""Scale of a map or a channel that is 0 everywhere."""


@dataclass(frozen=True)
class Range:
    """A step between two codes, and the code that stands for 0."""

    scale: float
    zero_point: int


def activation_range(values: Tensor, high: int) -> Range:
    """The best range for values (N,) as codes from 0 to ``high``; 0 has a code of its own, since borders are padded
    with it.

    >>> activation_range(torch.linspace(0, 51, 256), 255)
    Range(scale=0.2, zero_point=0)
    """
    least, most = (float(v) for v in values.aminmax())
    best, found = float("inf"), Range(SMALLEST, 0)
    for factor in torch.linspace(1, 1 / 3, FACTORS).tolist():
        bottom, top = min(0.0, least * factor), max(0.0, most * factor)
        scale = max((top - bottom) / high, SMALLEST)
        zero_point = round(-bottom / scale)
        rounded = ((values / scale).round() + zero_point).clamp(0, high).sub(zero_point) * scale
        error = float((rounded - values).square().mean())
        if error < best:
            best, found = error, Range(round(scale, 12), zero_point)
    return found


def weight_scales(weight: Tensor, limit: int) -> Tensor:
    """The best step (C,) of each output channel of a weight (C, ...) as codes from -limit to limit."""
    flat = weight.detach().flatten(1)  # (C, E)
    full = flat.abs().amax(1).clamp(min=SMALLEST * limit) / limit  # (C,)
    scales = full * torch.linspace(1, 1 / 3, FACTORS, device=flat.device)[:, None]  # (F, C)
    rounded = (flat / scales[..., None]).round().clamp(-limit, limit) * scales[..., None]  # (F, C, E)
    errors = (rounded - flat).square().mean(-1)  # (F, C)
    return scales.gather(0, errors.argmin(0, keepdim=True))[0]
