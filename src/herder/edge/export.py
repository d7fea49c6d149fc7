"""A trained network as ONNX or TorchScript: one file that knows its classes and how to feed it.

Batch norms, input scale and channel order are folded into the convolutions, boxes are decoded in the graph, and nothing
is written unless the file gives the same detections as torch. Notation: B photos, A candidates, K classes, n animals.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from herder.boxes import PAD_VALUE
from herder.edge.graph_suppression import append_suppression
from herder.edge.parity import Parity, check_parity
from herder.edge.runtime import FACTS_KEY, ExportFacts, OnnxEngine
from herder.edge.torchscript import TorchScriptEngine
from herder.errors import ConfigError, MissingExtraError
from herder.files import write_atomic
from herder.inference import STRIDE, Photo
from herder.model.engine import TorchEngine
from herder.model.network import Network
from herder.spec import METADATA_KEY, ModelSpec

OPSET = 17
"""Old enough for every runtime of the last years, new enough for all that the graph needs."""


@dataclass(frozen=True)
class ExportResult:
    """What was written, and how well it agrees with torch."""

    path: Path
    format: str
    size_bytes: int
    seconds: float
    parity: Parity

    def __str__(self) -> str:
        return f"{self.path}: {self.format}, {self.size_bytes / 1e6:.1f} MB, {self.seconds:.1f} s; {self.parity}"


class InferenceGraph(nn.Module):
    """The folded network as one straight path, without the checks that tracing cannot follow."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) RGB float32 0..255 to boxes (B, A, 4) xyxy pixels and scores (B, A, K)."""
        network = self.network
        head = network.one_to_one_head or network.head
        return network.decode(head(network.neck(network.backbone(network.normalise(images)))))


def export_onnx(
    network: Network,
    spec: ModelSpec,
    out: str | Path,
    *,
    nms: bool = False,
    size: int | None = None,
    photos: Sequence[Photo] = (),
    opset: int = OPSET,
) -> ExportResult:
    """Write ``network`` as an ONNX file and compare it with torch on ``photos`` (on noise and shapes where none).

    Input ``images`` (B, 3, H, W) float32 RGB 0..255, letterboxed at the top left with 114; outputs ``boxes`` (B, A, 4)
    xyxy canvas pixels and ``scores`` (B, A, K), or with ``nms`` one output ``detections`` (n, 7), rows of ``photo, x1,
    y1, x2, y2, score, class``. B, H and W (multiples of 32) are free unless ``size`` fixes them to 1, size, size.
    Raises ModelFileError and writes nothing where the file would not agree with torch; MissingExtraError without onnx.
    """
    onnx = _onnx()
    start = time.perf_counter()
    facts = ExportFacts(nms=nms, needs_nms=network.needs_nms and not nms, fixed_size=_checked_size(size))
    folded = network.fused().cpu()
    with tempfile.TemporaryDirectory(prefix="herder-export-") as folder:
        part = Path(folder) / "model.onnx"
        free = {0: "batch", 2: "height", 3: "width"}
        rows = {0: "batch", 1: "candidates"}
        with _quiet_tracing(), torch.no_grad():
            torch.onnx.export(
                InferenceGraph(folded),
                (_example(size),),
                part,
                input_names=["images"],
                output_names=["boxes", "scores"],
                dynamic_axes=None if size else {"images": free, "boxes": rows, "scores": rows},
                opset_version=opset,
                # The tracing exporter: under 1 s where the newer one takes 10, for the same graph once ONNX Runtime
                # has optimised both, and for opsets that older runtimes on small boards still read.
                dynamo=False,
            )
        model = onnx.load(part)
        if nms:
            append_suppression(model, spec)
        onnx.helper.set_model_props(model, metadata(spec, facts))
        model.producer_name, model.doc_string = "herder", f"{spec.name}: {', '.join(spec.class_names[:20])}"
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString()
        part.write_bytes(data)
        parity = check_parity(_reference(network), OnnxEngine(part), photos)
    out = Path(out)
    write_atomic(out, data)
    return ExportResult(out, "ONNX", len(data), time.perf_counter() - start, parity)


def export_torchscript(
    network: Network, spec: ModelSpec, out: str | Path, *, size: int | None = None, photos: Sequence[Photo] = ()
) -> ExportResult:
    """Write ``network`` as a TorchScript file, compared with torch like ``export_onnx``.

    Same input and outputs as there; the metadata lie in the archive's extra files. It is for programs that load
    TorchScript already: the file is code, so load only those you trust, and herder itself runs ONNX.
    """
    start = time.perf_counter()
    facts = ExportFacts(nms=False, needs_nms=network.needs_nms, fixed_size=_checked_size(size))
    with tempfile.TemporaryDirectory(prefix="herder-export-") as folder:
        part = Path(folder) / "model.torchscript"
        with _quiet_tracing(), torch.no_grad():
            plain = InferenceGraph(network.fused().cpu())
            graph = torch.jit.trace(plain, (_example(size),), check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(graph, str(part), _extra_files=metadata(spec, facts))
        parity = check_parity(_reference(network), TorchScriptEngine(part), photos)
        data = part.read_bytes()
    out = Path(out)
    write_atomic(out, data)
    return ExportResult(out, "TorchScript", len(data), time.perf_counter() - start, parity)


def _reference(network: Network) -> TorchEngine:
    """Torch as trained, nothing folded: what the file must agree with. A copy, since the engine moves its network."""
    return TorchEngine(copy.deepcopy(network), fuse=False)


def metadata(spec: ModelSpec, facts: ExportFacts) -> dict[str, str]:
    """What a file says about itself: the whole spec, and plain entries for readers that do not know herder."""
    return {
        METADATA_KEY: spec.to_json(),
        FACTS_KEY: facts.to_json(),
        "name": spec.name,
        "names": json.dumps(dict(enumerate(spec.class_names)), ensure_ascii=False),
        "layout": "NCHW",
        "dtype": "float32",
        "channel_order": "RGB",
        "value_range": "0..255",
        "normalisation": "none: folded into the first convolution",
        "letterbox": "top left, keep aspect ratio",
        "pad_value": str(PAD_VALUE),
        "input_size": str(facts.fixed_size or spec.input_size),
        "stride": str(STRIDE),
        # For readers without herder: scores as the graph gives them, and the temperature that calibrates them.
        "score_threshold": str(spec.tempered(1.0).score_threshold),
        "temperature": str(spec.temperature),
        "nms_iou": str(spec.nms_iou),
        "outputs": "detections: photo, x1, y1, x2, y2, score, class"
        if facts.nms
        else "boxes: xyxy canvas pixels; scores",
    }


def _example(size: int | None) -> Tensor:
    """Images for tracing; where sizes are free, batch, height and width differ, so that none passes for another."""
    return torch.full((1, 3, size, size) if size else (2, 3, 2 * STRIDE, 3 * STRIDE), float(PAD_VALUE))


def _checked_size(size: int | None) -> int | None:
    if size is not None and (size < STRIDE or size % STRIDE):
        near = max(STRIDE, round(size / STRIDE) * STRIDE)
        raise ConfigError(f"export size {size} is not a multiple of {STRIDE}", hint=f"use {near}")
    return size


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Pass over what torch says about tracing itself: it is going out of fashion. Anything else is still heard."""
    with warnings.catch_warnings():
        for message in (
            r"You are using the legacy TorchScript-based ONNX export",
            r"The feature will be removed\. Please remove usage of this function",
            r"`torch\.jit\.\w+` is (deprecated|not supported)",
        ):
            warnings.filterwarnings("ignore", message, category=DeprecationWarning)
        yield


def _onnx() -> ModuleType:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
    except ImportError as error:
        raise MissingExtraError("export to ONNX", "onnx") from error
    module: ModuleType = onnx
    return module
