"""How to train a diffusion model, as data, and what a trained one says about itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

from herder.errors import ConfigError
from herder.generative.diffusion_steps import Objective
from herder.generative.noise_schedule import ScheduleName


class NumberFormat(Enum):
    """The number format of the network's forward pass; weights, losses and sampling are float32 in every case."""

    FLOAT32 = "float32"
    BF16 = "bf16"
    FP16 = "fp16"
    """With a gradient scaler; for GPUs too old for bf16."""


@dataclass(frozen=True)
class DiffusionConfig:
    """Every setting of a training run; the defaults are for the 8 x 8 digits, about a minute on two cores.

    For photos of 32 x 32 pixels: ``dim`` 32 to 64, ``dim_mults`` (1, 2, 4), 20,000 steps or more, and a GPU if there
    is one. Raises ConfigError for a value that has no meaning.

    >>> DiffusionConfig(ema_decay=1.5)
    Traceback (most recent call last):
    herder.errors.ConfigError: ema_decay: found 1.5, wanted 0 to 0.99999
    """

    dim: int = 16
    """Channels of the U-Net at full size; even."""
    dim_mults: tuple[int, ...] = (1, 2)
    """Channels at full size, half, quarter ... as multiples of ``dim``."""
    timesteps: int = 200
    """Steps T from picture to noise."""
    schedule: ScheduleName = ScheduleName.COSINE
    """How noise grows: linear, cosine or sigmoid."""
    objective: Objective = Objective.PRED_NOISE
    """What the network is asked for: the noise, or the picture."""
    min_snr_gamma: float = 5.0
    """The most that a step's signal-to-noise ratio counts in the loss; 0 counts all noise errors alike, as DDPM
    does."""
    condition_dropout: float = 0.1
    """Share of pictures whose class is hidden in training, for guidance; only where pictures have labels."""
    steps: int = 1000
    """Training steps."""
    batch_size: int = 64
    """Pictures in each step, drawn with replacement."""
    flip: bool = False
    """Mirror half of the pictures; for animals, not for digits."""
    optimizer: str = "adamw"
    """``adamw`` or ``adam``."""
    learning_rate: float = 2e-3
    """The peak: reached in a line over ``warmup_steps``, left along half a cosine down to 0."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.0
    """AdamW's decay a step and unit of learning rate; Adam's L2 penalty."""
    clip_norm: float = 1.0
    """Largest L2 norm of all gradients together; 0 turns clipping off."""
    ema_decay: float = 0.99
    """The share of the averaged weights that each step keeps; pictures are drawn with the average. 0 turns it off."""
    number_format: NumberFormat = NumberFormat.FLOAT32
    """float32, bf16 or fp16."""
    checkpoint_every: int = 200
    """Steps between checkpoints; 0 writes one at the end alone."""
    snapshot_every: int = 0
    """Steps between calls of ``snapshot``; 0 never calls it."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1 ..."""
    seed: int = 0
    """Seed of the first weights and of everything drawn in training."""

    def __post_init__(self) -> None:
        for name, kind in (("schedule", ScheduleName), ("objective", Objective), ("number_format", NumberFormat)):
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, kind(value))
            except ValueError:
                choices = ", ".join(choice.value for choice in kind)
                raise ConfigError(f"{name}: found {value!r}, wanted one of {choices}") from None
        if not _are_multiples(self.dim_mults):
            raise ConfigError(f"dim_mults: found {self.dim_mults!r}, wanted up to 8 whole numbers from 1 to 64")
        object.__setattr__(self, "dim_mults", tuple(self.dim_mults))
        if self.optimizer not in ("adam", "adamw"):
            raise ConfigError(f"optimizer: found {self.optimizer!r}, wanted adam or adamw")
        if not isinstance(self.flip, bool):
            raise ConfigError(f"flip: found {self.flip!r}, wanted true or false")
        if not isinstance(self.device, str):
            raise ConfigError(f"device: found {self.device!r}, wanted a text such as cpu or cuda")
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            if not _is_whole(value) or not low <= value <= high:
                raise ConfigError(f"{name}: found {value!r}, wanted a whole number from {low} to {high}")
        for name, (least, most) in _REAL.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise ConfigError(f"{name}: found {value!r}, wanted {least:g} to {most:g}")

        if self.dim % 2:
            raise ConfigError(f"dim: found {self.dim}, wanted an even number")

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {name: value.value if isinstance(value, Enum) else value for name, value in asdict(self).items()}

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step counted from 0: up in a line, then down along half a cosine
        (https://arxiv.org/abs/1608.03983)."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))


_WHOLE = {
    "dim": (4, 1024), "timesteps": (2, 10_000), "steps": (1, 100_000_000), "batch_size": (1, 65_536),
    "warmup_steps": (0, 1_000_000), "checkpoint_every": (0, 10**9), "snapshot_every": (0, 10**9), "seed": (0, 2**63 -
    1),
}  # fmt: skip
_REAL = {
    "min_snr_gamma": (0, 1e6), "condition_dropout": (0, 1), "learning_rate": (1e-9, 10), "weight_decay": (0, 10),
    "clip_norm": (0, 1e9), "ema_decay": (0, 0.99999),
}  # fmt: skip


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_multiples(value: object) -> bool:
    return (
        isinstance(value, (list, tuple)) and 1 <= len(value) <= 8 and all(_is_whole(m) and 1 <= m <= 64 for m in value)
    )


@dataclass(frozen=True)
class DiffusionSpec:
    """What a model file says about itself: enough to build the network and draw."""

    dim: int
    dim_mults: tuple[int, ...]
    channels: int
    height: int
    width: int
    timesteps: int
    schedule: ScheduleName
    objective: Objective
    class_names: tuple[str, ...] = ()
    """Names of the classes that it can be asked for; none for a model without."""
    knows_none: bool = True
    """Whether it also learned to draw without a class, which guidance needs."""

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON holds them."""
        return {name: value.value if isinstance(value, Enum) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> DiffusionSpec:
        """The spec that ``as_dict`` gave. Raises ValueError for missing, unknown or meaningless facts."""
        strange = sorted({f.name for f in fields(cls)} ^ set(facts))
        if strange:
            raise ValueError(f"unknown or missing facts {strange}")
        whole = ("dim", "channels", "height", "width", "timesteps")
        wrong = [n for n in whole if not _is_whole(facts[n]) or not 1 <= facts[n] <= 65_536]
        if wrong or not isinstance(facts["knows_none"], bool):
            raise ValueError(f"meaningless facts {wrong or ['knows_none']}")
        names, mults = facts["class_names"], facts["dim_mults"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("class_names are no list of texts")
        if not _are_multiples(mults):
            raise ValueError("dim_mults are no list of up to 8 whole numbers from 1 to 64")
        return cls(
            **{name: facts[name] for name in (*whole, "knows_none")},
            dim_mults=tuple(mults),
            class_names=tuple(names),
            schedule=ScheduleName(facts["schedule"]),
            objective=Objective(facts["objective"]),
        )
