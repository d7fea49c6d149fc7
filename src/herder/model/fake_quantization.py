"""Fake quantization: float arithmetic that rounds as int8 will, with scales that learn along.

A value x becomes s (clamp(round(x / s) + z, low, high) - z): what an int8 engine would go on with (Jacob et al. 2018,
https://arxiv.org/abs/1712.05877). Rounding has no slope, so the gradient passes it straight through; the scale's
gradient is that of Learned Step Size Quantization (Esser et al. 2020, https://arxiv.org/abs/1902.08153). What is
learned is the scale's logarithm, as in Trained Quantization Thresholds (https://arxiv.org/abs/1903.08066): AdamW's
steps have an absolute size, and scales differ by orders of magnitude. The zero point z stays as calibrated.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from herder.model.quantization_range import Range, activation_range, weight_scales

LOW, HIGH = 0, 255
"""Activations are uint8 with a zero point: most of them are positive (SiLU goes down to -0.28)."""

GAIN = 10.0
"""Scales are exp(GAIN * exponent): a learning rate that suits weights moves them GAIN times as fast."""

SAMPLE = 1 << 14
"""Values of a map that calibration keeps of each batch."""


class FakeQuantize(torch.autograd.Function):
    """The rounding with the gradients above; ``log_scale`` broadcasts to ``x``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, log_scale: Tensor, zero_point: Tensor | int, low: int, high: int) -> Tensor:
        """X of any shape to the same shape, on the grid."""
        scale = log_scale.exp()
        codes = torch.round(x / scale).add_(zero_point)
        kept = codes.clamp(low, high)
        y = (kept - zero_point).mul_(scale)
        if any(ctx.needs_input_grad):
            inside = kept == codes
            # d y / d log s = s d y / d s = y - x inside the range and y outside.
            ctx.save_for_backward(inside, y - x * inside)
            ctx.shape = log_scale.shape
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """The gradient passes where the value was in range; the scale gets what the rounding error says."""
        (gradient,) = gradients
        inside, slope = ctx.saved_tensors
        return gradient * inside, (gradient * slope).sum_to_size(ctx.shape), None, None, None


class ActivationQuantizer(nn.Module):
    """Rounds a map to uint8 with one scale and zero point for all of it, or one for each of ``channels``.

    Before ``settle`` it can ``observe``: maps then pass as they are, and a sample of their values is kept.
    """

    def __init__(self, channels: int = 0) -> None:
        super().__init__()
        shape = (channels,) if channels else ()
        self.exponent = nn.Parameter(torch.full(shape, -0.4))  # exp(-4) * 255 = 4.7: a range for maps of about 1
        self.register_buffer("zero_point", torch.zeros(shape, dtype=torch.int64))
        self.zero_point: Tensor
        self.seen: list[Tensor] | None = None

    def observe(self) -> None:
        """Watch the maps that pass from now on."""
        self.seen = []

    @torch.no_grad()
    def settle(self) -> None:
        """Take the ranges that round the values seen with the least squared error; none seen leaves them as they
        were."""
        for values, exponent, zero_point in zip(
            torch.cat(self.seen, 1) if self.seen else (), self.exponent.view(-1), self.zero_point.view(-1), strict=False
        ):
            found: Range = activation_range(values, HIGH)
            exponent.fill_(found.scale).log_().div_(GAIN)
            zero_point.fill_(found.zero_point)
        self.seen = None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        if self.seen is not None:
            self.seen.append(self._sample(x.detach().float()))
            return x
        log_scale, zero_point = self.exponent * GAIN, self.zero_point
        if log_scale.ndim:
            log_scale, zero_point = log_scale[:, None, None], zero_point[:, None, None]  # (C, 1, 1)
        y: Tensor = FakeQuantize.apply(x.float(), log_scale, zero_point, LOW, HIGH)  # type: ignore[no-untyped-call]
        return y

    def _sample(self, x: Tensor) -> Tensor:
        """Some values of each channel (C, n), or of all (1, n), and the extremes, which a sample may miss."""
        rows = x.transpose(0, 1).flatten(1) if self.exponent.ndim else x.flatten()[None]
        step = max(1, rows.numel() // SAMPLE)
        return torch.cat((rows[:, ::step], torch.stack(rows.aminmax(dim=1), 1)), 1)

    @property
    def scales(self) -> Tensor:
        """The steps between two codes, () or (C,)."""
        return (self.exponent.detach() * GAIN).exp()


class SharedQuantizer(nn.Module):
    """A quantizer that belongs to another module: maps that are joined must lie on one grid.

    It is held in a tuple so that its tensors are saved and averaged once, where they belong.
    """

    def __init__(self, owner: ActivationQuantizer) -> None:
        super().__init__()
        self._owner = (owner,)

    @property
    def owner(self) -> ActivationQuantizer:
        """Whose scale it uses."""
        return self._owner[0]

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        y: Tensor = self.owner(x)
        return y


class QuantizedConv2d(nn.Conv2d):
    """A convolution whose weights are rounded to ``bits``, symmetric around 0, one learned scale an output channel."""

    def __init__(self, layer: nn.Conv2d, bits: int) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            (layer.kernel_size[0], layer.kernel_size[1]),
            (layer.stride[0], layer.stride[1]),
            symmetric_padding(layer),
            groups=layer.groups,
            bias=layer.bias is not None,
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.limit = 2 ** (bits - 1) - 1
        self.exponent = nn.Parameter(torch.full((layer.out_channels,), -0.4))

    @torch.no_grad()
    def settle(self) -> None:
        """Take the scales that round the weights as they are with the least squared error."""
        self.exponent.copy_(weight_scales(self.weight, self.limit).log() / GAIN)

    @property
    def scales(self) -> Tensor:
        """The steps between two codes, one an output channel (outputs,)."""
        return (self.exponent.detach() * GAIN).exp()

    def rounded_weight(self) -> Tensor:
        """The weights (outputs, inputs / groups, h, w) on their grid."""
        scale = self.exponent[:, None, None, None] * GAIN
        y: Tensor = FakeQuantize.apply(self.weight, scale, 0, -self.limit, self.limit)  # type: ignore[no-untyped-call]
        return y

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return F.conv2d(x, self.rounded_weight(), self.bias, self.stride, self.padding, 1, self.groups)


def symmetric_padding(layer: nn.Conv2d) -> tuple[int, int]:
    """Rows and columns of zeros around a map; no layer of ours pads by name (``same``)."""
    assert not isinstance(layer.padding, str)
    return layer.padding[0], layer.padding[1]
