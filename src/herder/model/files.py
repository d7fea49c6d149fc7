"""Model files: one safetensors file whose metadata holds the whole spec. Nothing is ever unpickled."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from herder.errors import ModelFileError
from herder.files import write_atomic
from herder.model.network import Network
from herder.spec import METADATA_KEY, ModelSpec

CHECKPOINT_KEY = "herder_checkpoint"
"""The metadata entry of a training checkpoint, which holds its progress; a model file has none."""

HEADER_LIMIT = 100 * 1024 * 1024
"""Bytes of header that a safetensors file may have, as in the format's own reader."""


def save_model(model: Network | Mapping[str, Tensor], spec: ModelSpec, path: Path, *, half: bool = False) -> None:
    """Write weights and spec to ``path``; with ``half`` in float16, half the size.

    The file appears whole or not at all. Raises ResourceError when the disk is full or may not be written.
    """
    state = model.state_dict() if isinstance(model, Network) else model
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    spec = spec.replace(herder_version=version("herder"))
    write_atomic(path, safetensors.torch.save(tensors, metadata={METADATA_KEY: spec.to_json()}))


def read_metadata(path: Path) -> dict[str, str]:
    """The text metadata of a safetensors file, without reading a weight. Raises ModelFileError for any other file."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            size = path.stat().st_size
            if not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise ModelFileError(
                    f"{path}: is not a safetensors file, or is cut short", hint="copy it again, or `herder import` it"
                )
            header = json.loads(file.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        if size != 8 + length + end:
            raise ModelFileError(
                f"{path}: is cut short: {size} bytes found, {8 + length + end} wanted", hint="copy the file again"
            )
        return dict(header.get("__metadata__") or {})
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file", hint="check the path, or train a model first") from None
    except (IsADirectoryError, PermissionError) as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})", hint="name a readable file") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelFileError(f"{path}: is not a safetensors file ({error})", hint="copy it again") from None


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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises ModelFileError when it is damaged."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
        return tensors
    except (safetensors.SafetensorError, OSError, KeyError) as error:
        raise ModelFileError(f"{path}: cannot be read ({error})", hint="copy the file again") from None


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
