"""The settings of a network that learns to draw: defaults for the pictures at hand, changed by name, read back."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from herder.errors import ConfigError, ModelFileError
from herder.generative.diffusion_config import DiffusionConfig
from herder.generative.gan_config import GanConfig

Settings = GanConfig | DiffusionConfig


class Kind(Enum):
    """What learns to draw."""

    GAN = "gan"
    DIFFUSION = "diffusion"


def default_settings(kind: Kind, size: int, *, photos: bool) -> Settings:
    """What suits pictures of ``size`` pixels: the rooms' own defaults for digits, larger networks for photos."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if kind is Kind.GAN:
        if not photos:
            return GanConfig(device=device)
        return GanConfig(
            width=64 if size <= 32 else 32,
            steps=4000,
            flip=True,
            learning_rate_generator=2e-4,
            learning_rate_discriminator=2e-4,
            ema_decay=0.998,
            checkpoint_every=100,
            device=device,
        )
    if not photos:
        return DiffusionConfig(device=device, snapshot_every=200)
    # Each further halving costs little time: nearly all of it goes into the first, large levels.
    return DiffusionConfig(
        dim=24 if size <= 32 else 16,
        dim_mults=(1, 2, 4) if size <= 32 else (1, 2, 4, 8),
        timesteps=400,
        steps=4000,
        batch_size=16,
        flip=True,
        learning_rate=1e-3,
        ema_decay=0.998,
        checkpoint_every=100,
        snapshot_every=1000,
        device=device,
    )


def settings_of(kind: Kind, values: Mapping[str, Any], *, where: Path) -> Settings:
    """Settings as they stand in the file ``where``. Raises ModelFileError where they are damaged."""
    try:
        return GanConfig(**values) if kind is Kind.GAN else DiffusionConfig(**values)
    except (TypeError, ConfigError) as error:
        raise ModelFileError(f"{where}: its settings cannot be read ({error})", hint="start a new run") from None


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with ``changes``. Raises ConfigError for a name that they do not have or a value without meaning."""
    known = [f.name for f in dataclasses.fields(settings)]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(f"{name}: no such setting", hint=_one_of(near, known))
    return dataclasses.replace(settings, **changes)


def _one_of(near: Sequence[str], known: Sequence[str]) -> str:
    return f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}"


def parse_changes(kind: Kind, texts: Sequence[str]) -> dict[str, Any]:
    """``name=value`` texts as settings of ``kind``, each of its setting's type. Raises ConfigError for others.

    >>> parse_changes(Kind.DIFFUSION, ["dim=48", "dim_mults=1,2,4", "flip=yes"])
    {'dim': 48, 'dim_mults': (1, 2, 4), 'flip': True}
    """
    defaults = GanConfig() if kind is Kind.GAN else DiffusionConfig()
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise ConfigError(f"--set {text}: wanted name=value", hint="such as --set batch_size=32")
        changed(defaults, {name: getattr(defaults, name, None)})  # is there such a setting?
        like = getattr(defaults, name)
        try:
            values[name] = _parsed(value, like)
        except ValueError:
            raise ConfigError(f"{name}: found {value!r}", hint=f"wanted a value such as {_shown(like)}") from None
    return values


def _parsed(text: str, like: Any) -> Any:
    """The text as the type of ``like``; texts and choices stay texts. Raises ValueError where it spells none."""
    if isinstance(like, bool):
        if text.lower() not in ("yes", "true", "on", "no", "false", "off"):
            raise ValueError(text)
        return text.lower() in ("yes", "true", "on")
    if isinstance(like, tuple):
        return tuple(type(like[0])(part) for part in text.strip("()[]").split(",") if part.strip())
    if isinstance(like, (int, float)):
        return type(like)(text)
    return text


def _shown(like: Any) -> str:
    return str(like.value if isinstance(like, Enum) else like)
