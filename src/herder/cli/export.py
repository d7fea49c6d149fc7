"""``herder export``: write a model as one file that runs without torch."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from herder.catalogue import beside
from herder.cli.model_argument import WeightsModel
from herder.cli.photo_paths import find_photos
from herder.errors import ConfigError, DataError

OPSET = 17
"""ONNX's operator set if not given: old enough for the runtimes of small boards."""


class ExportFormat(Enum):
    """What a model can be exported to."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCHSCRIPT = "torchscript"


def export_command(
    model: WeightsModel,
    file_format: Annotated[ExportFormat, typer.Option("--format", help="Kind of file.")] = ExportFormat.ONNX,
    out: Annotated[Path | None, typer.Option(help="File to write; beside the model if not given.")] = None,
    nms: Annotated[
        bool, typer.Option("--nms", help="Finished detections from the graph; not for TorchScript.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Weights in float16, half the bytes; not for TorchScript.")
    ] = False,
    size: Annotated[
        int | None, typer.Option(help="Fix the input to one photo of this side in pixels; free if not given.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photos to compare with torch on; drawn pictures if not given.")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="ONNX's operator set.", show_default=str(OPSET))] = None,
) -> None:
    """Write MODEL as ONNX, OpenVINO's files or TorchScript, and check that it finds the same animals as torch.

    Preprocessing facts, class names and the whole spec go into the file's metadata, decoding goes into the graph. A
    file that does not agree with torch is not written.
    """
    if file_format is ExportFormat.TORCHSCRIPT and (nms or half):
        option = "--nms" if nms else "--half"
        raise ConfigError(f"{option} is not for TorchScript", hint=f"leave out {option}, or use --format onnx")
    if opset is not None and file_format is not ExportFormat.ONNX:
        raise ConfigError("--opset is for ONNX only", hint="leave out --opset, or use --format onnx")
    if model.suffix != ".safetensors":
        raise ConfigError(f"{model}: only .safetensors models can be exported", hint="train or import one first")
    from herder.edge.export import export_onnx, export_openvino, export_torchscript  # here, since they load torch
    from herder.model.files import load_model

    pictures = _photos(photos) if photos else []
    network = load_model(model)
    spec = network.spec
    int8 = spec.architecture.quantization is not None and not half and size is None and opset is None
    if int8 and file_format is not ExportFormat.TORCHSCRIPT:
        from herder.edge.export_quantized import export_quantized

        suffix = ".onnx" if file_format is ExportFormat.ONNX else ".xml"
        result = export_quantized(
            network, spec, out or beside(model, f"{model.stem}{suffix}"), nms=nms, photos=pictures
        )
    elif file_format is ExportFormat.ONNX:
        target = out or beside(model, f"{model.stem}.onnx")
        result = export_onnx(
            network,
            spec,
            target,
            nms=nms,
            half=half,
            size=size,
            photos=pictures,
            opset=OPSET if opset is None else opset,
        )
    elif file_format is ExportFormat.OPENVINO:
        target = out or beside(model, f"{model.stem}.xml")
        result = export_openvino(network, spec, target, nms=nms, half=half, size=size, photos=pictures)
    else:
        target = out or beside(model, f"{model.stem}.torchscript")
        result = export_torchscript(network, spec, target, size=size, photos=pictures)
    console = Console(soft_wrap=True)
    console.print(
        f"{result.path}: {result.format}, {result.size_bytes / 1e6:.1f} MB, in {result.seconds:.1f} s",
        markup=False,
        highlight=False,
    )
    console.print(str(result.parity), markup=False, highlight=False)


def _photos(folder: Path) -> list[Path]:
    found = find_photos([str(folder)], recursive=True, problem=lambda name, reason: None)
    if not found:
        raise DataError(f"{folder}: no photos in this folder", hint="leave out --photos, or name a folder of photos")
    return found
