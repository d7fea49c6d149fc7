"""How to train, as data: one frozen dataclass, read from TOML or YAML, changed by flags, checked in one place."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from herder.data.augmentation import AugmentationConfig
from herder.errors import ConfigError
from herder.model.distillation_config import DistillationConfig
from herder.model.losses import LossConfig
from herder.training.setting_values import changed, default_of, read_settings, typed

STRIDE = 32
"""The image size must be a multiple of the coarsest stride, in pixels."""


class Schedule(Enum):
    """How the learning rate falls after the warm-up."""

    COSINE = "cosine"
    """Half a cosine down to ``final_lr_fraction`` (SGDR without restarts, https://arxiv.org/abs/1608.03983)."""
    FLAT_COSINE = "flat_cosine"
    """Flat for the first half, then half a cosine (RTMDet, https://arxiv.org/abs/2212.07784)."""
    PLATEAU = "plateau"
    """Divided whenever the metric has stopped rising."""


class Precision(Enum):
    """The number format of the forward pass; weights and losses are float32 in every case."""

    AUTO = "auto"
    """float32 on a CPU, bf16 on CUDA."""
    FLOAT32 = "float32"
    BF16 = "bf16"
    FP16 = "fp16"
    """With a gradient scaler; for GPUs too old for bf16."""


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a training run. Raises ConfigError for a value of the wrong type or out of range.

    >>> TrainConfig(epochs=0)
    Traceback (most recent call last):
    herder.errors.ConfigError: epochs: found 0, wanted 1 to 100000
      what to do: an epoch is one pass over all training photos
    """

    epochs: int = 60
    """Passes over all training photos."""
    batch_size: int = 16
    """Photos in each step, over all ranks together."""
    image_size: int = 320
    """Side of the square canvas in pixels; a multiple of 32."""
    multi_scale: float = 0.0
    """Each step's canvas is scaled by a factor from 1 - this to 1 + this, in whole strides; 0 keeps one size."""
    lr_backbone: float = 2e-3
    """Peak learning rate of the backbone."""
    lr_head: float = 2e-3
    """Peak learning rate of neck and head; above ``lr_backbone`` where the backbone is already trained."""
    weight_decay: float = 0.05
    """AdamW's decay a step and unit of learning rate; norms and biases have none."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's memory of gradients and of their squares."""
    schedule: Schedule = Schedule.COSINE
    """``cosine``, ``flat_cosine`` or ``plateau``."""
    warmup_epochs: float = 3.0
    """Epochs over which the learning rate rises in a line to its peak; 0 starts at the peak."""
    warmup_lr_fraction: float = 0.01
    """Fraction of the peak learning rate at the first step of the warm-up."""
    final_lr_fraction: float = 0.01
    """Fraction of the peak learning rate at the last step; also plateau's floor."""
    plateau_patience: int = 5
    """Evaluations without a better metric after which plateau divides the learning rate."""
    plateau_factor: float = 0.3
    """What plateau multiplies the learning rate by."""
    ema_decay: float = 0.998
    """The share of the averaged weights that each step keeps, once warm; 0 turns averaging off."""
    ema_warmup: float = 200.0
    """Steps tau in decay * (1 - exp(-t / tau)): early averages forget the random start quickly."""
    clip_norm: float = 10.0
    """Largest L2 norm of all gradients together; 0 turns clipping off."""
    freeze_backbone_epochs: int = 0
    """First epochs in which the backbone, its batch norm statistics too, stays as it was."""
    keep_zeros: bool = False
    """Convolutions' weights that are zero at the start stay zero: for what `herder prune --unstructured` left."""
    mosaic_off_epochs: int = 18
    """Last epochs without mosaic and mixup, so that training ends on photos as they are."""
    paste_from: str = ""
    """Dataset whose animals copy-paste takes, such as ``herder data synthesize`` writes; empty takes other photos'."""
    balanced: bool = False
    """Draw photos of rare classes more often (repeat factors, https://arxiv.org/abs/1908.03195)."""
    class_weighted: bool = False
    """Weigh rare classes more in the loss; with ``balanced`` it corrects twice."""
    evaluate_every: int = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    metric: str = "mAP50_95"
    """The evaluation number that picks the best model, stops early and drives plateau."""
    patience: int = 0
    """Evaluations without a better metric after which training stops; 0 never stops early."""
    min_delta: float = 0.0005
    """The least rise of the metric that counts as better for ``patience``."""
    checkpoint_every_steps: int = 200
    """Steps between checkpoints within an epoch; 0 writes one at each epoch's end alone."""
    precision: Precision = Precision.AUTO
    """``auto``, ``float32``, ``bf16`` or ``fp16``."""
    channels_last: bool = True
    """Keep images as (B, H, W, C) in memory: faster convolutions on most machines."""
    compile: bool = False
    """Compile the network with torch.compile: slow to start, faster afterwards on CUDA."""
    sync_batchnorm: bool = False
    """Batch norm over all ranks' photos; CUDA with several ranks only."""
    device: str = "auto"
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``."""
    workers: int = 0
    """Processes that prepare photos beside the training; 0 prepares them in the training process."""
    seed: int = 0
    """Everything random follows from it: the start, the order, the augmentation."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Weights of the loss terms and the choice of cells."""
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """Teachers to learn from beside the labels, and how much; `herder distill` sets it."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """How training photos are changed before the network sees them."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, typed(getattr(self, f.name), default_of(f), f.name))
        _check_ranges(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and dicts, as they stand in a config file."""
        plain: dict[str, Any] = json.loads(self.to_json())
        return plain

    def to_json(self) -> str:
        """JSON text that ``from_dict`` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=lambda value: value.value)

    @classmethod
    def fine_tuning(cls) -> TrainConfig:
        """The defaults for starting from weights that already know animals: lower rates, gentler augmentation."""
        return cls(
            epochs=20,
            lr_backbone=1e-4,
            lr_head=2e-4,
            weight_decay=0.01,
            warmup_epochs=1.0,
            ema_decay=0.999,
            ema_warmup=100.0,
            mosaic_off_epochs=7,
            augmentation=AugmentationConfig.light(),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> TrainConfig:
        """Build from plain values over the defaults; raises ConfigError like ``load_config``."""
        return change(cls(), values, source=source)


ASSIGNERS = ("auto", "task_aligned", "sim_ota")

_LIMITS: dict[str, tuple[float, float, str]] = {
    "epochs": (1, 100_000, "an epoch is one pass over all training photos"),
    "batch_size": (1, 65_536, "16 suits most machines"),
    "image_size": (STRIDE, 4096, "320 is fast, 640 sees small animals"),
    "multi_scale": (0, 0.5, "0.2 is common"),
    "lr_backbone": (0, 10, "0 keeps the backbone as it is"),
    "lr_head": (1e-12, 10, "0.001 is common"),
    "weight_decay": (0, 10, "0.01 to 0.05 is common"),
    "warmup_epochs": (0, 100_000, "3 is common"),
    "warmup_lr_fraction": (0, 1, "it is a fraction of the peak learning rate"),
    "final_lr_fraction": (0, 1, "it is a fraction of the peak learning rate"),
    "plateau_patience": (1, 100_000, "5 is common"),
    "plateau_factor": (0.001, 0.999, "it multiplies the learning rate"),
    "ema_decay": (0, 0.999999, "0.998 suits short runs"),
    "ema_warmup": (0, 1e9, "it is a number of steps"),
    "clip_norm": (0, 1e9, "0 turns clipping off"),
    "freeze_backbone_epochs": (0, 100_000, "0 trains the backbone from the start"),
    "mosaic_off_epochs": (0, 100_000, "it counts from the end"),
    "evaluate_every": (1, 100_000, "1 evaluates after each epoch"),
    "patience": (0, 100_000, "0 never stops early"),
    "min_delta": (0, 1, "it is a difference of two mAPs"),
    "checkpoint_every_steps": (0, 1e9, "0 writes a checkpoint at each epoch's end"),
    "workers": (0, 1024, "no more than the machine has cores"),
    "seed": (0, 2**63 - 1, "any whole number that is not negative"),
}


def _check_ranges(config: TrainConfig) -> None:
    """Raise ConfigError for the first setting that is out of range."""
    for name, (low, high, hint) in _LIMITS.items():
        value = getattr(config, name)
        if not low <= value <= high:  # a NaN lies in no range
            raise ConfigError(f"{name}: found {value}, wanted {low:g} to {high:.15g}", hint=hint)
    if config.image_size % STRIDE:
        near = max(STRIDE, round(config.image_size / STRIDE) * STRIDE)
        raise ConfigError(f"image_size: {config.image_size} is not a multiple of {STRIDE}", hint=f"use {near}")
    if len(config.betas) != 2 or not all(0 <= beta < 1 for beta in config.betas):
        raise ConfigError(
            f"betas: found {config.betas}, wanted two numbers from 0 to below 1", hint="0.9, 0.999 is common"
        )
    for name in ("box", "cls", "dfl", "obj"):
        weight = getattr(config.loss, name)
        if not 0 <= weight <= 1000:
            raise ConfigError(f"loss.{name}: found {weight}, wanted 0 to 1000", hint="it is the weight of a loss term")
    if config.loss.assigner not in ASSIGNERS:
        raise ConfigError(f"loss.assigner: found {config.loss.assigner!r}", hint=f"use one of {', '.join(ASSIGNERS)}")
    if config.loss.top < 1:
        raise ConfigError(f"loss.top: found {config.loss.top}, wanted 1 or more", hint="10 is common")
    kind, _, number = config.device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and not number.isdigit()):
        raise ConfigError(f"device: {config.device!r} is not known", hint="use auto, cpu, cuda or cuda:N")


def load_config(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None, *, base: TrainConfig | None = None
) -> TrainConfig:
    """Return ``base`` (the defaults) changed by the TOML or YAML file ``path``, then by ``overrides``.

    Keys of nested settings may be written ``loss.box``; values may be text, as they come from flags.
    Raises ConfigError naming the file and the key for an unknown key, a wrong type or a value out of range.

    >>> load_config(overrides={"epochs": "5", "schedule": "plateau", "loss.box": 3}).loss.box
    3.0
    """
    config = base or TrainConfig()
    if path is not None:
        config = change(config, read_settings(path), source=str(path))
    return change(config, overrides or {}, source="")


def change(config: TrainConfig, values: Mapping[str, Any], *, source: str) -> TrainConfig:
    """Return ``config`` with some settings changed; ``source`` is named in errors."""
    try:
        result: TrainConfig = changed(config, values, "")
    except ConfigError as error:
        if not source:
            raise
        raise ConfigError(f"{source}: {error.message}", hint=error.hint) from None
    return result
