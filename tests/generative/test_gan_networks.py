"""Shapes, files and refusals of generators and discriminators."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from herder.errors import ConfigError, ModelFileError
from herder.generative.gan_config import GanArchitecture, GanConfig
from herder.generative.gan_course_networks import build_dc_classifier, build_dc_generator, discriminator, generator
from herder.generative.gan_networks import GENERATOR_KEY, Discriminator, Generator, load_generator

KINDS = pytest.mark.parametrize("kind", ["dcgan", "fully_connected"])


def architecture(**settings: object) -> GanArchitecture:
    return GanArchitecture(**{"kind": "dcgan", "side": 8, "noise_dim": 6, "width": 4, **settings})


@KINDS
@pytest.mark.parametrize("side", [4, 8, 12, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_pair_for_every_side(kind: str, side: int, channels: int) -> None:
    built = architecture(kind=kind, side=side, channels=channels)
    pictures = Generator(built)(torch.randn(3, 6))
    assert pictures.shape == (3, channels, side, side)
    assert pictures.abs().max() <= 1
    assert Discriminator(built)(pictures).shape == (3, 1)


@KINDS
def test_gradients_reach_every_weight(kind: str) -> None:
    made, judge = Generator(architecture(kind=kind)), Discriminator(architecture(kind=kind))
    judge(made(torch.randn(5, 6))).sum().backward()
    for name, weight in [*made.named_parameters(), *judge.named_parameters()]:
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
    assert any(weight.grad.abs().sum() > 0 for weight in made.parameters())


def test_samples_follow_the_seed_and_stand_alone() -> None:
    made = Generator(architecture())
    made.train()
    whole = made.sample(300, seed=3)  # more than one pass
    assert torch.equal(whole, made.sample(300, seed=3))
    assert not torch.equal(whole[:4], made.sample(4, seed=4))
    assert made.training
    assert whole.shape == (300, 1, 8, 8)
    noise = torch.randn(7, 6)
    made.eval()
    assert torch.allclose(made(noise)[:1], made(noise[:1]), atol=1e-6)  # a picture does not depend on its neighbours


@KINDS
def test_a_file_gives_the_same_generator_back(kind: str, tmp_path: Path) -> None:
    made = Generator(architecture(kind=kind, channels=3)).eval()
    made.save(tmp_path / "gan.safetensors", {"steps": 5})
    found = load_generator(tmp_path / "gan.safetensors")
    assert found.architecture == made.architecture
    assert torch.equal(found.sample(4, seed=1), made.sample(4, seed=1))


def test_files_that_are_no_generator_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "gan.safetensors"
    with pytest.raises(ModelFileError, match="no such file"):
        load_generator(path)
    made = Generator(architecture())
    made.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(ModelFileError, match="cut short"):
        load_generator(path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelFileError, match="holds no generator"):
        load_generator(path)
    about = {"version": 1, "architecture": architecture(width=8).as_dict()}
    tensors = {name: value.contiguous() for name, value in made.state_dict().items()}
    safetensors.torch.save_file(tensors, path, metadata={GENERATOR_KEY: json.dumps(about)})
    with pytest.raises(ModelFileError, match="do not fit its architecture"):
        load_generator(path)
    safetensors.torch.save_file(tensors, path, metadata={GENERATOR_KEY: json.dumps(about | {"version": 99})})
    with pytest.raises(ModelFileError, match="99 is newer"):
        load_generator(path)
    safetensors.torch.save_file(tensors, path, metadata={GENERATOR_KEY: "{"})
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_generator(path)


def test_inputs_of_another_shape_are_named() -> None:
    with pytest.raises(ValueError, match=r"noise: found shape \(2, 5\), wanted \(N, 6\)"):
        Generator(architecture())(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"pictures: found shape \(2, 3, 8, 8\), wanted \(N, 1, 8, 8\)"):
        Discriminator(architecture())(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 30}, "side: found 30, wanted a multiple of 4"),
        ({"channels": 2}, "channels: found 2, wanted 1 or 3"),
        ({"noise_dim": 0}, "noise_dim: found 0"),
        ({"kind": "vae"}, "kind: found 'vae', wanted dcgan or fully_connected"),
    ],
)
def test_what_cannot_be_built_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps: found 0"),
        ({"batch_size": 1}, "batch_size: found 1"),
        ({"learning_rate_generator": 0}, "learning_rate_generator: found 0"),
        ({"ema_decay": 1.0}, "ema_decay: found 1.0"),
        ({"loss": "hinge"}, "loss: found 'hinge', wanted bce or least_squares"),
        ({"flip": 1}, "flip: found 1, wanted true or false"),
    ],
)
def test_settings_without_meaning_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GanConfig(**settings)


@pytest.mark.parametrize(("judge", "parameters"), [(discriminator, 267_009), (build_dc_classifier, 1_102_721)])
def test_the_courses_discriminators(judge: object, parameters: int) -> None:
    # 784*256+256 + 256*256+256 + 256+1;  1*32*25+32 + 32*64*25+64 + 1024*1024+1024 + 1024+1
    assert sum(p.numel() for p in judge().parameters()) == parameters
    assert judge()(torch.zeros(2, 1, 28, 28)).shape == (2, 1)


@pytest.mark.parametrize(("make", "parameters"), [(generator, 1_952_528), (build_dc_generator, 6_675_009)])
def test_the_courses_generators(make: object, parameters: int) -> None:
    # 96*1024+1024 + 1024*1024+1024 + 1024*784+784
    # 96*1024+1024 + 2*1024 + 1024*6272+6272 + 2*6272 + 128*64*16+64 + 2*64 + 64*16+1
    assert sum(p.numel() for p in make().parameters()) == parameters
    assert make(4, seed=0)(torch.zeros(2, 4)).shape == (2, 784)
    with pytest.raises(ValueError, match="noise_dim: found 0"):
        make(0)
