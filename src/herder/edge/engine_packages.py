"""ONNX Runtime and OpenVINO, imported so that neither sends anything home."""

from __future__ import annotations

import sys
from types import ModuleType

from herder.errors import MissingExtraError


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
    # OpenVINO reports its own import to a server unless its reporter is missing: for this one import, it is.
    name = "openvino_telemetry"
    hidden = "openvino" not in sys.modules and name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("the OpenVINO engine", "openvino") from error
    finally:
        if hidden:
            del sys.modules[name]
    module: ModuleType = openvino
    return module
