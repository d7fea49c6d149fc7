"""The one name that holds all of the GAN."""

import pytest

import herder.generative
from herder.generative import gan


@pytest.mark.parametrize(
    "name",
    [
        "bce_loss", "discriminator_loss", "generator_loss", "ls_discriminator_loss", "ls_generator_loss",
        "sample_noise", "discriminator", "generator", "build_dc_classifier", "build_dc_generator", "train_gan",
    ],
)  # fmt: skip
def test_the_courses_names_are_here_and_one_floor_up(name: str) -> None:
    assert callable(getattr(gan, name))
    assert name in gan.__all__
    assert getattr(herder.generative, name) is getattr(gan, name)


def test_all_names_what_there_is() -> None:
    assert sorted(gan.__all__) == gan.__all__
    assert all(hasattr(gan, name) for name in gan.__all__)
