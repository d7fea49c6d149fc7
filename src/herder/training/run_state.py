"""All that a training run has, made, kept in its checkpoint and taken from there again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from herder.model.files import save_model
from herder.model.sparsity import hold_zeros
from herder.spec import ModelSpec
from herder.training import distributed
from herder.training.checkpoint import Progress, check_matches, load_checkpoint, restore, save_checkpoint
from herder.training.config import Precision, TrainConfig
from herder.training.early_stopping import EarlyStopping, PlateauFactor
from herder.training.interfaces import BatchSource, LossFunction
from herder.training.optimization import make_optimizer, schedule
from herder.training.reproducibility import seed_everything
from herder.training.tracking import LOSSES, CsvTracker, Tracker, Trackers
from herder.training.weight_averaging import WeightAverage

LAST, BEST = "last.safetensors", "best.safetensors"
"""The checkpoint to resume from, and the model file to use."""

N = TypeVar("N", bound=nn.Module)


class RunState:
    """The objects of one run: network, average, optimiser, stopping rules, and where it stands."""

    def __init__(
        self,
        network: N,
        spec: ModelSpec,
        pipeline: BatchSource,
        config: TrainConfig,
        folder: Path,
        evaluate: Callable[[N], Mapping[str, float]],
        loss: LossFunction,
        trackers: Sequence[Tracker],
        ranks: distributed.Ranks,
        device: torch.device,
    ) -> None:
        seed_everything(config.seed)
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        network.to(device)
        network.to(memory_format=layout)  # type: ignore[call-overload]
        if config.keep_zeros:
            hold_zeros(network)
        self.network, self.spec, self.pipeline, self.config, self.folder = network, spec, pipeline, config, folder
        self.loss, self.ranks, self.device, self.layout = loss, ranks, device, layout
        self.average = WeightAverage(network, decay=config.ema_decay, warmup=config.ema_warmup)
        self.evaluate: Callable[[], Mapping[str, float]] = lambda: evaluate(self.average.network)
        if config.sync_batchnorm and ranks.several and device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        # A loss may learn, too: the adapters of distillation.
        self.learner = loss.to(device) if isinstance(loss, nn.Module) else None
        self.optimizer = make_optimizer(network, config, self.learner)
        self.parameters = [*network.parameters(), *(self.learner.parameters() if self.learner else ())]
        self.dtype = _forward_dtype(config.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.factor = schedule(config, pipeline.steps_per_epoch)
        self.stopping = EarlyStopping(config.patience, config.min_delta)
        self.plateau = PlateauFactor(config.plateau_patience, config.plateau_factor, config.final_lr_fraction)
        self.trackers = Trackers([CsvTracker(), *trackers] if ranks.first else [])
        own = tuple(name for name in LOSSES if name != "obj" or spec.architecture.objectness)
        self.terms = own + tuple(getattr(loss, "more_terms", ()))
        self.progress = Progress()
        self.losses = torch.zeros(len(self.terms), dtype=torch.float64, device=device)  # sums over the epoch's photos
        self.bad_step = torch.full((), -1, device=device)  # the first step that was not finite
        self.forward: nn.Module = network

    def save(self) -> None:
        """Write the checkpoint."""
        p = self.progress
        losses = distributed.mean_over_ranks(self.losses.clone())
        if not self.ranks.first:
            return
        p.stopping, p.plateau, p.scaler = self.stopping.state(), self.plateau.state(), dict(self.scaler.state_dict())
        p.average_updates = self.average.updates
        save_checkpoint(
            self.folder / LAST,
            self.network,
            self.average,
            self.optimizer,
            p,
            losses,
            self.config,
            self.spec,
            self.learner,
        )

    def save_best(self, path: Path) -> None:
        """Write the averaged weights as a model file that carries its metrics and best threshold."""
        metrics = self.progress.best_metrics
        spec = self.spec.replace(metrics=metrics, score_threshold=metrics.get("threshold", self.spec.score_threshold))
        if self.ranks.first:
            save_model(self.average.network.state_dict(), spec, path)

    def restore(self) -> Progress:
        """Take everything from the checkpoint."""
        checkpoint = load_checkpoint(self.folder / LAST)
        check_matches(checkpoint, self.config, self.spec)
        restore(checkpoint, self.network, self.average, self.optimizer, self.learner)
        self.progress = p = replace(checkpoint.progress)
        self.losses.copy_(checkpoint.tensors["progress.losses"])
        self.stopping.restore(p.stopping)
        self.plateau.restore(p.plateau)
        if p.scaler:
            self.scaler.load_state_dict(dict(p.scaler))
        return p


def _forward_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of the forward pass on this device."""
    if precision is Precision.AUTO:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {Precision.FLOAT32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}[precision]
