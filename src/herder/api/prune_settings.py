"""What pruning is told, and what is refused before any work begins."""

from __future__ import annotations

from dataclasses import dataclass

from herder.api.run_photos import Photos
from herder.api.teachers import read_teachers
from herder.errors import ConfigError
from herder.model.distillation import matching_classes
from herder.model.network import Network
from herder.model.pruning import Importance, Scope, check_pruning, check_ratio
from herder.training.config import TrainConfig


@dataclass(frozen=True)
class PruneSettings:
    """How to prune."""

    ratio: float = 0.3
    """Share of the channels that go; of the weights where unstructured."""
    steps: int = 3
    """Rounds of pruning and fine-tuning, each of which takes the same share of what is left."""
    scope: Scope = Scope.GLOBAL
    importance: Importance = Importance.L2
    multiple: int = 4
    """Channels left are multiples of this where a layer has that many: processors work on groups of them."""
    unstructured: bool = False
    """Zero single weights in place of taking channels out; they stay zero through the fine-tuning."""
    fine_tune: bool = True
    """Train after each step; without it the accuracy is what pruning leaves."""


def check_settings(network: Network, settings: PruneSettings) -> None:
    """Raise ConfigError for settings without meaning, or that would leave a layer without channels."""
    s = settings
    if s.steps < 1:
        raise ConfigError(f"steps: {s.steps}", hint="wanted 1 or more")
    if s.multiple < 1:
        raise ConfigError(f"multiple: {s.multiple}", hint="wanted 1 or more")
    if s.unstructured:
        check_ratio(s.ratio)
    else:
        check_pruning(network, s.ratio, s.scope, s.steps)


def check_teachers(network: Network, photos: Photos, config: TrainConfig) -> None:
    """Raise what is wrong with the teachers of the fine-tuning: a file that cannot be read, or lacks a class."""
    student = network.spec.replace(class_names=photos.train.class_names)
    for teacher in read_teachers(config.distillation.teachers):
        matching_classes(teacher.spec, student)
