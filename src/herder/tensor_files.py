"""Reading safetensors files, which hold tensors and texts and nothing that could run."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from herder.errors import ModelFileError

HEADER_LIMIT = 100 * 1024 * 1024
"""Bytes of header that a safetensors file may have, as in the format's own reader."""


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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises ModelFileError when it is damaged."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
        return tensors
    except (safetensors.SafetensorError, OSError, KeyError) as error:
        raise ModelFileError(f"{path}: cannot be read ({error})", hint="copy the file again") from None
