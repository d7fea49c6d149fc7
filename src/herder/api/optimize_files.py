"""The files that ``herder optimize`` makes of a network: exported in float, and with integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from herder.api.optimize_networks import Workshop
from herder.api.optimize_plan import FORMS, FilePlan
from herder.edge.calibration_sample import calibration_canvases, calibration_sample
from herder.edge.export import export_onnx
from herder.edge.export_facts import ExportFacts
from herder.edge.openvino_files import save_openvino
from herder.edge.quantization_onnx import quantize_onnx
from herder.edge.quantization_openvino import float_model, quantize_openvino
from herder.files import write_atomic
from herder.model.files import load_model, read_spec
from herder.spec import ModelSpec

CALIBRATION_PHOTOS = 300

PARITY_PHOTOS = 4
"""Validation photos on which an exported file is compared with torch."""


@dataclass(eq=False)
class FileMaker:
    """Makes each file when it is first asked for."""

    workshop: Workshop
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings of quantization-aware training."""
    say: Callable[[str], None] = lambda _: None

    def path(self, plan: FilePlan) -> Path:
        """Where the file of this plan is."""
        return self.workshop.folder(plan.steps) / f"{plan.form.name}-{plan.size}{plan.form.suffix}"

    def make(self, plan: FilePlan) -> Path:
        """The file, written now where it is not there yet. Raises what the step that makes it raises."""
        path = self.path(plan)
        if path.exists() and (path.suffix != ".xml" or path.with_suffix(".bin").exists()):
            return path
        model = self.workshop.at_size(plan.steps, plan.size)
        (self._export if plan.form.strategy == "export" else self._quantize)(plan, model, path)
        return path

    def _export(self, plan: FilePlan, model: Path, path: Path) -> None:
        network = load_model(model)
        photos = [record.path for record in self.workshop.photos.validation][:PARITY_PHOTOS]
        if path.suffix == ".onnx":
            export_onnx(network, network.spec, path, photos=photos)
            return
        self._openvino(float_model(self._float_onnx(plan)), network.spec, path)

    def _quantize(self, plan: FilePlan, model: Path, path: Path) -> None:
        records = calibration_sample(self.workshop.photos.train, CALIBRATION_PHOTOS)
        canvases = list(calibration_canvases(records, plan.size))
        source = self._float_onnx(plan)
        if path.suffix == ".onnx":
            write_atomic(path, quantize_onnx(source, canvases))
            return
        self._openvino(quantize_openvino(float_model(source), canvases), read_spec(model), path)

    def _float_onnx(self, plan: FilePlan) -> Path:
        """The network as float32 ONNX, which the others are made of."""
        return self.make(replace(plan, form=FORMS[0]))

    def _openvino(self, graph: Any, spec: ModelSpec, path: Path) -> None:
        facts = ExportFacts(nms=False, needs_nms=True, fixed_size=None)
        save_openvino(graph, path, spec, facts, half=True)
