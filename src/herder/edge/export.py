"""A trained network as ONNX, OpenVINO or TorchScript: files that know their classes and how they want to be fed.

Batch norms, input scale and channel order are folded into the convolutions, boxes are decoded in the graph, and nothing
is written unless the file gives the same detections as torch. Notation: B photos, A candidates, K classes, n animals.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from herder.edge.engine_packages import openvino_package
from herder.edge.export_facts import ExportFacts
from herder.edge.export_graph import (
    OPSET,
    InferenceGraph,
    checked_opset,
    checked_size,
    example,
    metadata,
    onnx_graph,
    quiet_tracing,
)
from herder.edge.first_difference import explain_disagreement
from herder.edge.onnx_half import halve_weights
from herder.edge.openvino_files import convert_onnx, save_openvino
from herder.edge.opset_support import check_engine_reads
from herder.edge.parity import EXACT, HALF, Parity, check_parity
from herder.edge.runtime import OnnxEngine, OpenVinoEngine
from herder.edge.torchscript import TorchScriptEngine
from herder.errors import ConfigError
from herder.files import write_atomic
from herder.inference import Photo
from herder.model.engine import TorchEngine
from herder.model.network import Network
from herder.spec import ModelSpec

KINDS = {".onnx": "ONNX", ".xml": "OpenVINO's", ".torchscript": "TorchScript"}
"""What files with these endings are."""


@dataclass(frozen=True)
class ExportResult:
    """What was written, and how well it agrees with torch."""

    path: Path
    format: str
    size_bytes: int
    """Of OpenVINO's two files together."""
    seconds: float
    parity: Parity

    def __str__(self) -> str:
        return f"{self.path}: {self.format}, {self.size_bytes / 1e6:.1f} MB, {self.seconds:.1f} s; {self.parity}"


def export_onnx(
    network: Network,
    spec: ModelSpec,
    out: str | Path,
    *,
    nms: bool = False,
    half: bool = False,
    size: int | None = None,
    photos: Sequence[Photo] = (),
    opset: int = OPSET,
) -> ExportResult:
    """Write ``network`` as an ONNX file and compare it with torch on ``photos`` (on drawn pictures where none).

    Input ``images`` (B, 3, H, W) float32 RGB 0..255, letterboxed at the top left with 114; outputs ``boxes`` (B, A, 4)
    xyxy canvas pixels and ``scores`` (B, A, K), or with ``nms`` one output ``detections`` (n, 7), rows of ``photo, x1,
    y1, x2, y2, score, class``. B, H and W (multiples of 32) are free unless ``size`` fixes them to 1, size, size.
    ``half`` stores weights as float16 and computes in float32.
    Raises ModelFileError, naming the first layer that differs, and writes nothing where the file would not agree with
    torch; ConfigError for a size or an opset that cannot be; MissingExtraError without onnx and onnxruntime.
    """
    start, out = time.perf_counter(), checked_out(out, ".onnx")
    facts = _facts(network, nms, size)
    check_engine_reads(checked_opset(opset, nms=nms))
    model = onnx_graph(network, spec, facts, opset=opset)
    if half:
        halve_weights(model)
    data: bytes = model.SerializeToString()
    with tempfile.TemporaryDirectory(prefix="herder-export-") as folder:
        part = Path(folder) / "model.onnx"
        part.write_bytes(data)
        with explain_disagreement(network, part, photos, size=size, half=half):
            parity = check_parity(_reference(network), OnnxEngine(part), photos, HALF if half else EXACT)
    write_atomic(out, data)
    return ExportResult(out, _kind("ONNX", half), len(data), time.perf_counter() - start, parity)


def export_openvino(
    network: Network,
    spec: ModelSpec,
    out: str | Path,
    *,
    nms: bool = False,
    half: bool = False,
    size: int | None = None,
    photos: Sequence[Photo] = (),
) -> ExportResult:
    """Write ``network`` as OpenVINO's own files: ``out`` (.xml) with the graph, and the weights (.bin) beside it.

    Input, outputs, settings and errors are those of ``export_onnx``, the reader is OpenVINO.
    """
    start, out = time.perf_counter(), checked_out(out, ".xml")
    openvino_package()  # what is missing is told before the work
    facts = _facts(network, nms, size)
    with tempfile.TemporaryDirectory(prefix="herder-export-") as folder:
        source, part = Path(folder) / "source.onnx", Path(folder) / "model.xml"
        source.write_bytes(onnx_graph(network, spec, facts).SerializeToString())
        model = convert_onnx(source)
        save_openvino(model, part, spec, facts, half=half)
        with explain_disagreement(network, part, photos, size=size, half=half):
            parity = check_parity(_reference(network), OpenVinoEngine(part), photos, HALF if half else EXACT)
    count = save_openvino(model, out, spec, facts, half=half)
    return ExportResult(out, _kind("OpenVINO", half), count, time.perf_counter() - start, parity)


def export_torchscript(
    network: Network, spec: ModelSpec, out: str | Path, *, size: int | None = None, photos: Sequence[Photo] = ()
) -> ExportResult:
    """Write ``network`` as a TorchScript file, compared with torch like ``export_onnx``.

    Same input and outputs as there; the metadata lie in the archive's extra files. It is for programs that load
    TorchScript already: the file is code, so load only those you trust, and herder itself runs ONNX and OpenVINO.
    """
    start, out = time.perf_counter(), checked_out(out, ".torchscript")
    facts = _facts(network, False, size)
    with tempfile.TemporaryDirectory(prefix="herder-export-") as folder:
        part = Path(folder) / "model.torchscript"
        with quiet_tracing(), torch.no_grad():
            plain = InferenceGraph(network.fused().cpu())
            graph = torch.jit.trace(plain, (example(size),), check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(graph, str(part), _extra_files=metadata(spec, facts))
        with explain_disagreement(network, part, photos, size=size, half=False):
            parity = check_parity(_reference(network), TorchScriptEngine(part), photos)
        data = part.read_bytes()
    write_atomic(out, data)
    return ExportResult(out, "TorchScript", len(data), time.perf_counter() - start, parity)


def checked_out(out: str | Path, suffix: str) -> Path:
    """``out`` where its ending says what will be in it: readers go by that. Raises ConfigError for another one."""
    out = Path(out)
    if out.suffix != suffix:
        raise ConfigError(
            f"{out}: {KINDS[suffix]} files end in {suffix}",
            hint=f"let the name end in {suffix}, or choose another format",
        )
    return out


def _facts(network: Network, nms: bool, size: int | None) -> ExportFacts:
    if network.spec.architecture.quantization is not None:
        raise ConfigError(
            f"{network.spec.name}: is quantized, and this kind of file or option is for float models",
            hint="use `herder export` with --format onnx or openvino, without --half, --size and --opset",
        )
    return ExportFacts(nms=nms, needs_nms=network.needs_nms and not nms, fixed_size=checked_size(size))


def _kind(name: str, half: bool) -> str:
    return f"{name} with float16 weights" if half else name


def _reference(network: Network) -> TorchEngine:
    """Torch as trained, nothing folded: what the file must agree with. A copy, since the engine moves its network."""
    return TorchEngine(copy.deepcopy(network), fuse=False)
