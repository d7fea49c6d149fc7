"""Post-training quantization as one call: a float model and photos to an int8 file, with what it cost and gained."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from herder.api.quantize_checks import Material, QuantizeSettings, check_quantization
from herder.api.run_photos import Photos
from herder.data.records import Problem
from herder.edge.calibration_sample import calibration_canvases, class_shares
from herder.edge.engine_files import file_bytes, open_engine
from herder.edge.paired_timing import Ratio, paired_milliseconds, paired_ratio
from herder.edge.quantization import write_dynamic, write_float, write_int8
from herder.edge.quantization_onnx import check_linear
from herder.edge.quantization_search import fewest_float_layers
from herder.edge.sensitivity import LayerLoss, layer_losses
from herder.errors import ConfigError
from herder.evaluation import evaluate_detector
from herder.files import write_together
from herder.inference import Detector

__all__ = ["MeasuredFile", "QuantizeResult", "QuantizeSettings", "run_quantization"]

ROUNDS = 12
"""Turns of the float and the int8 network on the same canvas."""

LOSS_CANVASES = 8
"""Calibration canvases that each layer's loss is measured on."""

LARGE_LOSS = 0.1
"""Without labels, layers whose loss is larger stay float: a tenth of what is found changes by that layer alone."""


@dataclass(frozen=True)
class MeasuredFile:
    """A file as it is measured here, in the engine of its kind."""

    file_bytes: int
    milliseconds: float
    """Median of the network alone, one photo; both files of a result took turns."""
    map50: float | None = None
    map50_95: float | None = None
    """On the validation photos; None where nobody asked."""


@dataclass(frozen=True)
class QuantizeResult:
    """The int8 file, and what it is beside the float file of the same kind."""

    path: Path
    before: MeasuredFile
    after: MeasuredFile
    time_ratio: Ratio
    """Milliseconds of the int8 network for each of the float one."""
    kept_float: tuple[LayerLoss, ...] = ()
    """Layers that stayed float, with the loss that told so."""
    drops: dict[int, float] = field(default_factory=dict)
    """Each number of layers in float that was tried, and the mAP@0.5 that was lost with it."""
    problems: tuple[Problem, ...] = ()
    """Photos that were set aside."""


def run_quantization(
    model: Path,
    data: Path | Photos,
    out: Path,
    settings: QuantizeSettings | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> QuantizeResult:
    """Write ``model`` (.safetensors or float .onnx) as the int8 file ``out``: .xml or .onnx, as the target says.

    All convolutions become int8 first. Where that costs more than ``max_drop``, the loss of each is measured, and the
    fewest that must stay float are sought. ``data`` is a labelled dataset, whose training photos calibrate and whose
    validation photos judge, or with ``max_drop`` None any folder of photos, where layers of large loss stay float.
    Raises what ``check_quantization`` raises, before any work; ConfigError, and writes nothing, where no int8 file
    keeps ``max_drop``.
    """
    settings = settings or QuantizeSettings()
    material = check_quantization(model, data, out, settings)
    with tempfile.TemporaryDirectory(prefix="herder-quantize-") as folder:
        work = _Quantization(material, settings, Path(folder), say, progress)
        kept = work.choose_layers()
        result = work.compared(kept, out)
        made = work.files[len(kept)]
        parts = (".bin", ".xml") if out.suffix == ".xml" else (out.suffix,)
        write_together([(out.with_suffix(part), made.with_suffix(part).read_bytes()) for part in parts])
    return result


class _Quantization:
    """One quantization on its way: the float file, the canvases, what was tried and what it reached."""

    def __init__(
        self,
        material: Material,
        settings: QuantizeSettings,
        folder: Path,
        say: Callable[[str], None],
        progress: Callable[[str, int, int], None],
    ) -> None:
        self.settings, self.validation, self.folder = settings, material.validation, folder
        self.say, self.progress = say, progress
        self.problems = list(material.problems)
        self.files: dict[int, Path] = {}
        """int8 files by the number of layers in float."""
        self.reached: dict[Path, tuple[float | None, float | None]] = {}
        """mAP50 and mAP50-95 by file."""
        self.losses: list[LayerLoss] = []
        self.source, facts = material.float_onnx(folder)
        if settings.dynamic:
            check_linear(self.source)
        self.spec = material.spec
        self.size = settings.size or facts.fixed_size or material.spec.input_size
        say(f"calibration: {class_shares(material.sample, material.class_names)}, at {self.size} pixels")
        fixed = facts.fixed_size is not None
        canvases = calibration_canvases(material.sample, self.size, fixed=fixed, on_problem=self._set_aside)
        self.canvases: list[NDArray[np.uint8]] = list(canvases)
        self.before = folder / f"float{settings.target.suffix}"
        write_float(self.source, self.before, settings.target)

    def choose_layers(self) -> Sequence[str]:
        """Convolutions that stay float; the file for them is made."""
        if self.settings.max_drop is not None:
            self._measure(self.before, "float")
            if self.settings.dynamic:
                self._refuse_large_drop(self._drop_with([]))
                return []
            return fewest_float_layers(self._drop_with, self._most_sensitive_first, self.settings.max_drop)
        kept: list[str] = []
        if not self.settings.dynamic:
            self._most_sensitive_first()
            kept = [layer.name for layer in self.losses if layer.loss > LARGE_LOSS]
        self._write(kept)
        return kept

    def compared(self, kept: Sequence[str], out: Path) -> QuantizeResult:
        """Both files beside each other; they take turns on a canvas of the commonest shape."""
        paths = self.before, self.files[len(kept)]
        self.say("timing the float and the int8 file in turns")
        shape = Counter(canvas.shape for canvas in self.canvases).most_common(1)[0][0]
        canvas = next(canvas for canvas in self.canvases if canvas.shape == shape)
        engines = [open_engine(path) for path in paths]
        runs = [lambda engine=engine: engine.predict(canvas) for engine in engines]
        times = paired_milliseconds(runs, rounds=ROUNDS)  # (rounds, 2)
        before, after = (
            MeasuredFile(file_bytes(path), float(ms), *self.reached.get(path, (None, None)))
            for path, ms in zip(paths, np.median(times, axis=0), strict=True)
        )
        ratio = paired_ratio(times[:, 1], times[:, 0])
        floats = tuple(layer for layer in self.losses if layer.name in set(kept))
        drops = {count: self._lost(path) for count, path in self.files.items() if path in self.reached}
        return QuantizeResult(out, before, after, ratio, floats, drops, tuple(self.problems))

    def _write(self, kept: Sequence[str]) -> Path:
        path = self.files[len(kept)] = self.folder / f"int8-{len(kept)}{self.settings.target.suffix}"
        spec = self.spec.replace(metrics={})  # those of the float model are not true of this one
        if self.settings.dynamic:
            write_dynamic(self.source, path, spec)
        else:
            told = self._told("calibration")
            write_int8(self.source, self.canvases, path, self.settings.target, kept, spec=spec, progress=told)
        return path

    def _drop_with(self, kept: Sequence[str]) -> float:
        path = self._write(kept)
        self._measure(path, "int8")
        floats = f"{len(kept)} layers in float" if kept else "all layers"
        self.say(f"int8, {floats}: mAP50 {self.reached[path][0]:.4f} ({-self._lost(path):+.4f})")
        return self._lost(path)

    def _measure(self, path: Path, what: str) -> None:
        if self.validation is None:
            return
        metrics, _ = evaluate_detector(
            Detector(open_engine(path)),
            self.validation,
            size=self.size,
            progress=self._told(f"mAP of {what}"),
            on_problem=self._set_aside,
        )
        self.reached[path] = metrics.map50, metrics.map50_95

    def _lost(self, path: Path) -> float:
        return (self.reached[self.before][0] or 0.0) - (self.reached[path][0] or 0.0)

    def _most_sensitive_first(self) -> list[str]:
        self.say("measuring what each layer loses where it alone is rounded")
        self.losses = layer_losses(self.source, self.canvases[:LOSS_CANVASES], progress=self._told("layers"))
        return [layer.name for layer in self.losses]

    def _refuse_large_drop(self, drop: float) -> None:
        if self.settings.max_drop is not None and drop > self.settings.max_drop:
            raise ConfigError(
                f"max_drop: {self.settings.max_drop:g} mAP50, but dynamic quantization loses {drop:.4f}",
                hint="allow more, or use --method static",
            )

    def _set_aside(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _told(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total)
