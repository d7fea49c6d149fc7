"""What the training loop takes and what it returns. B photos of a batch, G boxes a photo has at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from herder.data.pipeline import Batch
from herder.errors import HerderError
from herder.model.losses import LossTerms


class BatchSource(Protocol):
    """Where batches come from; ``herder.data.pipeline.TrainingPipeline`` is one."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, the same on every rank."""

    def epoch(self, epoch: int, start_step: int = 0, *, mosaic: bool = True) -> Iterator[Batch]:
        """The batches of an epoch from a step on: the same for the same epoch and step, whatever came before."""


class LossFunction(Protocol):
    """What the network minimises; ``herder.model.losses.DetectionLoss`` is one.

    A loss that is an ``nn.Module`` may have parameters, which learn at the head's rate and go into the checkpoint.
    Terms beside those of ``LossTerms`` are named in its attribute ``more_terms``: each gets a column.
    """

    def __call__(self, raw: Any, boxes: Tensor, classes: Tensor, valid: Tensor, ignore: Tensor, /) -> LossTerms:
        """The network's output, boxes (B, G, 4) canvas pixels, classes, valid and ignore (B, G) to the terms."""


class DivergedError(HerderError):
    """The loss or its gradient became infinite or not a number."""


class Ending(Enum):
    """Why a run stopped."""

    FINISHED = "finished"
    """All epochs are done."""
    EARLY = "stopped early"
    """The metric had stopped rising."""
    INTERRUPTED = "interrupted"
    """Ctrl-C or SIGTERM; ``--resume`` goes on."""


@dataclass(frozen=True)
class TrainResult:
    """What a run reached and where it left its files."""

    folder: Path
    best: Path
    """The best model; there is none before the first evaluation."""
    last: Path
    """The checkpoint."""
    metrics: Mapping[str, float]
    """Of the best model on the validation photos."""
    best_epoch: int
    """Counted from 1; 0 before the first evaluation."""
    epochs: int
    """Epochs done."""
    ending: Ending
    seconds: float
    """Wall time over all parts of the run."""
