"""herder: turn photos of animals into a detector that its owner can trust, run anywhere and keep improving.

The names below are the public API; each is imported when it is first used, so that reading a spec or running an
exported model never waits for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from herder.api import evaluate as evaluate
    from herder.api import export as export
    from herder.api import load as load
    from herder.api import train as train
    from herder.data.formats import read_dataset as read_dataset
    from herder.data.records import Dataset as Dataset
    from herder.data.records import ImageRecord as ImageRecord
    from herder.detections import Detections as Detections
    from herder.errors import HerderError as HerderError
    from herder.inference import Detector as Detector
    from herder.spec import ModelSpec as ModelSpec

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "herder.data.records",
    "Detections": "herder.detections",
    "Detector": "herder.inference",
    "HerderError": "herder.errors",
    "ImageRecord": "herder.data.records",
    "ModelSpec": "herder.spec",
    "evaluate": "herder.api",
    "export": "herder.api",
    "load": "herder.api",
    "read_dataset": "herder.data.formats",
    "train": "herder.api",
}

__all__ = [
    "Dataset",
    "Detections",
    "Detector",
    "HerderError",
    "ImageRecord",
    "ModelSpec",
    "__version__",
    "evaluate",
    "export",
    "load",
    "read_dataset",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'herder' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
