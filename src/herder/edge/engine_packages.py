"""ONNX Runtime and OpenVINO, imported so that neither sends anything home."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from herder.errors import MissingExtraError

_REPORTER = "openvino_telemetry"


def onnxruntime_package() -> ModuleType:
    """ONNX Runtime with its telemetry switched off. Raises MissingExtraError where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("the ONNX Runtime engine", "onnx") from error
    if hasattr(onnxruntime, "disable_telemetry_events"):
        onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


def openvino_package() -> ModuleType:
    """OpenVINO without its reporter. Raises MissingExtraError where it is not installed."""
    # Its kernels are kept for canvas shapes long gone otherwise: 70 MB in a folder of mixed photos. Read when it loads.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0")
    try:
        with without_reporter("openvino"):
            import openvino
    except ImportError as error:
        raise MissingExtraError("the OpenVINO engine", "openvino") from error
    module: ModuleType = openvino
    return module


@contextmanager
def without_reporter(package: str) -> Iterator[None]:
    """Hide OpenVINO's reporter from a package while it is first imported: it tells a server of every use otherwise."""
    if package in sys.modules:
        yield
        return
    before = sys.modules.get(_REPORTER)
    sys.modules[_REPORTER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_REPORTER]
        if before is not None:
            sys.modules[_REPORTER] = before
