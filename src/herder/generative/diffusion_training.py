"""Train a diffusion model: noise a picture, guess the noise, step. Stopped at any moment, it goes on as if it never
was.

DDPM algorithm 1 (https://arxiv.org/abs/2006.11239) with classes hidden at random (algorithm 1 of
https://arxiv.org/abs/2207.12598) and a running average of the weights, which is what is drawn with and saved.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from herder.errors import ConfigError, DataError, ModelFileError
from herder.generative.checkpoint import check_config, load_state, restore_state, save_state
from herder.generative.diffusion import GaussianDiffusion
from herder.generative.diffusion_config import DiffusionConfig, DiffusionSpec, NumberFormat
from herder.generative.diffusion_model import DiffusionModel, load_diffusion
from herder.generative.unet import CONDITION, Unet

__all__ = ["DiffusionConfig", "DiffusionModel", "DiffusionResult", "load_diffusion", "train_diffusion"]

STATE_NAME = "last.safetensors"
"""The checkpoint in a run's folder."""

MODEL_NAME = "diffusion.safetensors"
"""The trained model in a run's folder."""

KIND = "diffusion"
"""What a checkpoint of such a run says that it is."""

MAY_CHANGE = frozenset({"checkpoint_every", "snapshot_every", "device"})
"""Settings that a resumed run may change: none of them changes its result on one machine."""

EMA: Callable[[float], Callable[..., None]] = get_ema_multi_avg_fn
"""Torch's running average a <- d a + (1 - d) w for a decay d, with the type that torch leaves out."""

Progress = Callable[[int, int, float], None]
"""Told the steps done, the steps in all and the last step's loss."""

Snapshot = Callable[[int, DiffusionModel], None]
"""Told the steps done and the model so far, to draw with; its draws do not change the run."""


@dataclass(frozen=True)
class DiffusionResult:
    """What training leaves."""

    model: DiffusionModel
    """The averaged weights, ready to draw with."""
    history: tuple[float, ...]
    """The loss of each step."""


def train_diffusion(
    pictures: Tensor,
    config: DiffusionConfig,
    *,
    labels: Tensor | None = None,
    class_names: Sequence[str] = (),
    out: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    snapshot: Snapshot | None = None,
) -> DiffusionResult:
    """Train on ``pictures`` (N, C, H, W) float32, -1 to 1, with a class each where ``labels`` (N,) are given.

    ``class_names`` name the labels 0, 1 ...; without, they are called by their numbers. With ``out``, a checkpoint
    and in the end the model are written there; with ``resume`` the run goes on from the checkpoint, from the start
    where there is none yet, and ends bit for bit as if it had never stopped (on a CPU with the same number of threads).
    Raises ValueError for wrong tensors, ConfigError for settings that contradict each other or those of the run to
    resume, DataError for other pictures than it had, ResourceError when the disk is full, ConfigError when the loss
    is no number any more.
    """
    names = _check(pictures, labels, class_names)
    if resume and out is None:
        raise ConfigError("resume: found no folder to go on from", hint="name the folder of the run")
    device = _device(config.device)
    run = _Run(config, _spec(pictures, names, config), device)
    fingerprint = _fingerprint(pictures, labels)
    if resume and out is not None and (out / STATE_NAME).exists():
        run.restore(out / STATE_NAME, fingerprint)
    pictures = pictures.to(device)
    classes = None if labels is None else F.one_hot(labels.long(), len(names)).float().to(device)  # (N, K)
    for step in range(len(run.history), config.steps):
        loss = run.step(step, pictures, classes)
        if progress is not None:
            progress(step + 1, config.steps, loss)
        if snapshot is not None and config.snapshot_every and (step + 1) % config.snapshot_every == 0:
            snapshot(step + 1, run.averaged_model())
        at_end = step + 1 == config.steps
        if out is not None and (at_end or (config.checkpoint_every and (step + 1) % config.checkpoint_every == 0)):
            run.save(out / STATE_NAME, fingerprint)
    model = run.averaged_model()
    if out is not None:
        model.save(out / MODEL_NAME)
    return DiffusionResult(model, tuple(run.history))


class _Run:
    """Network, average, optimiser and random numbers of a run, and one step of it."""

    def __init__(self, config: DiffusionConfig, spec: DiffusionSpec, device: torch.device) -> None:
        self.config = config
        self.device = device
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            torch.manual_seed(config.seed)
            try:
                self.model = DiffusionModel.new(spec)
            except ValueError as error:
                raise ConfigError(str(error), hint="use fewer dim_mults, or larger pictures") from None
        self.network = self.model.network.to(device).train()
        self.diffusion: GaussianDiffusion = self.model.diffusion(config.min_snr_gamma or None)
        self.average = AveragedModel(self.network, multi_avg_fn=EMA(config.ema_decay))
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.number_format is NumberFormat.FP16)
        # On the CPU for every device: a seed then means the same pictures, times and noise everywhere.
        self.generator = torch.Generator().manual_seed(config.seed)
        self.history: list[float] = []

    def step(self, step: int, pictures: Tensor, classes: Tensor | None) -> float:
        """One step on a random batch of pictures (N, C, H, W) with classes (N, K); its loss."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate_at(step)
        chosen = torch.randint(len(pictures), (config.batch_size,), generator=self.generator)
        x_start = pictures[chosen.to(self.device)]  # (B, C, H, W)
        if config.flip:
            mirrored = torch.rand(config.batch_size, generator=self.generator).to(self.device) < 0.5
            x_start = torch.where(mirrored[:, None, None, None], x_start.flip(3), x_start)
        given: dict[str, Tensor] = {}
        if classes is not None:
            keep = torch.rand(config.batch_size, generator=self.generator) >= config.condition_dropout
            given = {CONDITION: classes[chosen.to(self.device)], "keep": keep}
        with torch.autocast(
            self.device.type,
            torch.float16 if config.number_format is NumberFormat.FP16 else torch.bfloat16,
            enabled=config.number_format is not NumberFormat.FLOAT32,
        ):
            loss = self.diffusion.p_losses(x_start, given, generator=self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.unscale_(self.optimizer)
        if config.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update_parameters(self.network)
        found = float(loss.detach())
        if not math.isfinite(found):
            raise ConfigError(
                f"learning_rate: the loss became {found} in step {step + 1}",
                hint="halve the learning rate; with fp16, try bf16 or float32",
            )
        self.history.append(found)
        return found

    def averaged_model(self) -> DiffusionModel:
        """A copy of the averaged weights, in eval mode."""
        return DiffusionModel(self.model.spec, copy.deepcopy(cast(Unet, self.average.module)).eval())

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the checkpoint."""
        save_state(
            path,
            modules={"network": self.network, "average": self.average},
            optimizers={"optimizer": self.optimizer},
            facts={
                "kind": KIND,
                "config": self.config.as_dict(),
                "spec": self.model.spec.as_dict(),
                "pictures": fingerprint,
                "history": self.history,
                "scaler": self.scaler.state_dict(),
            },
            generator=self.generator,
        )

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go on from a checkpoint, checked first to be of this run."""
        state = load_state(path)
        if state.facts.get("kind") != KIND:
            raise ModelFileError(f"{path}: is no diffusion run", hint="resume in the folder of a diffusion run")
        check_config(state, self.config.as_dict(), may_change=MAY_CHANGE)
        if state.facts.get("pictures") != fingerprint:
            raise DataError(
                f"{path}: the pictures or their labels are not those that the run began with",
                hint="give the same pictures, or start a new run in another folder",
            )
        history, scaler = state.facts.get("history"), state.facts.get("scaler")
        if not isinstance(history, list) or not isinstance(scaler, dict):
            raise ModelFileError(f"{path}: holds no history of the run", hint="the file is damaged")
        restore_state(
            state,
            {"network": self.network, "average": self.average},
            {"optimizer": self.optimizer},
            self.generator,
        )
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(scaler)
        self.history = [float(loss) for loss in history]


def _spec(pictures: Tensor, names: tuple[str, ...], config: DiffusionConfig) -> DiffusionSpec:
    _, channels, height, width = pictures.shape
    return DiffusionSpec(
        dim=config.dim,
        dim_mults=config.dim_mults,
        channels=channels,
        height=height,
        width=width,
        timesteps=config.timesteps,
        schedule=config.schedule,
        objective=config.objective,
        class_names=names,
        knows_none=not names or config.condition_dropout > 0,
    )


def _check(pictures: Tensor, labels: Tensor | None, class_names: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, once everything fits."""
    if pictures.ndim != 4 or not pictures.numel() or pictures.dtype != torch.float32:
        raise ValueError(
            f"pictures: found shape {tuple(pictures.shape)} of {pictures.dtype}, wanted (N, C, H, W) of float32, N >= 1"
        )
    low, high = float(pictures.min()), float(pictures.max())
    if not -1 <= low <= high <= 1:
        raise ValueError(f"pictures: found values from {low:g} to {high:g}, wanted -1 to 1")
    if labels is None:
        if class_names:
            raise ValueError(f"labels: found none for {len(class_names)} class_names, wanted ({len(pictures)},)")
        return ()
    if labels.shape != (len(pictures),) or labels.is_floating_point():
        raise ValueError(
            f"labels: found shape {tuple(labels.shape)} of {labels.dtype}, wanted ({len(pictures)},) of whole numbers"
        )
    names = tuple(class_names) or tuple(map(str, range(int(labels.max()) + 1)))
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
        raise ValueError(f"labels: found {int(labels.min())} to {int(labels.max())}, wanted 0 to {len(names) - 1}")
    return names


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device: found {name!r}, which cannot be used ({reason})", hint="use cpu") from None
    return device


def _fingerprint(pictures: Tensor, labels: Tensor | None) -> str:
    """A hash that other pictures or labels would not have."""
    digest = hashlib.sha256(str(tuple(pictures.shape)).encode())
    digest.update(pictures.cpu().contiguous().numpy().tobytes())
    if labels is not None:
        digest.update(labels.cpu().long().contiguous().numpy().tobytes())
    return digest.hexdigest()
