"""The U-Net's parts against plain sums and torch's own layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from herder.generative.unet_blocks import (
    Attention,
    Downsample,
    LinearAttention,
    ResnetBlock,
    SinusoidalPositionEmbedding,
    Upsample,
)


def test_position_embedding_by_hand() -> None:
    found = SinusoidalPositionEmbedding(8)(torch.tensor([0, 1, 999]))
    for row, t in zip(found.tolist(), (0, 1, 999), strict=True):
        angles = [t * 10_000 ** (-i / 3) for i in range(4)]
        wanted = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        np.testing.assert_allclose(row, wanted, atol=1e-4)


def test_position_embedding_tells_every_time_apart() -> None:
    found = SinusoidalPositionEmbedding(16)(torch.arange(1000))
    distances = torch.cdist(found, found) + 10 * torch.eye(1000)
    assert distances.min() > 0.01
    assert SinusoidalPositionEmbedding(16)(torch.tensor([999], dtype=torch.float16)).dtype == torch.float32


@pytest.mark.parametrize("dim", [0, 2, 7])
def test_position_embedding_refuses_odd_sizes(dim: int) -> None:
    with pytest.raises(ValueError, match=f"dim: found {dim}"):
        SinusoidalPositionEmbedding(dim)


def test_attention_is_a_softmax_over_all_pixels() -> None:
    torch.manual_seed(0)
    block, x = Attention(16, heads=2).double(), torch.randn((2, 16, 3, 5), dtype=torch.float64)
    packed = block.queries_keys_values(block.norm(x)).reshape(2, 3, 2, 8, 15).numpy(force=True)
    seen = np.zeros((2, 2, 8, 15))
    for b in range(2):
        for head in range(2):
            q, k, v = packed[b, :, head]
            scores = np.exp(q.T @ k / np.sqrt(8))
            seen[b, head] = v @ (scores / scores.sum(1, keepdims=True)).T
    wanted = x + block.out(torch.tensor(seen).reshape(2, 16, 3, 5))
    torch.testing.assert_close(block(x), wanted)


def test_linear_attention_by_loops() -> None:
    torch.manual_seed(0)
    block, x = LinearAttention(16, heads=2).double(), torch.randn((2, 16, 4, 3), dtype=torch.float64)
    packed = block.queries_keys_values(block.norm(x)).reshape(2, 3, 2, 8, 12).numpy(force=True)
    seen = np.zeros((2, 2, 8, 12))
    for b in range(2):
        for head in range(2):
            q, k, v = packed[b, :, head]
            q = np.exp(q) / np.exp(q).sum(0, keepdims=True)
            k = np.exp(k) / np.exp(k).sum(1, keepdims=True)
            seen[b, head] = v @ (k.T @ q)
    wanted = x + block.out(torch.tensor(seen).reshape(2, 16, 4, 3))
    # The softmaxes are float32 on purpose.
    torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Attention, LinearAttention])
def test_attention_survives_large_values_in_half_precision(kind: type[Attention] | type[LinearAttention]) -> None:
    block = kind(16).to(torch.bfloat16)
    with torch.no_grad():
        block.queries_keys_values.weight.mul_(100)
    found = block(1000 * torch.randn(1, 16, 8, 8).to(torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


def test_resnet_block_without_context_is_two_convolutions_and_a_way_around() -> None:
    torch.manual_seed(0)
    block, x = ResnetBlock(6, 12, 5), torch.randn(2, 6, 4, 4)
    nn.init.zeros_(block.context.weight)
    nn.init.zeros_(block.context.bias)
    silu = nn.functional.silu
    wanted = silu(block.block2.norm(block.block2.conv(silu(block.block1.norm(block.block1.conv(x)))))) + block.around(x)
    torch.testing.assert_close(block(x, torch.randn(2, 5)), wanted)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 8), (9, 9), (33, 28)])
def test_up_comes_back_to_where_down_began(size: tuple[int, int]) -> None:
    x = torch.randn(1, 4, *size)
    small = Downsample(4, 6)(x)
    assert small.shape == (1, 6, -(-size[0] // 2), -(-size[1] // 2))
    assert Upsample(6, 4)(small, size).shape == (1, 4, *size)


def test_upsample_repeats_each_pixel() -> None:
    up = Upsample(1, 1)
    with torch.no_grad():
        up.conv.weight.zero_()[0, 0, 1, 1] = 1.0  # the convolution that changes nothing
        up.conv.bias.zero_()
    found = up(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), (3, 4))
    assert found[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4]]
