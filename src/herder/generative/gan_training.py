"""Train a GAN: the discriminator learns to tell, the generator to deceive, in turns; stopped at any moment, the run
goes on as if it never was.

The turns stand in ``gan_turns``; here is the run around them: batches, a running average of the generator, which is
what is drawn with and saved, history, sample grids and checkpoints.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from herder.drawing import grid, save_picture
from herder.errors import ConfigError, DataError, ModelFileError
from herder.files import write_atomic
from herder.generative.checkpoint import check_config, load_state, restore_state, save_state
from herder.generative.gan_config import GanConfig
from herder.generative.gan_losses import sample_noise
from herder.generative.gan_networks import Discriminator, Generator
from herder.generative.gan_turns import discriminator_turn, generator_turn
from herder.generative.pictures import to_photo

STATE_NAME, MODEL_NAME, HISTORY_NAME = "last.safetensors", "gan.safetensors", "history.csv"
"""The checkpoint, the trained generator and the losses in a run's folder; sample grids lie in ``samples/``."""

MAY_CHANGE = frozenset({"checkpoint_every", "device"})
"""Settings that a resumed run may change: none of them changes its result on one machine."""

GRID_SAMPLES = 64
"""Pictures in a sample grid."""

GRID_CELL = 32
"""Pixels that a small picture of a sample grid is enlarged to, about."""

EMA: Callable[[float], Callable[..., None]] = get_ema_multi_avg_fn
"""Torch's running average a <- d a + (1 - d) w for a decay d, with the type that torch leaves out."""


class GanStep(NamedTuple):
    """A row of the history: what a step, counted from 1, came to."""

    step: int
    discriminator_loss: float
    generator_loss: float
    real_score: float
    """Mean belief of the discriminator in the real pictures; see ``gan_turns.Judgement``."""
    fake_score: float
    """The same in the generated ones."""


class SampleGrid(NamedTuple):
    """What the generator made of the same fixed noise after ``step`` steps: ``pictures`` (64, C, S, S) in [-1, 1]."""

    step: int
    pictures: Tensor


@dataclass(frozen=True, eq=False)
class GanResult:
    """What training leaves."""

    generator: Generator
    """The averaged weights, ready to ``sample``, in eval mode."""
    discriminator: Discriminator
    history: tuple[GanStep, ...]
    """One row a step."""
    grids: tuple[SampleGrid, ...]
    """Samples over training, from fixed noise."""
    finished: bool
    """False where ``stop`` ended it before its last step."""


Progress = Callable[[int, int, GanStep], None]
"""Told the steps done, the steps in all and what the last one came to."""

Snapshot = Callable[[int, Generator], None]
"""Told the steps done and the averaged generator so far, to draw with; its draws do not change the run."""


def train_gan(
    pictures: Tensor,
    config: GanConfig,
    *,
    out: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    snapshot: Snapshot | None = None,
    stop: Callable[[], bool] | None = None,
) -> GanResult:
    """Train on ``pictures`` (N, C, S, S) float32, -1 to 1, S a multiple of 4.

    With ``out``, a folder, there are written: checkpoints ``last.safetensors``, grids ``samples/step-000500.png``, and
    in the end ``history.csv`` and the generator ``gan.safetensors``. With ``resume`` the run goes on from the
    checkpoint, from the start where there is none yet, and ends bit for bit as if it had never stopped (on a CPU with
    the same number of threads). ``stop`` is asked after each step: once it says True, the run is written down and left.
    A Ctrl-C may come at any moment and costs the steps since the last checkpoint.

    Raises ValueError for wrong tensors, ConfigError for a side or a setting that does not fit, or settings other than
    those of the run to resume, DataError for other pictures than it had, ModelFileError for a broken checkpoint, and
    ResourceError when the disk is full.
    """
    _check(pictures)
    if resume and out is None:
        raise ConfigError("resume: found no folder to go on from", hint="name the folder of the run")
    run = _Run(config, pictures)
    if resume and out is not None and (out / STATE_NAME).exists():
        run.restore(out / STATE_NAME)
    stopped = False
    while len(run.history) < config.steps and not stopped:
        row = run.step()
        at_end = row.step == config.steps
        if config.snapshot_every and (row.step % config.snapshot_every == 0 or at_end):
            samples = run.draw_grid(row.step)
            if out is not None:
                _save_grid(out / "samples" / f"step-{row.step:06d}.png", samples)
            if snapshot is not None:
                snapshot(row.step, run.drawer())
        if progress is not None:
            progress(row.step, config.steps, row)
        stopped = stop is not None and stop()
        due = config.checkpoint_every and row.step % config.checkpoint_every == 0
        if out is not None and (due or at_end or stopped):
            run.save(out / STATE_NAME)
    generator, finished = run.drawer(), len(run.history) == config.steps
    if out is not None:
        write_atomic(out / HISTORY_NAME, _as_csv(run.history))
        if finished:
            generator.save(out / MODEL_NAME, {"config": config.as_dict(), "steps": len(run.history)})
    return GanResult(generator, run.discriminator.eval(), tuple(run.history), tuple(run.grids), finished)


class _Run:
    """Networks, average, optimisers and random numbers of a run, and one step of it."""

    def __init__(self, config: GanConfig, pictures: Tensor) -> None:
        self.config = config
        self.device = _device(config.device)
        self.fingerprint = hashlib.sha256(pictures.cpu().contiguous().numpy().tobytes()).hexdigest()
        self.pictures = pictures.to(self.device)  # (N, C, S, S)
        architecture = config.architecture(side=pictures.shape[2], channels=pictures.shape[1])
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            torch.manual_seed(config.seed)
            self.generator = Generator(architecture).to(self.device).train()
            self.discriminator = Discriminator(architecture).to(self.device).train()
        # Batch norm's running statistics are averaged with the weights that they belong to.
        self.average = AveragedModel(self.generator, multi_avg_fn=EMA(config.ema_decay), use_buffers=True)
        betas = (config.beta1, config.beta2)
        self.optimizer_g = Adam(self.generator.parameters(), lr=config.learning_rate_generator, betas=betas)
        self.optimizer_d = Adam(self.discriminator.parameters(), lr=config.learning_rate_discriminator, betas=betas)
        # On the CPU for every device: a seed then means the same batches and noise everywhere.
        self.random = torch.Generator().manual_seed(config.seed)
        self.history: list[GanStep] = []
        self.grids: list[SampleGrid] = []

    def step(self) -> GanStep:
        """A turn of each on a random batch. Raises ConfigError when the losses are no longer finite."""
        config, step = self.config, len(self.history) + 1
        chosen = torch.randint(len(self.pictures), (config.batch_size,), generator=self.random)
        real = self.pictures[chosen.to(self.device)]  # (B, C, S, S)
        if config.flip:
            mirrored = torch.rand(config.batch_size, generator=self.random).to(self.device) < 0.5
            real = torch.where(mirrored[:, None, None, None], real.flip(3), real)
        noise = sample_noise(config.batch_size, config.noise_dim, generator=self.random).to(self.device)  # (B, Z)
        fakes = self.generator(noise)  # (B, C, S, S)
        judged = discriminator_turn(self.discriminator, self.optimizer_d, real, fakes, config.loss)
        loss_g = generator_turn(self.discriminator, self.optimizer_g, fakes, config.loss)
        self.average.update_parameters(self.generator)
        values = torch.stack([judged.loss, loss_g, judged.real_score, judged.fake_score])  # (4,)
        if not bool(values.isfinite().all()):
            raise ConfigError(f"step {step}: the losses are no longer finite", hint="use smaller learning rates")
        self.history.append(GanStep(step, *values.tolist()))
        return self.history[-1]

    def drawer(self) -> Generator:
        """A copy of the averaged generator, in eval mode."""
        return cast(Generator, copy.deepcopy(self.average.module)).eval()

    def draw_grid(self, step: int) -> Tensor:
        """Samples (64, C, S, S) from the same noise every time, kept in ``grids``."""
        self.grids.append(SampleGrid(step, self.drawer().sample(GRID_SAMPLES, seed=self.config.seed)))
        return self.grids[-1].pictures

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        tensors = {f"grid.{step}": samples for step, samples in self.grids}
        tensors["history"] = torch.tensor([row[1:] for row in self.history], dtype=torch.float64)  # (steps, 4)
        save_state(
            path,
            modules=self.modules,
            optimizers=self.optimizers,
            facts={
                "kind": "gan",
                "config": self.config.as_dict(),
                "architecture": self.generator.architecture.as_dict(),
                "pictures": self.fingerprint,
            },
            generator=self.random,
            tensors=tensors,
        )

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint, checked first to be of this run."""
        state = load_state(path)
        if state.facts.get("kind") != "gan":
            raise ModelFileError(f"{path}: is no checkpoint of a GAN", hint="name the folder of a GAN's run")
        check_config(state, self.config.as_dict(), may_change=MAY_CHANGE)
        if state.facts.get("pictures") != self.fingerprint:
            raise DataError(
                f"{path}: the pictures are not those that the run began with",
                hint="give the same pictures, or start a new run in another folder",
            )
        values = state.tensors.get("extra.history")
        if values is None or values.ndim != 2 or values.shape[1] != 4:
            raise ModelFileError(f"{path}: holds no history", hint="the file is damaged")
        restore_state(state, self.modules, self.optimizers, self.random)
        self.history = [GanStep(step, *row) for step, row in enumerate(values.tolist(), start=1)]
        kept = [int(name.removeprefix("extra.grid.")) for name in state.tensors if name.startswith("extra.grid.")]
        self.grids = [SampleGrid(step, state.tensors[f"extra.grid.{step}"]) for step in sorted(kept)]

    @property
    def modules(self) -> dict[str, torch.nn.Module]:
        """What a checkpoint holds of networks."""
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """What a checkpoint holds of optimisers."""
        return {"generator": self.optimizer_g, "discriminator": self.optimizer_d}


def _check(pictures: Tensor) -> None:
    """Raise ValueError for tensors that are no pictures to learn from."""
    shape = tuple(pictures.shape)
    if pictures.ndim != 4 or shape[1] not in (1, 3) or shape[2] != shape[3] or pictures.dtype != torch.float32:
        raise ValueError(f"pictures: found {shape} of {pictures.dtype}, wanted (N, 1 or 3, S, S) of torch.float32")
    if not len(pictures):
        raise ValueError("pictures: found none, wanted at least one")
    low, high = float(pictures.min()), float(pictures.max())  # NaN passes through both
    if not (low >= -1 and high <= 1):
        raise ValueError(f"pictures: found values from {low:g} to {high:g}, wanted -1 to 1")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: {name!r} is no device", hint="cpu, cuda or cuda:1") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device: {name!r} cannot be used here", hint="this torch finds no GPU: use cpu")
    return device


def _save_grid(path: Path, samples: Tensor) -> None:
    """Write samples (N, C, S, S) as one picture, each pixel a square."""
    times = max(1, GRID_CELL // samples.shape[2])
    photos = [to_photo(sample).repeat(times, axis=0).repeat(times, axis=1) for sample in samples]
    save_picture(path, grid(photos, cell=times * samples.shape[2]))


def _as_csv(history: Iterable[GanStep]) -> bytes:
    lines = [",".join(GanStep._fields), *(",".join(map(str, row)) for row in history)]
    return ("\n".join(lines) + "\n").encode()
