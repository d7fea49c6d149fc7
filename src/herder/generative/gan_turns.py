"""The two turns of a GAN's training step (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, algorithm 1).

Both play on the same generated pictures, drawn once a step:

    fakes = generator(noise)                       # (B, C, S, S)
    discriminator_turn(discriminator, optimizer_d, real, fakes)
    generator_turn(discriminator, optimizer_g, fakes)

Notation: B pictures, C channels, S side in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from herder.generative.gan_config import GanLoss
from herder.generative.gan_losses import (
    discriminator_loss,
    generator_loss,
    ls_discriminator_loss,
    ls_generator_loss,
)


class Judgement(NamedTuple):
    """What came of a discriminator's turn; scalars without gradients."""

    loss: Tensor
    real_score: Tensor
    """Mean belief in real pictures: sigmoid(logit) for bce, the score itself for least squares; 1 is sure."""
    fake_score: Tensor
    """Mean belief in generated ones; 0 sees through them, and 0.5 for both is a coin."""


def discriminator_turn(
    discriminator: nn.Module, optimizer: Optimizer, real: Tensor, fakes: Tensor, loss: GanLoss = GanLoss.BCE
) -> Judgement:
    """One step of the discriminator on real pictures (B, C, S, S) and generated ones (B, C, S, S).

    ``fakes.detach()`` cuts the way back to the generator: its gradients are not touched in this turn, nor is time
    spent on them. ``optimizer`` holds the discriminator's parameters.
    """
    optimizer.zero_grad(set_to_none=True)
    # Apart, as each batch is to have its own batch norm statistics (https://github.com/soumith/ganhacks, no. 4).
    logits_real = discriminator(real)  # (B, 1)
    logits_fake = discriminator(fakes.detach())  # (B, 1)
    if loss is GanLoss.BCE:
        value = discriminator_loss(logits_real, logits_fake)
        beliefs = torch.sigmoid(logits_real.detach()), torch.sigmoid(logits_fake.detach())
    else:
        value = ls_discriminator_loss(logits_real, logits_fake)
        beliefs = logits_real.detach(), logits_fake.detach()
    torch.autograd.backward(value)
    optimizer.step()
    return Judgement(value.detach(), beliefs[0].mean(), beliefs[1].mean())


def generator_turn(
    discriminator: nn.Module, optimizer: Optimizer, fakes: Tensor, loss: GanLoss = GanLoss.BCE
) -> Tensor:
    """One step of the generator that drew ``fakes`` (B, C, S, S); its loss, a scalar without gradient.

    The gradient goes through the discriminator to the pictures and on to the generator, but the discriminator's own
    parameters get none: they are held still for this turn. ``optimizer`` holds the generator's parameters.
    """
    optimizer.zero_grad(set_to_none=True)
    moving = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        logits = discriminator(fakes)  # (B, 1)
        value = generator_loss(logits) if loss is GanLoss.BCE else ls_generator_loss(logits)
        torch.autograd.backward(value)
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)
    optimizer.step()
    return value.detach()
