"""One door to static int8 in both kinds of files: a float ONNX file and canvases in, an int8 file out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.edge.engine_packages import openvino_package
from herder.edge.export_facts import ExportFacts, read_metadata
from herder.edge.openvino_files import save_openvino
from herder.edge.quantization_onnx import is_quantized, quantize_dynamic_onnx, quantize_onnx, read_onnx
from herder.edge.quantization_openvino import float_model, quantize_openvino
from herder.edge.quantization_openvino import is_quantized as is_quantized_openvino
from herder.errors import ConfigError, ModelFileError
from herder.files import write_atomic
from herder.spec import ModelSpec


class Target(Enum):
    """The kind of file to make."""

    OPENVINO = "openvino"
    """``.xml`` with its weights beside it."""
    ONNX = "onnx"
    """``.onnx`` with QDQ pairs."""

    @property
    def suffix(self) -> str:
        """How files of this kind end."""
        return ".xml" if self is Target.OPENVINO else ".onnx"


def check_float(path: Path) -> tuple[ModelSpec, ExportFacts]:
    """Spec and facts of a float32 ONNX file that can be quantized.

    Raises ModelFileError for a broken file, ConfigError for one that is quantized already, stores halves, or holds the
    suppression of duplicates, whose candidates cannot be compared one by one.
    """
    if path.suffix == ".xml":
        if not path.is_file():
            raise ModelFileError(f"{path}: no such file", hint="check the path")
        try:
            rounded = is_quantized_openvino(openvino_package().Core().read_model(path))
        except RuntimeError as error:
            raise ModelFileError(f"{path}: is not an OpenVINO file", hint="check the path") from error
        if rounded:
            raise _already(path)
    if path.suffix != ".onnx":
        raise ConfigError(f"{path}: cannot be quantized", hint="wanted a .safetensors model, or a float .onnx file")
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file", hint="check the path")
    try:
        graph = read_onnx(path)
    except Exception as error:  # protobuf's exceptions share no base class with onnx's own
        raise ModelFileError(f"{path}: is damaged or not ONNX ({error})", hint="export it again") from error
    if is_quantized(graph):
        raise _already(path)
    if any(tensor.data_type == tensor.FLOAT16 for tensor in graph.graph.initializer):
        raise ConfigError(f"{path}: holds float16 weights", hint="quantize the .safetensors it was exported from")
    spec, facts = read_metadata({entry.key: entry.value for entry in graph.metadata_props}, path)
    if facts.nms:
        raise ConfigError(f"{path}: suppresses duplicates in the graph", hint="export it without --nms")
    return spec, facts


def _already(path: Path) -> ConfigError:
    return ConfigError(f"{path}: is quantized already", hint="give the float model that it was made from")


def write_float(source: Path, out: Path, target: Target) -> None:
    """Write the float ONNX file ``source`` as ``out``, of the kind that ``target`` says."""
    if target is Target.ONNX:
        write_atomic(out, source.read_bytes())
        return
    spec, facts = check_float(source)
    save_openvino(float_model(source), out, spec, facts, half=False)


def write_int8(
    source: Path,
    canvases: Sequence[NDArray[np.uint8]],
    out: Path,
    target: Target,
    kept_float: Collection[str] = (),
    *,
    spec: ModelSpec | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the float ONNX file ``source`` as an int8 file, its ranges measured on ``canvases``, (1, H, W, 3) each.

    ``kept_float`` are names of convolutions that stay float; ``spec`` replaces the file's own where given. Raises
    ConfigError for a name that no convolution has, MissingExtraError without NNCF.
    """
    own, facts = check_float(source)
    if target is Target.ONNX:
        write_atomic(out, quantize_onnx(source, canvases, kept_float, spec=spec, progress=progress))
    else:
        rounded = quantize_openvino(float_model(source), canvases, kept_float, progress=progress)
        save_openvino(rounded, out, spec or own, facts, half=False)


def write_dynamic(source: Path, out: Path, spec: ModelSpec) -> None:
    """Write ``source`` with its linear layers' weights in int8; ConfigError where it has no linear layer."""
    write_atomic(out, quantize_dynamic_onnx(source, spec))
