"""The training loop, to be read in one sitting.

One step: batch, forward, loss, backward, clip, AdamW, average. One epoch: steps, evaluation of the averaged weights,
best model, trackers, checkpoint. Everything a run has is in ``last.safetensors``, so that it can die anywhere.
Notation: B photos of a batch, S side of the canvas in pixels, G boxes a photo has at most.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from herder.data.pipeline import Batch
from herder.model.losses import DetectionLoss
from herder.spec import ModelSpec
from herder.training import distributed
from herder.training.config import Schedule, TrainConfig
from herder.training.interfaces import BatchSource, DivergedError, Ending, LossFunction, TrainResult
from herder.training.limits import StopRequest, graceful_stop, memory_limits, peak_memory_mb
from herder.training.multi_scale import canvas_side, rescale
from herder.training.optimization import (
    clip_gradients,
    freeze,
    learning_rates,
    set_learning_rates,
)
from herder.training.reproducibility import deterministic_algorithms
from herder.training.run_state import BEST, LAST, N, RunState
from herder.training.tracking import RunFacts, StepFacts, Tracker

logger = logging.getLogger(__name__)

LOOK_EVERY = 10
"""Steps between looks at whether the loss is finite: each look waits for the GPU."""

REPORT_SECONDS = 0.25
"""At most so often the trackers hear of a step."""


def train(
    network: N,
    spec: ModelSpec,
    pipeline: BatchSource,
    config: TrainConfig,
    run_dir: Path,
    *,
    evaluate: Callable[[N], Mapping[str, float]],
    loss: LossFunction | None = None,
    trackers: Sequence[Tracker] = (),
    resume: bool = False,
) -> TrainResult:
    """Train ``network`` in place, keep the best of its averaged weights in ``run_dir``, and return what was reached.

    ``evaluate`` gets the averaged network in eval mode and returns numbers by name, ``config.metric`` among them;
    ``loss`` None is the spec's ``DetectionLoss``. With ``resume`` the run goes on from its checkpoint, if there is one.
    Same seed, same machine: the same weights bit for bit, however often the run was killed and resumed.
    Raises DivergedError when the loss is not finite, ResourceError when memory or disk run out, ModelFileError and
    ConfigError when the checkpoint does not belong to this run.
    """
    ranks = distributed.Ranks.from_environment()
    device = ranks.pick_device(config.device)
    loss = loss or _default_loss(spec, config)
    with deterministic_algorithms(), distributed.joined(ranks, device), graceful_stop() as stop:
        run = _Run(network, spec, pipeline, config, run_dir, evaluate, loss, trackers, ranks, device)
        return run.go(stop, resume=resume)


class _Run(RunState):
    """The loop over the objects of one run."""

    def go(self, stop: StopRequest, *, resume: bool) -> TrainResult:
        """Run all epochs that are left."""
        c, p = self.config, self.progress
        for leftover in self.folder.glob(".*.part") if self.ranks.first else ():
            leftover.unlink(missing_ok=True)  # what a killed run was writing
        if resume and (self.folder / LAST).exists():
            p = self.restore()
        if p.finished:
            return self.result(Ending.FINISHED if p.epoch >= c.epochs else Ending.EARLY)
        self.trackers.start(RunFacts(self.folder, c, self.terms, self.pipeline.steps_per_epoch, p.epoch))
        started = time.monotonic() - p.seconds
        while p.epoch < c.epochs and not self.stopping.compute():
            self.run_steps(stop)
            p.seconds = time.monotonic() - started
            if distributed.any_rank(stop.asked):
                self.save()
                return self.end(Ending.INTERRUPTED)
            self.end_epoch(started)
        p.finished = True
        self.save()
        return self.end(Ending.FINISHED if p.epoch >= c.epochs else Ending.EARLY)

    def run_steps(self, stop: StopRequest) -> None:
        """The steps of the epoch that are left."""
        c, p = self.config, self.progress
        self.prepare_network()
        mosaic = p.epoch < c.epochs - c.mosaic_off_epochs
        begun = reported = time.monotonic()
        before = p.epoch_seconds
        with memory_limits(c):
            for batch in self.pipeline.epoch(p.epoch, p.step, mosaic=mosaic):
                self.step(batch)
                now = time.monotonic()
                p.epoch_seconds = before + now - begun
                # The last step is always looked at: what follows writes files.
                last = p.step == self.pipeline.steps_per_epoch
                due = c.checkpoint_every_steps > 0 and p.step % c.checkpoint_every_steps == 0
                if last or due or p.step % LOOK_EVERY == 0:
                    self.check_finite()
                if now - reported > REPORT_SECONDS or last:
                    reported = now
                    self.trackers.step(StepFacts(p.epoch + 1, p.step, self.mean_losses(), self.speed()))
                if due and not last:
                    self.save()
                # Alone, a stop is heeded at once; ranks ask each other only now and then.
                heed = not self.ranks.several or p.step % LOOK_EVERY == 0
                if heed and distributed.any_rank(stop.asked):
                    self.check_finite()
                    stop.asked = True
                    break

    def step(self, batch: Batch) -> None:
        """One batch: forward, loss, backward, clip, AdamW, average."""
        c, p = self.config, self.progress
        factor = self.factor(p.global_step)
        if c.schedule is Schedule.PLATEAU:
            factor *= self.plateau.compute()
        set_learning_rates(self.optimizer, factor)
        batch = batch.to(self.device)
        images = batch.images.contiguous(memory_format=self.layout)  # (B, 3, S, S) uint8; the network makes floats
        boxes = batch.boxes  # (B, G, 4)
        if c.multi_scale:
            images, boxes = rescale(images, boxes, canvas_side(c, p.global_step, images.shape[-1]))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32):
            raw = self.forward(images)
        terms = self.loss(raw, boxes, batch.classes, batch.valid, batch.ignore)
        torch.autograd.backward(self.scaler.scale(terms.total))
        self.scaler.unscale_(self.optimizer)
        norm = clip_gradients(self.parameters, c.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update()
        p.step += 1
        p.global_step += 1
        p.photos += len(images)
        total = terms.total.detach()
        # The scaler itself skips a step whose gradient overflowed fp16; elsewhere such a gradient spoils the weights.
        watched = total if self.scaler.is_enabled() else total + norm
        self.bad_step = torch.where((self.bad_step < 0) & ~torch.isfinite(watched), p.global_step, self.bad_step)
        self.losses += torch.stack([getattr(terms, name).detach().double() for name in self.terms]) * len(images)

    def end_epoch(self, started: float) -> None:
        """Evaluate, keep the best, tell the trackers, write the checkpoint."""
        c, p = self.config, self.progress
        done = p.epoch + 1
        row = {"epoch": float(done), **self.mean_losses(), **learning_rates(self.optimizer)}
        row["images_per_second"], row["peak_memory_mb"] = self.speed(), peak_memory_mb(self.device)
        best = None
        if done % c.evaluate_every == 0 or done == c.epochs:
            metrics = dict(self.evaluate()) if self.ranks.first else {}
            metric = distributed.from_first([metrics.get(c.metric, math.nan)])[0]
            self.stopping.update(metric)
            self.plateau.update(metric)
            value = -math.inf if math.isnan(metric) else metric
            # Of equals the later: with nothing to measure, that is the last epoch.
            if value >= p.best:
                p.best, p.best_epoch, best = value, done, self.folder / BEST
                p.best_metrics = {name: float(v) for name, v in metrics.items() if math.isfinite(v)}
                self.save_best(best)
            row |= metrics
        p.seconds = row["seconds"] = time.monotonic() - started
        # The row goes first: should the machine die in between, the resumed run cuts it and writes it again.
        self.trackers.epoch(row, best=best)
        p.epoch, p.step, p.photos, p.epoch_seconds = done, 0, 0, 0.0
        self.losses.zero_()
        p.finished = done == c.epochs
        self.save()

    def prepare_network(self) -> None:
        """Training mode, the backbone frozen in its first epochs; wrapped for several ranks, compiled where asked."""
        self.network.train()
        backbone = getattr(self.network, "backbone", None)
        if isinstance(backbone, nn.Module):
            freeze(backbone, self.progress.epoch < self.config.freeze_backbone_epochs)
        changed = self.progress.epoch == self.config.freeze_backbone_epochs
        if self.forward is self.network or changed:
            self.forward = distributed.wrap(self.network, self.ranks, self.device)
            if self.config.compile:
                self.forward.compile()

    def check_finite(self) -> None:
        """Raise DivergedError naming the first step whose loss or gradient was not finite."""
        step = int(self.bad_step)
        if step >= 0:
            self.trackers.end("stopped: the loss is not finite")
            steps = self.pipeline.steps_per_epoch
            raise DivergedError(
                f"the loss or its gradient is not finite at step {(step - 1) % steps + 1} of epoch"
                f" {(step - 1) // steps + 1} (step {step} of the run)",
                hint=f"lower the learning rate or lengthen the warm-up; {self.folder / LAST} holds the last good state",
            )

    def mean_losses(self) -> dict[str, float]:
        """Each loss term's mean over the epoch's photos so far; over all ranks once the epoch is done."""
        means = self.losses / max(1, self.progress.photos)
        if self.progress.step == self.pipeline.steps_per_epoch:
            means = distributed.mean_over_ranks(means)
        return dict(zip(self.terms, means.tolist(), strict=True))

    def speed(self) -> float:
        """Photos a second over all ranks, in the epoch so far."""
        return self.progress.photos * self.ranks.world_size / max(self.progress.epoch_seconds, 1e-9)

    def end(self, ending: Ending) -> TrainResult:
        """Tell the trackers and return the result."""
        p = self.progress
        distributed.copy_from_first(self.network)
        best = f"; best {self.config.metric} {p.best:.3f} in epoch {p.best_epoch}" if math.isfinite(p.best) else ""
        self.trackers.end(f"{ending.value} after epoch {p.epoch}{best}")
        return self.result(ending)

    def result(self, ending: Ending) -> TrainResult:
        """The run's result as it stands."""
        p = self.progress
        best, last = self.folder / BEST, self.folder / LAST
        return TrainResult(self.folder, best, last, p.best_metrics, p.best_epoch, p.epoch, ending, p.seconds)


def _default_loss(spec: ModelSpec, config: TrainConfig) -> LossFunction:
    """The spec's own loss, counting targets over all ranks."""
    return DetectionLoss(spec, config.loss, count=distributed.shared_count)
