"""GAN and diffusion model behind one door: training, and a trained network that draws.

Notation: N pictures, C channels, S side in pixels, K classes.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from herder.api.drawing_settings import Settings
from herder.drawing import grid, save_picture
from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.generative.diffusion_model import DiffusionModel, load_diffusion
from herder.generative.diffusion_training import train_diffusion
from herder.generative.gan_config import GanConfig
from herder.generative.gan_networks import Generator, load_generator
from herder.generative.gan_training import GanStep, train_gan
from herder.generative.pictures import Pictures, to_photo
from herder.tensor_files import read_metadata

DIFFUSION_FILE, GAN_FILE = "diffusion.safetensors", "gan.safetensors"
"""The model in a run folder."""

DRAWING_STEPS = 50
"""DDIM steps where nothing else is said: hardly worse than all of them (https://arxiv.org/abs/2010.02502, table 1)."""


SNAPSHOT = 16
"""Samples in a grid that is drawn while a diffusion model learns: drawing takes as long as many a step."""

SEEN = 64
"""Pixels that a small picture is enlarged to in a grid, about."""


Progress = Callable[[int, int], None]
At = Callable[[str, int, int, str], None]


class Drawer(Protocol):
    """A trained network that draws pictures (C, S, S)."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes that it can be asked for; none for one without."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its pictures."""

    def draw(
        self,
        number: int,
        *,
        labels: Tensor | None = None,
        steps: int | None = None,
        guidance: float = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Pictures (number, C, S, S) in [-1, 1], of classes ``labels`` (number,) where asked for.

        Raises ConfigError for what this network cannot be asked for.
        """


@dataclass(frozen=True, eq=False)
class DiffusionDrawer:
    """Draws with a diffusion model, by default in 50 DDIM steps."""

    model: DiffusionModel

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes that it was trained with."""
        return self.model.spec.class_names

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.model.spec.channels, self.model.spec.height, self.model.spec.width

    def draw(
        self,
        number: int,
        *,
        labels: Tensor | None = None,
        steps: int | None = None,
        guidance: float = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """See ``Drawer``."""
        steps = min(DRAWING_STEPS, self.model.spec.timesteps) if steps is None else steps
        if not 1 <= steps <= self.model.spec.timesteps:
            raise ConfigError(
                f"steps: found {steps}, wanted 1 to {self.model.spec.timesteps}", hint="50 is plenty for most"
            )
        if guidance != 1 and labels is None:
            raise ConfigError(f"guidance: {guidance:g} without a class to be guided to", hint="give --label too")
        try:
            return self.model.sample(
                number, labels, steps=steps, guidance=guidance, seed=seed, progress=progress
            )  # (N, C, S, S)
        except ValueError as error:
            raise ConfigError(str(error), hint="see `herder generate samples --help`") from None


@dataclass(frozen=True, eq=False)
class GanDrawer:
    """Draws with a GAN's generator, all in one step and without classes."""

    generator: Generator

    @property
    def class_names(self) -> tuple[str, ...]:
        """None: this GAN knows of no classes."""
        return ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.generator.shape

    def draw(
        self,
        number: int,
        *,
        labels: Tensor | None = None,
        steps: int | None = None,
        guidance: float = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """See ``Drawer``."""
        for name, given in (("label", labels is not None), ("steps", steps is not None), ("guidance", guidance != 1)):
            if given:
                raise ConfigError(f"{name}: a GAN draws in one step and without classes", hint="leave it out")
        drawn = self.generator.sample(number, seed=seed)  # (N, C, S, S)
        if progress is not None:
            progress(1, 1)
        return drawn


def train_drawer(
    pictures: Pictures, settings: Settings, folder: Path, *, resume: bool = False, at: At | None = None
) -> Drawer:
    """Train in ``folder``, which gets checkpoints, the model, ``history.csv`` and grids of samples on the way.

    ``at`` hears ("training", steps done, in all, losses in words). Raises as ``train_gan`` and ``train_diffusion`` do.
    """
    tell = at or (lambda what, done, total, note: None)
    if isinstance(settings, GanConfig):

        def told(done: int, total: int, row: GanStep) -> None:
            losses = f"generator {row.generator_loss:.3f} discriminator {row.discriminator_loss:.3f}"
            tell("training", done, total, losses)

        return GanDrawer(train_gan(pictures.images, settings, out=folder, resume=resume, progress=told).generator)
    several = pictures.labels is not None and len(pictures.class_names) > 1
    result = train_diffusion(
        pictures.images,
        settings,
        labels=pictures.labels if several else None,
        class_names=pictures.class_names if several else (),
        out=folder,
        resume=resume,
        progress=lambda done, total, loss: tell("training", done, total, f"loss {loss:.4f}"),
        snapshot=lambda step, model: _save_snapshot(folder, step, DiffusionDrawer(model)),
    )
    rows = ["step,loss", *(f"{step},{loss}" for step, loss in enumerate(result.history, start=1))]
    write_atomic(folder / "history.csv", ("\n".join(rows) + "\n").encode())
    return DiffusionDrawer(result.model)


def _save_snapshot(folder: Path, step: int, drawer: Drawer) -> None:
    """Sixteen samples of the drawer so far, its classes in turn, from the same noise every time."""
    labels = torch.arange(SNAPSHOT) % len(drawer.class_names) if drawer.class_names else None
    save_grid(folder / "samples" / f"step-{step:06d}.png", drawer.draw(SNAPSHOT, labels=labels))


def save_grid(path: Path, samples: Tensor) -> None:
    """Write samples (N, C, S, S) as one picture, small ones enlarged. Raises ConfigError for an unknown ending."""
    times = max(1, SEEN // samples.shape[-1])  # whole pixels become whole squares: nothing is smoothed over
    photos = [to_photo(sample).repeat(times, axis=0).repeat(times, axis=1) for sample in samples]
    save_picture(path, grid(photos, cell=times * samples.shape[-1]))


def open_drawer(path: Path) -> Drawer:
    """The trained network of a run folder or a model file.

    Raises ModelFileError where there is none, or it is damaged or of another kind.
    """
    if path.is_dir():
        found = [path / name for name in (DIFFUSION_FILE, GAN_FILE) if (path / name).is_file()]
        if not found:
            begun = (path / "config.json").exists()
            hint = f"finish it: herder generate ... --resume --out {path}" if begun else "name a run of herder generate"
            raise ModelFileError(f"{path}: holds no trained model", hint=hint)
        path = found[0]
    if "herder_diffusion" in read_metadata(path):
        return DiffusionDrawer(load_diffusion(path))
    return GanDrawer(load_generator(path))


def class_ids(drawer: Drawer, names: tuple[str, ...]) -> list[int]:
    """The class ids of ``names``. Raises ConfigError for one that the drawer does not know, with the nearest."""
    for name in names:
        if name not in drawer.class_names:
            near = difflib.get_close_matches(name, drawer.class_names, n=1)
            known = f"did you mean {near[0]}?" if near else f"it knows {', '.join(drawer.class_names)}"
            hint = known if drawer.class_names else "it was trained without classes: leave the label out"
            raise ConfigError(f"label {name!r}: this model does not know it", hint=hint)
    return [drawer.class_names.index(name) for name in names]
