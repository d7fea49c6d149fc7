"""Post-training quantization by torch itself (PT2E, torchao): what stays in torch can become int8 there.

The network is captured by torch.export, X86InductorQuantizer says what is int8, and the photos of a calibration sample
fit the scales (https://docs.pytorch.org/ao/stable/pt2e_quantization/pt2e_quant_x86_inductor.html). The result is
for programs that compile torch graphs; ``docs/quantization_aware.md`` has what it gives here.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from herder.api.quantization_aware import Accuracy, accuracy, float_network
from herder.api.run_photos import Photos, read_photos
from herder.boxes import FloatArray
from herder.edge.calibration_sample import calibration_canvases, calibration_sample
from herder.edge.export_facts import FACTS_KEY, ExportFacts
from herder.edge.export_graph import InferenceGraph
from herder.edge.paired_timing import Ratio, paired_milliseconds, paired_ratio
from herder.errors import ConfigError, MissingExtraError
from herder.files import check_writable, write_atomic
from herder.inference import Detector
from herder.model.engine import TorchEngine
from herder.model.network import Network
from herder.spec import METADATA_KEY, ModelSpec


@dataclass(frozen=True)
class Pt2eResult:
    """The file, and both models on the same photos; both see square canvases of the model's input size."""

    path: Path
    before: Accuracy
    after: Accuracy
    before_ms: float
    """Median milliseconds of the network alone in torch, one photo; the two take turns."""
    after_ms: float
    ratio: Ratio
    """Milliseconds after for each before."""


class TorchGraphEngine:
    """A captured graph behind the common way from a photo to detections: one square canvas at a time."""

    def __init__(self, graph: nn.Module, spec: ModelSpec, *, needs_nms: bool) -> None:
        self.graph, self.spec, self.needs_nms = graph, spec, needs_nms
        self.fixed_size: int | None = spec.input_size

    @torch.no_grad()
    def predict(self, canvases: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Canvases (B, S, S, 3) RGB to boxes (B, A, 4) xyxy in canvas pixels and scores (B, A, K)."""
        boxes, scores = zip(*(self.graph(as_images(canvas[None])) for canvas in canvases), strict=True)
        return torch.cat(boxes).numpy(), torch.cat(scores).numpy()


def run_pt2e(
    model: Path, data: Path | Photos, out: Path, *, photos: int = 128, seed: int = 0, rounds: int = 12
) -> Pt2eResult:
    """Quantize ``model`` (.safetensors) by PT2E and write ``out`` (.pt2), whose extra files hold the spec.

    ``photos`` training photos fit the scales. Raises ConfigError for another kind of file, a model that is quantized
    already or too few photos, MissingExtraError without torchao: all before any work.
    """
    if out.suffix != ".pt2":
        raise ConfigError(f"{out}: torch's exported programs end in .pt2", hint=f"use {out.with_suffix('.pt2').name}")
    check_writable(out)
    network = float_network(model)
    torchao_quantizer()
    known = data if isinstance(data, Photos) else read_photos(data)
    records = calibration_sample(known.train, photos, seed)
    spec = network.spec
    canvases = list(calibration_canvases(records, spec.input_size, fixed=True))
    graph = pt2e_graph(network, canvases)
    facts = ExportFacts(nms=False, needs_nms=network.needs_nms, fixed_size=spec.input_size)
    part = io.BytesIO()
    with quiet():
        program = torch.export.export(graph, (as_images(canvases[0]),))
        torch.export.save(program, part, extra_files={METADATA_KEY: spec.to_json(), FACTS_KEY: facts.to_json()})
    write_atomic(out, part.getvalue())
    before = TorchGraphEngine(InferenceGraph(network.fused()), spec, needs_nms=network.needs_nms)
    after = TorchGraphEngine(graph, spec, needs_nms=network.needs_nms)
    engine, canvas = TorchEngine(network), canvases[0]
    times = paired_milliseconds([lambda: engine.predict(canvas), lambda: after.predict(canvas)], rounds=rounds)
    return Pt2eResult(
        out,
        accuracy(Detector(before), model, known.validation),
        accuracy(Detector(after), out, known.validation),
        float(np.median(times[:, 0])),
        float(np.median(times[:, 1])),
        paired_ratio(times[:, 1], times[:, 0]),
    )


def pt2e_graph(network: Network, canvases: Sequence[NDArray[np.uint8]]) -> nn.Module:
    """The quantized graph, its scales fitted to canvases (1, S, S, 3): images (1, 3, S, S) to boxes and scores."""
    x86, flow = torchao_quantizer()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    with quiet(), torch.no_grad():
        captured = torch.export.export(InferenceGraph(network.fused()), (as_images(canvases[0]),)).module()
        observed = flow.prepare_pt2e(captured, quantizer)
        for canvas in canvases:
            observed(as_images(canvas))
        graph: nn.Module = flow.convert_pt2e(observed)
    return graph


def as_images(canvases: NDArray[np.uint8]) -> Tensor:
    """Canvases (B, H, W, 3) to images (B, 3, H, W) float32."""
    return torch.from_numpy(canvases).permute(0, 3, 1, 2).float().contiguous()


def torchao_quantizer() -> tuple[Any, Any]:
    """torchao's modules of the x86 quantizer and of the PT2E steps. Raises MissingExtraError without torchao."""
    try:
        with quiet():
            x86 = importlib.import_module("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer")
            return x86, importlib.import_module("torchao.quantization.pt2e.quantize_pt2e")
    except ImportError as error:
        raise MissingExtraError("quantization by PT2E", "compress") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Pass over what torchao says of GPU libraries that a processor does not need, and of torch's own changes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
