"""All of the GAN under one name: losses, networks, training."""

from herder.generative.gan_config import GanArchitecture, GanConfig, GanKind, GanLoss
from herder.generative.gan_course_networks import build_dc_classifier, build_dc_generator, discriminator, generator
from herder.generative.gan_losses import (
    bce_loss,
    discriminator_loss,
    generator_loss,
    ls_discriminator_loss,
    ls_generator_loss,
    sample_noise,
)
from herder.generative.gan_networks import Discriminator, Generator, load_generator
from herder.generative.gan_training import GanResult, GanStep, SampleGrid, train_gan
from herder.generative.gan_turns import Judgement, discriminator_turn, generator_turn

__all__ = [
    "Discriminator",
    "GanArchitecture",
    "GanConfig",
    "GanKind",
    "GanLoss",
    "GanResult",
    "GanStep",
    "Generator",
    "Judgement",
    "SampleGrid",
    "bce_loss",
    "build_dc_classifier",
    "build_dc_generator",
    "discriminator",
    "discriminator_loss",
    "discriminator_turn",
    "generator",
    "generator_loss",
    "generator_turn",
    "load_generator",
    "ls_discriminator_loss",
    "ls_generator_loss",
    "sample_noise",
    "train_gan",
]
