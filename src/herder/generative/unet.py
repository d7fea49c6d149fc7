"""The U-Net that says what in a noisy picture is noise, for a time and, where there is one, a condition.

Ho et al., https://arxiv.org/abs/2006.11239, appendix B, after Ronneberger et al., https://arxiv.org/abs/1505.04597:
down to few pixels and many channels, back up, and at each size the way down hands its picture across to the way up.

Notation: B pictures, C their channels, H x W pixels, D the ``condition_dim``, E = 4 ``dim`` numbers of context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from herder.generative.diffusion_steps import guided
from herder.generative.unet_blocks import (
    Attention,
    Downsample,
    LinearAttention,
    ResnetBlock,
    SinusoidalPositionEmbedding,
    Upsample,
)

CONDITION = "text_emb"
"""The key of ``model_kwargs`` that holds the condition (B, D): a text's embedding in the course, here often a class."""


class Unet(nn.Module):
    """The network. ``dim`` channels at full size, ``dim`` times each of ``dim_mults`` at each half of it.

    ``condition_dim`` None knows of no condition. ``uncond_prob`` is the share of pictures whose condition is hidden in
    training, so that one network learns to draw with and without (classifier-free guidance,
    https://arxiv.org/abs/2207.12598, algorithm 1). Raises ValueError for sizes that make no network.

    >>> network = Unet(8, condition_dim=10, dim_mults=(1, 2), channels=1)
    >>> network(torch.zeros(2, 1, 9, 7), torch.tensor([0, 5]), {"text_emb": torch.eye(10)[[3, 7]]}).shape
    torch.Size([2, 1, 9, 7])
    """

    def __init__(
        self,
        dim: int,
        condition_dim: int | None = None,
        dim_mults: Sequence[int] = (1, 2, 4, 8),
        channels: int = 3,
        uncond_prob: float = 0.2,
    ) -> None:
        super().__init__()
        if not dim_mults or min(dim_mults) < 1 or channels < 1 or (condition_dim is not None and condition_dim < 1):
            raise ValueError(
                f"dim_mults, channels, condition_dim: found {tuple(dim_mults)}, {channels}, {condition_dim}; "
                "wanted at least one multiple, and whole numbers of at least 1"
            )
        if not 0 <= uncond_prob <= 1:
            raise ValueError(f"uncond_prob: found {uncond_prob}, wanted 0 to 1")
        self.channels = channels
        self.condition_dim = condition_dim
        self.uncond_prob = uncond_prob
        self.smallest_side = 2 ** (len(dim_mults) - 2) + 1 if len(dim_mults) > 1 else 1
        """Pixels that each side must have: below, a level would halve a side of one pixel."""
        context = 4 * dim
        self.time_mlp = nn.Sequential(
            SinusoidalPositionEmbedding(dim), nn.Linear(dim, context), nn.GELU(), nn.Linear(context, context)
        )
        self.condition = (
            None
            if condition_dim is None
            else nn.Sequential(nn.Linear(condition_dim, context), nn.GELU(), nn.Linear(context, context))
        )
        widths = [dim * mult for mult in dim_mults]
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(_Level(width, width, context) for width in widths)
        self.shrink = nn.ModuleList(Downsample(a, b) for a, b in pairwise(widths))
        self.middle1 = ResnetBlock(widths[-1], widths[-1], context)
        self.attention = Attention(widths[-1])
        self.middle2 = ResnetBlock(widths[-1], widths[-1], context)
        # Twice as wide: each block of the way up also gets what the way down had at its size.
        self.ups = nn.ModuleList(_Level(2 * width, width, context) for width in reversed(widths))
        self.grow = nn.ModuleList(Upsample(b, a) for a, b in reversed(list(pairwise(widths))))
        self.last = nn.Conv2d(widths[0], channels, 1)

    def forward(self, x: Tensor, time: Tensor, model_kwargs: Mapping[str, Any] | None = None) -> Tensor:
        """What the objective asks for, (B, C, H, W), of pictures x (B, C, H, W) at ``time`` (B,).

        ``model_kwargs`` may hold ``text_emb``, the condition (B, D), None for none; ``keep``, which pictures (B,) bool
        may see it, instead of dropping at random with ``uncond_prob`` in training; and ``cfg_scale``: see
        ``cfg_forward``. Raises ValueError naming what has the wrong shape.
        """
        given = dict(model_kwargs or {})
        if given.get("cfg_scale") is not None:
            return self.cfg_forward(x, time, given)
        self._check(x, time)
        context = self._context(x, time, given.get(CONDITION), given.get("keep"))  # (B, E)
        x = self.first(x)
        passed: list[tuple[Tensor, Tensor]] = []
        for i, level in enumerate(self.downs):
            passed.append(level(x, context))  # two of (B, width, h, w)
            x = self.shrink[i](passed[-1][1]) if i < len(self.shrink) else passed[-1][1]
        x = self.middle2(self.attention(self.middle1(x, context)), context)
        for i, level in enumerate(self.ups):
            early, late = passed.pop()
            if i:
                x = self.grow[i - 1](x, late.shape[2:])
            _, x = level(x, context, early, late)
        out: Tensor = self.last(x)
        return out

    def cfg_forward(self, x: Tensor, time: Tensor, model_kwargs: Mapping[str, Any]) -> Tensor:
        """Classifier-free guidance with w = ``cfg_scale`` (https://arxiv.org/abs/2207.12598, eq. 6; as in the course):

            (1 + w) f(x, t, condition) - w f(x, t, none)

        w = 0 is the conditional answer, -1 the unconditional. Both halves go through the network in one batch.
        """  # fmt: skip
        given = dict(model_kwargs)
        scale = float(given.pop("cfg_scale"))
        condition = given.get(CONDITION)
        if condition is None:
            raise ValueError(f"cfg_scale: found {scale} without a condition, wanted model_kwargs[{CONDITION!r}] (B, D)")
        self._check(x, time)
        self._condition_network(condition, len(x))
        seen = torch.cat([torch.ones(len(x)), torch.zeros(len(x))]).to(x.device) > 0  # (2B,)
        both = {CONDITION: torch.cat([condition, condition]), "keep": seen}
        conditional, unconditional = self(torch.cat([x, x]), torch.cat([time, time]), both).chunk(2)
        return guided(conditional, unconditional, 1 + scale)

    def _context(self, x: Tensor, time: Tensor, condition: Tensor | None, keep: Tensor | None) -> Tensor:
        """What the blocks know besides the picture, (B, E): the time, and the condition where it may be seen."""
        weights = self.first.weight.dtype
        embedding, *mlp = self.time_mlp
        context: Tensor = embedding(time).to(weights)  # (B, dim)
        for layer in mlp:
            context = layer(context)  # (B, E) at the end
        if condition is None:
            return context
        network = self._condition_network(condition, len(x))
        if keep is None and self.training and self.uncond_prob:
            keep = torch.rand(len(x), device=x.device) >= self.uncond_prob
        told: Tensor = network(condition.to(x.device, weights))  # (B, E)
        # A hidden condition adds nothing at all, which no condition seen does: the network can tell.
        return context + (told if keep is None else told * keep.to(x.device, told.dtype)[:, None])

    def _check(self, x: Tensor, time: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"x: found shape {tuple(x.shape)}, wanted (B, {self.channels}, H, W)")
        if min(x.shape[2:]) < self.smallest_side:
            raise ValueError(
                f"x: found pictures of {x.shape[2]} x {x.shape[3]} pixels, wanted at least {self.smallest_side} a side "
                f"for {len(self.downs)} dim_mults"
            )
        if time.shape != x.shape[:1]:
            raise ValueError(f"time: found shape {tuple(time.shape)}, wanted ({len(x)},)")

    def _condition_network(self, condition: Tensor, count: int) -> nn.Module:
        if self.condition is None:
            raise ValueError(f"{CONDITION}: found a condition, wanted none: this Unet has no condition_dim")
        if condition.shape != (count, self.condition_dim):
            raise ValueError(
                f"{CONDITION}: found shape {tuple(condition.shape)}, wanted ({count}, {self.condition_dim})"
            )
        return self.condition


class _Level(nn.Module):
    """Two residual blocks with linear attention after the second, at one size of the picture."""

    def __init__(self, channels_in: int, channels_out: int, context_dim: int) -> None:
        super().__init__()
        self.block1 = ResnetBlock(channels_in, channels_out, context_dim)
        self.block2 = ResnetBlock(channels_in, channels_out, context_dim)
        self.attention = LinearAttention(channels_out)

    def forward(
        self, x: Tensor, context: Tensor, early: Tensor | None = None, late: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the first block leaves and what the second does, each (B, C', H, W).

        On the way up, ``late`` and ``early`` are what the way down left here, put beside each block's input.
        """
        first: Tensor = self.block1(x if late is None else torch.cat([x, late], dim=1), context)
        second = self.block2(first if early is None else torch.cat([first, early], dim=1), context)
        return first, self.attention(second)
