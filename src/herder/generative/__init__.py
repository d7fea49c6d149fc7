"""Networks that draw: a GAN and a diffusion model, small enough to read and to train on a laptop.

Read ``gan_losses``, ``gan_networks``, ``gan_turns``; then ``noise_schedule``, ``diffusion_steps``, ``ddim``,
``unet_blocks``, ``unet``. ``herder learn gan`` and ``herder learn diffusion`` run them, ``herder generate`` trains them
on your own pictures, and ``quality`` says in numbers how good the drawings are.
"""

from herder.generative.ddim import ddim_step, ddim_times
from herder.generative.diffusion import GaussianDiffusion
from herder.generative.diffusion_config import DiffusionConfig
from herder.generative.diffusion_model import DiffusionModel, load_diffusion
from herder.generative.diffusion_steps import (
    Objective,
    extract,
    guided,
    p_losses,
    p_sample,
    predict_noise_from_start,
    predict_start_from_noise,
    q_posterior,
    q_sample,
)
from herder.generative.diffusion_training import DiffusionResult, train_diffusion
from herder.generative.gan import (
    Discriminator,
    GanConfig,
    GanResult,
    Generator,
    bce_loss,
    build_dc_classifier,
    build_dc_generator,
    discriminator,
    discriminator_loss,
    generator,
    generator_loss,
    load_generator,
    ls_discriminator_loss,
    ls_generator_loss,
    sample_noise,
    train_gan,
)
from herder.generative.noise_schedule import (
    NoiseSchedule,
    ScheduleName,
    beta_schedule,
    cosine_beta_schedule,
    linear_beta_schedule,
    sigmoid_beta_schedule,
)
from herder.generative.pictures import Pictures, digits, photo_folder, to_photo
from herder.generative.quality import (
    FeatureClassifier,
    Judge,
    Quality,
    fit_classifier,
    frechet,
    frechet_distance,
    sample_quality,
)
from herder.generative.unet import Unet

__all__ = [
    "DiffusionConfig",
    "DiffusionModel",
    "DiffusionResult",
    "Discriminator",
    "FeatureClassifier",
    "GanConfig",
    "GanResult",
    "GaussianDiffusion",
    "Generator",
    "Judge",
    "NoiseSchedule",
    "Objective",
    "Pictures",
    "Quality",
    "ScheduleName",
    "Unet",
    "bce_loss",
    "beta_schedule",
    "build_dc_classifier",
    "build_dc_generator",
    "cosine_beta_schedule",
    "ddim_step",
    "ddim_times",
    "digits",
    "discriminator",
    "discriminator_loss",
    "extract",
    "fit_classifier",
    "frechet",
    "frechet_distance",
    "generator",
    "generator_loss",
    "guided",
    "linear_beta_schedule",
    "load_diffusion",
    "load_generator",
    "ls_discriminator_loss",
    "ls_generator_loss",
    "p_losses",
    "p_sample",
    "photo_folder",
    "predict_noise_from_start",
    "predict_start_from_noise",
    "q_posterior",
    "q_sample",
    "sample_noise",
    "sample_quality",
    "sigmoid_beta_schedule",
    "to_photo",
    "train_diffusion",
    "train_gan",
]
