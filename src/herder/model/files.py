"""Model files: one safetensors file whose metadata holds the whole spec. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from herder.errors import ModelFileError
from herder.files import write_atomic
from herder.model.network import Network
from herder.spec import METADATA_KEY, ModelSpec
from herder.tensor_files import read_metadata, read_tensors

CHECKPOINT_KEY = "herder_checkpoint"
"""The metadata entry of a training checkpoint, which holds its progress; a model file has none."""


def save_model(
    model: Network | Mapping[str, Tensor],
    spec: ModelSpec,
    path: Path,
    *,
    half: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write weights and spec to ``path``; with ``half`` in float16, half the size. ``metadata`` are further entries.

    The file appears whole or not at all. Raises ResourceError when the disk is full or may not be written.
    """
    state = model.state_dict() if isinstance(model, Network) else model
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    spec = spec.replace(herder_version=version("herder"))
    write_atomic(path, safetensors.torch.save(tensors, metadata={**(metadata or {}), METADATA_KEY: spec.to_json()}))


def read_spec(path: Path) -> ModelSpec:
    """The spec in a model file. Raises ModelFileError when there is none or this herder cannot read it."""
    metadata = read_metadata(path)
    if CHECKPOINT_KEY in metadata:
        raise ModelFileError(
            f"{path}: is a checkpoint for `herder train --resume`, not a model",
            hint=f"use {path.with_name('best.safetensors')}",
        )
    if METADATA_KEY not in metadata:
        raise ModelFileError(f"{path}: was not written by herder", hint="convert it with `herder import`")
    return ModelSpec.from_json(metadata[METADATA_KEY], source=str(path))


def load_model(path: Path) -> Network:
    """Rebuild the network that a model file describes, in float32 and eval mode.

    Raises ModelFileError when the file is missing, foreign, truncated, newer than this herder, holds values that are
    not finite, or does not hold just the tensors that its spec calls for.
    """
    spec = read_spec(path)
    network = Network(spec)
    wanted = network.state_dict()
    found = read_tensors(path)
    missing, surplus = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or surplus:
        raise ModelFileError(
            f"{path}: {len(missing)} tensors are missing {missing[:3]} and {len(surplus)} unknown {surplus[:3]}",
            hint="the file is damaged or was written by another version",
        )
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise ModelFileError(
                f"{path}: tensor {name} has shape {tuple(value.shape)}, its spec wants {tuple(wanted[name].shape)}",
                hint="the file is damaged",
            )
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelFileError(f"{path}: tensor {name} holds values that are not finite", hint="train it again")
    network.load_state_dict({name: value.to(wanted[name].dtype) for name, value in found.items()})
    return network.eval()
