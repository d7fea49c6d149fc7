"""The files that ``herder optimize`` makes of a network: exported in float, and with integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from herder.api.optimize_networks import Workshop
from herder.api.optimize_plan import FilePlan
from herder.api.quantization_aware import aware_config, run_quantization_aware
from herder.api.quantize import QuantizeSettings, run_quantization
from herder.edge.calibration_sample import FEWEST_PHOTOS
from herder.edge.export import export_onnx, export_openvino
from herder.edge.quantization import Target
from herder.files import write_atomic
from herder.model.files import load_model

PARITY_PHOTOS = 4
"""Validation photos on which an exported file is compared with torch."""

CALIBRATION_PHOTOS = 300
"""Training photos at most that ranges are measured on."""

ROUNDING_DROP = 0.01
"""mAP50 that rounding may cost a network before layers are kept in float."""


@dataclass(eq=False)
class FileMaker:
    """Makes each file when it is first asked for."""

    workshop: Workshop
    seed: int = 0
    say: Callable[[str], None] = lambda _: None
    progress: Callable[[str, int, int], None] | None = None

    def path(self, plan: FilePlan) -> Path:
        """Where the file of this plan is; what training decides is in its name."""
        name = f"{plan.form.name}-{plan.size}"
        if plan.form.strategy == "aware":
            name += f"-{self.workshop.digest(('aware',))}"
        return self.workshop.folder(plan.steps) / f"{name}{plan.form.suffix}"

    def make(self, plan: FilePlan) -> Path:
        """The file, written now where it is not there yet.

        Raises KeyboardInterrupt where a training was stopped, and what the step that makes the file raises.
        """
        path = self.path(plan)
        if path.exists() and (path.suffix != ".xml" or path.with_suffix(".bin").exists()):
            return path
        model = self.workshop.at_size(plan.steps, plan.size)
        self.say(f"making {path.relative_to(self.workshop.out)}")
        match plan.form.strategy:
            case "export":
                self._export(model, path, half=plan.form.precision == "float16")
            case "quantize":
                self._quantize(model, path)
            case _:
                self._aware(model, path)
        return path

    def _export(self, model: Path, path: Path, *, half: bool) -> None:
        network = load_model(model)
        photos = [record.path for record in self.workshop.photos.validation][:PARITY_PHOTOS]
        export = export_openvino if path.suffix == ".xml" else export_onnx
        export(network, network.spec, path, half=half, photos=photos)

    def _quantize(self, model: Path, path: Path) -> None:
        photos = max(FEWEST_PHOTOS, min(CALIBRATION_PHOTOS, len(self.workshop.photos.train)))
        target = Target.OPENVINO if path.suffix == ".xml" else Target.ONNX
        settings = QuantizeSettings(target, photos=photos, max_drop=ROUNDING_DROP, seed=self.seed)
        told = self.progress or (lambda what, done, total: None)
        run_quantization(model, self.workshop.photos, path, settings, say=self.say, progress=told)

    def _aware(self, model: Path, path: Path) -> None:
        config = aware_config(model, None, self.workshop.plan.changes)
        # The folder holds the run, which goes on where it was stopped.
        folder = path.with_suffix("")
        result = run_quantization_aware(
            model,
            self.workshop.photos,
            folder,
            config=config,
            resume=True,
            trackers=self.workshop.trackers,
            say=self.say,
        )
        write_atomic(path, result.path.read_bytes())
