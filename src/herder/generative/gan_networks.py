"""Generators, which turn noise into pictures, and discriminators, which tell them from real ones.

Notation: N pictures, Z length of the noise, C channels (1 grey, 3 RGB), S side in pixels, w width.

``Generator`` and ``Discriminator`` are a pair for any side that is a multiple of 4, convolutional or fully connected.
The networks of Stanford's CS231n for 28 x 28 pixels stand in ``herder.generative.gan_course_networks``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.generative.gan_config import GanArchitecture, GanKind
from herder.generative.gan_losses import sample_noise
from herder.tensor_files import read_metadata, read_tensors

GENERATOR_KEY = "herder_gan"
"""The metadata entry that tells a generator's file from any other."""

GENERATOR_VERSION = 1
"""Raised when a reader of the old version would misread the new one."""

SAMPLED_AT_ONCE = 256
"""Pictures drawn in one pass, so that memory stays bounded."""


class Generator(nn.Module):
    """Noise (N, Z) to pictures (N, C, S, S) from -1 to 1.

    A DCGAN's starts from a few pixels of many channels and doubles the side layer by layer, with batch norm and ReLU
    between (https://arxiv.org/abs/1511.06434, figure 1). tanh comes last: pictures lie in [-1, 1] too.

    >>> Generator(GanArchitecture(side=28, noise_dim=16))(torch.zeros(2, 16)).shape
    torch.Size([2, 1, 28, 28])
    """

    def __init__(self, architecture: GanArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        layers: list[nn.Module]
        if a.kind is GanKind.FULLY_CONNECTED:
            units = 8 * a.width
            layers = [nn.Linear(a.noise_dim, units), nn.BatchNorm1d(units), nn.ReLU()]  # (N, 8w)
            layers += [nn.Linear(units, units), nn.BatchNorm1d(units), nn.ReLU()]  # (N, 8w)
            layers += [nn.Linear(units, a.channels * a.side**2)]  # (N, C * S * S)
            layers += [nn.Unflatten(1, (a.channels, a.side, a.side))]  # (N, C, S, S)
        else:
            channels, base = _pyramid(a)
            deepest = channels[-1]
            layers = [nn.Linear(a.noise_dim, deepest * base**2), nn.Unflatten(1, (deepest, base, base))]
            for inner, outer in zip(reversed(channels), [*reversed(channels[:-1]), a.channels], strict=True):
                # A kernel of 4 with stride 2 covers every pixel equally often: no checkerboard from the overlap.
                layers += [nn.BatchNorm2d(inner), nn.ReLU(), nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        _initialize(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its pictures."""
        return self.architecture.channels, self.architecture.side, self.architecture.side

    def forward(self, noise: Tensor) -> Tensor:
        """Pictures (N, C, S, S) from noise (N, Z). Raises ValueError for another shape."""
        if noise.ndim != 2 or noise.shape[1] != self.architecture.noise_dim:
            raise ValueError(f"noise: found shape {tuple(noise.shape)}, wanted (N, {self.architecture.noise_dim})")
        pictures: Tensor = self.layers(noise)  # (N, C, S, S)
        return pictures

    @torch.no_grad()
    def sample(self, number: int, *, seed: int = 0) -> Tensor:
        """Pictures (number, C, S, S) float32 on the CPU, from the noise of ``seed``; the same on every call.

        Batch norm uses its running statistics: a picture does not depend on the others beside it.
        """
        noise = sample_noise(number, self.architecture.noise_dim, seed=seed)  # (number, Z)
        weight = next(self.parameters())
        training = self.training
        self.eval()
        try:
            parts = [noise[start : start + SAMPLED_AT_ONCE] for start in range(0, number, SAMPLED_AT_ONCE)]
            drawn = [self(part.to(weight.device)).cpu() for part in parts]
        finally:
            self.train(training)
        return torch.cat(drawn)  # (number, C, S, S)

    def save(self, path: Path, facts: Mapping[str, Any] | None = None) -> None:
        """Write weights and architecture as one safetensors file, all at once; ``facts`` are JSON beside them.

        Raises ResourceError when the disk is full or may not be written.
        """
        about = {"version": GENERATOR_VERSION, "architecture": self.architecture.as_dict(), **(facts or {})}
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        write_atomic(path, safetensors.torch.save(tensors, metadata={GENERATOR_KEY: json.dumps(about)}))


class Discriminator(nn.Module):
    """Pictures (N, C, S, S) to one logit each, (N, 1): above 0 for pictures that it takes for real.

    A DCGAN's halves the side layer by layer with strided convolutions and leaky ReLU. Batch norm, after each layer but
    the first and the last, is what keeps the generator from drawing one digit over and over: a batch of look-alikes has
    other statistics than a batch of real pictures, and is told apart by them.

    >>> Discriminator(GanArchitecture(side=28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 1])
    """

    def __init__(self, architecture: GanArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        layers: list[nn.Module]
        if a.kind is GanKind.FULLY_CONNECTED:
            units = 8 * a.width
            layers = [nn.Flatten(), nn.Linear(a.channels * a.side**2, units), nn.LeakyReLU(0.2)]  # (N, 8w)
            layers += [nn.Linear(units, units), nn.BatchNorm1d(units), nn.LeakyReLU(0.2)]  # (N, 8w)
            layers += [nn.Linear(units, 1)]  # (N, 1)
        else:
            channels, base = _pyramid(a)
            layers = [nn.Conv2d(a.channels, channels[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            for outer, inner in itertools.pairwise(channels):
                layers += [nn.Conv2d(outer, inner, 4, stride=2, padding=1), nn.BatchNorm2d(inner), nn.LeakyReLU(0.2)]
            layers += [nn.Flatten(), nn.Linear(channels[-1] * base**2, 1)]  # (N, 1)
        self.layers = nn.Sequential(*layers)
        _initialize(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, 1) of pictures (N, C, S, S). Raises ValueError for another shape."""
        a = self.architecture
        if tuple(pictures.shape[1:]) != (a.channels, a.side, a.side):
            raise ValueError(
                f"pictures: found shape {tuple(pictures.shape)}, wanted (N, {a.channels}, {a.side}, {a.side})"
            )
        logits: Tensor = self.layers(pictures)  # (N, 1)
        return logits


def load_generator(path: Path) -> Generator:
    """The generator that ``Generator.save`` or ``train_gan`` wrote, ready to ``sample``, in eval mode.

    Raises ModelFileError when the file is missing, damaged, something else, or written by a newer herder.
    """
    metadata = read_metadata(path)
    if GENERATOR_KEY not in metadata:
        raise ModelFileError(f"{path}: holds no generator", hint="name the gan.safetensors of a finished run")
    try:
        about = json.loads(metadata[GENERATOR_KEY])
        version, facts = about["version"], dict(about["architecture"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: cannot be read ({error})", hint="the file is damaged") from None
    if not isinstance(version, int) or version > GENERATOR_VERSION:
        raise ModelFileError(
            f"{path}: generator version {version!r} is newer than this herder reads ({GENERATOR_VERSION})",
            hint="upgrade herder",
        )
    try:
        generator = Generator(GanArchitecture.from_dict(facts))
    except ConfigError as error:
        raise ModelFileError(f"{path}: describes no network ({error.message})", hint="the file is damaged") from None
    tensors, wanted = read_tensors(path), generator.state_dict()
    if {n: (v.shape, v.dtype) for n, v in tensors.items()} != {n: (v.shape, v.dtype) for n, v in wanted.items()}:
        raise ModelFileError(f"{path}: its weights do not fit its architecture", hint="the file is damaged")
    generator.load_state_dict(tensors)
    return generator.eval()


def _pyramid(architecture: GanArchitecture) -> tuple[list[int], int]:
    """Channels of a DCGAN's layers from fine to coarse, and the side of the coarsest.

    The side is halved twice, and on while it is even and above 4: 8 -> 2, 28 -> 7, 32 -> 4, 64 -> 4. Channels double
    each time, to 8 times the width at most.
    """
    side, channels = architecture.side, list[int]()
    while len(channels) < 2 or (side % 2 == 0 and side > 4):
        channels.append(architecture.width * min(2 ** len(channels), 8))
        side //= 2
    return channels, side


def _initialize(network: Generator | Discriminator) -> None:
    """Weights from a normal distribution with standard deviation 0.02 (DCGAN, section 4), biases 0.

    Fully connected networks keep torch's own weights, which are scaled by the number of inputs.
    """
    if network.architecture.kind is GanKind.FULLY_CONNECTED:
        return
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
