"""The parts of a U-Net that removes noise: what it knows of time, its convolutions, its attention.

Notation: B pictures, C channels, H x W pixels of a level, E numbers of context, h heads of d channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SinusoidalPositionEmbedding(nn.Module):
    """Numbers t (B,) as waves of many lengths, (B, dim), as in "Attention is all you need", section 3.5
    (https://arxiv.org/abs/1706.03762), with half = dim / 2 and i from 0:

        e_i = sin(t · 10000^(-i / (half - 1))),   e_{half + i} = cos(t · 10000^(-i / (half - 1)))

    Near times get near embeddings, and no two the same. Computed in float32: in half precision t = 999 would not keep
    its last digit. Raises ValueError when ``dim`` is odd or below 4.

    >>> SinusoidalPositionEmbedding(4)(torch.tensor([0])).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """  # fmt: skip

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 4 or dim % 2:
            raise ValueError(f"dim: found {dim}, wanted an even number of at least 4")
        self.waves = dim // 2

    def forward(self, t: Tensor) -> Tensor:
        """(B,) to (B, dim), float32."""
        falling = torch.arange(self.waves, dtype=torch.float32, device=t.device) / (self.waves - 1)
        angles = t.float()[:, None] * torch.exp(-math.log(10_000) * falling)  # (B, dim / 2)
        return torch.cat([angles.sin(), angles.cos()], dim=1)  # (B, dim)


class Block(nn.Module):
    """Convolution 3x3, group norm, scale and shift, SiLU: (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        # Two channels a group at least: one alone, on a level of one pixel, would be normalised to nothing.
        self.norm = nn.GroupNorm(math.gcd(8, max(1, channels_out // 2)), channels_out)

    def forward(self, x: Tensor, scale_shift: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """``scale_shift`` are two of (B, C', 1, 1): x (1 + scale) + shift."""
        x = self.norm(self.conv(x))  # (B, C', H, W)
        if scale_shift is not None:
            x = x * (1 + scale_shift[0]) + scale_shift[1]
        return F.silu(x)


class ResnetBlock(nn.Module):
    """Two blocks and a way around them, (B, C, H, W) to (B, C', H, W); the context scales and shifts the first.

    The residual block of https://arxiv.org/abs/1512.03385 with the time's scale and shift of improved DDPM
    (https://arxiv.org/abs/2102.09672, appendix A). The norm stands before scale and shift, or it would undo them.
    """

    def __init__(self, channels_in: int, channels_out: int, context_dim: int) -> None:
        super().__init__()
        self.context = nn.Linear(context_dim, 2 * channels_out)
        self.block1 = Block(channels_in, channels_out)
        self.block2 = Block(channels_out, channels_out)
        self.around = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """``context`` is (B, E)."""
        scale, shift = self.context(F.silu(context))[:, :, None, None].chunk(2, dim=1)  # (B, C', 1, 1) each
        out: Tensor = self.block2(self.block1(x, (scale, shift))) + self.around(x)
        return out


class Attention(nn.Module):
    """Every pixel looks at every other, added to what it was: (B, C, H, W) to (B, C, H, W).

        x + W_o softmax(q kᵀ / sqrt(d)) v

    "Attention is all you need", https://arxiv.org/abs/1706.03762. Time grows with (H W)²: for the coarsest level.
    """  # fmt: skip

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim = max(8, channels // heads)
        self.norm = nn.GroupNorm(1, channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * heads * head_dim, 1, bias=False)
        self.out = nn.Conv2d(heads * head_dim, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Whole-picture attention."""
        height, width = x.shape[2:]
        packed = self.queries_keys_values(self.norm(x)).flatten(2)  # (B, 3 h d, H W)
        q, k, v = packed.reshape(len(x), 3, self.heads, self.head_dim, height * width).transpose(-1, -2).unbind(1)
        seen = F.scaled_dot_product_attention(q, k, v)  # (B, h, H W, d)
        seen = seen.transpose(-1, -2).reshape(len(x), self.heads * self.head_dim, height, width)  # (B, h d, H, W)
        mixed: Tensor = x + self.out(seen)
        return mixed


class LinearAttention(nn.Module):
    """Attention whose time grows with H W instead of its square: (B, C, H, W) to (B, C, H, W).

    The keys' softmax runs over the pixels and the queries' over the channels, so that keys and values can be summed
    first (Shen et al., "Efficient attention", https://arxiv.org/abs/1812.01243):

        x + norm(W_o softmax_d(q) (softmax_n(k)ᵀ v))

    Both softmaxes are taken in float32, and each sum is then an average: nothing overflows in half precision.
    """  # fmt: skip

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim = max(8, channels // heads)
        self.norm = nn.GroupNorm(1, channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * heads * head_dim, 1, bias=False)
        self.out = nn.Sequential(nn.Conv2d(heads * head_dim, channels, 1), nn.GroupNorm(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Linear attention."""
        height, width = x.shape[2:]
        packed = self.queries_keys_values(self.norm(x)).flatten(2)  # (B, 3 h d, H W)
        q, k, v = packed.reshape(len(x), 3, self.heads, self.head_dim, height * width).unbind(1)  # (B, h, d, H W) each
        q = q.float().softmax(dim=-2).to(v.dtype)  # over the channels
        k = k.float().softmax(dim=-1).to(v.dtype)  # over the pixels
        summary = k @ v.transpose(-1, -2)  # (B, h, d, d): what the picture holds
        seen = (summary.transpose(-1, -2) @ q).reshape(
            len(x), self.heads * self.head_dim, height, width
        )  # (B, h d, H, W)
        mixed: Tensor = x + self.out(seen)
        return mixed


class Downsample(nn.Module):
    """Half the pixels a side, rounded up: (B, C, H, W) to (B, C', ceil(H / 2), ceil(W / 2))."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolution with stride 2."""
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Back to just the size of the level above, (B, C, h, w) to (B, C', H, W), also where H or W is odd.

    Nearest neighbour, then a convolution: transposed convolutions draw chequered patterns
    (https://distill.pub/2016/deconv-checkerboard/).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
        """``size`` is (H, W) of the level above, 2h or 2h - 1 by 2w or 2w - 1: what is over is cut at its end."""
        doubled = F.interpolate(x, scale_factor=2, mode="nearest")[:, :, : size[0], : size[1]]  # (B, C, H, W)
        out: Tensor = self.conv(doubled)
        return out
