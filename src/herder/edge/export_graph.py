"""A trained network as a graph of plain operators: batch norms, input scale and channel order folded, boxes decoded.

Notation: B photos, A candidates, K classes, n animals.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from herder.boxes import PAD_VALUE
from herder.edge.export_facts import FACTS_KEY, ExportFacts
from herder.edge.graph_suppression import append_suppression
from herder.errors import ConfigError, MissingExtraError
from herder.inference import STRIDE
from herder.model.network import Network
from herder.spec import METADATA_KEY, ModelSpec

OPSET = 17
"""Old enough for every runtime of the last years, new enough for all that the graph needs."""

LOWEST_OPSETS = {False: 11, True: 13}
"""The oldest opset that holds the graph, without (Resize) and with suppression (Unsqueeze with axes as an input)."""


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


def onnx_graph(network: Network, spec: ModelSpec, facts: ExportFacts, *, opset: int = OPSET) -> Any:
    """The ``onnx.ModelProto`` of ``network`` with its metadata, checked by onnx; suppression in it where ``facts`` say.

    Raises ConfigError for an opset that cannot hold the graph, MissingExtraError without onnx.
    """
    onnx = onnx_package()
    size = facts.fixed_size
    free = {0: "batch", 2: "height", 3: "width"}
    rows = {0: "batch", 1: "candidates"}
    with tempfile.TemporaryDirectory(prefix="herder-export-") as folder, quiet_tracing(), torch.no_grad():
        part = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                InferenceGraph(network.fused().cpu()),
                (example(size),),
                part,
                input_names=["images"],
                output_names=["boxes", "scores"],
                dynamic_axes=None if size else {"images": free, "boxes": rows, "scores": rows},
                opset_version=opset,
                # The tracing exporter: under 1 s where the newer one takes 10, for the same graph once ONNX Runtime
                # has optimised both, and for opsets that older runtimes on small boards still read.
                dynamo=False,
            )
        except RuntimeError as error:
            if "onnx_opset_version" not in str(error):
                raise
            raise ConfigError(f"opset {opset}: this torch cannot write it", hint=f"use --opset {OPSET}") from None
        model = onnx.load(part)
    if facts.nms:
        append_suppression(model, spec)
    onnx.helper.set_model_props(model, metadata(spec, facts))
    model.producer_name, model.doc_string = "herder", f"{spec.name}: {', '.join(spec.class_names[:20])}"
    onnx.checker.check_model(model, full_check=True)
    return model


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


def example(size: int | None) -> Tensor:
    """Images for tracing; where sizes are free, batch, height and width differ, so that none passes for another."""
    return torch.full((1, 3, size, size) if size else (2, 3, 2 * STRIDE, 3 * STRIDE), float(PAD_VALUE))


def checked_size(size: int | None) -> int | None:
    """``size`` where a canvas can have it. Raises ConfigError where it is no multiple of 32."""
    if size is not None and (size < STRIDE or size % STRIDE):
        near = max(STRIDE, round(size / STRIDE) * STRIDE)
        raise ConfigError(f"export size {size} is not a multiple of {STRIDE}", hint=f"use {near}")
    return size


def checked_opset(opset: int, *, nms: bool) -> int:
    """``opset`` where it holds the graph's operators. Raises ConfigError where it is too old."""
    lowest = LOWEST_OPSETS[nms]
    if opset < lowest:
        what = "suppression in the graph needs" if nms and opset >= LOWEST_OPSETS[False] else "the graph needs"
        raise ConfigError(f"opset {opset}: {what} operators of opset {lowest}", hint=f"use --opset {OPSET}")
    return opset


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Pass over what torch says about tracing itself: it is going out of fashion. Anything else is still heard."""
    with warnings.catch_warnings():
        for message in (
            r"You are using the legacy TorchScript-based ONNX export",
            r"The feature will be removed\. Please remove usage of this function",
            r"`torch\.jit\.\w+` is (deprecated|not supported)",
        ):
            warnings.filterwarnings("ignore", message, category=DeprecationWarning)
        yield


def onnx_package() -> ModuleType:
    """Import onnx. Raises MissingExtraError where it is not installed."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
    except ImportError as error:
        raise MissingExtraError("export to ONNX", "onnx") from error
    module: ModuleType = onnx
    return module
