"""What a discriminator and a generator are trained on (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661).

A discriminator gives one logit s a picture; sigmoid(s) is its belief that the picture is real. It learns to say 1 to
real pictures and 0 to generated ones; the generator learns to be told 1. The generator's loss is the non-saturating one
of the paper's section 3: it maximises log D(G(z)) instead of minimising log(1 - D(G(z))), whose gradient vanishes just
when the discriminator is sure.

Names and signatures are those of Stanford's CS231n.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bce_loss(input: Tensor, target: Tensor) -> Tensor:
    """Binary cross entropy of logits, mean over all elements; a scalar.

        loss = -t * log(sigmoid(s)) - (1 - t) * log(1 - sigmoid(s))

    ``input`` are logits s and ``target`` labels t from 0 to 1, of one shape. Written with the sigmoid, log(0) comes up
    for any sure logit. But -log(sigmoid(s)) = log(1 + exp(-s)), and ``logaddexp`` takes the larger exponent out first:
    no logit overflows, and the gradient is (sigmoid(s) - t) / N everywhere.

    Raises ValueError for shapes that differ, no elements, whole-number logits, or labels outside 0 to 1.

    >>> bce_loss(torch.tensor([1000.0, -1000.0]), torch.tensor([1.0, 1.0]))
    tensor(500.)
    """
    _check_logits("input", input)
    if target.shape != input.shape:
        raise ValueError(f"target: found shape {tuple(target.shape)}, wanted that of input, {tuple(input.shape)}")
    labels = target.to(input.dtype)
    if not bool(((labels >= 0) & (labels <= 1)).all()):
        raise ValueError("target: found labels outside 0 to 1, or NaN")
    zero = torch.zeros_like(input)
    minus_log_real = torch.logaddexp(zero, -input)  # -log(sigmoid(s)); shape of input
    minus_log_fake = torch.logaddexp(zero, input)  # -log(1 - sigmoid(s)); shape of input
    return (labels * minus_log_real + (1 - labels) * minus_log_fake).mean()


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Binary cross entropy of real pictures called 1 plus that of generated pictures called 0; a scalar.

        loss = -E[log D(x)] - E[log(1 - D(G(z)))]

    ``logits_real`` (N,) or (N, 1) and ``logits_fake`` (M,) or (M, 1). 2 log 2 = 1.386 is the loss of a coin.

    >>> discriminator_loss(torch.zeros(3), torch.zeros(3))
    tensor(1.3863)
    """
    return bce_loss(logits_real, torch.ones_like(logits_real)) + bce_loss(logits_fake, torch.zeros_like(logits_fake))


def generator_loss(logits_fake: Tensor) -> Tensor:
    """Binary cross entropy of generated pictures called 1: loss = -E[log D(G(z))]; a scalar.

    >>> generator_loss(torch.zeros(3))
    tensor(0.6931)
    """
    return bce_loss(logits_fake, torch.ones_like(logits_fake))


def ls_discriminator_loss(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """Least squares instead of cross entropy (Mao et al. 2016, https://arxiv.org/abs/1611.04076, equation 9); a scalar.

        loss = E[(D(x) - 1)^2] / 2 + E[D(G(z))^2] / 2

    Scores are used as they are, without a sigmoid; shapes as in ``discriminator_loss``.

    >>> ls_discriminator_loss(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]))
    tensor(0.7500)
    """
    _check_logits("scores_real", scores_real)
    _check_logits("scores_fake", scores_fake)
    return 0.5 * (scores_real - 1).square().mean() + 0.5 * scores_fake.square().mean()


def ls_generator_loss(scores_fake: Tensor) -> Tensor:
    """The generator's side of least squares: loss = E[(D(G(z)) - 1)^2] / 2; a scalar.

    >>> ls_generator_loss(torch.tensor([0.0, 1.0]))
    tensor(0.2500)
    """
    _check_logits("scores_fake", scores_fake)
    return 0.5 * (scores_fake - 1).square().mean()


def sample_noise(
    batch_size: int,
    dim: int,
    dtype: torch.dtype = torch.float,
    device: torch.device | str = "cpu",
    seed: int | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Uniform noise z (batch_size, dim) from -1 to 1, what a generator draws a picture from.

    The same ``seed`` gives the same noise and leaves all random states as they are; a ``generator`` is drawn from and
    moves on; with neither, torch's own is. Raises ValueError for sizes below 1, or for both a seed and a generator.

    >>> sample_noise(2, 3, seed=0).shape
    torch.Size([2, 3])
    """
    for name, size in (("batch_size", batch_size), ("dim", dim)):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name}: found {size!r}, wanted a whole number of at least 1")
    if seed is not None:
        if generator is not None:
            raise ValueError("seed: found a generator as well, wanted one of them")
        generator = torch.Generator(device).manual_seed(seed)
    return 2 * torch.rand(batch_size, dim, dtype=dtype, device=device, generator=generator) - 1


def _check_logits(name: str, logits: Tensor) -> None:
    """Raise for what has no mean: the mean of nothing is NaN, and whole numbers have no gradient."""
    if logits.numel() == 0 or not logits.is_floating_point():
        raise ValueError(
            f"{name}: found shape {tuple(logits.shape)} of {logits.dtype}, wanted at least one floating-point number"
        )
