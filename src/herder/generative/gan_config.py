"""How to train a GAN, as data, and what its networks look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

from herder.errors import ConfigError


class GanKind(Enum):
    """What generator and discriminator are made of."""

    DCGAN = "dcgan"
    """Strided convolutions (Radford et al. 2015, https://arxiv.org/abs/1511.06434)."""
    FULLY_CONNECTED = "fully_connected"
    """Three matrices each, as in the first GAN (https://arxiv.org/abs/1406.2661)."""


class GanLoss(Enum):
    """What both are trained on; see ``herder.generative.gan_losses``."""

    BCE = "bce"
    LEAST_SQUARES = "least_squares"


@dataclass(frozen=True)
class GanArchitecture:
    """All that it takes to build a generator and its discriminator. Raises ConfigError for what cannot be built.

    >>> GanArchitecture(side=30)
    Traceback (most recent call last):
    herder.errors.ConfigError: side: found 30, wanted a multiple of 4 from 4 to 256
      what to do: networks that halve a picture twice need it; 32 is quick, 64 shows more
    """

    kind: GanKind = GanKind.DCGAN
    side: int = 8
    """Pictures are square, of so many pixels: a multiple of 4."""
    channels: int = 1
    """1 grey, 3 RGB."""
    noise_dim: int = 64
    """Length of the noise vector that a picture is made from."""
    width: int = 32
    """Channels of a DCGAN's finest layer; a fully connected layer has 8 times as many units."""

    def __post_init__(self) -> None:
        _coerce(self, "kind", GanKind)
        if not _is_whole(self.side) or self.side % 4 or not 4 <= self.side <= 256:
            raise ConfigError(
                f"side: found {self.side!r}, wanted a multiple of 4 from 4 to 256",
                hint="networks that halve a picture twice need it; 32 is quick, 64 shows more",
            )
        if self.channels not in (1, 3) or not _is_whole(self.channels):
            raise ConfigError(f"channels: found {self.channels!r}, wanted 1 or 3", hint="1 is grey, 3 RGB")
        for name in ("noise_dim", "width"):
            _check_whole(self, name, *_WHOLE[name])

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return _as_dict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> GanArchitecture:
        """The architecture that ``as_dict`` gave. Raises ConfigError for missing, unknown or meaningless facts."""
        strange = sorted({f.name for f in fields(cls)} ^ set(facts))
        if strange:
            raise ConfigError(f"unknown or missing facts {strange}")
        return cls(**facts)


@dataclass(frozen=True)
class GanConfig:
    """Every setting of a training run; the defaults are for the 8 x 8 digits, under a minute on two cores.

    For photos of 32 x 32 pixels and more: ``width`` 64, both learning rates 2e-4 (the DCGAN paper's), ``flip``, 20,000
    steps or more, and a GPU if there is one. Raises ConfigError for a value that has no meaning.

    >>> GanConfig(noise_dim=0)
    Traceback (most recent call last):
    herder.errors.ConfigError: noise_dim: found 0, wanted a whole number from 1 to 4096
    """

    kind: GanKind = GanKind.DCGAN
    """``dcgan`` or ``fully_connected``."""
    noise_dim: int = 64
    """Length of the noise vector that a picture is made from."""
    width: int = 32
    """Channels of a DCGAN's finest layer; a fully connected layer has 8 times as many units."""
    loss: GanLoss = GanLoss.BCE
    """``bce`` or ``least_squares``."""
    steps: int = 2000
    """Training steps: one turn of the discriminator and one of the generator each."""
    batch_size: int = 64
    """Real pictures in each step, drawn with replacement, and as many generated ones."""
    flip: bool = False
    """Mirror half of the real pictures; for animals, not for digits."""
    learning_rate_generator: float = 5e-4
    """Adam's learning rate for the generator."""
    learning_rate_discriminator: float = 5e-4
    """Adam's learning rate for the discriminator."""
    beta1: float = 0.5
    """Adam's memory of gradients; less than the usual 0.9, as the opponent changes its mind (DCGAN, section 4)."""
    beta2: float = 0.999
    """Adam's memory of squared gradients."""
    ema_decay: float = 0.99
    """The share of the generator's averaged weights that each step keeps: the weights of a GAN circle about their goal,
    and their average is nearer to it (https://arxiv.org/abs/1806.04498). Pictures are drawn with it; 0 turns it off."""
    checkpoint_every: int = 250
    """Steps between checkpoints; 0 writes one at the end alone."""
    snapshot_every: int = 500
    """Steps between sample grids; 0 draws none."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1 ..."""
    seed: int = 0
    """Seed of the first weights and of everything drawn in training."""

    def __post_init__(self) -> None:
        _coerce(self, "kind", GanKind)
        _coerce(self, "loss", GanLoss)
        for name, limits in _WHOLE.items():
            _check_whole(self, name, *limits)
        for name, (least, most) in _REAL.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise ConfigError(f"{name}: found {value!r}, wanted {least:g} to {most:g}")
            object.__setattr__(self, name, float(value))
        if not isinstance(self.flip, bool):
            raise ConfigError(f"flip: found {self.flip!r}, wanted true or false")
        if not isinstance(self.device, str):
            raise ConfigError(f"device: found {self.device!r}, wanted a text such as cpu or cuda")

    def architecture(self, side: int, channels: int) -> GanArchitecture:
        """The networks for pictures (channels, side, side). Raises ConfigError for a side that does not fit."""
        return GanArchitecture(self.kind, side, channels, self.noise_dim, self.width)

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return _as_dict(self)


_WHOLE = {
    "noise_dim": (1, 4096), "width": (1, 1024), "steps": (1, 100_000_000), "batch_size": (2, 65_536),
    "checkpoint_every": (0, 10**9), "snapshot_every": (0, 10**9), "seed": (0, 2**63 - 1),
}  # fmt: skip
_REAL = {
    "learning_rate_generator": (1e-9, 10), "learning_rate_discriminator": (1e-9, 10), "beta1": (0, 0.99999),
    "beta2": (0, 0.99999), "ema_decay": (0, 0.99999),
}  # fmt: skip


def _coerce(settings: GanArchitecture | GanConfig, name: str, kind: type[Enum]) -> None:
    """Let a setting be given by its text, as files and command lines do."""
    value = getattr(settings, name)
    try:
        object.__setattr__(settings, name, kind(value))
    except ValueError:
        choices = " or ".join(str(choice.value) for choice in kind)
        raise ConfigError(f"{name}: found {value!r}, wanted {choices}") from None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_whole(settings: GanArchitecture | GanConfig, name: str, low: int, high: int) -> None:
    value = getattr(settings, name)
    if not _is_whole(value) or not low <= value <= high:
        raise ConfigError(f"{name}: found {value!r}, wanted a whole number from {low} to {high}")


def _as_dict(settings: GanArchitecture | GanConfig) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in asdict(settings).items()}
