"""The generators and discriminators of Stanford's CS231n for MNIST: 28 x 28 grey pictures, by the course's names.

Pictures go in and come out flat, (N, 784); discriminators take (N, 1, 28, 28) as well. Each network is a plain
``nn.Sequential``: print it to read it. ``seed`` fixes the first weights and leaves torch's random state as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

NOISE_DIM = 96
"""Length of the noise vector, Z below."""

SIDE = 28
"""Side of MNIST's pictures in pixels."""


def discriminator(seed: int | None = None) -> nn.Sequential:
    """Three matrices: 784 -> 256 -> 256 -> 1 with leaky ReLU (slope 0.01) between; logits (N, 1).

    >>> discriminator()(torch.zeros(2, 784)).shape
    torch.Size([2, 1])
    """
    return _seeded(
        seed,
        lambda: nn.Sequential(
            nn.Flatten(),  # (N, 784)
            nn.Linear(SIDE**2, 256),
            nn.LeakyReLU(0.01),  # (N, 256)
            nn.Linear(256, 256),
            nn.LeakyReLU(0.01),  # (N, 256)
            nn.Linear(256, 1),  # (N, 1)
        ),
    )


def generator(noise_dim: int = NOISE_DIM, seed: int | None = None) -> nn.Sequential:
    """Three matrices: Z -> 1024 -> 1024 -> 784 with ReLU between and tanh last; pictures (N, 784) in [-1, 1].

    >>> generator(4)(torch.zeros(2, 4)).shape
    torch.Size([2, 784])
    """
    _check_noise_dim(noise_dim)
    return _seeded(
        seed,
        lambda: nn.Sequential(
            nn.Linear(noise_dim, 1024),
            nn.ReLU(),  # (N, 1024)
            nn.Linear(1024, 1024),
            nn.ReLU(),  # (N, 1024)
            nn.Linear(1024, SIDE**2),
            nn.Tanh(),  # (N, 784)
        ),
    )


def build_dc_classifier(batch_size: int | None = None, seed: int | None = None) -> nn.Sequential:
    """Two convolutions with max pooling, then two matrices; logits (N, 1).

    ``batch_size`` is taken for the course's sake and may be left out: N is what comes in.

    >>> build_dc_classifier()(torch.zeros(2, 784)).shape
    torch.Size([2, 1])
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: found {batch_size}, wanted at least 1")
    return _seeded(
        seed,
        lambda: nn.Sequential(
            nn.Flatten(),
            nn.Unflatten(1, (1, SIDE, SIDE)),  # (N, 1, 28, 28)
            nn.Conv2d(1, 32, 5),
            nn.LeakyReLU(0.01),  # (N, 32, 24, 24)
            nn.MaxPool2d(2),  # (N, 32, 12, 12)
            nn.Conv2d(32, 64, 5),
            nn.LeakyReLU(0.01),  # (N, 64, 8, 8)
            nn.MaxPool2d(2),
            nn.Flatten(),  # (N, 64 * 4 * 4)
            nn.Linear(64 * 4 * 4, 64 * 4 * 4),
            nn.LeakyReLU(0.01),
            nn.Linear(64 * 4 * 4, 1),  # (N, 1)
        ),
    )


def build_dc_generator(noise_dim: int = NOISE_DIM, seed: int | None = None) -> nn.Sequential:
    """Two matrices to 7 x 7 pixels of 128 channels, then two transposed convolutions (InfoGAN, appendix C.1,
    https://arxiv.org/abs/1606.03657); pictures (N, 784) in [-1, 1].

    >>> build_dc_generator(4)(torch.zeros(2, 4)).shape
    torch.Size([2, 784])
    """
    _check_noise_dim(noise_dim)
    return _seeded(
        seed,
        lambda: nn.Sequential(
            nn.Linear(noise_dim, 1024),
            nn.ReLU(),
            nn.BatchNorm1d(1024),  # (N, 1024)
            nn.Linear(1024, 7 * 7 * 128),
            nn.ReLU(),
            nn.BatchNorm1d(7 * 7 * 128),
            nn.Unflatten(1, (128, 7, 7)),  # (N, 128, 7, 7)
            nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(64),  # (N, 64, 14, 14)
            nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1),
            nn.Tanh(),  # (N, 1, 28, 28)
            nn.Flatten(),  # (N, 784)
        ),
    )


def _seeded(seed: int | None, build: Callable[[], nn.Sequential]) -> nn.Sequential:
    if seed is None:
        return build()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _check_noise_dim(noise_dim: int) -> None:
    if isinstance(noise_dim, bool) or not isinstance(noise_dim, int) or noise_dim < 1:
        raise ValueError(f"noise_dim: found {noise_dim!r}, wanted a whole number of at least 1")
