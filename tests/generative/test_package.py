"""The public surface of herder.generative."""

import importlib

import pytest

import herder.generative

NAMES = [
    *("bce_loss", "discriminator_loss", "generator_loss", "ls_discriminator_loss", "ls_generator_loss"),
    *("sample_noise", "discriminator", "generator", "build_dc_classifier", "build_dc_generator", "train_gan"),
    *("linear_beta_schedule", "cosine_beta_schedule", "sigmoid_beta_schedule", "NoiseSchedule"),
    *("extract", "q_sample", "predict_start_from_noise", "predict_noise_from_start", "q_posterior", "p_losses"),
    *("p_sample", "ddim_step", "guided", "GaussianDiffusion", "Unet", "train_diffusion", "load_diffusion"),
    *("frechet_distance", "sample_quality", "fit_classifier"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there(name: str) -> None:
    assert name in herder.generative.__all__
    assert getattr(herder.generative, name).__doc__


@pytest.mark.parametrize("name", ["gan", "noise_schedule", "diffusion", "unet", "quality"])
def test_a_room_is_there(name: str) -> None:
    assert getattr(herder.generative, name) is importlib.import_module(f"herder.generative.{name}")
